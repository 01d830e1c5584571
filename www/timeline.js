// Reads the timeline out where somebody points at it, or goes along it with the arrow keys.

const { start, end, percents, waits, curves, moments } = JSON.parse(document.getElementById("data").textContent);

const lanes = document.querySelector(".lanes");
const scrub = document.querySelector(".scrub");
const first = lanes.querySelector(".plot");
const cursor = document.createElement("i");
const reader = document.querySelector(".reader");
/** What is read out once more where nobody points at anything. */
const hint = [...reader.childNodes];

const LONG = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });

cursor.className = "cursor";
cursor.hidden = true;
lanes.append(cursor);
scrub.hidden = false;

/** An element with text, never markup, in it. */
function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

/** The last of some that begin, in order, which has begun. */
const last = (all, time) => all.findLast(([from]) => from <= time);

/** Where the cursor is, in milliseconds; none where it is nowhere. */
let now;

function show(time) {
  now = Math.min(end, Math.max(start, time));
  const share = (now - start) / Math.max(1, end - start);
  cursor.hidden = false;
  cursor.style.left = `${first.offsetLeft + share * first.offsetWidth}px`;

  const [, percent] = last(percents, now) ?? [0, 0];
  const head = document.createElement("p");
  head.append(element("strong", "", `${LONG.format(now)} UTC`), ` · ${percent} %`);
  const reasons = waits.filter(([from, until]) => from <= now && now < until).map(([, , text]) => text);
  if (reasons.length > 0) head.append(` · ${reasons.join("; ")}`);
  const numbers = document.createElement("ul");
  for (const { title, points } of curves) {
    const [, text, found] = last(points, now) ?? [];
    if (text !== undefined) numbers.append(element("li", found, `${title} ${text}`));
  }
  const happened = moments.filter(([at]) => at === now).map(([, text]) => text);
  const told = happened.map((text) => element("p", "", text));
  reader.replaceChildren(head, ...told, numbers);
  scrub.value = String(share * scrub.max);
  scrub.setAttribute("aria-valuetext", [head.textContent, ...happened].join(". "));
}

function hide() {
  now = undefined;
  cursor.hidden = true;
  reader.replaceChildren(...hint);
}

lanes.addEventListener("pointermove", ({ clientX }) => {
  const { left, width } = first.getBoundingClientRect();
  const time = start + ((clientX - left) / width) * (end - start);
  // What happened is what people point at.
  const near = moments
    .map(([at]) => at)
    .reduce((best, at) => (Math.abs(at - time) < Math.abs(best - time) ? at : best), start);
  show(Math.abs(near - time) < (end - start) * (4 / width) ? near : time);
});
lanes.addEventListener("pointerleave", () => {
  if (document.activeElement !== scrub) hide();
});
scrub.addEventListener("focus", () => show(now ?? start));
scrub.addEventListener("blur", hide);
scrub.addEventListener("input", () => show(start + (scrub.value / scrub.max) * (end - start)));

// From one thing that happened to the next.
scrub.addEventListener("keydown", (event) => {
  const times = moments.map(([at]) => at);
  const to = {
    ArrowRight: () => times.find((at) => at > now) ?? end,
    ArrowLeft: () => times.findLast((at) => at < now) ?? start,
  }[event.key];
  if (!to) return;
  event.preventDefault();
  show(to());
});
