// What people do to rollouts, and what it will do before it is done.
import { element } from "../dom.js";
import { environmentPath } from "./api.js";
import { confirm } from "./dialog.js";
import { reach, rollbackName } from "./status.js";
import { isPercent } from "./track.js";
import { change, field, paragraph } from "./verbs.js";

/** Does something to a rollout. */
const steer = (app, { rollout }, verb, asked, body, done) =>
  change(app, environmentPath(app.environment, "rollouts", rollout, verb), asked, { body, done });

/** A step by its name and, where that does not say it, its percent. */
const stepNamed = ({ name, percent }) =>
  `\`${name}\`${typeof percent === "number" && !isPercent(name) ? ` (${percent} %)` : ""}`;

const named = (flags) => flags.map((flag) => `\`${flag}\``).join(", ");

const input = (id, properties = {}) =>
  element("input", { id, type: "text", autocomplete: "off", spellcheck: false, ...properties });

/** A percent, as people write it, or NaN. */
const percentOf = ({ value }) => (/^\d{1,3}(\.\d{1,3})?$/.test(value.trim()) ? Number(value) : NaN);

const isPeriod = ({ value }) => /^(\d+(ms|[smhdwy]))+$/.test(value.trim());

const words = ({ value }) => value.split(/[\s,]+/).filter(Boolean);

export function start(app, status) {
  const { rollout, steps, flags, version } = status;
  const [first] = steps;
  confirm({
    title: `Start ${rollout}`,
    what: [
      paragraph(`It goes to its first step, ${stepNamed(first)}, and moves ${named(flags)} from now on.`),
      paragraph(
        `It stays there for ${first.soak} at least. A controller, \`flagstone rollout run\`, takes it on from there and turns it back.`,
      ),
    ],
    action: "Start it",
    version,
    run: (asked) => steer(app, status, "start", asked, {}, `${rollout} is started`),
  });
}

export function hold(app, status) {
  const { rollout, percent } = status;
  confirm({
    title: `Hold ${rollout}`,
    what: [
      paragraph(
        `It stays where it is${typeof percent === "number" ? `, at ${percent} %,` : ""} until somebody resumes it. Triggers still turn it back.`,
      ),
    ],
    action: "Hold it",
    // It stops, whatever happened meanwhile.
    run: ({ reason }) => steer(app, status, "hold", { reason }, {}, `${rollout} is held`),
  });
}

export function resume(app, status) {
  const { rollout, progress, blockers, version } = status;
  const lifts = blockers.some(({ kind }) => kind === "ceiling");
  const text =
    progress.phase === "held"
      ? "It goes on from where it is, once all that its step asks for is so. What had stopped it counts as looked at."
      : lifts
        ? "Its ceiling is lifted: it goes on once all else that its step asks for is so."
        : "Its flags are set again as its step says.";
  confirm({
    title: `Resume ${rollout}`,
    what: [paragraph(text)],
    action: "Resume it",
    version,
    run: (asked) => steer(app, status, "resume", asked, {}, `${rollout} goes on`),
  });
}

/** The step at which a rollout begins again. */
function again({ steps, at, progress }) {
  const isIn = ({ percent }) => progress.percent === undefined || (percent ?? 0) <= progress.percent;
  return steps.slice(0, (at ?? 0) + 1).findLast(isIn) ?? steps[0];
}

export function retry(app, status) {
  const { rollout, progress, byHand, version } = status;
  const killed = byHand.filter(({ what }) => what === "killed").map(({ flag }) => flag);
  confirm({
    title: `Retry ${rollout}`,
    what: [
      paragraph(
        `It begins again at ${stepNamed(again(status))}, as attempt ${progress.attempt + 1}. What was approved and attested before counts no more, and what its rollback killed is restored.`,
      ),
      ...(killed.length > 0 ? [paragraph(`Killed by hand, and so until somebody restores it: ${named(killed)}.`)] : []),
    ],
    action: "Retry it",
    version,
    run: (asked) => steer(app, status, "retry", asked, {}, `${rollout} begins again`),
  });
}

