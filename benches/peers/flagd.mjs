import { FlagdCore } from "@openfeature/flagd-core";
import { by, RULES } from "../workload.mjs";

const quiet = { error() {}, warn() {}, info() {}, debug() {} };
const OPERATORS = {
  in: (attribute, operand) => ({ in: [attribute, operand] }),
  equals: (attribute, operand) => ({ "==": [attribute, operand] }),
  endsWith: (attribute, operand) => ({ ends_with: [attribute, operand] }),
  atLeast: (attribute, operand) => ({ sem_ver: [attribute, ">=", operand] }),
};

export function definitions({ ramps, rules }) {
  const enabled = (variants, defaultVariant, targeting) => ({ state: "ENABLED", variants, defaultVariant, targeting });
  const branches = RULES.flatMap(({ attribute, operator, operand }) => [
    OPERATORS[operator]({ var: attribute }, operand),
    "A",
  ]);
  const half = { fractional: [["A", 50], ["B", 50]] }; // prettier-ignore
  const quarter = { fractional: [["on", 25], ["off", 75]] }; // prettier-ignore
  return JSON.stringify({
    flags: {
      ...by(ramps, () => enabled({ on: true, off: false }, "off", quarter)),
      ...by(rules, () => enabled({ A: "A", B: "B" }, "A", { if: [...branches, half] })),
    },
  });
}

export function load(definitions) {
  const core = new FlagdCore(undefined, quiet);
  core.setConfigurations(definitions);
  return {
    boolean: (key, context) => core.resolveBooleanEvaluation(key, false, context, quiet).value,
    string: (key, context) => core.resolveStringEvaluation(key, "", context, quiet).value,
    all: (context) => core.resolveAll(context, quiet),
  };
}

export function context({ id, country, plan, email, appVersion, device }) {
  return { targetingKey: id, country, plan, email, appVersion, device };
}

export const found = (all, key) => all.find(({ flagKey }) => flagKey === key).value;
