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
  if (subtle === undefined) return withLibrary(publicKey, signingInput, signature);
  let key: CryptoKey;
  try {
    key = await subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
  } catch {
    // An engine without Ed25519, as browsers were until 2025.
    return withLibrary(publicKey, signingInput, signature);
  }
  return subtle.verify("Ed25519", key, signature, signingInput);
}

/** Where WebCrypto cannot: old browsers, and pages served over plain http, as on the way from a desk to a phone. */
async function withLibrary(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  const { verify } = await import("./ed25519.js");
  return verify(signature, message, publicKey);
}
