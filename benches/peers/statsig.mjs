import { StatsigOnDeviceEvalClient } from "@statsig/js-on-device-eval-client";
import { RULES } from "../workload.mjs";

const OPERATORS = {
  in: (operand) => ({ operator: "any", targetValue: operand }),
  equals: (operand) => ({ operator: "any", targetValue: [operand] }),
  endsWith: (operand) => ({ operator: "str_ends_with_any", targetValue: [operand] }),
  atLeast: (operand) => ({ operator: "version_gte", targetValue: operand }),
};

export function definitions({ ramps, rules }) {
  const user = { additionalValues: {}, isDeviceBased: false, idType: "userID" };
  const everyone = { type: "public", targetValue: null, operator: null, field: null, ...user };
  const rule = (id, condition, returnValue, passPercentage = 100) => ({
    name: id,
    id,
    salt: id,
    passPercentage,
    conditions: [condition],
    returnValue,
    idType: "userID",
    isDeviceBased: false,
  });
  const spec = (name, type, defaultValue, rules) => ({
    name,
    type,
    salt: name,
    enabled: true,
    defaultValue,
    rules,
    isDeviceBased: false,
    idType: "userID",
    entity: type,
  });
  const served = RULES.map(({ attribute, operator, operand }) =>
    rule(attribute, { type: "user_field", field: attribute, ...OPERATORS[operator](operand), ...user }, { value: "A" }),
  );
  const lowerHalf = (salt) => ({
    type: "user_bucket",
    operator: "lt",
    targetValue: 500,
    field: null,
    ...user,
    additionalValues: { salt },
  });
  return JSON.stringify({
    has_updates: true,
    time: 1_700_000_000_000,
    layer_configs: [],
    layers: {},
    feature_gates: ramps.map((key) => spec(key, "feature_gate", false, [rule("ramp", everyone, true, 25)])),
    dynamic_configs: rules.map((key) =>
      spec(key, "dynamic_config", { value: "A" }, [
        ...served,
        rule("lower", lowerHalf(key), { value: "A" }),
        rule("upper", everyone, { value: "B" }),
      ]),
    ),
  });
}

export function load(definitions) {
  const client = new StatsigOnDeviceEvalClient("client-bench", {
    networkConfig: { preventAllNetworkTraffic: true },
    loggingEnabled: "disabled",
    disableLogging: true,
    disableStorage: true,
    logLevel: 0,
  });
  client.dataAdapter.setData(definitions);
  client.initializeSync();
  const quiet = { disableExposureLog: true };
  return {
    boolean: (key, context) => client.checkGate(key, context, quiet),
    string: (key, context) => client.getDynamicConfig(key, context, quiet).value.value,
  };
}

export function context({ id, country, plan, email, appVersion, device }) {
  return { userID: id, email, country, appVersion, custom: { plan, device } };
}
