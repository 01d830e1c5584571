// One flag: what holds, who is in, how it is decided, and how it came to be so.
import { element, newest } from "../dom.js";
import { ask, environmentPath } from "./api.js";
import { written } from "./diff.js";
import { Explanation } from "./explanation.js";
import { badge } from "./flags.js";
import { History } from "./history.js";
import { firstBlocker, phaseBadge, place } from "./status.js";
import { table } from "./shares.js";
import { timeline } from "./timeline.js";
import { smallTrack } from "./track.js";
import { hasRamp, kill, restore, setEnabled, setPercent } from "./verbs.js";
import { since, when } from "./words.js";

export const section = (id, title, ...content) => {
  const heading = element("h3", { id: `${id}-title`, text: title });
  const made = element("section", { id, className: "card" }, heading, ...content);
  made.setAttribute("aria-labelledby", heading.id);
  return made;
};

/** The ramp as a line from 0 to 100 %, what is in filled, and where a user stands. */
function ruler({ ramp, definition }, position) {
  const line = element("div", { className: "ruler" });
  const mark = (className, at, text) => {
    const made = element(
      "span",
      { className: `${className} ${at > 80 ? "at-end" : at < 20 ? "at-start" : ""}` },
      element("b", { text }),
    );
    made.style.left = `${at}%`;
    line.append(made);
  };
  if (typeof ramp.percent === "number") {
    const fill = element("i");
    fill.style.width = `${ramp.percent}%`;
    line.append(fill);
    mark("now", ramp.percent, written(ramp.percent, "percent"));
    const defined = definition.default.ramp.percent;
    if (typeof defined === "number" && defined !== ramp.percent)
      mark("defined", defined, `defined: ${written(defined, "percent")}`);
  }
  if (position !== undefined) mark("user", position / 1000, `position ${written(position / 1000, "percent")}`);
  return line;
}

export class FlagView {
  #app;
  #key;
  #version;
  #position;
  #stats;
  #head = element("div", { className: "flag-head" });
  #verbs = element("div", { className: "verbs" });
  #buttons = {};
  #facts = element("div", { className: "facts" });
  #ruler = element("div");
  #shares = element("div", { className: "shares-table", ariaBusy: "true" });
  #rollouts = element("div");
  #shownRollouts;
  #timeline = element("div");
  #definition = element("div");
  #explanation;
  #history;
  #gone = element("p", { className: "nothing", hidden: true });
  #body;

