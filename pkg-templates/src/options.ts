// What a client is started with, checked: what can never work is refused at once, and words.ts says what it should be.
import { problem, Wrong } from "./errors.js";
import type { Pins } from "./host.js";
import type { OptionName } from "./words.js";

/** The least milliseconds between two questions to a source. */
export const MIN_POLL = 1000;

/** @throws {Problem} Where something is not what it should be. Programs may be written in JavaScript, whatever the types say. */
export function checkOptions(options: unknown): void {
  if (!isObject(options)) throw problem(Wrong.Option, "options", options);
  const { environment, audience, pins, variables, keys, poll, timeout, startTimeout, storage, warn, now } = options;
  const check = (name: OptionName, value: unknown, isRight: boolean): void => {
    if (!isRight) throw problem(Wrong.Option, name, value);
  };
  check("environment", environment, typeof environment === "string" && environment !== "");
  check("audience", audience, [undefined, "client", "server"].includes(audience as string | undefined));
  checkKeys(keys);
  if (pins !== undefined) checkPins(pins);
  check("variables", variables, variables === undefined || hasMethods(variables, "apply"));
  check("poll", poll, poll === undefined || poll === false || (typeof poll === "number" && poll >= MIN_POLL));
  for (const [name, value] of Object.entries({ timeout, startTimeout })) {
    check(name as OptionName, value, value === undefined || (typeof value === "number" && value > 0));
  }
  check(
    "storage",
    storage,
    storage === undefined || storage === false || hasMethods(storage, "read", "write", "remove"),
  );
  for (const [name, value] of Object.entries({ warn, now })) {
    check(name as OptionName, value, value === undefined || typeof value === "function");
  }
}

/** @throws {Problem} Where these are no JWK set of public keys. What stands in it, the engine reads. */
export function checkKeys(keys: unknown): void {
  const isPrivate = (key: unknown): boolean => isObject(key) && "d" in key;
  // A key in the place of the set, too.
  if (isPrivate(keys)) throw problem(Wrong.PrivateKey);
  if (!isObject(keys) || !Array.isArray(keys.keys)) throw problem(Wrong.Option, "keys", keys);
  if (keys.keys.some(isPrivate)) throw problem(Wrong.PrivateKey);
}

/** @throws {Problem} Where these are no pins. A flag that is given nothing is not pinned. */
export function checkPins(pins: unknown): Pins {
  if (!isObject(pins) || Array.isArray(pins)) throw problem(Wrong.Option, "pins", pins);
  const given = Object.entries(pins).filter(([, variant]) => variant !== undefined);
  for (const [flag, variant] of given) {
    if (typeof variant !== "string" && variant !== null) throw problem(Wrong.Option, `pins: \`${flag}\``, variant);
  }
  return Object.fromEntries(given) as Pins;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

const hasMethods = (value: unknown, ...names: string[]): boolean =>
  isObject(value) && names.every((name) => typeof value[name] === "function");
