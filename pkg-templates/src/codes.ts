// The numbers that the engine gives back, and what they stand for. The other half is `pack` in src/wasm/mod.rs, and
// `describe` in src/wasm/describe.rs.

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

/** A flag as the engine describes it. */
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
  /** What was said of results that no clock changes, each made once. */
  readonly known: Known[];
}

/** A result in numbers, and in full. */
export interface Known {
  readonly packed: number;
  readonly rule: number;
  readonly details: object;
}

/** A snapshot as the engine describes it. */
export interface Description {
  readonly version: number;
  /** In milliseconds since 1970. */
  readonly created: number;
  readonly expires?: number;
  /** The attributes' paths, by number. */
  readonly attributes: readonly (readonly string[])[];
  readonly flags: ReadonlyMap<string, Flag>;
  /** The flags that the snapshot held before had otherwise, or one of the two has not. */
  readonly changed: readonly string[];
}

type RawFlag = [string, FlagType, string[], JsonValue[], string[], number[]];

export function readDescription(json: string): Description {
  const raw = JSON.parse(json) as Omit<Description, "flags"> & { flags: RawFlag[] };
  const flags = new Map<string, Flag>();
  const lists = new Map<string, readonly number[]>();
  raw.flags.forEach(([key, type, variants, values, rules, numbers], index) => {
    for (const value of values) freeze(value);
    const list = numbers.join();
    const reads = lists.get(list) ?? numbers;
    lists.set(list, reads);
    flags.set(key, { key, index, type, variants, values, rules, reads, known: [] });
  });
  return { ...raw, flags };
}

function freeze(value: JsonValue): void {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(freeze);
    Object.freeze(value);
  }
}
