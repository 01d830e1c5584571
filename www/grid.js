// 1,000 users as a grid, the slider that moves them, and the server's engine beside it.
import { FATES, fate, SIZE, survey } from "./crowd.js";
import { $, element, plural } from "./dom.js";
import { percent } from "./explain.js";

/** From here on, colours come again; the legend and each user's label tell them apart. */
const VARIANT_COLOURS = 6;

const count = (names) => {
  const counts = Object.create(null);
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
};

export class Grid {
  #crowd;
  #active = 0;
  #cells = Array.from({ length: SIZE }, (_, index) => element("div", { id: `user-${index}`, role: "option" }));

  /** `onChoose` is told the key of the user who is to be explained. */
  constructor(onChoose) {
    $("grid").append(...this.#cells);
    $("percent").addEventListener("input", () => {
      // Definitions say percents more finely than a hand does.
      $("percent").value = String(Math.round(Number($("percent").value) * 10) / 10);
      this.#show();
    });
    $("published").addEventListener("click", () => {
      $("percent").value = String(this.#crowd.ramp.percent / 1000);
      this.#show();
    });
    const choose = (index) => {
      this.#moveTo(index);
      onChoose(`user-${index}`);
    };
    $("grid").addEventListener("keydown", (event) => {
      const columns = getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
      const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -SIZE, End: SIZE };
      if (event.key in moves) this.#moveTo(this.#active + moves[event.key]);
      else if (event.key === "Enter" || event.key === " ") choose(this.#active);
      else return;
      event.preventDefault();
    });
    $("grid").addEventListener("focus", () => this.#moveTo(this.#active));
    $("grid").addEventListener("click", ({ target }) => {
      const index = this.#cells.indexOf(target);
      if (index >= 0) choose(index);
    });
  }

  /** Evaluates a flag for all of them; `explain` explains it for a key. */
  async survey(signal, flag, explain) {
    const crowd = await survey(flag, explain);
    signal.throwIfAborted();
    this.#crowd = crowd;
    const { ramp } = this.#crowd;
    $("ramp").hidden = !ramp;
    if (ramp) $("percent").value = String(ramp.percent / 1000);
    for (const cell of this.#cells) cell.classList.remove("differs");
    this.#show();
    this.#check();
  }

  /** Their keys, in groups of those who are served the same for the same reason. */
  groups() {
    const groups = new Map();
    for (const { key, details } of this.#crowd.users) {
      const name = JSON.stringify([details.variant, details.reason]);
      if (!groups.has(name)) groups.set(name, { details, users: [] });
      groups.get(name).users.push(key);
    }
    return [...groups.values()];
  }

  /** Marks a user for whom the engines differ. */
  markDifferent(key) {
    const cell = $(key);
    cell.classList.add("differs");
    cell.title = cell.ariaLabel = `${cell.title}; the engines differ`;
  }

  #moveTo(index) {
    this.#cells[this.#active].classList.remove("active");
    this.#active = Math.max(0, Math.min(SIZE - 1, index));
    this.#cells[this.#active].classList.add("active");
    $("grid").setAttribute("aria-activedescendant", this.#cells[this.#active].id);
  }

  #show() {
    const { users, ramp } = this.#crowd;
    const variants = [...new Set(users.map(({ details }) => details.variant))];
    if (!ramp && variants.length > 1) return this.#showVariants(variants);
    const at = Math.round(Number($("percent").value) * 1000);
    const counts = Object.fromEntries(Object.keys(FATES).map((name) => [name, 0]));
    users.forEach((user, index) => {
      const what = fate(user, at);
      counts[what]++;
      const { variant = "the default" } = user.details;
      const where = user.ramp ? `position ${percent(user.ramp.position)}, ` : "";
      const label = `${user.key}: ${where}${FATES[what]}; served ${variant} now`;
      this.#label(index, what, label, what === "stays" || what === "joins");
    });
    const inside = counts.stays + counts.joins;
    $("percent-shown").textContent = percent(at);
    $("percent").setAttribute("aria-valuetext", `${percent(at)}, ${inside} of ${SIZE} users in`);
    $("summary").textContent = ramp
      ? `${inside} of ${SIZE.toLocaleString("en")} users are in at ${percent(at)}. Raising the percent only adds users; nobody moves out.`
      : "No percent decides this flag: every user here is served the same way, whatever their position.";
    const shown = Object.entries(FATES).filter(([name]) => counts[name] > 0);
    this.#showLegend(shown.map(([name, text]) => [name, counts[name], text]));
    $("grid").dataset.in = String(inside);
  }

  /** Without a percent, what tells users apart is what they are served. */
  #showVariants(variants) {
    const names = variants.map((variant) => variant ?? "the default").sort((a, b) => a.localeCompare(b, "en"));
    const served = this.#crowd.users.map(({ details }) => details.variant ?? "the default");
    const className = (name) => `variant-${names.indexOf(name) % VARIANT_COLOURS}`;
    served.forEach((name, index) => {
      this.#label(index, className(name), `user-${index}: served ${name}`, false);
    });
    const counts = count(served);
    $("summary").textContent = "No one percent decides this flag; the colours are the variants served.";
    this.#showLegend(names.map((name) => [className(name), counts[name], name]));
  }

  #label(index, className, label, isSelected) {
    const cell = this.#cells[index];
    if (cell.title === label) return;
    const kept = ["active", "differs"].filter((name) => cell.classList.contains(name));
    cell.className = [className, ...kept].join(" ");
    cell.title = label;
    cell.ariaLabel = label;
    cell.ariaSelected = String(isSelected);
  }

  #showLegend(entries) {
    const items = entries.map(([className, many, text]) =>
      element("li", {}, element("i", { className }), element("b", { text: many.toLocaleString("en") }), ` ${text}`),
    );
    $("legend").replaceChildren(...items);
  }

  /** Holds the slider's promise against what is served: at the defined percent both name the same users. */
  #check() {
    const { ramp, users } = this.#crowd;
    // A ramp that serves a split may serve those inside what those outside get.
    const isSplit = users.some(({ isSplit }) => isSplit);
    $("check").hidden = !ramp || isSplit;
    if ($("check").hidden) return;
    const variants = (isIn) =>
      users
        .filter((user) => user.ramp && user.ramp.position < ramp.percent === isIn)
        .map(({ details }) => details.variant);
    const [inside, outside] = [variants(true), new Set(variants(false))];
    const agree = inside.every((variant) => !outside.has(variant)) && outside.size <= 1;
    $("check").textContent = agree
      ? `At the defined ${percent(ramp.percent)} the engine serves exactly these ${plural(inside.length, "user")}.`
      : `At the defined ${percent(ramp.percent)} the engine serves others than these ${plural(inside.length, "user")}.`;
    $("check").className = agree ? "good" : "bad";
  }
}
