// How far a rollout was open over time, from its decisions: a line of steps, with what turned it.
import { element, plural } from "../dom.js";
import { when } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

function path(className, d) {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("class", className);
  made.setAttribute("d", d);
  made.setAttribute("vector-effect", "non-scaling-stroke");
  return made;
}

/** What people look for in the line. */
const MARKS = {
  held: "held",
  steppedDown: "back",
  rolledBack: "back",
  rollingBack: "back",
  retried: "begun",
  started: "begun",
  completed: "done",
};

/** The percent that a decision left the rollout at. */
function percentOf({ percent, step, phase }, steps) {
  if (typeof percent === "number") return percent;
  if (phase === "rolledBack" && !step) return 0;
  return steps.find(({ name }) => name === step)?.percent ?? 0;
}

/** Draws `decisions`, the newest first, up to `until`, in milliseconds. */
export function plot(decisions, { steps }, until) {
  const points = decisions
    .map((one) => ({ ...one, time: Date.parse(one.decision.at), level: percentOf(one, steps) }))
    .reverse();
  const [{ time: from }] = points;
  const to = Math.max(until, points.at(-1).time, from + 1000);
  const x = (time) => (100 * (time - from)) / (to - from);
  let line = "M0,100";
  for (const { time, level } of points) line += ` H${x(time)} V${100 - level}`;
  line += " H100";
  const drawing = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 100 100", preserveAspectRatio: "none" }))
    drawing.setAttribute(key, value);
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(path("under", `${line} V100 Z`), path("over", line));
  const marks = points
    .filter(({ decision }) => MARKS[decision.what])
    .map(({ decision, time, level, version }) => {
      const mark = element("i", {
        className: `mark ${MARKS[decision.what]}`,
        title: `Version ${version}, ${when(decision.at)}: ${decision.reason}`,
      });
      mark.style.left = `${x(time)}%`;
      mark.style.bottom = `${level}%`;
      return mark;
    });
  const levels = points.map(({ level }) => `${level} %`);
  const canvas = element("div", {
    className: "canvas",
    role: "img",
    ariaLabel: `${plural(points.length, "decision")} from ${when(from)} on: ${levels.join(", ")}`,
  });
  canvas.append(drawing, ...marks);
  const ends = element(
    "p",
    { className: "ends" },
    element("span", { text: when(from) }),
    element("span", { text: "now" }),
  );
  const scale = element("p", { className: "levels", ariaHidden: "true" });
  scale.append(...["100 %", "50 %", "0 %"].map((text) => element("span", { text })));
  return element("div", { className: "plot" }, scale, canvas, ends);
}