export function approve(app, status, role) {
  const { rollout, steps, at, version } = status;
  const [from, to] = [steps[at], steps[at + 1]];
  const way = to ? `from ${stepNamed(from)} to ${stepNamed(to)}` : `from ${stepNamed(from)}, the last step, to its end`;
  confirm({
    title: `Approve of ${rollout}`,
    what: [
      paragraph(
        `As \`${role}\` you approve of going on ${way}. It goes on once all else that this step asks for is so.`,
      ),
    ],
    action: "Approve",
    version,
    // Where it went on meanwhile, this is no approval of going on from there.
    run: (asked) =>
      steer(app, status, "advance", asked, { role, step: from.name }, `${rollout} has the approval of ${role}`),
  });
}

export function attest(app, status, what) {
  const { rollout, version } = status;
  confirm({
    title: `Attest for ${rollout}`,
    what: [element("p", {}, "You attest to this: ", element("strong", { text: what }))],
    action: "Attest",
    version,
    run: (asked) => steer(app, status, "attest", asked, { what }, `${what}: attested`),
  });
}

/** What a rollout does once a signal is raised, by the triggers that wait for it where it is. */
export function effectOf({ plan, steps, at, evidence, progress }, name) {
  if (progress.phase === "rolledBack") return "keeps the rollout from being retried until it is cleared";
  const all = [...(plan.triggers ?? []), ...plan.steps.flatMap((step) => step.triggers ?? [])];
  const called = all.filter((trigger) => trigger.signal === name).map((trigger) => trigger.name ?? name);
  const actions = evidence.filter(({ metric, guard }) => !metric && called.includes(guard)).map(({ action }) => action);
  const zero = "rolls the rollout back to zero: nobody is on the new path until somebody retries it";
  const before = steps[at - 1] && stepNamed(steps[at - 1]);
  const isDown = progress.phase === "rollingBack";
  if (actions.includes("rollback")) return zero;
  if (actions.includes("rollbackToPrevious"))
    return before && !isDown ? `rolls the rollout back to ${before}; it is over then, until somebody retries it` : zero;
  if (actions.includes("stepDown") && !isDown)
    return before ? `takes the rollout back to ${before} and holds it there, until somebody resumes it` : zero;
  if (actions.includes("hold") && progress.phase === "running")
    return "holds the rollout where it is, until somebody resumes it";
  if (actions.includes("hold") && progress.phase === "held")
    return "does no more than hold the rollout, which is held already";
  return "does nothing where the rollout is now";
}

export function signal(app, status, name, isRaised) {
  const { rollout } = status;
  const [verb, action, title, text] = isRaised
    ? ["clear", "Clear it", "Clear", "It counts no more. What it did already is not undone by that."]
    : ["signal", "Raise it", "Raise", `At the controller’s next look it ${effectOf(status, name)}.`];
  confirm({
    title: `${title} the signal ${name}`,
    what: [paragraph(text)],
    action,
    isDangerous: !isRaised,
    run: ({ reason }) =>
      steer(
        app,
        status,
        verb,
        { reason },
        { signal: name },
        `${rollout}: ${name} is ${isRaised ? "cleared" : "raised"}`,
      ),
  });
}

/** The ways back that there are from where a rollout is. */
function waysOf({ at, percent, steps, progress }) {
  const { phase } = progress;
  const isPart = typeof percent === "number" && percent > 0;
  const isTurned = phase === "rolledBack" || progress.percent !== undefined;
  return [
    ["zero", "Everyone, at once"],
    ["emergency", "Everyone, at once, on record as critical"],
    ...(isTurned || !(at > 0) ? [] : [["previous", `To the step before, ${steps[at - 1].name}`]]),
    ...(isPart ? [["percent", "To a percent"]] : []),
    ...(isPart && ["running", "held", "completed"].includes(phase) ? [["staircase", "Down a staircase"]] : []),
    ["cohort", "A part of the people"],
  ];
}

