import type { Candidate } from "./envelope.js";

/** The first of the signatures that verifies (Ed25519, RFC 8032). */
export async function verified(candidates: readonly Candidate[]): Promise<Candidate | undefined> {
  for (const candidate of candidates) {
    if (await verifies(candidate)) return candidate;
  }
  return undefined;
}

async function verifies({ publicKey, input, signature }: Candidate): Promise<boolean> {
  // Only secure contexts have it, whatever its type says.
  const subtle = (globalThis.crypto as Crypto | undefined)?.subtle;
  if (subtle === undefined) return withLibrary(publicKey, input, signature);
  let key: CryptoKey;
  try {
    key = await subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
  } catch {
    // An engine without Ed25519, as browsers were until 2025.
    return withLibrary(publicKey, input, signature);
  }
  return subtle.verify("Ed25519", key, signature, input);
}

/** Where WebCrypto cannot: old browsers, and pages served over plain http, as on the way from a desk to a phone. */
async function withLibrary(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  const { verify } = await import("./ed25519.js");
  return verify(signature, message, publicKey);
}
