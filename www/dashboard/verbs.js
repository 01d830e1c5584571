// What an operator can do, and what it will do before it is done.
import { element, plural, prose } from "../dom.js";
import { ask, environmentPath } from "./api.js";
import { confirm } from "./dialog.js";
import { written } from "./diff.js";
import { arranged, offVariant, share } from "./shares.js";

export const paragraph = (text) => element("p", {}, ...prose(text));

const keysOf = (flags) => {
  const few = flags.slice(0, 8).map(({ key }) => `\`${key}\``);
  return few.join(", ") + (flags.length > few.length ? ` and ${flags.length - few.length} more` : "");
};

export const field = (text, control) =>
  element("div", { className: "field" }, element("label", { htmlFor: control.id, text }), control);

/** The flags that are off while this one is. */
const dependents = (app, keys) =>
  app.flags.flags.filter(
    ({ key, definition }) => !keys.has(key) && (definition.prerequisites ?? []).some(({ flag }) => keys.has(flag)),
  );

/** What becomes of those that need flags that are killed. */
function alsoOff(app, flags) {
  const others = dependents(app, new Set(flags.map(({ key }) => key)));
  return others.length > 0 ? [paragraph(`Off with it, for they need it: ${keysOf(others)}.`)] : [];
}

/** Whom it takes something from. */
function nowOpen(app, { key, definition }) {
  const stats = app.stats.get(key);
  if (!stats) return [];
  const parts = arranged(stats.shares, definition).filter(({ colour, percent }) => colour !== "off" && percent > 0);
  if (parts.length === 0) return [];
  const now = parts.map(({ variant, percent }) => `${share(percent)} get \`${variant}\``);
  return [paragraph(`Now about ${now.join(", ")}.`)];
}

/** Does it, and says that it is served. */
export async function change(app, path, { reason, version }, { method = "POST", body = {}, done }) {
  const answer = await ask(path, { method, body: { reason, ...body }, ifMatch: version });
  app.changed(answer, done);
}

export function kill(app, flag) {
  const { definition, key } = flag;
  const off = offVariant(definition);
  const value = JSON.stringify((definition.variants ?? { off: false })[off]);
  confirm({
    title: `Kill ${key}`,
    what: [
      paragraph(
        `Everyone in \`${app.environment}\` gets \`${off}\` (${value}), whatever rules, lists and percents say, until it is restored.`,
      ),
      ...nowOpen(app, flag),
      ...alsoOff(app, [flag]),
    ],
    action: "Kill it",
    isDangerous: true,
    // A kill goes by no version: it must win.
    run: ({ reason }) =>
      change(app, environmentPath(app.environment, "flags", key, "kill"), { reason }, { done: `${key} is killed` }),
  });
}

export function killMany(app) {
  const tags = new Map();
  for (const flag of app.flags.flags)
    for (const tag of flag.definition.tags ?? []) tags.set(tag, [...(tags.get(tag) ?? []), flag]);
  const choice = element("select", { id: "which" });
  const untouched = [...tags].filter(([tag]) => !app.flags.killedTags[tag]).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [tag, flags] of untouched)
    choice.append(new Option(`Tag ${tag}: ${plural(flags.length, "flag")}`, `tag:${tag}`));
  if (!app.flags.killedAll) choice.append(new Option(`Everything: ${plural(app.flags.flags.length, "flag")}`, "all"));
  const effect = element("div", { className: "effect" });
  const isAll = () => choice.value === "all";
  const chosen = () => (isAll() ? app.flags.flags : (tags.get(choice.value.slice(4)) ?? []));
  const show = () => {
    const flags = chosen();
    const all = isAll()
      ? "All flags, those published later too,"
      : `Every flag tagged \`${choice.value.slice(4)}\`, those published later too,`;
    effect.replaceChildren(
      paragraph(
        `${all} serve their off variants to everyone in \`${app.environment}\` until they are restored: ${keysOf(flags)}.`,
      ),
      ...alsoOff(app, flags),
    );
  };
  choice.addEventListener("change", show);
  show();
  confirm({
    title: "Kill flags",
    what: [field("Which", choice), effect],
    action: "Kill them",
    isDangerous: true,
    run: ({ reason }) => {
      const [body, what] = isAll()
        ? [{ all: true }, "Everything"]
        : [{ tag: choice.value.slice(4) }, `The tag ${choice.value.slice(4)}`];
      return change(app, environmentPath(app.environment, "kill"), { reason }, { body, done: `${what} is killed` });
    },
  });
}

/** Lifts what a flag was killed by: a kill of its own, of a tag, or of everything. */
export function restore(app, by, flag) {
  const tag = by.startsWith("tag:") ? by.slice(4) : undefined;
  const held =
    tag === undefined
      ? app.flags.flags
      : app.flags.flags.filter(({ definition }) => (definition.tags ?? []).includes(tag));
  const what = by === "flag" ? flag.key : by === "all" ? "everything" : `the tag ${tag}`;
  const text =
    by === "flag"
      ? `What holds for \`${flag.key}\` besides the kill counts again, exactly: its rules, lists and percents.`
      : `${plural(held.length, "flag")} serve what rules, lists and percents say again, unless killed otherwise: ${keysOf(held)}.`;
  const path = by === "flag" ? ["flags", flag.key, "restore"] : ["restore"];
  confirm({
    title: `Restore ${what}`,
    what: [paragraph(text)],
    action: "Restore",
    version: app.flags.version,
    run: (asked) =>
      change(app, environmentPath(app.environment, ...path), asked, {
        body: by === "flag" ? {} : tag === undefined ? { all: true } : { tag },
        done: `${what[0].toUpperCase()}${what.slice(1)} is restored`,
      }),
  });
}

