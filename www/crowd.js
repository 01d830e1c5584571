// 1,000 users and one flag: who is served what, and who would be at another percent.
import { lastRamp } from "./explain.js";

export const SIZE = 1000;

/** What a percent makes of a user, in the order of the legend. */
export const FATES = {
  stays: "in, as defined",
  joins: "would join at this percent",
  leaves: "would leave at this percent",
  out: "out",
  fixed: "decided before the percent counts",
};

/**
 * What the engine says of every user. Their positions come from its explanations: those below a ramp's percent are in, at
 * any percent, which is the promise that the slider shows.
 */
export async function survey(flag, explain) {
  const keys = Array.from({ length: SIZE }, (_, index) => `user-${index}`);
  const explained = keys.map(async (key) => {
    const explanation = await explain(key);
    const isSplit = explanation.steps.some(({ findings }) => findings.some(({ kind }) => kind === "part"));
    return { key, details: explanation.details, ramp: lastRamp(explanation), isSplit };
  });
  const users = await Promise.all(explained);
  // The slider moves the ramp that most of them meet; a rule's or a list's users are decided without it.
  const met = new Map();
  for (const { ramp } of users) if (ramp) met.set(ramp.name, (met.get(ramp.name) ?? 0) + 1);
  const [name] = [...met].reduce((most, next) => (next[1] > most[1] ? next : most), [undefined, 0]);
  for (const user of users) if (user.ramp?.name !== name) user.ramp = undefined;
  const ramp = users.find(({ ramp }) => ramp)?.ramp;
  return { flag, users, ramp: ramp && { name, percent: ramp.percent } };
}

/** What becomes of a user at a percent, in thousandths. */
export function fate({ ramp }, percent) {
  if (!ramp) return "fixed";
  const [now, then] = [ramp.position < ramp.percent, ramp.position < percent];
  if (now) return then ? "stays" : "leaves";
  return then ? "joins" : "out";
}
