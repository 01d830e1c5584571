// How far a flag is open, in a word.
import { arranged, offVariant } from "./shares.js";

/** What a flag does, in a word. */
export const STANDINGS = { on: "on", part: "in part", off: "off", disabled: "disabled", killed: "killed" };

/** The part of people who get anything but the off variant. */
export const open = (parts) =>
  parts.filter(({ colour }) => colour !== "off").reduce((sum, { percent }) => sum + percent, 0);

/** Which of the {@link STANDINGS} a flag has: by what holds for it and, where the time decides, by what is estimated. */
export function standing({ enabled, killed, ramp, ruleRamps, definition, state }, stats) {
  if (killed) return "killed";
  if (!enabled) return "disabled";
  const serve = definition.default ?? offVariant(definition);
  const byTime = stats && open(arranged(stats.shares, definition));
  const percent = ramp ? (ramp.percent ?? byTime) : serve === offVariant(definition) ? 0 : 100;
  if (percent === 100) return "on";
  if (percent !== 0) return "part";
  const rules = (definition.rules ?? []).some(
    ({ id, serve }) => !serve.ramp || (ruleRamps?.[id] ?? serve.ramp).percent !== 0,
  );
  const lists = [...(definition.allow ?? []), ...(state?.allow ?? [])].length > 0;
  return rules || lists ? "part" : "off";
}
