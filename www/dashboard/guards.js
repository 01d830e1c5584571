// Gates and triggers with what was measured: each a scale with its threshold, and a needle where the value is.
import { element, plural } from "../dom.js";

/** What a finding is for a gate, and for a trigger: its look, and its word. */
const GATE = {
  holds: ["good", "holds"],
  pending: ["pending", "not long enough yet"],
  fails: ["bad", "does not hold"],
  noData: ["unknown", "no data"],
  silence: ["unknown", "no data"],
};
const TRIGGER = {
  holds: ["open", "open"],
  pending: ["pending", "building up"],
  fails: ["quiet", "quiet"],
  noData: ["unknown", "no data"],
  silence: ["unknown", "no data"],
};

const ACTIONS = {
  hold: "holds the rollout",
  stepDown: "goes back a step",
  rollbackToPrevious: "rolls back to the step before",
  rollback: "rolls back to zero",
};

const QUANTITIES = { ratio: "ratio to ", delta: "difference to ", improvement: "improvement over " };

function finding({ action, finding, value }) {
  if (!action && finding === "pending" && value === undefined) return ["pending", "measures this step first"];
  return (action ? TRIGGER : GATE)[finding];
}

const chip = (reading) => {
  const [look, word] = finding(reading);
  return element("span", { className: `finding ${look}`, text: word });
};

const threshold = (text) => (text.trim().endsWith("%") ? parseFloat(text) / 100 : parseFloat(text));

/** The numbers that a condition is for, as it is written in plans: `< 0.1%`, `>= 500`, `0.2%..0.5%`. */
function bounds(condition) {
  const [, sign, limit] = /^\s*(<=|>=|<|>)?(.*)$/.exec(condition);
  if (sign?.startsWith("<")) return [-Infinity, threshold(limit)];
  if (sign) return [threshold(limit), Infinity];
  return condition.split("..").map(threshold);
}

const rounded = (number) => number.toLocaleString("en", { maximumSignificantDigits: 3 });

/** A number as the threshold that it is held against is written. */
const written = (number, { condition = "" }) =>
  condition.includes("%") ? `${rounded(100 * number)} %` : rounded(number);

/** From where to where a scale goes, so that its thresholds and the value are on it. */
function scale({ condition, value = 0 }, trail) {
  const marks = bounds(condition).filter(Number.isFinite);
  const from = Math.min(0, ...marks, value, ...trail);
  const most = Math.max(...marks.map((mark) => 2 * mark), 1.08 * value, ...trail.map((one) => 1.08 * one));
  const to = most > from ? most : from + 1;
  return (number) => Math.min(100, Math.max(0, (100 * (number - from)) / (to - from)));
}

const SVG = "http://www.w3.org/2000/svg";

