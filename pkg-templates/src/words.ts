// The words for what goes wrong, loaded when something does.
import { Taken } from "./engine.js";
import type { Candidate, TrustedKey } from "./envelope.js";
import { Problem, reason, Wrong } from "./errors.js";
import { MIN_POLL } from "./options.js";

/** A snapshot that the engine does not take. */
interface Refused {
  readonly taken: Taken;
  readonly payload: Uint8Array;
  readonly now: number;
  /** The newest version seen. */
  readonly newest: number;
  readonly environment: string;
  readonly audience: string;
}

/** What is read of its payload, which the engine has read before. */
interface Payload {
  readonly version: number;
  readonly environment: string;
  readonly audience: string;
  readonly compiled: { readonly expires?: number };
}

const OPTIONS = {
  options: "an object",
  environment: "the name of the environment whose snapshots are taken",
  audience: "`server` or `client`",
  keys: 'a JWK set, {"keys": […]}, of those who may sign snapshots',
  pins: "variants' names by flag, or null for off",
  variables: "what `variablePins` of `flagstone/variables` returns",
  poll: `milliseconds, at least ${MIN_POLL}, or false`,
  timeout: "milliseconds, more than 0",
  startTimeout: "milliseconds, more than 0",
  storage: "an object with `read`, `write` and `remove`, or false",
  warn: "a function",
  now: "a function",
  source: "a URL or an envelope",
  stream: "a URL",
};

export type OptionName = keyof typeof OPTIONS;

/** What a trusted key lacks or has, in the order in which `readKeys` looks. */
const KEY = [
  "another `kty` or `crv`; only `OKP` with `Ed25519` is read (RFC 8037)",
  "no `kid`, by which envelopes name it",
  'no `alg` "Ed25519" (RFC 9864)',
  'another `use` than "sig"',
  'no environment it is bound to; name them, as in "environments": ["production"]',
  "no `x`, 32 bytes in base64url",
  "the `kid` of another; give one of them another",
];

