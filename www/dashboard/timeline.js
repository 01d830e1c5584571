// How far a flag was open over time, from its history: a column for each time that it changed.
import { element } from "../dom.js";
import { parts, undo } from "./diff.js";
import { offVariant } from "./shares.js";
import { when } from "./words.js";

/** More would not be told apart. */
const COLUMNS = 24;

/** What holds for a flag in a document of definitions and state: `{level, text, isKilled}`; a level of undefined is a schedule. */
function standing({ definition, state, killedAll, killedTags }) {
  if (!definition) return { level: 0, text: "not there", isAbsent: true };
  const isKilled = Boolean(killedAll ?? state?.killed) || (definition.tags ?? []).some((tag) => killedTags?.[tag]);
  if (isKilled) return { level: 0, text: "killed", isKilled };
  // What operators set counts for the salt it was set for.
  const set = state?.salt === (definition.salt ?? "") ? state : undefined;
  if (!(set?.enabled ?? definition.enabled ?? true)) return { level: 0, text: "disabled" };
  const serve = definition.default ?? offVariant(definition);
  if (serve?.ramp) {
    const level = set?.percent?.default ?? serve.ramp.percent;
    return level === undefined ? { text: "schedule" } : { level, text: `${level} %` };
  }
  const isOpen = serve !== offVariant(definition);
  return { level: isOpen ? 100 : 0, text: isOpen ? "on" : "off" };
}

/** The standings from the oldest entry to now: `{version, time, until, level, text}` each. */
function standings({ key, definition, state }, { killedAll, killedTags }, entries) {
  const definitions = { flags: { [key]: definition } };
  const changed = { killedAll, killedTags: { ...killedTags }, flags: { [key]: state ?? undefined } };
  const document = structuredClone({ definitions, changed });
  const columns = [];
  let until = Date.now();
  const isAbout = ({ path }) => {
    const [section, name] = parts(path);
    return section !== "flags" || name === key;
  };
  for (const { version, time, changes, stateChanges } of entries) {
    const held = { definition: document.definitions.flags?.[key], state: document.changed.flags?.[key] };
    const { killedAll, killedTags } = document.changed;
    columns.push({ version, time: Date.parse(time), until, ...standing({ ...held, killedAll, killedTags }) });
    until = Date.parse(time);
    undo(document.definitions, changes.filter(isAbout));
    undo(document.changed, stateChanges.filter(isAbout));
  }
  return columns.reverse();
}

/** Draws it: `entries` are those of the flag, the newest first. */
export function timeline(flag, killed, entries) {
  const columns = standings(flag, killed, entries.slice(0, COLUMNS)).filter(({ isAbsent }) => !isAbsent);
  const items = columns.map(({ version, time, until, level, text, isKilled }) => {
    const fill = element("i", { className: level === undefined ? "schedule" : "" });
    fill.style.height = `${level ?? 50}%`;
    const name = `Version ${version}, ${when(time)}: ${text}`;
    const item = element(
      "li",
      { className: isKilled ? "killed" : "", title: name },
      element("span", { className: "level", text }),
      element("span", { className: "column" }, fill),
      element("span", { className: "at", text: `v${version}` }),
    );
    // A second and a month are both to be seen.
    item.style.flexGrow = String(1 + Math.log10(1 + Math.max(0, until - time) / 1000));
    return item;
  });
  return element(
    "ol",
    { className: "timeline", tabIndex: 0, ariaLabel: "How far it was open, version by version" },
    ...items,
  );
}
