import { PostHog } from "posthog-node";
import { attributes, RULES } from "../workload.mjs";

const OPERATORS = {
  in: (operand) => ({ operator: "exact", value: operand }),
  equals: (operand) => ({ operator: "exact", value: operand }),
  endsWith: (operand) => ({ operator: "regex", value: `${operand.replaceAll(".", "\\.")}$` }),
  atLeast: (operand) => ({ operator: "semver_gte", value: operand }),
};

export function definitions({ ramps, rules }) {
  const flag = (key, filters) => ({
    id: 1,
    name: key,
    key,
    active: true,
    deleted: false,
    is_simple_flag: false,
    rollout_percentage: null,
    filters,
    experiment_set: [],
  });
  const groups = RULES.map(({ attribute, operator, operand }) => ({
    properties: [{ key: attribute, type: "person", ...OPERATORS[operator](operand) }],
    rollout_percentage: 100,
    variant: "A",
  }));
  const variants = ["A", "B"].map((key) => ({ key, rollout_percentage: 50 }));
  return JSON.stringify({
    groupTypeMapping: {},
    group_type_mapping: {},
    cohorts: {},
    flags: [
      ...ramps.map((key) => flag(key, { groups: [{ properties: [], rollout_percentage: 25 }] })),
      ...rules.map((key) =>
        flag(key, { groups: [...groups, { properties: [], rollout_percentage: 100 }], multivariate: { variants } }),
      ),
    ],
  });
}

export async function load(definitions) {
  const client = new PostHog("phc_bench", {
    host: "http://127.0.0.1:9",
    personalApiKey: "phx_bench",
    enableLocalEvaluation: true,
    featureFlagsPollingInterval: 2 ** 30,
    disableGeoip: true,
    flagDefinitionCacheProvider: {
      getFlagDefinitions: () => JSON.parse(definitions),
      shouldFetchFlagDefinitions: () => false,
      onFlagDefinitionsReceived: () => undefined,
      shutdown: () => undefined,
    },
  });
  await client.waitForLocalEvaluationReady(5000);
  return {
    boolean: (key, { id, options }) => client.getFeatureFlag(key, id, options),
    string: (key, { id, options }) => client.getFeatureFlag(key, id, options),
    all: ({ id, options }) => client.getAllFlags(id, options),
    close: () => client.shutdown(1),
  };
}

export function context(user) {
  const personProperties = attributes(user);
  return { id: user.id, options: { onlyEvaluateLocally: true, sendFeatureFlagEvents: false, personProperties } };
}

export const found = (all, key) => all[key];