const WORDS = {
  [Wrong.Refused]: (refused: Refused) => {
    const { version, compiled, ...of } = JSON.parse(new TextDecoder().decode(refused.payload)) as Payload;
    const pinned = (what: "environment" | "audience"): string =>
      `the snapshot is for the ${what} \`${of[what]}\`, but \`${refused[what]}\` is pinned here`;
    switch (refused.taken) {
      case Taken.Older:
        return `version ${version} is older than version ${refused.newest}, which was seen before`;
      case Taken.Fork:
        return `another version ${version} was seen before; versions never change`;
      case Taken.Expired:
        return `the snapshot expired at ${date(compiled.expires)} and it is ${date(refused.now)} now; renew it, or set the clock`;
      case Taken.Environment:
        return pinned("environment");
      default:
        return pinned("audience");
    }
  },
  [Wrong.Said]: (error: unknown) => (error instanceof Error ? error.message : String(error)),
  [Wrong.Trap]: (error: unknown) => `the engine broke while reading it: ${(error as Error).message}`,

  [Wrong.Envelope]: (error: unknown) => `not a signed envelope: ${say(error)}`,
  [Wrong.Flattened]: () => "it is a JWS in the flattened serialization; only the general one is read",
  [Wrong.NoSignature]: () => "`signatures` is empty: nobody signed this",
  [Wrong.ManySignatures]: (most: number) => `it has more than ${most} signatures`,
  [Wrong.DifferentPayloads]: () => "its signatures differ in `b64`, so they do not sign the same payload; sign it anew",
  [Wrong.NotBoolean]: (place: string) => `${place} is neither true nor false`,
  [Wrong.BoundElsewhere]: ({ kid, environments }: TrustedKey, environment: string) =>
    `signed by a key bound to ${environments.join(", ")}, not ${environment} (kid ${JSON.stringify(kid)})`,
  [Wrong.NoKeyId]: () => "signed by a key without a `kid`; trusted keys are told apart by it",
  [Wrong.NotTrusted]: (kids: readonly string[]) =>
    `signed by ${kids.map((kid) => JSON.stringify(kid)).join(", ")}, which is not among the trusted keys; if it should be, add it to them`,
  [Wrong.Unsigned]: (kid: string, name: string) =>
    signature(kid, `has \`${name}\` outside the protected header, where it is not signed`),
  [Wrong.Algorithm]: (kid: string, alg: string | undefined) =>
    signature(kid, `has ${parameter("alg", alg)}, not \`alg\` "Ed25519"`),
  [Wrong.Typ]: (kid: string, found: string | undefined, typ: string) =>
    signature(kid, `has ${parameter("typ", found)}, not \`typ\` "${typ}"`),
  [Wrong.Encoded]: (kid: string) => signature(kid, "signs an encoded payload; it needs `b64` false (RFC 7797)"),
  [Wrong.Critical]: (kid: string, name: string) =>
    signature(kid, `needs ${JSON.stringify(name)} to be understood (\`crit\`), and it is not`),
  [Wrong.NotOnlyB64]: (kid: string) => signature(kid, 'needs `crit` ["b64"], as RFC 7797 says'),
  [Wrong.SignatureLength]: (kid: string, length: number) => signature(kid, `is ${length} bytes long, not 64`),

  [Wrong.ManyKeys]: (most: number) => `\`keys\` holds more than ${most} keys`,
  [Wrong.SecretKey]: (place: string) =>
    `${name(place)}: this key is secret, and trusted keys are handed to everyone; take it out, and replace it if anyone has seen it`,
  [Wrong.Key]: (place: string, kid: string | undefined, index: number) =>
    `${name(place)}: this key ${kid ? `(${JSON.stringify(kid)}) ` : ""}has ${KEY[index] ?? ""}`,
  [Wrong.NoKeys]: () => "the set of trusted keys holds no Ed25519 key",

  [Wrong.TooLong]: () => "at most 128 MiB are read",
  [Wrong.NoJson]: (start: string) =>
    start === "" ? "it is empty" : `it is no JSON; it begins with ${JSON.stringify(start)}`,
  [Wrong.NameTwice]: () => "a name stands twice in one object",
  [Wrong.Surrogate]: () => "a string holds half of a surrogate pair",
  [Wrong.Nested]: (depth: number) => `it is nested deeper than ${depth}`,
  [Wrong.NoObject]: (place: string) => `${name(place)}: expected an object`,
  [Wrong.NoArray]: (place: string, found: unknown) =>
    `${name(place)} ${found === undefined ? "is missing" : "is no array"}`,
  [Wrong.NoString]: (place: string, found: unknown) =>
    `${name(place)} ${found === undefined ? "is missing" : "is no string"}`,
  [Wrong.NoBase64url]: (place: string) => `${name(place)} is not canonical base64url without padding`,
  [Wrong.NoUtf8]: () => "not UTF-8",

  [Wrong.Unverified]: (found: readonly Candidate[]) =>
    `the signature by ${found.map(({ kid }) => JSON.stringify(kid)).join(", ")} does not verify: the envelope was changed`,
  [Wrong.Unchecked]: (error: unknown) => `signatures cannot be checked: ${String(error)}`,
  [Wrong.Undescribed]: (error: unknown) => `the snapshot cannot be described: ${String(error)}`,
  [Wrong.Versions]: () => "the engine and its tools are of two versions",
  [Wrong.NoTools]: (error: unknown) =>
    `the snapshot comes uncompiled, and what compiles it (flagstone_tools.wasm) cannot be loaded: ${String(error)}`,

  [Wrong.Option]: (name: OptionName | `pins: ${string}`, found: unknown) => {
    const expected = name in OPTIONS ? OPTIONS[name as OptionName] : "a variant's name, or null for off";
    const shown = name === "audience" && typeof found === "string" ? `\`${found}\`` : describe(found);
    return `${name}: expected ${expected}, found ${shown}`;
  },
  [Wrong.PrivateKey]: () => "keys: one of them is a private key; give the public ones, and let nobody read this one",
  // Without what may be secret.
  [Wrong.Url]: (option: "source" | "stream", url: URL | string) =>
    `${option}: expected ${OPTIONS[option]}, found \`${String(url).replace(/[?#].*/s, "")}\``,

  [Wrong.NotModified]: (source: string) =>
    `${source} answered 304 (not modified) to a question without a condition; a cache on the way is broken`,
  [Wrong.Page]: (source: string, redirected: string | undefined) =>
    `${source} answered with a page instead of a snapshot${redirected === undefined ? "" : ` (redirected to ${redirected})`}; a captive portal or a proxy may stand between`,
  [Wrong.NoModule]: () => "no engine yet: call init(module) of `flagstone/module` first, or import `flagstone`",
  [Wrong.NoWebAssembly]: () => "there is no WebAssembly here",
  [Wrong.Forbidden]: () =>
    "WebAssembly is forbidden here: allow `'wasm-unsafe-eval'` in the Content-Security-Policy's `script-src`",
  [Wrong.Engine]: (error: unknown) => `the engine cannot be loaded (flagstone_bg.wasm): ${say(error)}`,
  [Wrong.NoSignedPins]: () => "start the client with `signedPins`",
};

export type Words = typeof WORDS;

/** What there is to say of a problem. */
export function words({ wrong, values }: Problem): string {
  return (WORDS[wrong] as (...values: readonly unknown[]) => string)(...values);
}

const say = (error: unknown): string => (error instanceof Problem ? words(error) : reason(error));

/** A place as it is shown: those in a set of keys say so. */
const name = (place: string): string => (place.startsWith("keys[") ? `not a set of trusted keys: ${place}` : place);

const signature = (kid: string, problem: string): string => `the signature by ${JSON.stringify(kid)} ${problem}`;

const parameter = (name: string, value: string | undefined): string =>
  value === undefined ? `no \`${name}\`` : `\`${name}\` ${JSON.stringify(value)}`;

/** An instant; a clock may show one that no date has. */
function date(milliseconds = 0): string {
  return new Date(Math.min(Math.max(milliseconds, -8.64e15), 8.64e15)).toISOString();
}

/** Says of what was found only what it is: it may be a secret. */
function describe(found: unknown): string {
  if (typeof found === "number" || typeof found === "boolean" || found === undefined || found === null) {
    return String(found);
  }
  if (found === "") return "an empty text";
  if (typeof found === "string") return "a text; parse it, if it is JSON";
  if (Array.isArray(found)) return "an array";
  if (typeof found === "function") return "a function";
  return typeof (found as { then?: unknown }).then === "function" ? "a promise; wait for it" : "another object";
}
