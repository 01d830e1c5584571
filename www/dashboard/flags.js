// All flags of an environment at a glance.
import { element, plural } from "../dom.js";
import { written } from "./diff.js";
import { phaseOf, place } from "./status.js";
import { arranged, bar, inWords, share } from "./shares.js";
import { open, STANDINGS, standing } from "./standing.js";
import { PHASES } from "./terms.js";
import { killMany, restore } from "./verbs.js";
import { since } from "./words.js";

export const badge = (flag, stats) => {
  const name = standing(flag, stats);
  return element("span", { className: `badge ${name}`, text: STANDINGS[name] });
};

/** What moves the percent of a flag: rollouts, or else. */
function mover(app, { ramp, state }, rollouts) {
  if (rollouts.length > 0)
    return rollouts.flatMap((status) => {
      const where = [place(status), PHASES[phaseOf(status)]].filter(Boolean).join(" · ");
      return [app.rolloutLink(status.rollout), element("span", { className: "stands", text: where })];
    });
  if (state?.percent?.default !== undefined) return ["by hand"];
  return [ramp?.schedule ? "schedule" : ""];
}

class Row {
  #badge = element("div", { className: "cell state" });
  #name = element("div", { className: "cell name" });
  #shares = element("div", { className: "cell shares" });
  #owner = element("div", { className: "cell owner" });
  #rollout = element("div", { className: "cell rollout" });
  element;
  #app;
  #shown;

  constructor(app, { key }) {
    this.#app = app;
    // The link stays what it is, so that whoever has the focus on it keeps it.
    this.#name.append(app.linkTo(key));
    this.element = element(
      "li",
      { className: "row" },
      this.#badge,
      this.#name,
      this.#shares,
      this.#owner,
      this.#rollout,
    );
    this.element.dataset.flag = key;
  }

  show(flag, stats) {
    const rollouts = this.#app.rolloutsOf(flag.key);
    const steps = rollouts.map((status) => [status.rollout, phaseOf(status), place(status)]);
    const shown = JSON.stringify([flag, stats, steps]);
    if (shown === this.#shown) return;
    const isChange = this.#shown !== undefined && JSON.stringify(flag) !== JSON.stringify(JSON.parse(this.#shown)[0]);
    this.#shown = shown;
    if (isChange) {
      this.element.classList.remove("changed");
      requestAnimationFrame(() => this.element.classList.add("changed"));
    }
    const { definition, killed, ramp } = flag;
    this.element.dataset.standing = standing(flag, stats);
    this.#badge.replaceChildren(badge(flag, stats));
    const tags = (definition.tags ?? []).map((text) => element("span", { className: "tag", text }));
    const [link] = this.#name.children;
    const about = element("p", { className: "about", text: definition.description ?? "" });
    this.#name.replaceChildren(link, element("span", { className: "tags" }, ...tags), about);
    if (killed)
      about.replaceChildren(
        element("span", { className: "by", text: killed.author ?? "Somebody" }),
        `: ${killed.reason ?? "no reason given"} · `,
        ...(killed.at ? [since(killed.at)] : []),
      );
    const parts = stats ? arranged(stats.shares, definition) : [];
    const label = stats ? `Estimated: ${inWords(parts)}` : "Not estimated yet";
    const meter = element("div", { className: "meter" }, bar(parts, label));
    if (typeof ramp?.percent === "number") {
      const mark = element("i", { className: "mark", title: `Percent: ${written(ramp.percent, "percent")}` });
      mark.style.left = `${ramp.percent}%`;
      meter.append(mark);
    }
    this.#shares.replaceChildren(
      meter,
      element("span", { className: "share", text: stats ? share(open(parts)) : "…" }),
    );
    this.#owner.textContent = definition.owner ?? "";
    this.#rollout.replaceChildren(...mover(this.#app, flag, rollouts));
  }
}

