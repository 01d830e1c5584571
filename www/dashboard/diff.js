// Changes as the log has them, in words: what, before and after.
import { element } from "../dom.js";

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

/** What operators changed: `{flag?, what, before, after}` each. */
function* ofState({ path, before, after }) {
  const [section, name, ...rest] = parts(path);
  const killed = (value) => (value === undefined ? "not killed" : "killed");
  if (section === "killedAll") yield { what: "Everything", before: killed(before), after: killed(after), isKill: true };
  else if (section === "killedTags")
    yield { what: `Every flag tagged ${name}`, before: killed(before), after: killed(after), isKill: true };
  else
    for (const change of members([section, name, ...rest], before, after)) {
      const [, , field, ...inner] = change.path;
      // It says which definition the change was made for, and nothing that anyone changed.
      if (field === "salt") continue;
      const told = (value, as) => (value === undefined ? "as defined" : written(value, as));
      if (field === "killed")
        yield { flag: name, what: "Kill", before: killed(change.before), after: killed(change.after), isKill: true };
      else {
        const what = field === "percent" && inner[0] === "rules" ? `Percent of the rule ${inner[1]}` : FIELDS[field];
        yield { flag: name, what, before: told(change.before, field), after: told(change.after, field) };
      }
    }
}

function ofDefinitions({ path, before, after }) {
  const [section, name, ...rest] = parts(path);
  const last = rest.findLast((part) => typeof part === "string");
  const flag = section === "flags" ? name : undefined;
  const told = (value) => (value === undefined ? undefined : written(value, last));
  if (flag !== undefined && rest.length === 0) {
    const [what, json] = before === undefined ? ["Defined", after] : ["Removed", before];
    return { flag, what, json };
  }
  const what = flag === undefined ? path : rest.map((part) => (typeof part === "number" ? part + 1 : part)).join(" › ");
  return { flag, what, before: told(before), after: told(after) };
}

/** The changes of an entry, in words. */
export const told = ({ changes, stateChanges }) => [
  ...stateChanges.flatMap((change) => [...ofState(change)]),
  ...changes.map(ofDefinitions),
];

/** Changes, drawn; `flagLink` makes what stands for a flag. */
export function changeList(changes, flagLink) {
  const items = changes.map(({ flag, what, before, after, json, isKill }) => {
    const item = element("li", { className: isKill ? (after === "killed" ? "killing" : "restoring") : "" });
    if (flag !== undefined && flagLink) item.append(flagLink(flag), " ");
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
