// What an independent implementation (jose, and the platform's WebCrypto) says about envelopes: one request in on standard
// input, one answer out on standard output. tests/jose.rs asks.
import { GeneralSign, generalVerify, importJWK } from "jose";
import { text } from "node:stream/consumers";

const actions = {
  /** Verifies an envelope as any user of jose would. */
  async verify({ envelope, jwk }) {
    const { payload, protectedHeader } = await generalVerify(JSON.parse(envelope), await importJWK(jwk, "Ed25519"), {
      crit: { b64: true },
    });
    return { payload: new TextDecoder().decode(payload), protectedHeader };
  },

  /** Signs a payload, once for each header and private key. */
  async sign({ payload, signers }) {
    const sign = new GeneralSign(new TextEncoder().encode(payload));
    for (const { header, jwk } of signers) {
      sign.addSignature(await importJWK(jwk, "Ed25519"), { crit: { b64: true } }).setProtectedHeader(header);
    }
    // jose leaves an unencoded payload to the caller (RFC 7797, appendix F of RFC 7515).
    return JSON.stringify({ ...(await sign.sign()), payload });
  },

  /** Checks one signature as a browser does. */
  async webcrypto({ publicKey, signingInput, signature }) {
    const bytes = (hex) => Buffer.from(hex, "hex");
    const key = await crypto.subtle.importKey("raw", bytes(publicKey), "Ed25519", false, ["verify"]);
    return crypto.subtle.verify("Ed25519", key, bytes(signature), bytes(signingInput));
  },
};

const { action, ...request } = JSON.parse(await text(process.stdin));
process.stdout.write(JSON.stringify(await actions[action](request)));
