// Signed envelopes and trusted keys, held to the rules of src/snapshot/envelope.rs and keys.rs; tests/envelope.rs asks both.
// What decides in a payload is for the engine alone to read, from the very bytes that were signed.
import { problem, Wrong } from "./errors.js";

/** A public key, and the environments that it may sign for. */
export interface TrustedKey {
  readonly kid: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly environments: readonly string[];
}

/** What a signed payload is: the header's `typ`. */
export type Typ = "flagstone-snapshot+json" | "flagstone-pins+json";

/** An envelope, read; nobody has checked a signature. */
export interface Envelope {
  readonly payload: string;
  readonly signatures: readonly Signature[];
}

interface Signature {
  /** The protected header as it stands in the envelope, in base64url: this is what is signed. */
  readonly encoded: string;
  readonly header: Header;
  readonly unprotected: Header;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The header parameters that decide; others change nothing. */
interface Header {
  readonly alg?: string;
  readonly b64?: boolean;
  readonly crit?: readonly string[];
  readonly kid?: string;
  readonly typ?: string;
}

/** A signature that counts if it verifies. */
export interface Candidate {
  readonly kid: string;
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
  /** What was signed. */
  readonly input: Uint8Array<ArrayBuffer>;
  /** The part of it that is the payload. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

type Members = Readonly<Record<string, unknown>>;

const MAX_LENGTH = 128 * 1024 * 1024;
const MAX_DEPTH = 128;
const MAX_SIGNATURES = 16;
const MAX_KEYS = 1024;
const PARAMETERS = ["alg", "b64", "crit", "kid", "typ"] as const;

/**
 * Reads an envelope without checking any signature.
 *
 * @throws {Problem} Where something about it is not as it should be.
 */
export function openEnvelope(signed: string | Uint8Array): Envelope {
  try {
    const envelope = object(parse(typeof signed === "string" ? signed : utf8(signed)), "it");
    if (["protected", "header", "signature"].some((name) => name in envelope)) {
      throw problem(Wrong.Flattened);
    }
    const list = array(envelope.signatures, "`signatures`");
    if (list.length === 0) throw problem(Wrong.NoSignature);
    if (list.length > MAX_SIGNATURES) throw problem(Wrong.ManySignatures, MAX_SIGNATURES);
    const signatures = list.map(readSignature);
    if (signatures.some(({ header }) => (header.b64 ?? true) !== (signatures[0]?.header.b64 ?? true))) {
      throw problem(Wrong.DifferentPayloads);
    }
    return { payload: string(envelope.payload, "`payload`"), signatures };
  } catch (error) {
    throw problem(Wrong.Envelope, error);
  }
}

function readSignature(value: unknown, index: number): Signature {
  const place = `signatures[${index}]`;
  const signature = object(value, place);
  const bytes = base64url(signature.signature, `${place}.signature`);
  if (signature.protected === undefined) {
    return { encoded: "", header: {}, unprotected: readHeader(signature.header ?? {}, `${place}.header`), bytes };
  }
  const inner = `${place}.protected`;
  const header = readHeader(parse(utf8(base64url(signature.protected, inner))), inner);
  const unprotected = signature.header === undefined ? {} : readHeader(signature.header, `${place}.header`);
  return { encoded: signature.protected as string, header, unprotected, bytes };
}

function readHeader(value: unknown, place: string): Header {
  const header = object(value, place);
  for (const name of PARAMETERS) {
    const [found, where] = [header[name], `${place}: \`${name}\``];
    if (found === undefined) continue;
    if (name === "crit") texts(found, where);
    else if (name !== "b64") string(found, where);
    else if (typeof found !== "boolean") throw problem(Wrong.NotBoolean, where);
  }
  return header;
}

/**
 * Applies every rule but the signature check itself, and returns the signatures of which one must verify: never none.
 *
 * @throws {Problem} Where a trusted key signed under a header that is not accepted, or no trusted key signed.
 */
export function candidates(
  { payload, signatures }: Envelope,
  keys: readonly TrustedKey[],
  environment: string,
  typ: Typ,
): Candidate[] {
  const found: Candidate[] = [];
  let elsewhere: TrustedKey | undefined;
  for (const signature of signatures) {
    const key = keys.find(({ kid }) => kid === kidOf(signature));
    if (key === undefined) continue;
    if (!key.environments.includes(environment)) {
      elsewhere = key;
      continue;
    }
    check(signature, typ, key.kid);
    const input = new TextEncoder().encode(`${signature.encoded}.${payload}`);
    found.push({
      kid: key.kid,
      publicKey: key.bytes,
      signature: signature.bytes,
      input,
      payload: input.subarray(signature.encoded.length + 1),
    });
  }
  if (found.length > 0) return found;
  if (elsewhere !== undefined) throw problem(Wrong.BoundElsewhere, elsewhere, environment);
  const kids = signatures.map(kidOf).filter((kid) => kid !== undefined);
  throw kids.length === 0 ? problem(Wrong.NoKeyId) : problem(Wrong.NotTrusted, kids);
}

/** Whose signature it claims to be, wherever it says so: a kid that is not signed is refused, but only a trusted one. */
const kidOf = ({ header, unprotected }: Signature): string | undefined => header.kid ?? unprotected.kid;

/** @throws {Problem} Where a trusted key's signature asks for what is not done here. */
function check({ header, unprotected, bytes }: Signature, typ: Typ, kid: string): void {
  const { alg, b64, crit = [] } = header;
  const outside = PARAMETERS.find((name) => unprotected[name] !== undefined);
  if (outside !== undefined) throw problem(Wrong.Unsigned, kid, outside);
  if (alg !== "Ed25519" && alg !== "EdDSA") throw problem(Wrong.Algorithm, kid, alg);
  if (header.typ !== typ) throw problem(Wrong.Typ, kid, header.typ, typ);
  if (b64 !== false) throw problem(Wrong.Encoded, kid);
  const unknown = crit.find((name) => name !== "b64");
  if (unknown !== undefined) throw problem(Wrong.Critical, kid, unknown);
  if (crit.length !== 1) throw problem(Wrong.NotOnlyB64, kid);
  if (bytes.length !== 64) throw problem(Wrong.SignatureLength, kid, bytes.length);
}

/**
 * Reads a JWK set (RFC 7517) of public Ed25519 keys (RFC 8037), each bound to environments. Keys of other kinds are passed
 * over.
 *
 * @throws {Problem} Where one of them cannot be trusted.
 */
export function readKeys(set: unknown): readonly TrustedKey[] {
  const keys: TrustedKey[] = [];
  // As it stands now, whatever becomes of the caller's object.
  const list = array(object(JSON.parse(JSON.stringify(set)), "the set of trusted keys").keys, "`keys`");
  if (list.length > MAX_KEYS) throw problem(Wrong.ManyKeys, MAX_KEYS);
  list.forEach((value, index) => {
    const place = `keys[${index}]`;
    const jwk = object(value, place);
    if ("d" in jwk || "k" in jwk) throw problem(Wrong.SecretKey, place);
    const [kty, crv, alg, use, kid] = ["kty", "crv", "alg", "use", "kid"].map((name) =>
      jwk[name] === undefined ? undefined : string(jwk[name], `${place}.${name}`),
    );
    const bytes = jwk.x === undefined ? undefined : base64url(jwk.x, `${place}.x`);
    const environments = jwk.environments === undefined ? [] : texts(jwk.environments, `${place}.environments`);
    if (kty !== undefined && (kty !== "OKP" || (crv !== undefined && crv !== "Ed25519"))) return;
    // In the order of `KEY` in words.ts.
    const wrong = [
      kty === undefined || crv === undefined,
      !kid,
      alg !== "Ed25519",
      use !== undefined && use !== "sig",
      environments.length === 0,
      bytes?.length !== 32,
      keys.some((other) => other.kid === kid),
    ].indexOf(true);
    if (wrong >= 0) throw problem(Wrong.Key, place, kid, wrong);
    // eslint-disable-next-line @typescript-eslint/no-non-null-assertion -- or something would be wrong
    keys.push({ kid: kid!, bytes: bytes!, environments });
  });
  if (keys.length === 0) throw problem(Wrong.NoKeys);
  return keys;
}

/** Reads JSON as the engine does: no name twice in one object, no half of a surrogate pair, nothing nested deeper than 128. */
export function parse(text: string): unknown {
  if (text.length > MAX_LENGTH) throw problem(Wrong.TooLong);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw problem(Wrong.NoJson, text.slice(0, 1));
  }
  if (countMembers(value, 0) !== countColons(text)) throw problem(Wrong.NameTwice);
  return value;
}

function countMembers(value: unknown, depth: number): number {
  if (typeof value === "string" && /\p{Surrogate}/u.test(value)) throw problem(Wrong.Surrogate);
  if (typeof value !== "object" || value === null) return 0;
  if (depth === MAX_DEPTH) throw problem(Wrong.Nested, MAX_DEPTH);
  const isList = Array.isArray(value);
  let members = 0;
  for (const [name, inner] of Object.entries(value)) {
    members += countMembers(inner, depth + 1);
    if (!isList) members += 1 + countMembers(name, depth);
  }
  return members;
}

/** Not all of a string at once: each escape costs an expression memory. */
const IN_STRING = /[^"\\]*(?:\\.[^"\\]*){0,999}/sy;

