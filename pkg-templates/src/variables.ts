// Flags pinned by environment variables: an edit of what was signed, in this process alone.
import type { JsonValue } from "./client.js";
import type { PinnedPayload, VariablePins } from "./host.js";

export type { VariablePins };

/** What a variable of a team's own means. The same list, as JSON, is read by `flagstone eval --variables FILE`. */
export type VariableName = {
  readonly variable: string;
  /**
   * - `variant`: a variant's name, or `off`; for boolean flags `true` or `false`, too. Everyone gets it.
   * - `off`: `true` serves everyone `off`; `false` does nothing.
   * - `enabled`: `true` or `false`, in place of the flag's `enabled`.
   * - `percent`: 0 to 100, with at most three decimal places, in place of the percent or schedule of the default's ramp.
   * - `ramp`: `false` is 0 %; `true` does nothing.
   * - `mode`: `disabled`; `testing`, which is enabled at 0 %, for those on lists; `gradual`, enabled; `full`, at 100 %.
   * - `allow`: people, separated by commas, who get a variant before rules and percents are asked.
   * - `deny`: people, separated by commas, who get `off`, before all other lists of variables.
   */
  readonly sets: "variant" | "off" | "enabled" | "percent" | "ramp" | "mode" | "allow" | "deny";
  /** With `allow`: what the people get. Not needed where there is just one variant besides `off`. */
  readonly variant?: string;
} & ({ readonly flag: string } | { readonly flags: readonly string[] });

const PREFIX = "FLAGSTONE_PIN_";
const ALL = 100_000;
const BOOLEAN = "true or false";
const PERCENT = "a percent from 0 to 100 with at most three decimal places";
const MODE = "`disabled`, `testing`, `gradual` or `full`";
const SETS = ["variant", "off", "enabled", "percent", "ramp", "mode", "allow", "deny"];
const MEMBERS = ["variable", "flag", "flags", "sets", "variant"];
/** What is left of a flag that serves everyone the same. */
const KEPT = new Set(["type", "variants", "off", "salt", "enabled", "killed", "bucketBy", "scheme", "default"]);

/** One thing that a variable says. */
type Says =
  | { readonly what: "variant" }
  | { readonly what: "off" }
  | { readonly what: "enabled"; readonly enabled: boolean }
  | { readonly what: "percent"; readonly percent: number }
  | { readonly what: "allow"; readonly variant: string | undefined; readonly keys: readonly string[] }
  | { readonly what: "deny"; readonly keys: readonly string[] };

interface Pin {
  readonly variable: string;
  readonly value: string;
  /** The flags named; undefined where the variable's own name says which. */
  readonly flags: readonly string[] | undefined;
  readonly says: Says;
}

/** What is read of a flag. */
interface Flag {
  readonly type: string;
  readonly variants: Readonly<Record<string, JsonValue>>;
  readonly off: string;
  readonly default: unknown;
  readonly allow?: readonly unknown[];
}

/**
 * Reads the environment variables that pin flags in this process: `process.env`, or a Worker's `env`.
 *
 * `FLAGSTONE_PIN_FLAG=VARIANT` pins a flag to a variant, `off` pins it off; for boolean flags `true` and `false` will do, too.
 * In the variable's name the flag's key stands in capitals, with a `_` for whatever is no letter and no digit of ASCII:
 * `FLAGSTONE_PIN_USE_NEW_GATEWAY` is that of `use-new-gateway`. `names` adds names of a team's own. A variable that is not
 * set, or is empty, pins nothing: the snapshot decides.
 *
 * Of two variables for one flag, that which turns it off wins; else the one that stands later in the list of names,
 * `FLAGSTONE_PIN_…` being the last. Kills win over all of them, and a flag that is not enabled is not turned on by a variant.
 *
 * Pins stand outside the promise that everyone lands in the same cohort everywhere, so they show in results:
 * `flagMetadata.pinnedBy` names the variables.
 *
 * ```js
 * import { FlagstoneClient } from "flagstone";
 * import { variablePins } from "flagstone/variables";
 *
 * const variables = variablePins(process.env, [
 *   { variable: "OUTBOUND_CALLS_PERCENTAGE", flag: "outboundCalls", sets: "percent" },
 * ]);
 * const flags = await FlagstoneClient.start({ source, environment, keys, variables });
 * ```
 *
 * @throws {TypeError} For a value that says nothing, with the variable's name and what is allowed. Whether there are the flags
 * and the variants, the first snapshot shows: {@link FlagstoneClient.start} throws where there are not.
 */