export class FlagsView {
  #app;
  #rows = new Map();
  #list = element("ul", { className: "rows" });
  #none = element("p", { className: "nothing", hidden: true });
  #filter = element("input", {
    id: "filter",
    type: "search",
    placeholder: "Filter by key, tag, owner or description",
    ariaLabel: "Filter flags",
  });
  #tiles = element("fieldset", { className: "tiles" }, element("legend", { className: "unseen", text: "Show" }));
  #counts = new Map();
  #killMany = element("button", { type: "button", className: "danger quiet-danger", text: "Kill by tag, or all …" });
  #tags = element("div", { className: "killed-tags" });

  constructor(app, main) {
    this.#app = app;
    for (const [name, text] of [["all", "flags"], ...Object.entries(STANDINGS)]) {
      const count = element("b", { text: "0" });
      this.#counts.set(name, count);
      const radio = element("input", { type: "radio", name: "standing", value: name, checked: name === "all" });
      radio.addEventListener("change", () => this.#narrow());
      this.#tiles.append(
        element("label", { className: `tile ${name}` }, radio, element("span", {}, count, ` ${text}`)),
      );
    }
    this.#filter.addEventListener("input", () => this.#narrow());
    this.#killMany.addEventListener("click", () => killMany(app));
    const heads = ["State", "Flag", "Who gets what", "Owner", "Rollout"].map((text) => element("span", { text }));
    const head = element("div", { className: "row head", ariaHidden: "true" }, ...heads);
    const heading = element("h2", { className: "unseen", text: `Flags of ${app.environment}`, tabIndex: -1 });
    const bar = element("div", { className: "toolbar" }, this.#filter, this.#killMany);
    main.replaceChildren(
      element("section", { className: "page" }, heading, this.#tiles, bar, this.#tags, head, this.#list, this.#none),
    );
  }

  update() {
    const { flags, killedTags } = this.#app.flags;
    const keys = new Set(flags.map(({ key }) => key));
    for (const [key, row] of this.#rows)
      if (!keys.has(key)) {
        row.element.remove();
        this.#rows.delete(key);
      }
    let before = null;
    for (const flag of [...flags].reverse()) {
      let row = this.#rows.get(flag.key);
      if (!row) {
        row = new Row(this.#app, flag);
        this.#rows.set(flag.key, row);
        this.#list.insertBefore(row.element, before);
      }
      row.show(flag, this.#app.stats.get(flag.key));
      before = row.element;
    }
    this.#app.allowWrites(this.#killMany);
    const lines = Object.entries(killedTags).map(([tag, kill]) => {
      const button = element("button", { type: "button", text: "Restore …" });
      button.addEventListener("click", () => restore(this.#app, `tag:${tag}`));
      this.#app.allowWrites(button);
      const by = element(
        "p",
        {},
        element("strong", { text: `The tag ${tag} is killed` }),
        ` by ${kill.author ?? "somebody"}: ${kill.reason ?? ""} · `,
      );
      if (kill.at) by.append(since(kill.at));
      return element("div", { className: "killed-tag" }, by, button);
    });
    this.#tags.replaceChildren(...lines);
    this.#narrow();
  }

  /** Shows those that are looked for. */
  #narrow() {
    const { flags } = this.#app.flags;
    const words = this.#filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = this.#tiles.querySelector("input:checked").value;
    const counts = Object.fromEntries([...this.#counts.keys()].map((name) => [name, 0]));
    let shown = 0;
    for (const flag of flags) {
      const { key, definition } = flag;
      const text = [key, definition.description, definition.owner, ...(definition.tags ?? [])].join(" ").toLowerCase();
      const isFound = words.every((word) => text.includes(word));
      const name = standing(flag, this.#app.stats.get(key));
      if (isFound) {
        counts[name]++;
        counts.all++;
      }
      const isShown = isFound && (wanted === "all" || wanted === name);
      this.#rows.get(key).element.hidden = !isShown;
      shown += Number(isShown);
    }
    for (const [name, count] of this.#counts) count.textContent = String(counts[name]);
    this.#none.hidden = shown > 0;
    this.#none.textContent =
      flags.length === 0 ? "No flag is published here." : `None of ${plural(flags.length, "flag")} is like that.`;
  }
}
