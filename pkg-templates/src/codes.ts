// The numbers that the engine gives back, and what they stand for; and what else there is to know of a snapshot. The other half is
// `pack` in src/wasm/mod.rs.

/** Why a value was served: OpenFeature's resolution reasons. */
export type Reason = "STATIC" | "DEFAULT" | "TARGETING_MATCH" | "SPLIT" | "DISABLED" | "STALE" | "ERROR";

/** What went wrong: OpenFeature's error codes. Wherever there is one, the caller's default is what was served. */
export type ErrorCode = "PROVIDER_NOT_READY" | "PROVIDER_FATAL" | "FLAG_NOT_FOUND" | "TYPE_MISMATCH" | "GENERAL";

/** A step of the order of precedence. */
export type Step =
  | "offPin"
  | "kill"
  | "disabled"
  | "onPin"
  | "unsupported"
  | "prerequisite"
  | "deny"
  | "exclude"
  | "allow"
  | "holdout"
  | "layer"
  | "rule"
  | "default";

/** A flag's type; `details` and `json` say `json` for objects, arrays and null. */
export type FlagType = "boolean" | "string" | "number" | "json";

/** What JSON can say. */
export type JsonValue =
  boolean | string | number | null | readonly JsonValue[] | { readonly [name: string]: JsonValue };

const REASONS: readonly Reason[] = ["STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "DISABLED", "STALE", "ERROR"];

const ERROR_CODES: readonly (ErrorCode | undefined)[] = [
  undefined,
  "PROVIDER_NOT_READY",
  "FLAG_NOT_FOUND",
  "TYPE_MISMATCH",
  "GENERAL",
];

const STEPS: readonly Step[] = [
  "offPin",
  "kill",
  "disabled",
  "onPin",
  "unsupported",
  "prerequisite",
  "deny",
  "exclude",
  "allow",
  "holdout",
  "layer",
  "rule",
  "default",
];

/** The index of the variant served; means nothing where there is an error. */
export const variantOf = (packed: number): number => packed & 0xfff;
/** Undefined for a number that no engine gives, which a broken one may. */
export const reasonOf = (packed: number): Reason | undefined => REASONS[(packed >>> 12) & 0xf];
export const errorCodeOf = (packed: number): ErrorCode | undefined => ERROR_CODES[(packed >>> 16) & 0xf];
export const stepOf = (packed: number): Step | undefined => STEPS[(packed >>> 20) & 0xf];
export const keyMissingOf = (packed: number): boolean => ((packed >>> 24) & 1) === 1;
/** Whether the clock may change the result. */
export const isBoundInTime = (packed: number): boolean => ((packed >>> 25) & 1) === 1;
export const isError = (packed: number): boolean => (packed & 0xf0000) !== 0;

/** How many numbers `evaluateAll` gives a flag: the packed result, and the index of the rule that decided, or −1. */
export const NUMBERS_A_FLAG = 2;

/** A flag, but for what decides it. */
export interface Flag {
  readonly key: string;
  /** Its place in the snapshot, by which the engine knows it. */
  readonly index: number;
  readonly type: FlagType;
  /** The variants' names. */
  readonly variants: readonly string[];
  /** The variants' values, frozen all the way down. */
  readonly values: readonly JsonValue[];
  /** The rules' ids. */
  readonly rules: readonly string[];
  /** The numbers of the attributes that evaluating it may read: one array for all flags that read the same. */
  readonly reads: readonly number[];
  /** Another one for another definition, that of what it depends on included. */
  readonly fingerprint: number;
  /** What was said of results that no clock changes, each made once. */
  readonly known: Known[];
}

/** A result in numbers, and in full. */
export interface Known {
  readonly packed: number;
  readonly rule: number;
  readonly details: object;
}

/** A snapshot, but for what decides its flags. */
export interface Description {
  readonly version: number;
  /** In milliseconds since 1970. */
  readonly created: number;
  readonly expires?: number;
  /** The attributes' paths, by number. */
  readonly attributes: readonly (readonly string[])[];
  readonly flags: ReadonlyMap<string, Flag>;
  /** The same by {@link Flag.index}. */
  readonly ordered: readonly Flag[];
  /** The flags that the snapshot held before had otherwise, or one of the two has not. */
  readonly changed: readonly string[];
}

/** What is read of a payload, once the engine has taken it. */
interface Payload {
  readonly version: number;
  readonly flags: Readonly<Record<string, RawFlag>>;
  readonly compiled: Pick<Description, "created" | "expires" | "attributes"> & {
    /** By flag, in the order of `flags`: its fingerprint, then the numbers of the attributes. */
    readonly flags: readonly (readonly [number, ...number[]])[];
  };
}

interface RawFlag {
  /** What this version does not know may be anything; such a flag is in error. */
  readonly type: string;
  readonly variants: Readonly<Record<string, JsonValue>>;
  readonly rules?: unknown;
}

type RawRule = { readonly id?: string } | null;

/** Describes a payload's snapshot; `before` is that of the one held before. */
export function describe(payload: string, before: Description | undefined): Description {
  const { version, flags: rawFlags, compiled } = JSON.parse(payload) as Payload;
  const { created, expires, attributes } = compiled;
  const flags = new Map<string, Flag>();
  const lists = new Map<string, readonly number[]>();
  const changed: string[] = [];
  // The engine numbers flags and variants as JavaScript enumerates them.
  Object.entries(rawFlags).forEach(([key, { type, variants: named, rules }], index) => {
    const [fingerprint = 0, ...numbers] = compiled.flags[index] ?? [];
    const [variants, values] = [Object.keys(named), Object.values(named)];
    for (const value of values) freeze(value);
    const kind = type === "boolean" || type === "string" || type === "number" ? type : "json";
    const list = numbers.join();
    const reads = lists.get(list) ?? numbers;
    lists.set(list, reads);
    const ids = Array.isArray(rules) ? rules.map((rule: RawRule) => rule?.id ?? "") : [];
    flags.set(key, { key, index, type: kind, variants, values, rules: ids, reads, fingerprint, known: [] });
    if (before !== undefined && before.flags.get(key)?.fingerprint !== fingerprint) changed.push(key);
  });
  for (const key of before?.flags.keys() ?? []) if (!flags.has(key)) changed.push(key);
  const ordered = [...flags.values()];
  return { version, created, ...(expires === undefined ? {} : { expires }), attributes, flags, ordered, changed };
}

function freeze(value: JsonValue): void {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(freeze);
    Object.freeze(value);
  }
}
