// Reads the timeline out where somebody points at it, or goes along it with the arrow keys.

const { start, end, percents, waits, curves, moments } = JSON.parse(document.getElementById("data").textContent);

const lanes = document.querySelector(".lanes");
const first = lanes.querySelector(".plot");
const cursor = document.createElement("i");
const reader = document.querySelector(".reader");
/** What is read out once more where nobody points at anything. */
const hint = [...reader.childNodes];

const LONG = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });

cursor.className = "cursor";
cursor.hidden = true;
lanes.append(cursor);

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
  const happened = moments.findLast(([at]) => at === now);
  const told = happened ? [element("p", "", happened[1])] : [];
  reader.replaceChildren(head, ...told, numbers);
  lanes.setAttribute("aria-valuenow", String(Math.round(share * 100)));
  lanes.setAttribute("aria-valuetext", [head.textContent, happened?.[1]].filter(Boolean).join(". "));
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
  const near = moments.find(([at]) => Math.abs(at - time) < (end - start) * (4 / width));
  show(near ? near[0] : time);
});
lanes.addEventListener("pointerleave", () => {
  if (document.activeElement !== lanes) hide();
});
lanes.addEventListener("blur", hide);
lanes.addEventListener("focus", () => show(now ?? start));

lanes.addEventListener("keydown", (event) => {
  if (event.target !== lanes) return;
  const times = moments.map(([at]) => at);
  const page = (end - start) / 10;
  const to = {
    ArrowRight: () => times.find((at) => at > now) ?? end,
    ArrowLeft: () => times.findLast((at) => at < now) ?? start,
    PageUp: () => now + page,
    PageDown: () => now - page,
    Home: () => start,
    End: () => end,
  }[event.key];
  if (!to) return;
  event.preventDefault();
  show(to());
});
