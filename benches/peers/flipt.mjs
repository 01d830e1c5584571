import { FliptClient } from "@flipt-io/flipt-client-js";
import { whole, RULES } from "../workload.mjs";

const STRING = "STRING_CONSTRAINT_COMPARISON_TYPE";
const NUMBER = "NUMBER_CONSTRAINT_COMPARISON_TYPE";
const OPERATORS = {
  in: (operand) => ({ type: STRING, operator: "isoneof", value: JSON.stringify(operand) }),
  equals: (operand) => ({ type: STRING, operator: "eq", value: operand }),
  endsWith: (operand) => ({ type: STRING, operator: "suffix", value: operand }),
  atLeast: (operand) => ({ type: NUMBER, operator: "gte", value: String(whole(operand)) }),
};

export function definitions({ ramps, rules }) {
  const dates = { createdAt: "2026-01-01T00:00:00Z", updatedAt: "2026-01-01T00:00:00Z" };
  const named = (key) => ({ key, name: key, description: "", ...dates });
  const segment = (key, matchType, constraints) => ({ ...named(key), matchType, constraints });
  const rule = (flag, rank, segment, parts) => ({
    id: `${flag}-${rank}`,
    rank,
    segmentOperator: "OR_SEGMENT_OPERATOR",
    segments: [segment],
    distributions: Object.entries(parts).map(([variant, rollout]) => ({
      id: variant,
      ruleId: `${flag}-${rank}`,
      variantId: variant,
      variantKey: variant,
      variantAttachment: "",
      rollout,
    })),
  });
  const segments = RULES.map(({ attribute, operator, operand }) =>
    segment(attribute, "ANY_SEGMENT_MATCH_TYPE", [
      { id: attribute, property: attribute, ...OPERATORS[operator](operand) },
    ]),
  );
  const everyone = segment("everyone", "ALL_SEGMENT_MATCH_TYPE", []);
  return JSON.stringify({
    namespace: { key: "default" },
    digest: "",
    flags: [
      ...ramps.map((key) => ({
        ...named(key),
        type: "BOOLEAN_FLAG_TYPE",
        enabled: false,
        variants: [],
        rules: [],
        rollouts: [{ type: "THRESHOLD_ROLLOUT_TYPE", rank: 1, threshold: { percentage: 25, value: true } }],
      })),
      ...rules.map((key) => ({
        ...named(key),
        type: "VARIANT_FLAG_TYPE",
        enabled: true,
        variants: [],
        rollouts: [],
        rules: [
          ...segments.map((segment, index) => rule(key, index + 1, segment, { A: 100 })),
          rule(key, segments.length + 1, everyone, { A: 50, B: 50 }),
        ],
      })),
    ],
  });
}

export async function load(definitions) {
  const headers = { "content-type": "application/json" };
  const fetcher = () => Promise.resolve(new Response(definitions, { headers }));
  const client = await FliptClient.init({ fetcher, updateInterval: 0 });
  const request = (flagKey, { entityId, context }) => ({ flagKey, entityId, context });
  return {
    boolean: (key, context) => client.evaluateBoolean(request(key, context)).enabled,
    string: (key, context) => client.evaluateVariant(request(key, context)).variantKey,
    all: (context, keys) => client.evaluateBatch(keys.map((key) => request(key, context))),
    // In pages there is nothing to close.
    close: () => client.close?.(),
  };
}

export function context({ id, country, plan, email, appVersion, device }) {
  return { entityId: id, context: { country, plan, email, appVersion: String(whole(appVersion)), device } };
}

export function found({ responses }, key) {
  for (const { booleanEvaluationResponse: boolean, variantEvaluationResponse: variant } of responses) {
    if (boolean?.flagKey === key) return boolean.enabled;
    if (variant?.flagKey === key) return variant.variantKey;
  }
}
