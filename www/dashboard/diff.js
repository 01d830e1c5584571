// Changes as the log has them, in words: what, before and after.
import { element } from "../dom.js";
import { PHASES } from "./terms.js";

/** A path such as `flags.gateway.rules[0].serve` or `killedTags["two words"]`, part by part. */
export function parts(path) {
  const found = path.matchAll(/\[("(?:[^"\\]|\\.)*")\]|\[(\d+)\]|\.?([^.[\]]+)/g);
  return [...found].map(([, quoted, index, name]) => {
    if (index !== undefined) return Number(index);
    if (name !== undefined) return name;
    try {
      return JSON.parse(quoted);
    } catch {
      return quoted.slice(1, -1);
    }
  });
}

const percent = (value) => `${value.toLocaleString("en", { maximumFractionDigits: 3 })} %`;

const isMap = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** A value as people read it. */
export function written(value, name) {
  if (name === "percent" && typeof value === "number") return percent(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What of the state's maps is told as one thing, though it has members. */
const isWhole = (name, value) => name === "killed" || name === "schedule" || !isMap(value);

/** `{path, before, after}` as the changes of its members. */
function* members(path, before, after) {
  const name = path.at(-1);
  if (isWhole(name, before ?? {}) || isWhole(name, after ?? {})) return yield { path, before, after };
  for (const member of new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]))
    yield* members([...path, member], before?.[member], after?.[member]);
  return undefined;
}

const FIELDS = {
  enabled: "Enabled",
  percent: "Percent",
  allow: "Allow list",
  deny: "Deny list",
  exclude: "Excluded cohorts",
};

const frozen = (value) => {
  if (value === undefined) return "not frozen";
  return value.until ? `frozen until ${value.until}` : "frozen";
};

/** What became of rollouts: of each its phase and its step, in the many changes that one decision makes. */
function* ofRollouts(changes) {
  const byName = Map.groupBy(changes, ({ path }) => parts(path)[1]);
  for (const [rollout, of] of byName) {
    const [whole] = of.filter(({ path }) => parts(path).length === 2);
    const field = (name) => {
      if (whole) return [whole.before?.[name], whole.after?.[name]];
      const found = of.find(({ path }) => path.endsWith(`.${name}`) && parts(path).length === 3);
      return found && [found.before, found.after];
    };
    const told = [
      ["Phase", field("phase")?.map((phase) => PHASES[phase] ?? phase ?? "not started")],
      ["Step", field("step")?.map((step) => step ?? "none")],
      [
        "Percent",
        field("percent")?.map((percent) => (percent === undefined ? "of the step" : written(percent, "percent"))),
      ],
    ].filter(([, sides]) => sides && sides[0] !== sides[1]);
    if (told.length === 0) yield { rollout, what: "Word or signal", after: "noted" };
    for (const [what, [before, after]] of told) yield { rollout, what, before, after };
  }
}

/** What operators changed: `{flag?, what, before, after}` each. */
function* ofState({ path, before, after }) {
  const way = parts(path);
  const [section, name] = way;
  const killed = (value) => (value === undefined ? "not killed" : "killed");
  if (section === "killedAll" || section === "killedTags") {
    const what = section === "killedAll" ? "Everything" : `Every flag tagged ${name}`;
    return yield { what, before: killed(before), after: killed(after), isKill: true };
  }
  if (section === "frozen" && way.length === 1)
    return yield { what: "Changes of rollouts", before: frozen(before), after: frozen(after) };
  for (const change of members(way, before, after)) {
    const told = (value) => (value === undefined ? undefined : written(value, change.path.at(-1)));
    if (section === "flags") yield* ofFlag(change, killed);
    else yield { what: change.path.join(" › "), before: told(change.before), after: told(change.after) };
  }
  return undefined;
}

/** What operators changed of a flag. */
function* ofFlag({ path, before, after }, killed) {
  const [, flag, field, ...inner] = path;
  // It says which definition the change was made for, and nothing that anyone changed.
  if (field === "salt") return;
  if (field === "killed") {
    yield { flag, what: "Kill", before: killed(before), after: killed(after), isKill: true };
    return;
  }
  const told = (value) => (value === undefined ? "as defined" : written(value, field));
  const what = field === "percent" && inner[0] === "rules" ? `Percent of the rule ${inner[1]}` : FIELDS[field];
  yield { flag, what, before: told(before), after: told(after) };
}

function ofDefinitions({ path, before, after }) {
  const [section, name, ...rest] = parts(path);
  const last = rest.findLast((part) => typeof part === "string");
  const flag = section === "flags" ? name : undefined;
  const told = (value) => (value === undefined ? undefined : written(value, last));
  if (rest.length === 0 && isMap(before ?? after)) {
    const [verb, json] = before === undefined ? ["Defined", after] : ["Removed", before];
    return { flag, what: flag === undefined ? `${verb} ${path}` : verb, json };
  }
  const what = flag === undefined ? path : rest.map((part) => (typeof part === "number" ? part + 1 : part)).join(" › ");
  return { flag, what, before: told(before), after: told(after) };
}

const isOfRollout = ({ path }) => parts(path)[0] === "rollouts";

/** The changes of an entry, in words. */
export const told = ({ changes, stateChanges }) => [
  ...ofRollouts(stateChanges.filter(isOfRollout)),
  ...stateChanges.filter((change) => !isOfRollout(change)).flatMap((change) => [...ofState(change)]),
  ...changes.map(ofDefinitions),
];

/** Changes, drawn; `flagLink` and `rolloutLink` make what stands for a flag and for a rollout. */
export function changeList(changes, flagLink, rolloutLink = (name) => element("code", { text: name })) {
  const items = changes.map(({ flag, rollout, what, before, after, json, isKill }) => {
    const item = element("li", { className: isKill ? (after === "killed" ? "killing" : "restoring") : "" });
    if (flag !== undefined && flagLink) item.append(flagLink(flag), " ");
    if (rollout !== undefined) item.append(rolloutLink(rollout), " ");
    item.append(element("span", { className: "what", text: what }));
    if (json !== undefined) {
      const whole = element("pre", { text: JSON.stringify(json, null, 2), tabIndex: 0 });
      item.append(element("details", {}, element("summary", { text: "as" }), whole));
      return item;
    }
    const sides = element("span", { className: "sides" });
    if (before !== undefined) sides.append(element("del", { text: before }));
    sides.append(element("span", { className: "arrow", text: "→", ariaLabel: "to", role: "img" }));
    sides.append(element("ins", { text: after ?? "nothing" }));
    item.append(sides);
    return item;
  });
  return element("ul", { className: "changes" }, ...items);
}

/** Takes changes back from a document, so that it is as it was before them. */
export function undo(document, changes) {
  for (const { path, before } of [...changes].reverse()) {
    const way = parts(path);
    const last = way.pop();
    let at = document;
    for (const part of way) at = at[part] ??= {};
    if (before === undefined) delete at[last];
    else at[last] = before;
  }
}
