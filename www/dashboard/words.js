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

const LENGTHS = [
  ["d", 86_400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

/** How long it is, by the two units that matter: `8 s`, `3 min 20 s`, `4 d 3 h`. */
function span(ms) {
  let seconds = Math.max(0, Math.round(ms / 1000));
  const first = LENGTHS.findIndex(([, length]) => seconds >= length);
  if (first < 0) return "0 s";
  const told = LENGTHS.slice(first, first + 2).map(([unit, length]) => {
    const count = Math.floor(seconds / length);
    seconds -= count * length;
    return count > 0 ? `${count} ${unit}` : "";
  });
  return told.filter(Boolean).join(" ");
}

const counting = (className, time) => {
  const made = element("span", { className, title: when(time) });
  made.dataset.at = time;
  count(made);
  return made;
};

function count(made) {
  const away = Date.parse(made.dataset.at) - Date.now();
  const text = made.className === "elapsed" ? span(-away) : away > 0 ? `in ${span(away)}` : "now";
  if (made.textContent !== text) made.textContent = text;
}

/** How long it is until an instant; {@link tick} keeps it so. */
export const countdown = (time) => counting("countdown", time);

/** For how long it has been so; {@link tick} keeps it so. */
export const elapsed = (time) => counting("elapsed", time);

/** Lets what {@link countdown} and {@link elapsed} made count. */
export function tick() {
  for (const made of document.querySelectorAll(".countdown, .elapsed")) count(made);
}
