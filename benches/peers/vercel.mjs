import { evaluate } from "@vercel/flags-core";
import { by, whole, RULES } from "../workload.mjs";

const OPERATORS = {
  in: (operand) => ["oneOf", operand],
  equals: (operand) => ["eq", operand],
  endsWith: (operand) => ["endsWith", operand],
  atLeast: (operand) => ["gte", whole(operand)],
};

export function definitions({ ramps, rules }) {
  const seed = (key) => [...key].reduce((hash, unit) => (Math.imul(hash, 31) + unit.charCodeAt(0)) >>> 0, 17);
  const split = (weights) => ({ type: "split", base: ["user", "id"], weights, defaultVariant: 0 });
  const served = RULES.map(({ attribute, operator, operand }) => ({
    conditions: [[["user", attribute], ...OPERATORS[operator](operand)]],
    outcome: 0,
  }));
  const flag = (key, variants, production) => ({
    variantIds: variants.map(String),
    variants,
    seed: seed(key),
    environments: { production },
  });
  return JSON.stringify({
    environment: "production",
    projectId: "bench",
    configUpdatedAt: 1,
    digest: "bench",
    revision: 1,
    segments: {},
    definitions: {
      ...by(ramps, (key) => flag(key, [false, true], { fallthrough: split([75, 25]) })),
      ...by(rules, (key) => flag(key, ["A", "B"], { rules: served, fallthrough: split([50, 50]) })),
    },
  });
}

export function load(text) {
  const { environment, segments, definitions } = JSON.parse(text);
  const value = (key, entities, defaultValue) =>
    evaluate({ entities, environment, segments, definition: definitions[key], defaultValue }).value;
  return {
    boolean: (key, context) => value(key, context, false),
    string: (key, context) => value(key, context, ""),
  };
}

export function context({ id, country, plan, email, appVersion, device }) {
  return { user: { id, country, plan, email, appVersion: whole(appVersion), device } };
}