export function variablePins(
  variables: Readonly<Record<string, unknown>>,
  names: readonly VariableName[] = [],
): VariablePins {
  const set = new Map(
    Object.entries(variables)
      .map(([name, value]) => [name, textOf(value)] as const)
      .filter((entry): entry is readonly [string, string] => entry[1] !== undefined && entry[1] !== ""),
  );
  const pins: Pin[] = [];
  names.forEach((name, index) => {
    checkName(name, index);
    const value = set.get(name.variable);
    if (value === undefined) return;
    const flags = "flags" in name ? name.flags : [name.flag];
    for (const says of read(name, value)) pins.push({ variable: name.variable, value, flags, says });
  });
  for (const [variable, value] of [...set].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (variable.startsWith(PREFIX)) pins.push({ variable, value, flags: undefined, says: { what: "variant" } });
  }
  return { apply: (payload) => (pins.length === 0 ? unpinned(payload) : apply(payload, pins)) };
}

/** A Worker's variables may be JSON; its other bindings are none. */
function textOf(value: unknown): string | undefined {
  return ["string", "number", "boolean"].includes(typeof value) ? String(value).trim() : undefined;
}

/** Programs may be written in JavaScript, and lists in JSON, whatever the types say. */
function checkName(name: VariableName, index: number): void {
  const wrong = (message: string): TypeError => new TypeError(`names[${index}]: ${message}`);
  const unknown = Object.keys(name).find((member) => !MEMBERS.includes(member));
  if (unknown !== undefined) throw wrong(`\`${unknown}\`: expected one of \`${MEMBERS.join("`, `")}\``);
  if (typeof name.variable !== "string") throw wrong("`variable` is missing");
  if ("flag" in name === "flags" in name) throw wrong("expected either `flag` or `flags`");
  if (!SETS.includes(name.sets)) throw wrong(`\`sets\`: expected one of \`${SETS.join("`, `")}\``);
}

/** What a value says, in parts. */
function read({ variable, sets, variant }: VariableName, value: string): Says[] {
  const wrong = (expected: string): TypeError => new TypeError(unfit(variable, value, expected));
  const flag = (): boolean => {
    const read = boolean(value);
    if (read === undefined) throw wrong(BOOLEAN);
    return read;
  };
  const enabled = (enabled: boolean): Says => ({ what: "enabled", enabled });
  const percent = (percent: number): Says => ({ what: "percent", percent });
  switch (sets) {
    case "variant":
      return [{ what: "variant" }];
    case "off":
      return flag() ? [{ what: "off" }] : [];
    case "ramp":
      return flag() ? [] : [percent(0)];
    case "enabled":
      return [enabled(flag())];
    case "percent": {
      const [, whole = "", fraction = ""] = /^(\d{1,3})(?:\.(\d{1,3}))?$/.exec(value) ?? [];
      const thousandths = Number(whole + fraction.padEnd(3, "0"));
      if (whole === "" || thousandths > ALL) throw wrong(PERCENT);
      return [percent(thousandths)];
    }
    case "mode": {
      if (value === "disabled") return [enabled(false)];
      if (value === "testing") return [enabled(true), percent(0)];
      if (value === "gradual") return [enabled(true)];
      if (value === "full") return [enabled(true), percent(ALL)];
      throw wrong(MODE);
    }
    case "allow":
      return [{ what: "allow", variant, keys: people(value) }];
    case "deny":
      return [{ what: "deny", keys: people(value) }];
  }
}

function unfit(variable: string, value: string, expected: string): string {
  return `${variable} is ${JSON.stringify(value)}: expected ${expected}`;
}

function boolean(value: string): boolean | undefined {
  const text = value.toLowerCase();
  if (["true", "on", "yes", "1"].includes(text)) return true;
  return ["false", "off", "no", "0"].includes(text) ? false : undefined;
}

/** Each once, in the order of their bytes, as a snapshot has them. */
function people(value: string): string[] {
  const keys = value
    .split(",")
    .map((key) => key.trim())
    .filter((key) => key !== "");
  return [...new Set(keys)].sort((a, b) => {
    const [left, right] = [Array.from(a), Array.from(b)];
    const at = left.findIndex((character, index) => character !== right[index]);
    return at < 0 ? left.length - right.length : (left[at]?.codePointAt(0) ?? 0) - (right[at]?.codePointAt(0) ?? -1);
  });
}

const unpinned = (payload: string): PinnedPayload => ({ payload, pinnedBy: new Map(), unfit: [] });

/** The payload as the pins leave it. */
function apply(payload: string, pins: readonly Pin[]): PinnedPayload {
  let document: { readonly flags: Readonly<Record<string, Flag>> };
  try {
    document = JSON.parse(payload) as typeof document;
  } catch {
    // The engine says what is wrong with it.
    return unpinned(payload);
  }
  const keys = Object.keys(document.flags);
  const unfit = pins.flatMap((pin) => find(pin, keys));
  const pinnedBy = new Map<string, string>();
  const flags = Object.entries(document.flags).map(([key, flag]) => {
    const own = pins.filter((pin) => isOf(pin, key));
    if (own.length === 0) return [key, flag] as const;
    const { edited, by } = edit(key, flag, own, unfit);
    if (by.length > 0) pinnedBy.set(key, by.join(", "));
    return [key, edited] as const;
  });
  return { payload: JSON.stringify({ ...document, flags: Object.fromEntries(flags) }), pinnedBy, unfit };
}

