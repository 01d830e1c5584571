// Changes as the log has them, in words: what, before and after.
import { element } from "../dom.js";
import { HAPPENED, PHASES } from "./terms.js";
import { when } from "./words.js";

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

const THOUSANDTHS = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });

const isMap = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** A value as people read it. */
export function written(value, name) {
  if (name === "percent" && typeof value === "number") return `${THOUSANDTHS.format(value)} %`;
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** `{path, before, after}` as the changes of its members. */
function* members(path, before, after) {
  if (!isMap(before ?? {}) || !isMap(after ?? {})) return yield { path, before, after };
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

/** What became of something that is there or is not, by the changes of its fields. */
function fate(changes) {
  if (changes.every(({ before }) => before === undefined)) return "begun";
  return changes.every(({ after }) => after === undefined) ? "ended" : "changed";
}

/** The change of a field of something of the state, if it has changed. */
const fieldOf = (changes, ...way) => changes.find(({ path }) => way.join() === parts(path).slice(-way.length).join());

/** A kill that began, or was lifted; of one that others said again, at most why. */
function* ofKill(about, changes) {
  const became = fate(changes);
  const sides = ["not killed", "killed"];
  const [before, after] = became === "begun" ? sides : sides.reverse();
  const reason = fieldOf(changes, "reason");
  if (became !== "changed") yield { ...about, before, after, isKill: true };
  else if (reason) yield { ...about, what: `${about.what}: reason`, before: reason.before, after: reason.after };
}

function* ofFreeze(changes) {
  const what = "Changes of rollouts";
  const until = fieldOf(changes, "until");
  const reason = fieldOf(changes, "by", "reason");
  const frozen = (time) => (time === undefined ? "frozen" : `frozen until ${when(time)}`);
  const became = fate(changes);
  if (became === "begun") yield { what, before: "not frozen", after: frozen(until?.after) };
  else if (became === "ended") yield { what, before: frozen(until?.before), after: "not frozen" };
  else if (until) yield { what, before: frozen(until.before), after: frozen(until.after) };
  else if (reason) yield { what: `${what}: reason`, before: reason.before, after: reason.after };
}

/** The signals that a change raised, or cleared. */
function signalled(changes) {
  const of = (side) =>
    changes.flatMap(({ path, [side]: value }) => {
      const [, , section, name] = parts(path);
      if (section !== "signals" || value === undefined) return [];
      return name === undefined ? Object.keys(value) : [name];
    });
  const [before, after] = [of("before"), of("after")];
  const others = (names, known) => names.filter((name) => !known.includes(name));
  return { raised: others(after, before), cleared: others(before, after) };
}

/** What somebody approved of or attested to. */
function spoken(changes) {
  const given = changes.filter(({ path, after }) => parts(path)[2] === "attested" && after !== undefined);
  const said = given.flatMap(({ path, after }) => {
    const [, , , , field] = parts(path);
    return field === "what" ? [after] : field === undefined ? [after].flat().map(({ what }) => what) : [];
  });
  return { isSpoken: given.length > 0, what: said.at(-1) };
}

/** What happened to a rollout, in a sentence. The same may have happened twice; then what changed with it says what it was. */
function happened(changes) {
  const { raised, cleared } = signalled(changes);
  if (raised.length > 0) return `Signal ${raised.join(", ")} raised`;
  if (cleared.length > 0) return `Signal ${cleared.join(", ")} cleared`;
  const { isSpoken, what } = spoken(changes);
  if (what !== undefined) return /^approval of /.test(what) ? `A${what.slice(1)} given` : `Attested: ${what}`;
  if (isSpoken) return "Approved or attested again";
  const { after } = fieldOf(changes, "last", "what") ?? {};
  if (after !== undefined && after !== "rolledBack") return HAPPENED[after] ?? after;
  if (fieldOf(changes, "reviewed")) return HAPPENED.resumed;
  return fieldOf(changes, "since") ? "Rolled back again" : HAPPENED.cohortRolledBack;
}

/** What became of rollouts: of each its phase and its step, in the many changes that one decision makes. */
function* ofRollout(rollout, changes) {
  const [whole] = changes.filter(({ path }) => parts(path).length === 2);
  const field = (name) => {
    if (whole) return [whole.before?.[name], whole.after?.[name]];
    const found = changes.find(({ path }) => parts(path).slice(2).join() === name);
    return found && [found.before, found.after];
  };
  const [step, percent] = [field("step"), field("percent")];
  const of = (value) => (value === undefined ? "of the step" : written(value, "percent"));
  const told = [
    ["Phase", field("phase")?.map((phase) => PHASES[phase ?? "none"] ?? phase)],
    ["Step", step?.map((name) => name ?? "none")],
    // At no step nobody is in.
    ["Percent", step && step[1] === undefined ? undefined : percent?.map(of)],
  ].filter(([, sides]) => sides && sides[0] !== sides[1]);
  if (told.length === 0) yield { rollout, what: happened(changes) };
  for (const [what, [before, after]] of told) yield { rollout, what, before, after };
}

/** What operators changed of a flag. */
function* ofFlag(change) {
  for (const { path, before, after } of members(parts(change.path), change.before, change.after)) {
    const [, flag, field, ...inner] = path;
    // The salt says which definition the change was made for, and nothing that anyone changed. Kills are told as such.
    if (field === "salt" || field === "killed") continue;
    const told = (value) => (value === undefined ? "as defined" : written(value, field));
    const what = field === "percent" && inner[0] === "rules" ? `Percent of the rule ${inner[1]}` : FIELDS[field];
    yield { flag, what, before: told(before), after: told(after) };
  }
}

/** The kills of flags, by flag: each whole, or field by field. */
function killsOf(changes) {
  const kills = changes.flatMap(({ path, before, after }) => {
    const way = parts(path);
    if (way[2] === "killed") return [{ path, before, after }];
    if (way.length > 2) return [];
    return before?.killed || after?.killed ? [{ path, before: before?.killed, after: after?.killed }] : [];
  });
  return byName(kills);
}

/** The changes of a section, by the names of what they are of. */
const byName = (changes) => Map.groupBy(changes, ({ path }) => parts(path)[1]);

/** What operators and controllers changed: `{flag?, rollout?, what, before?, after?}` each. */
function* ofState(changes) {
  const sections = Map.groupBy(changes, ({ path }) => parts(path)[0]);
  const of = (section) => sections.get(section) ?? [];
  for (const [rollout, changes] of byName(of("rollouts"))) yield* ofRollout(rollout, changes);
  if (sections.has("killedAll")) yield* ofKill({ what: "Everything" }, of("killedAll"));
  for (const [tag, changes] of byName(of("killedTags"))) yield* ofKill({ what: `Every flag tagged ${tag}` }, changes);
  if (sections.has("frozen")) yield* ofFreeze(of("frozen"));
  for (const [flag, changes] of killsOf(of("flags"))) yield* ofKill({ flag, what: "Kill" }, changes);
  for (const change of of("flags")) yield* ofFlag(change);
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

/** The changes of an entry, in words. */
export const told = ({ changes, stateChanges }) => [...ofState(stateChanges), ...changes.map(ofDefinitions)];

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
    if (before === undefined && after === undefined) return item;
    const sides = element("span", { className: "sides" });
    if (before !== undefined) sides.append(element("del", { text: before }));
    sides.append(element("span", { className: "arrow", text: "→", ariaLabel: "to", role: "img" }));
    sides.append(element("ins", { text: after ?? "nothing" }));
    item.append(sides);
    return item;
  });
  return element("ul", { className: "changes" }, ...items);
}

/** Sets what is at a way into a document. What is left empty goes, as the log leaves it out. */
function put(at, [name, ...way], value) {
  if (way.length > 0) {
    put((at[name] ??= {}), way, value);
    if (isMap(at[name]) && Object.keys(at[name]).length === 0) delete at[name];
  } else if (value === undefined) delete at[name];
  else at[name] = value;
}

/** Takes changes back from a document, so that it is as it was before them. */
export function undo(document, changes) {
  for (const { path, before } of [...changes].reverse()) put(document, parts(path), before);
}
