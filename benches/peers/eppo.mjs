import { EppoClient, MemoryOnlyConfigurationStore } from "@eppo/js-client-sdk-common";
import { attributes, by, RULES } from "../workload.mjs";

const OPERATORS = {
  in: (operand) => ({ operator: "ONE_OF", value: operand }),
  equals: (operand) => ({ operator: "ONE_OF", value: [operand] }),
  endsWith: (operand) => ({ operator: "MATCHES", value: `${operand.replaceAll(".", "\\.")}$` }),
  atLeast: (operand) => ({ operator: "GTE", value: operand }),
};

export function definitions({ ramps, rules }) {
  const flag = (key, variationType, values, allocations) => {
    const variations = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, { key, value }]));
    return { key, enabled: true, variationType, variations, totalShards: 10_000, allocations };
  };
  const allocation = (key, splits, rules) => ({ key, rules, splits, doLog: false });
  const everyone = (variationKey) => [{ variationKey, shards: [] }];
  const part = (variationKey, salt, start, end) => ({ variationKey, shards: [{ salt, ranges: [{ start, end }] }] });
  const served = RULES.map(({ attribute, operator, operand }) =>
    allocation(attribute, everyone("A"), [{ conditions: [{ attribute, ...OPERATORS[operator](operand) }] }]),
  );
  return JSON.stringify({
    createdAt: "2026-01-01T00:00:00.000Z",
    format: "SERVER",
    environment: { name: "Test" },
    flags: {
      ...by(ramps, (key) =>
        flag(key, "BOOLEAN", { on: true, off: false }, [
          allocation("ramp", [part("on", key, 0, 2500)]),
          allocation("default", everyone("off")),
        ]),
      ),
      ...by(rules, (key) =>
        flag(key, "STRING", { A: "A", B: "B" }, [
          ...served,
          allocation("split", [part("A", key, 0, 5000), part("B", key, 5000, 10_000)]),
        ]),
      ),
    },
  });
}

export async function load(definitions) {
  const flagConfigurationStore = new MemoryOnlyConfigurationStore();
  await flagConfigurationStore.setEntries(JSON.parse(definitions).flags);
  flagConfigurationStore.setFormat("SERVER");
  const client = new EppoClient({ flagConfigurationStore });
  client.setIsGracefulFailureMode(false);
  return {
    boolean: (key, { id, attributes }) => client.getBooleanAssignment(key, id, attributes, false),
    string: (key, { id, attributes }) => client.getStringAssignment(key, id, attributes, ""),
  };
}

export const context = (user) => ({ id: user.id, attributes: attributes(user) });