  constructor(app, main, key) {
    this.#app = app;
    this.#key = key;
    this.#explanation = new Explanation(app);
    this.#explanation.onPosition = (position) => {
      this.#position = position;
      this.#showRuler();
    };
    this.#history = new History(app, key);
    this.#history.onEntries = (entries) =>
      this.#flag && this.#timeline.replaceChildren(timeline(this.#flag, app.flags, entries));
    const verb = (name, text, run) => {
      this.#buttons[name] = element("button", { type: "button", text });
      this.#buttons[name].addEventListener("click", () => run(this.#flag));
      this.#verbs.append(this.#buttons[name]);
    };
    verb("percent", "Set the percent …", (flag) => setPercent(app, flag));
    verb("enabled", "Disable …", (flag) => setEnabled(app, flag));
    verb("restore", "Restore …", (flag) => restore(app, flag.killed.by, flag));
    verb("kill", "Kill …", (flag) => kill(app, flag));
    this.#buttons.kill.className = "danger";
    this.#buttons.restore.className = "primary";
    const heading = element("h2", { className: "flag-key", text: key, tabIndex: -1 });
    const back = element("a", { className: "back", href: app.hash(), text: "All flags" });
    const title = element("div", { className: "flag-title" }, heading, this.#head);
    const top = element("div", { className: "flag-top" }, title, this.#verbs);
    this.#body = element(
      "div",
      { className: "cards" },
      element(
        "div",
        { className: "column-of-cards" },
        section("who", "Who is in", this.#ruler, this.#shares),
        section("rollout", "Rollout", this.#rollouts),
        section("over-time", "Over time", this.#timeline),
      ),
      section("how", "How it is decided", this.#explanation.element),
      section("history", "History", this.#history.element),
      section("definition", "Definition", this.#definition),
    );
    main.replaceChildren(element("section", { className: "page" }, back, top, this.#facts, this.#gone, this.#body));
  }

  get #flag() {
    return this.#app.flags.flags.find(({ key }) => key === this.#key);
  }

  update() {
    const flag = this.#flag;
    this.#body.hidden = this.#verbs.hidden = !flag;
    this.#gone.hidden = Boolean(flag);
    if (!flag) {
      this.#gone.textContent = `There is no flag ${this.#key} in ${this.#app.environment} at version ${this.#app.flags.version}.`;
      return;
    }
    this.#askStats();
    this.#showRollouts();
    if (this.#version === this.#app.flags.version) return;
    this.#version = this.#app.flags.version;
    this.#showHead(flag);
    this.#showRuler();
    this.#showDefinition(flag);
    this.#explanation.update(flag);
    this.#history.update();
  }

  /** Whether writes are allowed may have changed. */
  showVerbs() {
    const flag = this.#flag;
    if (!flag) return;
    this.#buttons.kill.hidden = Boolean(flag.killed);
    this.#buttons.restore.hidden = !flag.killed;
    const by = flag.killed?.by;
    this.#buttons.restore.textContent =
      by === "all" ? "Restore everything …" : by?.startsWith("tag:") ? `Restore the tag ${by.slice(4)} …` : "Restore …";
    this.#buttons.percent.hidden = !hasRamp(flag);
    this.#buttons.enabled.textContent = flag.enabled ? "Disable …" : "Enable …";
    for (const button of Object.values(this.#buttons)) this.#app.allowWrites(button);
  }

  /** The rollouts that move it: where they are, and what they wait for. */
  #showRollouts() {
    const rollouts = this.#app.rolloutsOf(this.#key);
    const shown = JSON.stringify(rollouts);
    if (shown === this.#shownRollouts) return;
    this.#shownRollouts = shown;
    const none = "No rollout moves this flag: its percent changes by hand, by schedule, or by publishing.";
    const items = rollouts.map((status) => {
      const stands = element("p", { className: "stands" }, this.#app.rolloutLink(status.rollout), phaseBadge(status));
      if (status.progress) stands.append(element("strong", { text: place(status) }));
      return element(
        "div",
        { className: "flag-rollout" },
        stands,
        smallTrack(status),
        element("p", {}, firstBlocker(status)),
      );
    });
    this.#rollouts.replaceChildren(...(items.length > 0 ? items : [element("p", { className: "quiet", text: none })]));
  }

  #showHead(flag) {
    const { definition, killed } = flag;
    this.showVerbs();
    this.#head.replaceChildren(
      badge(flag, this.#app.stats.get(flag.key)),
      element("p", { text: definition.description ?? "" }),
    );
    const facts = [
      ["Owner", definition.owner],
      ["Tags", (definition.tags ?? []).join(", ")],
      ["Goes to", definition.client ? "servers and clients" : "servers alone"],
      ["Buckets by", definition.bucketBy ?? "targetingKey"],
      ["Off variant", definition.off],
    ].filter(([, text]) => text);
    const items = facts.map(([name, text]) =>
      element("div", {}, element("dt", { text: name }), element("dd", { text })),
    );
    if (definition.expires) {
      const isOver = Date.parse(definition.expires) < Date.now();
      const text = `${isOver ? "Had its time on" : "Until"} ${when(definition.expires)}`;
      items.push(
        element(
          "div",
          { className: isOver ? "stale" : "" },
          element("dt", { text: "Expiry" }),
          element("dd", { text }),
        ),
      );
    }
    this.#facts.replaceChildren(element("dl", {}, ...items));
    if (!killed) return;
    const by = { flag: "", all: " with everything" }[killed.by] ?? ` with ${killed.by.replace(":", " ")}`;
    const told = element(
      "p",
      { className: "killed-by" },
      element("strong", { text: `Killed${by} by ${killed.author ?? "somebody"}: ` }),
      killed.reason ?? "no reason given",
      " ",
    );
    if (killed.at) told.append(since(killed.at));
    this.#facts.prepend(told);
  }

  #showRuler() {
    const flag = this.#flag;
    this.#ruler.replaceChildren(...(flag?.ramp ? [ruler(flag, this.#position)] : []));
    this.#ruler.className = flag?.killed ? "is-killed" : "";
  }

  #showDefinition({ definition, state }) {
    const json = (text, value) =>
      element(
        "details",
        {},
        element("summary", { text }),
        element("pre", { text: JSON.stringify(value, null, 2), tabIndex: 0 }),
      );
    const changed = state
      ? json("What operators changed of it, as JSON", state)
      : element("p", { className: "quiet", text: "No operator changed anything of it." });
    this.#definition.replaceChildren(json("As published, as JSON", definition), changed);
  }

  #askStats = newest(async (signal) => {
    const path = environmentPath(this.#app.environment, "flags", this.#key, "stats");
    try {
      const stats = await ask(path, { signal });
      const shown = JSON.stringify(stats);
      if (shown === this.#stats) return;
      this.#stats = shown;
      if (this.#flag) this.#shares.replaceChildren(...table(stats, this.#flag.definition));
    } catch (error) {
      signal.throwIfAborted();
      if (!this.#stats)
        this.#shares.replaceChildren(
          element("p", { className: "quiet", text: `There is no estimate: ${error.message}.` }),
        );
    }
    this.#shares.ariaBusy = "false";
  });
}
