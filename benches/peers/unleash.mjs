import { InMemStorageProvider, Unleash } from "unleash-client";
import { RULES } from "../workload.mjs";

const OPERATORS = {
  in: (operand) => ({ operator: "IN", values: operand }),
  equals: (operand) => ({ operator: "IN", values: [operand] }),
  endsWith: (operand) => ({ operator: "STR_ENDS_WITH", values: [operand] }),
  atLeast: (operand) => ({ operator: "SEMVER_LT", values: [], value: operand, inverted: true }),
};

export function definitions({ ramps, rules }) {
  const stickiness = "userId";
  const strategy = (groupId, rollout, constraints, variants) => ({
    name: "flexibleRollout",
    constraints,
    parameters: { groupId, rollout: String(rollout), stickiness },
    variants,
  });
  const variant = (name, weight) => ({
    name,
    weight,
    stickiness,
    weightType: "variable",
    payload: { type: "string", value: name },
  });
  const feature = (name, strategies) => ({
    name,
    type: "release",
    enabled: true,
    project: "default",
    stale: false,
    impressionData: false,
    variants: [],
    strategies,
  });
  const constraints = RULES.map(({ attribute, operator, operand }) => ({
    contextName: attribute,
    inverted: false,
    caseInsensitive: false,
    ...OPERATORS[operator](operand),
  }));
  return JSON.stringify({
    version: 2,
    segments: [],
    features: [
      ...ramps.map((key) => feature(key, [strategy(key, 25, [], [])])),
      ...rules.map((key) =>
        feature(key, [
          ...constraints.map((constraint) => strategy(key, 100, [constraint], [variant("A", 1000)])),
          strategy(key, 100, [], [variant("A", 500), variant("B", 500)]),
        ]),
      ),
    ],
  });
}

export async function load(definitions) {
  const unleash = new Unleash({
    appName: "bench",
    url: "http://127.0.0.1:9/",
    refreshInterval: 0,
    disableMetrics: true,
    skipInstanceCountWarning: true,
    storageProvider: new InMemStorageProvider(),
    bootstrap: { data: JSON.parse(definitions).features },
  });
  unleash.on("error", () => undefined);
  unleash.on("warn", () => undefined);
  await new Promise((resolve) => unleash.once("ready", resolve));
  return {
    boolean: (key, context) => unleash.isEnabled(key, context),
    string: (key, context) => unleash.getVariant(key, context).name,
    close: () => unleash.destroy(),
  };
}

export function context({ id, country, plan, email, appVersion, device }) {
  return { userId: id, properties: { country, plan, email, appVersion, device } };
}
