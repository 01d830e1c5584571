// Explanations in words.

/** Thousandths of a percent, as people write percents. */
export const percent = (thousandths) => `${(thousandths / 1000).toLocaleString("en", { maximumFractionDigits: 3 })} %`;

const STEPS = {
  offPin: "Pin to off",
  kill: "Kill",
  disabled: "Disabled",
  onPin: "Pin to a variant",
  unsupported: "Needs what this engine lacks",
  prerequisite: "Prerequisites",
  deny: "Deny list",
  exclude: "Excluded cohorts",
  allow: "Allow list",
  holdout: "Holdouts",
  layer: "Layer",
  rule: "A rule",
  default: "The default",
};

const TRUTHS = { true: "holds", false: "does not hold", unknown: "is unknown, for the context does not say" };

const MEMBERSHIPS = { in: "in", out: "not in", keyMissing: "no key to tell by, so not in" };

/** A condition in short: one comparison, or how many are joined, for those have been said before. */
function condition(json) {
  const parsed = JSON.parse(json);
  const { attribute, ...comparison } = parsed;
  const parts = Object.entries(attribute === undefined ? parsed : comparison);
  const [name, operand] = parts[0] ?? [];
  if (parts.length !== 1) return `\`${json}\``;
  if (attribute !== undefined) return `\`${attribute} ${name} ${JSON.stringify(operand)}\``;
  if (name === "all" || name === "any") return `\`${name}\` of these ${operand.length}`;
  if (name === "not") return "`not` this";
  return `\`${name} ${JSON.stringify(operand)}\``;
}

const FINDINGS = {
  killed: ({ by }) => `Killed by \`${by}\`.`,
  lacking: ({ name }) => `Needs \`${name}\`.`,
  condition: ({ json, truth }) => `${condition(json)} ${TRUTHS[truth]}.`,
  segment: ({ name, truth }) => `The segment \`${name}\` ${TRUTHS[truth]}.`,
  list: ({ listed }) => (listed ? "The key is on the list." : "The key is not on the list."),
  prerequisite: ({ flag, variant, holds }) =>
    `${flag} serves ${variant ?? "nothing"}: ${holds ? "as needed" : "not as needed"}.`,
  threshold: ({ holdout, percent: threshold, position, membership }) =>
    `${holdout ? `Holdout ${holdout}: p` : "P"}osition ${position === undefined ? "unknown" : percent(position)}, ` +
    `threshold ${percent(threshold)}: ${MEMBERSHIPS[membership]}.`,
  part: ({ position, below }) => `Position ${percent(position)} in the split, in the part below ${percent(below)}.`,
  ranges: ({ layer, position, inside }) =>
    `${layer ? `Layer ${layer}: p` : "P"}osition ${percent(position)} is ${inside ? "inside" : "outside"} the ranges.`,
};

/** A step's heading. */
export const title = ({ step, decided }, rule) =>
  step === "rule" && decided && rule ? `The rule ${rule}` : STEPS[step];

/** Whether there is nothing to say of a step but that it was passed. */
export const isQuiet = ({ decided, findings }) => !decided && findings.length === 0;

/** What was found at a step, a text each; what is code in it stands between backticks. */
export const findings = ({ findings }) => findings.map((finding) => FINDINGS[finding.kind](finding));

/** The ramp that a user met last on the way to their result, undefined where there was none. */
export function lastRamp({ details, steps }) {
  const decided = steps.find(({ depth, decided }) => depth === 0 && decided);
  const threshold = decided?.findings.findLast(({ kind, holdout }) => kind === "threshold" && holdout === undefined);
  if (threshold?.position === undefined) return undefined;
  return { name: details.flagMetadata.rule ?? decided.step, percent: threshold.percent, position: threshold.position };
}

/** Steps of the native engine, which says null where the package leaves out. */
export const withoutNulls = (steps) => JSON.parse(JSON.stringify(steps), (_, value) => value ?? undefined);