function drawn(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** So many values are remembered while the page is open. */
const TRAIL = 60;

class Row {
  #chip = element("span");
  #about = element("span", { className: "quiet" });
  #zone = element("i");
  #needle = element("i", { className: "needle" });
  #trail = drawn("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", class: "trail", "aria-hidden": "true" });
  #gauge = element("div", { className: "gauge", role: "img" }, this.#zone, this.#needle);
  #scale = element("div", { className: "scale" }, this.#gauge, this.#trail);
  #value = element("b");
  #wanted = element("span", { className: "wanted" });
  #note = element("p", { className: "note" });
  #query = element("pre", { tabIndex: 0 });
  #asked = element("details", {}, element("summary", { text: "Query" }), this.#query);
  #values = [];
  element;

  constructor({ guard, action }, asked) {
    const name = element("p", { className: "guard-name" }, element("strong", { text: guard }));
    const kind = action ? `trigger: ${ACTIONS[action]}` : "gate";
    name.append(element("span", { className: "quiet", text: ` ${kind}${asked ? `, ${asked}` : ""}` }));
    const numbers = element("p", { className: "numbers" }, this.#value, " ", this.#wanted);
    const about = element("div", { className: "guard-about" }, name, this.#about, this.#note, this.#asked);
    this.element = element("li", { className: "guard" }, this.#chip, about, this.#scale, numbers);
  }

  show(reading) {
    const { condition, value, baseline, samples, quantity, query, note, action } = reading;
    const [look] = finding(reading);
    this.element.dataset.look = look;
    this.#chip.replaceChildren(chip(reading));
    const told = [
      ...(baseline === undefined ? [] : [`${QUANTITIES[quantity] ?? ""}baseline ${rounded(baseline)}`]),
      ...(samples === undefined ? [] : [`of ${rounded(samples)} samples`]),
    ];
    this.#about.textContent = told.join(", ");
    this.#note.textContent = note ?? "";
    this.#query.textContent = query ?? "";
    this.#asked.hidden = !query;
    this.#scale.hidden = !condition;
    this.#value.textContent = value === undefined ? (condition ? "—" : "") : written(value, reading);
    this.#wanted.textContent = condition ?? "";
    if (!condition) return;
    const place = scale(reading, this.#values);
    const [from, to] = bounds(condition).map(place);
    this.#zone.className = action ? "zone wrong" : "zone right";
    this.#zone.style.left = `${from}%`;
    this.#zone.style.width = `${to - from}%`;
    this.#needle.hidden = value === undefined;
    if (value !== undefined) this.#needle.style.left = `${place(value)}%`;
    const is = value === undefined ? "nothing is measured" : `it is ${written(value, reading)}`;
    this.#gauge.ariaLabel = `${is}, ${action ? "wrong would be" : "wanted is"} ${condition}`;
    this.#values = [...this.#values, ...(value === undefined ? [] : [value])].slice(-TRAIL);
    const points = this.#values.map((one, index) => `${(100 * index) / (TRAIL - 1)},${100 - place(one)}`);
    const limits = bounds(condition).filter(Number.isFinite).map(place);
    this.#trail.replaceChildren(
      ...limits.map((at) => drawn("line", { x1: 0, x2: 100, y1: 100 - at, y2: 100 - at, class: "limit" })),
      drawn("polyline", { points: points.join(" ") }),
    );
  }
}

/** How long and how often a guard of the plan that has a name of its own asks for it; what has none says it in its sentence. */
function asks(plan, guard) {
  const { steps, gates = [], triggers = [], afterRollback = {} } = plan;
  const all = [...steps, afterRollback, { gates, triggers }].flatMap((one) => [
    ...(one.gates ?? []),
    ...(one.triggers ?? []),
  ]);
  const found = all.find(({ name }) => name === guard);
  if (!found) return "";
  return [
    ...(found.for ? [`for ${found.for}`] : []),
    ...(found.consecutive > 1 ? [`${found.consecutive} times in a row`] : []),
  ].join(", ");
}

/** What is measured, kept up to date row by row, so that needles move and what is open stays open. */
export class Guards {
  #rows = new Map();
  element = element("ul", { className: "guards" });

  show(readings, plan) {
    const wanted = new Map(readings.map((reading) => [`${reading.action ?? "gate"} ${reading.guard}`, reading]));
    for (const [key, row] of this.#rows)
      if (!wanted.has(key)) {
        row.element.remove();
        this.#rows.delete(key);
      }
    [...wanted].forEach(([key, reading], place) => {
      if (!this.#rows.has(key)) {
        const row = new Row(reading, asks(plan, reading.guard));
        this.#rows.set(key, row);
        this.element.insertBefore(row.element, this.element.children[place] ?? null);
      }
      this.#rows.get(key).show(reading);
    });
  }
}

/** What was measured when something was decided, as a fold. */
export function evidence(readings) {
  const rows = readings.map((reading) => {
    const { guard, value, condition, samples, query, note } = reading;
    const told = [
      ...(value === undefined ? [] : [`${written(value, reading)}${condition ? ` (${condition})` : ""}`]),
      ...(samples === undefined ? [] : [`${rounded(samples)} samples`]),
      ...(note ? [note] : []),
    ];
    const row = element(
      "li",
      {},
      chip(reading),
      element("strong", { text: guard }),
      element("span", { className: "quiet", text: told.join(", ") }),
    );
    if (query) row.append(element("pre", { text: query, tabIndex: 0 }));
    return row;
  });
  const text = `Evidence: ${plural(readings.length, "reading")}`;
  return element("details", { className: "evidence" }, element("summary", { text }), element("ul", {}, ...rows));
}
