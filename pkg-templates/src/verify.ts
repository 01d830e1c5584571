/** A signature to check, as the engine hands it over. */
export type Candidate = readonly [
  kid: string,
  publicKey: Uint8Array<ArrayBuffer>,
  signingInput: Uint8Array<ArrayBuffer>,
  signature: Uint8Array<ArrayBuffer>,
];

/** Whether one of the signatures verifies (Ed25519, RFC 8032). */
export async function verifiesAny(candidates: readonly Candidate[]): Promise<boolean> {
  for (const candidate of candidates) {
    if (await verifies(candidate)) return true;
  }
  return false;
}

async function verifies([, publicKey, signingInput, signature]: Candidate): Promise<boolean> {
  // Only secure contexts have it, whatever its type says.
  const subtle = (globalThis.crypto as Crypto | undefined)?.subtle;
  if (subtle === undefined) {
    throw new Error("signatures cannot be checked here: WebCrypto needs a page served over https or from localhost");
  }
  let key: CryptoKey;
  try {
    key = await subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
  } catch {
    // An engine without Ed25519, as browsers were until 2025.
    const { verifyAsync } = await import("@noble/ed25519");
    return verifyAsync(signature, signingInput, publicKey, { zip215: false });
  }
  return subtle.verify("Ed25519", key, signature, signingInput);
}
