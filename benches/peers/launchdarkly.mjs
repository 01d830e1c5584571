import { init } from "@launchdarkly/node-server-sdk";
import { TestData } from "@launchdarkly/node-server-sdk/integrations";
import { by, RULES } from "../workload.mjs";

const quiet = { error() {}, warn() {}, info() {}, debug() {} };
const OPERATORS = {
  in: (operand) => ({ op: "in", values: operand, negate: false }),
  equals: (operand) => ({ op: "in", values: [operand], negate: false }),
  endsWith: (operand) => ({ op: "endsWith", values: [operand], negate: false }),
  atLeast: (operand) => ({ op: "semVerLessThan", values: [operand], negate: true }),
};

export function definitions({ ramps, rules }) {
  const contextKind = "user";
  const served = RULES.map(({ attribute, operator, operand }) => ({
    id: attribute,
    clauses: [{ contextKind, attribute, ...OPERATORS[operator](operand) }],
    variation: 0,
    trackEvents: false,
  }));
  const rollout = (...weights) => ({
    rollout: {
      kind: "rollout",
      contextKind,
      bucketBy: "key",
      variations: weights.map((weight, variation) => ({ variation, weight })),
    },
  });
  const flag = (key, variations, rules, fallthrough) => ({
    key,
    version: 1,
    on: true,
    salt: key,
    prerequisites: [],
    targets: [],
    contextTargets: [],
    variations,
    offVariation: 0,
    rules,
    fallthrough,
    trackEvents: false,
    trackEventsFallthrough: false,
    debugEventsUntilDate: null,
    deleted: false,
    clientSideAvailability: { usingMobileKey: false, usingEnvironmentId: false },
  });
  return JSON.stringify({
    segments: {},
    flags: {
      ...by(ramps, (key) => flag(key, [false, true], [], rollout(75_000, 25_000))),
      ...by(rules, (key) => flag(key, ["A", "B"], served, rollout(50_000, 50_000))),
    },
  });
}

export async function load(definitions) {
  const data = new TestData();
  for (const flag of Object.values(JSON.parse(definitions).flags)) data.usePreconfiguredFlag(flag);
  const options = { updateProcessor: data.getFactory(), sendEvents: false, diagnosticOptOut: true, logger: quiet };
  const client = init("sdk-bench", options);
  await client.waitForInitialization({ timeout: 5 });
  return {
    boolean: (key, context) => client.variation(key, context, false),
    string: (key, context) => client.variation(key, context, ""),
    all: (context) => client.allFlagsState(context),
    close: () => client.close(),
  };
}

export function context({ id, country, plan, email, appVersion, device }) {
  return { kind: "user", key: id, country, plan, email, appVersion, device };
}

export const found = (all, key) => all.getFlagValue(key);