const isOf = ({ variable, flags }: Pin, key: string): boolean =>
  flags === undefined ? variable === PREFIX + key.replaceAll(/[^A-Za-z0-9]/gu, "_").toUpperCase() : flags.includes(key);

/** What is wrong with the flags that a pin names. */
function find(pin: Pin, keys: readonly string[]): string[] {
  const { variable, flags } = pin;
  if (flags !== undefined) {
    const missing = flags.filter((flag) => !keys.includes(flag));
    return missing.map((flag) => `${variable} pins \`${flag}\`: the snapshot holds no such flag`);
  }
  const [first, second] = keys.filter((key) => isOf(pin, key));
  if (first === undefined) return [`${variable} pins no flag of the snapshot`];
  if (second === undefined) return [];
  return [`${variable} pins \`${first}\` and \`${second}\`: give each a name of its own`];
}

/** A flag as its pins leave it, and by which variables. */
function edit(key: string, flag: Flag, pins: readonly Pin[], unfitting: string[]): { edited: Flag; by: string[] } {
  const names = Object.keys(flag.variants)
    .map((name) => `\`${name}\``)
    .join(", ");
  const ramp = rampOf(flag);
  const broken: string[] = [];
  const denied: { variable: string; variant: string; keys: readonly string[] }[] = [];
  const allowed: typeof denied = [];
  let variant: readonly [string, string] | undefined;
  let enabled: readonly [string, boolean] | undefined;
  let percent: readonly [string, number] | undefined;
  for (const { variable, value, says } of pins) {
    const fail = (message: string): void => {
      unfitting.push(message);
      broken.push(variable);
    };
    switch (says.what) {
      case "variant":
      case "off": {
        const meant = says.what === "off" ? flag.off : variantOf(flag, value);
        const or = flag.type === "boolean" ? `, ${BOOLEAN}` : "";
        if (meant === undefined) fail(unfit(variable, value, names + or));
        else if (variant?.[1] !== flag.off || meant === flag.off) variant = [variable, meant];
        break;
      }
      case "enabled":
        if (enabled?.[1] !== false) enabled = [variable, says.enabled];
        break;
      case "percent":
        if (ramp !== undefined) percent = [variable, says.percent];
        else fail(`${variable} sets a percent of \`${key}\`: its default is no ramp in the snapshot`);
        break;
      case "deny":
        denied.push({ variable, variant: flag.off, keys: says.keys });
        break;
      case "allow": {
        const others = Object.keys(flag.variants).filter((name) =>
          says.variant === undefined ? name !== flag.off : name === says.variant,
        );
        const [given] = others;
        if (given !== undefined && others.length === 1) allowed.push({ variable, variant: given, keys: says.keys });
        else fail(`${variable} allows people of \`${key}\`: name the \`variant\` that they get, one of ${names}`);
      }
    }
  }
  let edited: Flag & { requires?: string[]; enabled?: boolean } = { ...flag };
  if (enabled !== undefined) edited.enabled = enabled[1];
  let lists = [...denied, ...allowed];
  if (variant !== undefined) {
    // A variant for everyone leaves nothing to the others.
    lists = [];
    percent = undefined;
    const kept = Object.entries(edited).filter(([name]) => KEPT.has(name));
    edited = { ...(Object.fromEntries(kept) as unknown as Flag), default: variant[1] };
  }
  if (percent !== undefined) edited = { ...edited, default: { ramp: { percent: percent[1], serve: ramp?.serve } } };
  if (lists.length > 0) {
    const entries = lists.map(({ variant, keys }) => ({ variant, keys }));
    edited = { ...edited, allow: [...entries, ...(flag.allow ?? [])] };
  }
  // No engine has such a feature, so that the flag is an error, unless it is killed.
  if (broken.length > 0) edited.requires = broken;
  const of = [variant, enabled, percent].flatMap((pin) => (pin === undefined ? [] : [pin[0]]));
  return { edited, by: [...new Set([...broken, ...of, ...lists.map(({ variable }) => variable)])] };
}

function variantOf(flag: Flag, value: string): string | undefined {
  if (Object.hasOwn(flag.variants, value)) return value;
  if (value === "off") return flag.off;
  const meant = flag.type === "boolean" ? boolean(value) : undefined;
  return meant === undefined ? undefined : Object.keys(flag.variants).find((name) => flag.variants[name] === meant);
}

function rampOf({ default: served }: Flag): { readonly serve: unknown } | undefined {
  return typeof served === "object" && served !== null ? (served as { ramp?: { serve: unknown } }).ramp : undefined;
}
