// Signs snapshots as src/snapshot/envelope.rs documents, with Node's own crypto: no code is shared with what reads them.
import { generateKeyPairSync, sign } from "node:crypto";
import { readFileSync } from "node:fs";

const base64url = (text) => Buffer.from(text).toString("base64url");

/** A key pair, its public half bound to environments. */
export function keyPair(kid = "test-1", environments = ["production"]) {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const jwk = { ...publicKey.export({ format: "jwk" }), kid, alg: "Ed25519", environments };
  return { kid, privateKey, jwk, keys: { keys: [jwk] } };
}

/** An envelope around a payload, signed by one key. */
export function envelope(payload, { kid, privateKey }, typ = "flagstone-snapshot+json") {
  const text = typeof payload === "string" ? payload : JSON.stringify(payload);
  const header = base64url(JSON.stringify({ alg: "Ed25519", b64: false, crit: ["b64"], kid, typ }));
  const signature = sign(null, Buffer.from(`${header}.${text}`), privateKey).toString("base64url");
  return JSON.stringify({ payload: text, signatures: [{ protected: header, signature }] });
}

/** A snapshot's payload for clients in production, with everything that is given. */
export function snapshot({
  version = 1,
  flags,
  created = "2026-11-21T12:00:00Z",
  expires = "2100-01-01T00:00:00Z",
  ...rest
}) {
  return { schema: 1, environment: "production", audience: "client", version, created, expires, ...rest, flags };
}

/** The section of a snapshot with the program of a regular expression, which is one of the golden vectors. */
export function patterns(pattern) {
  const vectors = JSON.parse(readFileSync(new URL("../../vectors/patterns.json", import.meta.url), "utf8"));
  return { [pattern]: vectors.find((vector) => vector.pattern === pattern).program };
}

/** A boolean flag; `serve` is what its default serves. */
export function boolean(serve, rest = {}) {
  return { type: "boolean", variants: { on: true, off: false }, off: "off", salt: "salt-1", ...rest, default: serve };
}

/** Details of all flags, by key. */
export const byKey = (all) => Object.fromEntries(all.map((details) => [details.flagKey, details]));

/** A flag of each type and of each way to be decided. */
export const flags = {
  enabled: boolean("on"),
  disabled: boolean("on", { enabled: false }),
  ramped: boolean({ ramp: { percent: 25000, serve: "on" } }, { requires: ["xxh3"] }),
  targeted: boolean("off", {
    requires: ["equals", "in", "includesAny", "after", "exists"],
    rules: [
      { id: "staff", when: { attribute: "staff", equals: true }, serve: "on" },
      { id: "plan", when: { attribute: "account.plan", in: ["ngày", "pro", "😀"] }, serve: "on" },
      { id: "age", when: { attribute: "age", in: [-1.5, 41] }, serve: "on" },
      { id: "group", when: { attribute: "groups", includesAny: ["beta", 7, true] }, serve: "on" },
      { id: "new", when: { attribute: "signedUp", after: 1700000000000 }, serve: "on" },
      { id: "inherited", when: { attribute: "constructor", exists: true }, serve: "on" },
      { id: "prototype", when: { attribute: "__proto__", exists: true }, serve: "on" },
      { id: "deep", when: { attribute: "a.toString", exists: true }, serve: "on" },
    ],
  }),
  scheduled: boolean(
    { ramp: { schedule: { before: 0, points: [[4000000000000, 100000]] }, serve: "on" } },
    { requires: ["xxh3", "schedule"] },
  ),
  needsFlag: boolean("on", { requires: ["prerequisites"], prerequisites: [{ flag: "enabled", variants: ["off"] }] }),
  fromTheFuture: boolean("on", { requires: ["telepathy"] }),
  color: {
    type: "string",
    variants: { red: "#f00", blue: "#00f", green: "#0f0" },
    off: "red",
    salt: "color-1",
    requires: ["xxh3"],
    default: {
      split: [
        ["red", 20000],
        ["blue", 60000],
        ["green", 100000],
      ],
    },
  },
  limit: { type: "number", variants: { low: 0.1, high: 1e3 }, off: "low", salt: "limit-1", default: "high" },
  layout: {
    type: "json",
    variants: { plain: { columns: [1, 2], nested: { deep: ["x"] } }, none: null },
    off: "none",
    salt: "layout-1",
    default: "plain",
  },
  constructor: boolean("on"),
};
