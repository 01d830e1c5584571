// Ed25519 in JavaScript, for where WebCrypto has none and for tests. The one module that imports the library.
import * as ed25519 from "@noble/ed25519";
import { sha512 } from "@noble/hashes/sha2.js";

ed25519.hashes.sha512 = sha512;

/** Whether the signature verifies: by RFC 8032 to the letter, as WebCrypto and the native engine have it. */
export function verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  return ed25519.verify(signature, message, publicKey, { zip215: false });
}

/** A new pair of keys. */
export function keygen(): { secretKey: Uint8Array; publicKey: Uint8Array } {
  return ed25519.keygen();
}

/** The signature of a message. */
export function sign(message: Uint8Array, secretKey: Uint8Array): Uint8Array {
  return ed25519.sign(message, secretKey);
}
