// Where a rollout is, how many are on its new path, and what keeps it there, in few words.
import { element, prose } from "../dom.js";
import { written } from "./diff.js";
import { PHASES } from "./terms.js";
import { countdown } from "./words.js";

export const phaseOf = ({ progress }) => progress?.phase ?? "none";

export const phaseBadge = (status) => {
  const phase = phaseOf(status);
  return element("span", { className: `badge phase ${phase}`, text: PHASES[phase] });
};

/** What is in the way, in a line. */
export function blockerLine({ message, until }) {
  const line = element("span", {}, ...prose(`${message[0].toUpperCase()}${message.slice(1)}`));
  if (until) line.append(" · ", countdown(until));
  return line;
}

/** Whether others let people in again whom a rollback had turned away. */
export const isRestored = ({ byHand }) => byHand.some(({ what }) => what === "restored");

/** Where a rollout is, in few words. */
export function place(status) {
  const { at, steps, progress } = status;
  if (!progress) return "";
  if (progress.step) return steps[at]?.name ?? progress.step;
  return isRestored(status) ? "at no step" : "nobody is in";
}

/** How many are on the new path, in words: a percent, or what there is in its place. */
const shown = (percent, mode) =>
  typeof percent === "number"
    ? written(percent, "percent")
    : { disabled: "nobody", testing: "testing", gradual: "in part", full: "everyone" }[mode];

/** How many are on the new path: `{percent}` in words and, where others made something else of its flags, `{percent, deeds}`. */
export function reach({ flags, byHand, percent, mode }) {
  const [first] = byHand;
  if (!first) return { percent: shown(percent, mode) };
  const isSame = byHand.every(({ what, percent }) => what === first.what && percent === first.percent);
  if (byHand.length < flags.length || !isSame) {
    const deeds = byHand.map(({ flag, what }) => `\`${flag}\` ${what} by hand`).join(", ");
    return { percent: shown(percent, mode), deeds };
  }
  const held = first.what === "killed" ? 0 : first.percent;
  return { percent: shown(typeof percent === "number" ? held : undefined, mode), deeds: `${first.what} by hand` };
}

/** What matters first of why it stays. */
export const firstBlocker = (status) => {
  const { blockers, verdict, progress } = status;
  if (!progress) return element("span", { className: "quiet", text: "Waits to be started" });
  if (blockers.length > 0) return blockerLine(blockers[0]);
  if (progress.phase === "rolledBack")
    return element("span", { text: `Turned back: ${progress.incident?.reason ?? ""}` });
  if (progress.phase === "completed")
    return element("span", { className: "quiet", text: "It has been through all of its steps" });
  return element("span", { text: verdict === "wait" ? "" : "Nothing is in the way" });
};

/** Whether a rollback killed the flags, and so left nobody whom another could take out. */
export const isTurnedBackWhole = (status) =>
  phaseOf(status) === "rolledBack" &&
  !status.progress.step &&
  status.progress.percent === undefined &&
  !isRestored(status);

/** What the rollback is called that can be done where it is. */
export const rollbackName = (status) =>
  phaseOf(status) !== "rolledBack" ? "Roll back" : isRestored(status) ? "Roll back again" : "Roll back further";
