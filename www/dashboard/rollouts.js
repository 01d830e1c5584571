// All rollouts of an environment: where each is, what keeps it there, and when it may go on.
import { element, plural, prose } from "../dom.js";
import { firstBlocker, phaseBadge, phaseOf, place, reach } from "./status.js";
import { freeze } from "./steering.js";
import { smallTrack } from "./track.js";
import { elapsed } from "./words.js";

/** Often enough for whoever watches several. */
const POLL_MS = 4_000;

export class RolloutsView {
  #app;
  #shown;
  #list = element("ul", { className: "rows rollout-rows" });
  #none = element("p", { className: "nothing", text: "Asking where rollouts stand …" });
  #freeze = element("button", { type: "button", text: "Freeze changes …" });

  constructor(app, main) {
    this.#app = app;
    this.#freeze.addEventListener("click", () => freeze(app));
    const heading = element("h2", { text: `Rollouts of ${app.environment}`, tabIndex: -1 });
    const top = element("div", { className: "heading" }, heading, this.#freeze);
    main.replaceChildren(element("section", { className: "page" }, top, this.#list, this.#none));
  }

  /** Asks again once it is time. */
  tick() {
    const { rolloutsAt, readRollouts } = this.#app;
    if (!document.hidden && !readRollouts.isRunning() && Date.now() - rolloutsAt > POLL_MS) readRollouts();
  }

  showVerbs() {
    this.#app.allowWrites(this.#freeze);
  }

  update() {
    this.showVerbs();
    if (!this.#app.rollouts) return;
    const { rollouts, frozen } = this.#app.rollouts;
    this.#freeze.hidden = Boolean(frozen);
    this.#none.hidden = rollouts.length > 0;
    this.#none.textContent = "No plan of a rollout is published here.";
    const shown = JSON.stringify(rollouts);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = this.#list.contains(document.activeElement) ? document.activeElement.textContent : undefined;
    this.#list.replaceChildren(...rollouts.map((status) => this.#row(status)));
    // Whoever has the focus on a link keeps it.
    if (focused !== undefined)
      [...this.#list.querySelectorAll("a")].find(({ textContent }) => textContent === focused)?.focus();
  }

  #row(status) {
    const { rollout, description, progress, flags, steps } = status;
    const name = element("div", { className: "cell name" }, this.#app.rolloutLink(rollout));
    name.append(element("p", { className: "about", text: description ?? flags.join(", ") }));
    const where = element("div", { className: "cell where" });
    const stands = element("p", {}, element("strong", { text: place(status) }));
    if (progress) stands.append(element("span", { className: "quiet" }, " for ", elapsed(progress.entered)));
    else stands.append(element("span", { className: "quiet", text: plural(steps.length, "step") }));
    where.append(smallTrack(status), stands);
    const { percent, deeds } = reach(status);
    if (deeds) where.append(element("p", { className: "deeds" }, ...prose(deeds)));
    const percentCell = element("div", { className: "cell percent", text: progress ? percent : "—" });
    const row = element(
      "li",
      { className: "row" },
      element("div", { className: "cell state" }, phaseBadge(status)),
      name,
      where,
      percentCell,
      element("div", { className: "cell waits" }, firstBlocker(status)),
    );
    row.dataset.rollout = rollout;
    row.dataset.phase = phaseOf(status);
    return row;
  }
}