export function rollback(app, status) {
  const { rollout, percent, flags } = status;
  const choice = element("select", { id: "way" });
  for (const [value, text] of waysOf(status)) choice.append(new Option(text, value));
  const to = input("to", { inputMode: "decimal" });
  const down = input("down", { inputMode: "decimal", value: "0" });
  const by = input("by", { inputMode: "decimal", value: "10" });
  const every = input("every", { value: "5m" });
  const keys = input("keys");
  const segments = input("segments");
  const fields = {
    percent: [field("Percent", to)],
    staircase: [field("Points at once", by), field("Every", every), field("Down to percent", down)],
    cohort: [field("Users, by their targetingKey", keys), field("Segments", segments)],
  };
  const asked = element("div", { className: "way-fields" });
  const effect = element("div", { className: "effect", role: "status" });
  const target = () => percentOf(choice.value === "staircase" ? down : to);
  const wrong = () => {
    const isDown = ["percent", "staircase"].includes(choice.value);
    if (isDown && !(target() < percent)) return `Write a percent below ${percent}.`;
    if (choice.value === "staircase" && !(percentOf(by) > 0))
      return "Write how many percentage points it goes down at once.";
    if (choice.value === "staircase" && !isPeriod(every)) return "Write how long a stair takes: 30s, 5m, 1h.";
    if (choice.value === "cohort" && words(keys).length + words(segments).length === 0)
      return "Name users or segments.";
    return "";
  };
  const now = `From ${reach(status).percent} `;
  const killed = `${named(flags)}: nobody gets the new path, on no list either, until it is retried.`;
  const effects = {
    zero: () => `${now}to nobody. It kills ${killed}`,
    emergency: () => `${now}to nobody, at once, and it is on record as critical. It kills ${killed}`,
    previous: () => `${now}back to the step before. It is over then, until somebody retries it.`,
    percent: () =>
      `From ${percent} % to ${target()} %: those who came in last move out. It is over then, until somebody retries it.`,
    staircase: () =>
      `From ${percent} % down by ${percentOf(by)} points every ${every.value.trim()}, to ${target()} %, beginning now.`,
    cohort: () => `These people get the off variant of ${named(flags)}; the others stay. A rollout that runs is held.`,
  };
  const show = () => effect.replaceChildren(paragraph(wrong() || effects[choice.value]()));
  choice.addEventListener("change", () => {
    asked.replaceChildren(...(fields[choice.value] ?? []));
    show();
  });
  for (const control of [to, down, by, every, keys, segments]) control.addEventListener("input", show);
  show();
  const bodies = {
    zero: () => ({}),
    emergency: () => ({ emergency: true }),
    previous: () => ({ to: "previous" }),
    percent: () => ({ to: target() }),
    staircase: () => ({ to: target(), staircase: { by: percentOf(by), every: every.value.trim() } }),
    cohort: () => ({ cohort: { keys: words(keys), segments: words(segments) } }),
  };
  confirm({
    title: `${rollbackName(status)}: ${rollout}`,
    what: [field("Who leaves the new path", choice), asked, effect],
    action: "Roll it back",
    isDangerous: true,
    check: wrong,
    // A rollback goes by no version: it must win.
    run: ({ reason }) =>
      steer(app, status, "rollback", { reason }, bodies[choice.value](), `${rollout} is rolled back`),
  });
}

export function freeze(app) {
  const until = element("input", { id: "until", type: "datetime-local" });
  const instant = () => (until.value === "" ? undefined : new Date(until.value));
  confirm({
    title: `Freeze ${app.environment}`,
    what: [
      paragraph("No rollout goes on until it is unfrozen. What turns rollouts back still does, and so do kills."),
      field("Until, by your clock; empty for until somebody unfreezes it", until),
    ],
    action: "Freeze it",
    check: () => (instant() && !(instant() > new Date()) ? "Choose a time that is to come, or none." : ""),
    run: ({ reason }) =>
      change(
        app,
        environmentPath(app.environment, "freeze"),
        { reason },
        {
          body: instant() ? { until: instant().toISOString() } : {},
          done: `Changes are frozen`,
        },
      ),
  });
}

export function unfreeze(app) {
  confirm({
    title: `Unfreeze ${app.environment}`,
    what: [paragraph("Rollouts go on again, once all that their steps ask for is so.")],
    action: "Unfreeze it",
    version: app.rollouts.version,
    run: (asked) => change(app, environmentPath(app.environment, "unfreeze"), asked, { done: "Rollouts go on again" }),
  });
}
