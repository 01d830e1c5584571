// A rollout's steps as stations of a line: those it has passed, the one that it is at, and those to come.
import { element, unseen } from "../dom.js";

/** Whether the name of a step says its percent. */
export const isPercent = (name) => /^[\d.]+%$/.test(name);

/** What is special about a step. */
const notes = ({ name, soak, starts, ceiling, shadow, cleanup, requires = [] }, place) => [
  ...(shadow && name !== "shadow" ? ["shadow"] : []),
  ...(cleanup && name !== "cleanup" ? ["cleanup"] : []),
  ...(ceiling ? ["ceiling"] : []),
  ...(requires.length > 0 ? ["asks people"] : []),
  ...(starts && place > 0 ? [`from ${starts.slice(0, 10)}`] : []),
  ...(/[1-9]/.test(soak ?? "") ? [`soak ${soak}`] : []),
];

/** Where each step stands: passed, current, ahead; failed is where a rollback came from. */
function standings({ steps, at, progress }) {
  const here = at ?? -1;
  const failed = steps.findIndex(({ name }) => name === progress?.incident?.step);
  return steps.map((_, place) => {
    if (progress?.phase === "completed" || place < here) return "passed";
    if (place === here) return "current";
    return place === failed ? "failed" : "ahead";
  });
}

const SAID = { passed: "passed: ", current: "here: ", failed: "turned back here: ", ahead: "" };

/** How much of the soak of the current step is over, from 0 to 1; none where it has none left. */
export function soaked({ progress, blockers }) {
  const soak = blockers.find(({ kind }) => kind === "soak");
  if (!soak || !progress) return undefined;
  const [from, to] = [Date.parse(progress.entered), Date.parse(soak.until)];
  return Math.min(1, Math.max(0, (Date.now() - from) / (to - from)));
}

/** The whole line. */
export function track(status) {
  const held = standings(status);
  const items = status.steps.map((step, place) => {
    const { name, percent } = step;
    const labels = [element("b", { text: name })];
    if (typeof percent === "number" && !isPercent(name)) labels.push(element("span", { text: `${percent} %` }));
    labels.push(...notes(step, place).map((text) => element("small", { text })));
    const item = element(
      "li",
      { className: held[place] },
      unseen(SAID[held[place]]),
      element("i", { className: "stop" }),
      element("span", { className: "labels" }, ...labels),
    );
    if (held[place] === "current") item.setAttribute("aria-current", "step");
    return item;
  });
  const line = element("ol", { className: "track", tabIndex: 0, ariaLabel: "Steps" }, ...items);
  line.dataset.phase = status.progress?.phase ?? "none";
  return line;
}

/** Draws on the line how far the soak of the current step has come. */
export function drawSoak(line, status) {
  const here = line.querySelector(".current");
  here?.style.setProperty("--done", `${100 * (soaked(status) ?? 0)}%`);
}

/** Shows the part of a long line that matters. */
export function bringIntoView(line) {
  const here = line.querySelector(".current, .failed");
  if (here) line.scrollLeft = here.offsetLeft - line.clientWidth / 2;
}

/** The line in small, for lists. */
export function smallTrack(status) {
  const { steps, at, progress } = status;
  const stops = standings(status).map((held, place) =>
    element("i", { className: `stop ${held}`, title: `${SAID[held]}${steps[place].name}` }),
  );
  const where = at === null ? "at no step" : `at step ${at + 1} of ${steps.length}, ${steps[at].name}`;
  const line = element("span", { className: "small-track", role: "img", ariaLabel: where }, ...stops);
  line.dataset.phase = progress?.phase ?? "none";
  return line;
}
