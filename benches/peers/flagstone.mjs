import { complete } from "../../pkg/tools.js";
import { FlagstoneClient } from "../../pkg/node.js";
import { by, RULES } from "../workload.mjs";

const OPERATORS = { in: "in", equals: "equals", endsWith: "endsWith", atLeast: "semverGreaterThanOrEqual" };
const LISTS = ["endsWith"];
const environment = "production";
const version = 1;

/** A signed snapshot for clients, with the key to trust. */
export async function definitions({ ramps, rules }) {
  const boolean = { type: "boolean", variants: { on: true, off: false }, off: "off" };
  const string = { type: "string", variants: { A: "A", B: "B" }, off: "A" };
  const half = { split: [["A", 50_000], ["B", 100_000]] }; // prettier-ignore
  const served = RULES.map(({ attribute, operator, operand }) => ({
    id: attribute,
    when: { attribute, [OPERATORS[operator]]: LISTS.includes(operator) ? [operand] : operand },
    serve: "A",
  }));
  const names = [...new Set(RULES.map(({ operator }) => OPERATORS[operator])), "xxh3"].sort();
  const document = JSON.stringify({
    schema: 1,
    environment,
    audience: "client",
    version,
    created: "2026-01-01T00:00:00Z",
    expires: "2100-01-01T00:00:00Z",
    requires: names,
    flags: {
      ...by(ramps, (salt) => ({
        ...boolean,
        salt,
        requires: ["xxh3"],
        default: { ramp: { percent: 25_000, serve: "on" } },
      })),
      ...by(rules, (salt) => ({ ...string, salt, requires: names, rules: served, default: half })),
    },
  });
  const utf8 = new TextEncoder();
  // As it is published.
  const payload = new TextDecoder().decode(await complete(utf8.encode(document)));
  const base64url = (bytes) =>
    btoa(String.fromCharCode(...bytes)).replace(/[+/=]/g, (character) => ({ "+": "-", "/": "_", "=": "" })[character]);
  const { privateKey, publicKey } = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  const { kty, crv, x } = await crypto.subtle.exportKey("jwk", publicKey);
  const kid = "bench";
  const typ = "flagstone-snapshot+json";
  const header = JSON.stringify({ alg: "Ed25519", b64: false, crit: ["b64"], kid, typ });
  const encoded = base64url(utf8.encode(header));
  const input = utf8.encode(`${encoded}.${payload}`);
  const signature = new Uint8Array(await crypto.subtle.sign("Ed25519", privateKey, input));
  return {
    envelope: JSON.stringify({ payload, signatures: [{ protected: encoded, signature: base64url(signature) }] }),
    keys: { keys: [{ kty, crv, x, kid, alg: "Ed25519", environments: [environment] }] },
    payload,
    /** What loading does beside reading: what WebCrypto takes for the signature. */
    verify: async () => {
      const raw = Uint8Array.from(atob(x.replaceAll("-", "+").replaceAll("_", "/")), (byte) => byte.charCodeAt(0));
      const key = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
      return crypto.subtle.verify("Ed25519", key, signature, input);
    },
  };
}

export async function load({ envelope, keys }) {
  const client = await FlagstoneClient.start({ source: envelope, environment, keys, storage: false });
  if (client.version !== version) throw client.error ?? new Error("no snapshot was taken");
  return {
    boolean: (key, context) => client.boolean(key, false, context),
    string: (key, context) => client.string(key, "", context),
    all: (context) => client.all(context),
    prepare(context) {
      const subject = client.subject(context);
      return {
        boolean: (key) => subject.boolean(key, false),
        string: (key) => subject.string(key, ""),
        all: () => subject.all(),
      };
    },
    close: () => client.close(),
  };
}

export function context({ id, country, plan, email, appVersion, device }) {
  return { targetingKey: id, country, plan, email, appVersion, device };
}

export const found = (all, key) => all.find(({ flagKey }) => flagKey === key).value;
