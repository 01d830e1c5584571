import { createConsoleLogger, getClient, PollingMode, User } from "configcat-node";
import { by, RULES } from "../workload.mjs";

/** What the service calls these two itself. */
const NAMES = { country: "Country", email: "Email" };
const OPERATORS = {
  in: (operand) => ({ c: 0, l: operand }),
  equals: (operand) => ({ c: 28, s: operand }),
  endsWith: (operand) => ({ c: 32, l: [operand] }),
  atLeast: (operand) => ({ c: 9, s: operand }),
};

export function definitions({ ramps, rules }) {
  const served = RULES.map(({ attribute, operator, operand }) => ({
    c: [{ u: { a: NAMES[attribute] ?? attribute, ...OPERATORS[operator](operand) } }],
    s: { v: { s: "A" } },
  }));
  const part = (p, v) => ({ p, v });
  return JSON.stringify({
    p: { u: "cdn.invalid", r: 0, s: "c2FsdHNhbHQ=" },
    f: {
      ...by(ramps, () => ({ t: 0, v: { b: false }, i: "d", p: [part(25, { b: true }), part(75, { b: false })] })),
      ...by(rules, () => ({ t: 1, v: { s: "A" }, i: "d", r: served, p: [part(50, { s: "A" }), part(50, { s: "B" })] })),
    },
  });
}

let clients = 0;

export async function load(definitions) {
  // There is one client for a key.
  const key = String(clients++).padStart(22, "0");
  const cache = { get: () => `${Date.now()}\n"e"\n${definitions}`, set: () => undefined };
  const options = { cache, offline: true, logger: createConsoleLogger(-1) };
  const client = getClient(`configcat-sdk-1/${key}/${key}`, PollingMode.ManualPoll, options);
  await client.waitForReady();
  const snapshot = client.snapshot();
  return {
    boolean: (key, context) => snapshot.getValue(key, false, context),
    string: (key, context) => snapshot.getValue(key, "", context),
    close: () => client.dispose(),
  };
}

export function context({ id, country, plan, email, appVersion, device }) {
  return new User(id, email, country, { plan, appVersion, device });
}
