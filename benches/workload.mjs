// What everyone is asked: the same flags and users, before anyone's own format.

/** Whom the rules know; everyone else reaches the split. */
export const RULES = [
  { attribute: "country", operator: "in", operand: ["CA", "GB", "US"] },
  { attribute: "plan", operator: "equals", operand: "pro" },
  { attribute: "email", operator: "endsWith", operand: "@example.com" },
  { attribute: "appVersion", operator: "atLeast", operand: "2.3.0" },
];

const numbered = (name, count) => Array.from({ length: count }, (_, index) => `${name}-${1000 + index}`);

/** Half of the flags are on for a quarter of the users (W1); half serve A by one of four rules, else A or B evenly (W2). */
export function flags(count) {
  return { ramps: numbered("ramp", count / 2), rules: numbered("rules", count / 2) };
}

/** A user whom no rule knows, unless told otherwise. */
export function user(index, other = {}) {
  const id = `user-${100_000 + index}`;
  const email = `someone-${index}@mail.test`;
  return { id, country: "DE", plan: "free", email, appVersion: "2.1.0", device: "mobile", ...other };
}

/** Users whom the rules know, one for each. */
export const KNOWN = [{ country: "GB" }, { plan: "pro" }, { email: "someone@example.com" }, { appVersion: "2.3.0" }];

/** A version above 2.3.0, which it is not as text or as a decimal number, and one below. */
export const ABOVE = { appVersion: "2.10.0" };
export const BELOW = { appVersion: "2.2.10" };

/** An object with a member for each key. */
export const by = (keys, value) => Object.fromEntries(keys.map((key) => [key, value(key)]));

/** A user's attributes but for who it is. */
export function attributes(user) {
  const { country, plan, email, appVersion, device } = user;
  return { country, plan, email, appVersion, device };
}

/** A version as a whole number, as a caller gives it to who knows numbers but no versions: 2003000 for 2.3.0. */
export const whole = (version) => version.split(".").reduce((number, part) => number * 1000 + Number(part), 0);
