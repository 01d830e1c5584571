// Times and people, as the page says them.
import { element } from "../dom.js";

const LONG = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

export const when = (time) => LONG.format(new Date(time));

function ago(time) {
  const seconds = Math.round((Date.parse(time) - Date.now()) / 1000);
  if (Math.abs(seconds) < 45) return "just now";
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? UNITS.at(-1);
  return RELATIVE.format(Math.round(seconds / length) || -1, unit);
}

/** An instant, as long ago as it is; the whole of it for whoever points at it. */
export const since = (time) => element("time", { dateTime: time, title: when(time), text: ago(time) });

/** Lets what {@link since} made grow older. */
export function grow() {
  for (const time of document.querySelectorAll("time")) time.textContent = ago(time.dateTime);
}