/** One stands behind each member's name, and elsewhere only in strings. */
function countColons(json: string): number {
  let colons = 0;
  let after = 0;
  for (let quote = json.indexOf('"'); quote >= 0; quote = json.indexOf('"', after)) {
    colons += json.slice(after, quote).split(":").length - 1;
    after = quote + 1;
    while (json[after] !== '"') {
      IN_STRING.lastIndex = after;
      IN_STRING.test(json);
      after = IN_STRING.lastIndex;
    }
    after++;
  }
  return colons + json.slice(after).split(":").length - 1;
}

function object(value: unknown, what: string): Members {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw problem(Wrong.NoObject, what);
  return value as Members;
}

function array(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw problem(Wrong.NoArray, what, value);
  return value;
}

function string(value: unknown, what: string): string {
  if (typeof value !== "string") throw problem(Wrong.NoString, what, value);
  return value;
}

const texts = (value: unknown, what: string): readonly string[] =>
  array(value, what).map((text, index) => string(text, `${what}[${index}]`));

/** The bytes that a text without padding stands for, where it is the one text that stands for them. */
export function base64url(value: unknown, what: string): Uint8Array<ArrayBuffer> {
  const text = string(value, what);
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const again = btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    if (again === text) return Uint8Array.from(binary, (byte) => byte.charCodeAt(0));
  } catch {
    // Another character.
  }
  throw problem(Wrong.NoBase64url, what);
}

/** The text that bytes stand for; a byte order mark stays, and is refused like all else that is not JSON. */
export function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw problem(Wrong.NoUtf8);
  }
}
