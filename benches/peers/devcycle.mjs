import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { RULES } from "../workload.mjs";

// What its client does when it decides locally, without what it does around it: these two are not exported.
const require = createRequire(import.meta.url);
const sources = dirname(require.resolve("@devcycle/nodejs-server-sdk"));
const { bucketUserForConfig, variableForUser_PB } = require(join(sources, "utils/userBucketingHelper.js"));
const { DVCPopulatedUserFromDevCycleUser } = require(join(sources, "models/populatedUserHelpers.js"));
const { instantiate } = require("@devcycle/bucketing-assembly-script");

const OPERATORS = {
  in: (operand) => ({ comparator: "=", values: operand }),
  equals: (operand) => ({ comparator: "=", values: [operand] }),
  endsWith: (operand) => ({ comparator: "endWith", values: [operand] }),
  atLeast: (operand) => ({ comparator: ">=", values: [operand] }),
};
const CUSTOM = ["plan"];

export function definitions({ ramps, rules }) {
  let ids = 0;
  const id = () => String(++ids).padStart(24, "0");
  const variables = [];
  const variableHashes = {};
  const feature = (key, type, values, targets) => {
    const variable = { _id: id(), key, type };
    variables.push(variable);
    variableHashes[key] = variables.length;
    const variations = values.map((value, index) => ({
      _id: id(),
      name: `variation-${index}`,
      key: `variation-${index}`,
      variables: [{ _var: variable._id, value }],
    }));
    const target = ([filter, parts]) => ({
      _id: id(),
      _audience: { _id: id(), filters: { operator: "and", filters: [filter] } },
      distribution: parts.map((percentage, index) => ({ _variation: variations[index]._id, percentage })),
    });
    return { _id: id(), key, type: "release", variations, configuration: { _id: id(), targets: targets.map(target) } };
  };
  const everyone = { type: "all", comparator: "=", values: [] };
  const filters = RULES.map(({ attribute, operator, operand }) => {
    const what = CUSTOM.includes(attribute)
      ? { subType: "customData", dataKey: attribute, dataKeyType: "String" }
      : { subType: attribute };
    return { type: "user", ...what, ...OPERATORS[operator](operand) };
  });
  const features = [
    ...ramps.map((key) => feature(key, "Boolean", [true, false], [[everyone, [0.25, 0.75]]])),
    ...rules.map((key) =>
      feature(key, "String", ["A", "B"], [...filters.map((filter) => [filter, [1]]), [everyone, [0.5, 0.5]]]),
    ),
  ];
  const colors = { primary: "", secondary: "" };
  const optIn = { enabled: false, title: "", description: "", imageURL: "", colors };
  const settings = { edgeDB: { enabled: false }, optIn };
  return JSON.stringify({
    project: { _id: id(), key: "bench", a0_organization: "bench", settings },
    environment: { _id: id(), key: "production" },
    features,
    variables,
    variableHashes,
    audiences: {},
  });
}

const bucketing = await instantiate(false);
const platform = { platform: "NodeJS", platformVersion: "20", sdkType: "server", sdkVersion: "1", hostname: "bench" };
bucketing.setPlatformData(JSON.stringify(platform));
const sdkKey = "dvc_server_bench";
const { Boolean, String: Text } = bucketing.VariableType;
let hasQueue = false;

export function load(definitions) {
  bucketing.setConfigDataUTF8(sdkKey, Buffer.from(definitions));
  if (!hasQueue) bucketing.initEventQueue(sdkKey, "bench", "{}");
  hasQueue = true;
  const value = (key, user, type) => variableForUser_PB(bucketing, sdkKey, user, key, type)?.value;
  return {
    boolean: (key, user) => value(key, user, Boolean),
    string: (key, user) => value(key, user, Text),
    all: (user) => bucketUserForConfig(bucketing, user, sdkKey),
  };
}

export function context({ id, country, plan, email, appVersion, device }) {
  return DVCPopulatedUserFromDevCycleUser({ user_id: id, email, country, appVersion, customData: { plan, device } });
}

export const found = ({ variables }, key) => variables[key].value;