/** The ramps of a flag: of everyone else's part, and of rules by their ids. */
const rampsOf = ({ ramp, ruleRamps, definition, state }) => [
  ...(ramp
    ? [
        {
          name: "Everyone else",
          ...ramp,
          defined: definition.default.ramp,
          isSet: state?.percent?.default !== undefined,
        },
      ]
    : []),
  ...Object.entries(ruleRamps ?? {}).map(([rule, held]) => ({
    name: `Rule ${rule}`,
    rule,
    ...held,
    defined: (definition.rules ?? []).find(({ id }) => id === rule)?.serve?.ramp ?? {},
    isSet: state?.percent?.rules?.[rule] !== undefined,
  })),
];

export const hasRamp = (flag) => rampsOf(flag).length > 0;

export function setPercent(app, flag) {
  const ramps = rampsOf(flag);
  const choice = element("select", { id: "ramp" });
  choice.append(...ramps.map(({ name }, index) => new Option(name, String(index))));
  const range = element("input", {
    id: "percent-range",
    type: "range",
    min: "0",
    max: "100",
    step: "0.5",
    ariaLabel: "Percent",
  });
  const number = element("input", { id: "percent", type: "text", inputMode: "decimal", autocomplete: "off" });
  const asDefined = element("input", { id: "as-defined", type: "checkbox" });
  const effect = element("p", { className: "effect", role: "status" });
  const back = element("label", { className: "check" }, asDefined, " As defined");
  const ramp = () => ramps[Number(choice.value)];
  const wanted = () => (/^\d{1,3}(\.\d{1,3})?$/.test(number.value.trim()) ? Number(number.value) : NaN);
  const wrong = () =>
    !asDefined.checked && !(wanted() <= 100) ? "Write a percent from 0 to 100, with at most three places." : "";
  const show = () => {
    number.disabled = range.disabled = asDefined.checked;
    const [now, then] = [ramp().percent, asDefined.checked ? ramp().defined.percent : wanted()];
    number.ariaInvalid = String(wrong() !== "");
    const named = (value) => (typeof value === "number" ? written(value, "percent") : "the schedule");
    const text =
      wrong() ||
      (typeof now !== "number" || typeof then !== "number"
        ? `From ${named(now)} to ${named(then)}. An operator’s percent suspends a schedule.`
        : then > now
          ? `From ${named(now)} to ${named(then)}: more come in, and nobody moves out.`
          : then < now
            ? `From ${named(now)} to ${named(then)}: those who came in last move out.`
            : `It is at ${named(now)} already.`);
    effect.textContent = text;
  };
  const begin = () => {
    const { percent, isSet } = ramp();
    number.value = range.value = String(percent ?? 0);
    number.value = String(percent ?? 0);
    asDefined.checked = false;
    asDefined.disabled = !isSet;
    show();
  };
  choice.addEventListener("change", begin);
  asDefined.addEventListener("change", show);
  range.addEventListener("input", () => {
    number.value = range.value;
    show();
  });
  number.addEventListener("input", () => {
    if (!wrong()) range.value = number.value;
    show();
  });
  begin();
  const fields = element("div", { className: "percent-fields" }, field("Percent", number), range, back);
  confirm({
    title: `Set the percent of ${flag.key}`,
    what: [...(ramps.length > 1 ? [field("Of whom", choice)] : []), fields, effect],
    action: "Set it",
    version: app.flags.version,
    check: wrong,
    run: (asked) => {
      const percent = asDefined.checked ? null : wanted();
      const { rule } = ramp();
      return change(app, environmentPath(app.environment, "flags", flag.key), asked, {
        method: "PATCH",
        body: rule === undefined ? { percent } : { rules: { [rule]: percent } },
        done: `${flag.key} is at ${percent === null ? "what is defined" : written(percent, "percent")}`,
      });
    },
  });
}

export function setEnabled(app, flag) {
  const { key, definition } = flag;
  const enabled = !flag.enabled;
  const off = offVariant(definition);
  confirm({
    title: `${enabled ? "Enable" : "Disable"} ${key}`,
    what: [
      paragraph(
        enabled
          ? `Its rules, lists and percents decide again in \`${app.environment}\`.`
          : `Everyone in \`${app.environment}\` gets \`${off}\`, unless a pin of their process says otherwise.`,
      ),
      ...(enabled ? [] : alsoOff(app, [flag])),
    ],
    action: enabled ? "Enable it" : "Disable it",
    version: app.flags.version,
    run: (asked) =>
      change(app, environmentPath(app.environment, "flags", key), asked, {
        method: "PATCH",
        body: { enabled },
        done: `${key} is ${enabled ? "enabled" : "disabled"}`,
      }),
  });
}
