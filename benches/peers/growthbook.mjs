import { GrowthBook, GrowthBookClient } from "@growthbook/growthbook";
import { by, RULES } from "../workload.mjs";

const OPERATORS = {
  in: (operand) => ({ $in: operand }),
  equals: (operand) => operand,
  endsWith: (operand) => ({ $regex: `${operand.replaceAll(".", "\\.")}$` }),
  atLeast: (operand) => ({ $vgte: operand }),
};

export function definitions({ ramps, rules }) {
  const forced = RULES.map(({ attribute, operator, operand }) => ({
    condition: { [attribute]: OPERATORS[operator](operand) },
    force: "A",
  }));
  const hash = { hashAttribute: "id", hashVersion: 2 };
  return JSON.stringify({
    features: {
      ...by(ramps, (seed) => ({ defaultValue: false, rules: [{ force: true, coverage: 0.25, seed, ...hash }] })),
      ...by(rules, (key) => ({
        defaultValue: "A",
        rules: [...forced, { key, seed: key, variations: ["A", "B"], weights: [0.5, 0.5], coverage: 1, ...hash }],
      })),
    },
  });
}

export function load(definitions) {
  const payload = JSON.parse(definitions);
  const client = new GrowthBookClient({}).initSync({ payload });
  return {
    boolean: (key, context) => client.isOn(key, context),
    string: (key, context) => client.getFeatureValue(key, "", context),
    prepare({ attributes }) {
      const bound = new GrowthBook({ attributes }).initSync({ payload });
      return {
        boolean: (key) => bound.isOn(key),
        string: (key) => bound.getFeatureValue(key, ""),
        close: () => bound.destroy(),
      };
    },
    close: () => client.destroy(),
  };
}

export function context({ id, country, plan, email, appVersion, device }) {
  return { attributes: { id, country, plan, email, appVersion, device } };
}
