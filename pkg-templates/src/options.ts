// What a client is started with, checked: what can never work is refused at once, and says what it should be.
import type { Pins } from "./host.js";

/** The least milliseconds between two questions to a source. */
export const MIN_POLL = 1000;

/** @throws {TypeError} Where something is not what it should be. Programs may be written in JavaScript, whatever the types say. */
export function checkOptions(options: unknown): void {
  if (!isObject(options)) throw wrong("options", "an object", options);
  const { environment, audience, pins, variables, keys, poll, timeout, startTimeout, storage, warn, now } = options;
  if (typeof environment !== "string" || environment === "") {
    throw wrong("environment", "the name of the environment whose snapshots are taken", environment);
  }
  if (audience !== undefined && audience !== "client" && audience !== "server") {
    const found = typeof audience === "string" ? `\`${audience}\`` : describe(audience);
    throw new TypeError(`audience: expected \`server\` or \`client\`, found ${found}`);
  }
  checkKeys(keys);
  if (pins !== undefined) checkPins(pins);
  if (variables !== undefined && !(isObject(variables) && typeof variables.apply === "function")) {
    throw wrong("variables", "what `variablePins` of `flagstone/variables` returns", variables);
  }
  if (poll !== undefined && poll !== false && !(typeof poll === "number" && poll >= MIN_POLL)) {
    throw wrong("poll", `milliseconds, at least ${MIN_POLL}, or false`, poll);
  }
  for (const [name, value] of Object.entries({ timeout, startTimeout })) {
    if (value !== undefined && !(typeof value === "number" && value > 0)) {
      throw wrong(name, "milliseconds, more than 0", value);
    }
  }
  if (storage !== undefined && storage !== false && !isStorage(storage)) {
    throw wrong("storage", "an object with `read`, `write` and `remove`, or false", storage);
  }
  for (const [name, value] of Object.entries({ warn, now })) {
    if (value !== undefined && typeof value !== "function") throw wrong(name, "a function", value);
  }
}

/** @throws {TypeError} Where these are no JWK set of public keys. What stands in it, the engine reads. */
export function checkKeys(keys: unknown): void {
  if (isObject(keys) && Array.isArray(keys.keys)) {
    if (keys.keys.some((key: unknown) => isObject(key) && "d" in key)) {
      throw new TypeError("keys: one of them is a private key; give the public ones, and let nobody read this one");
    }
    return;
  }
  throw wrong("keys", 'a JWK set, {"keys": […]}, of those who may sign snapshots', keys);
}

/** @throws {TypeError} Where these are no pins. A flag that is given nothing is not pinned. */
export function checkPins(pins: unknown): Pins {
  if (!isObject(pins) || Array.isArray(pins)) throw wrong("pins", "variants' names by flag, or null for off", pins);
  const given = Object.entries(pins).filter(([, variant]) => variant !== undefined);
  for (const [flag, variant] of given) {
    if (typeof variant !== "string" && variant !== null) {
      throw wrong(`pins: \`${flag}\``, "a variant's name, or null for off", variant);
    }
  }
  return Object.fromEntries(given) as Pins;
}

function isStorage(storage: unknown): boolean {
  return isObject(storage) && ["read", "write", "remove"].every((name) => typeof storage[name] === "function");
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/** Says of what was found only what it is: it may be a secret. */
function wrong(name: string, expected: string, found: unknown): TypeError {
  return new TypeError(`${name}: expected ${expected}, found ${describe(found)}`);
}

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
