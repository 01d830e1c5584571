// One rollout: where it is, what keeps it there, what is measured, what people said and did, and how it came to be so.
import { element, newest, prose, quiet } from "../dom.js";
import { ask, environmentPath, Refused, Unreachable } from "./api.js";
import { Decisions } from "./decisions.js";
import { section } from "./flag.js";
import { evidence, Guards } from "./guards.js";
import { plot } from "./plot.js";
import { requirements } from "./requirements.js";
import { signals, signalsOf } from "./signals.js";
import { standing } from "./standing.js";
import {
  blockerLine,
  isRestored,
  isTurnedBackWhole,
  phaseBadge,
  phaseOf,
  place,
  reach,
  rollbackName,
} from "./status.js";
import { hold, resume, retry, rollback, start } from "./steering.js";
import { BLOCKERS, PHASES, RECOVERIES, VERDICTS } from "./terms.js";
import { bringIntoView, drawSoak, isPercent, track } from "./track.js";
import { countdown, elapsed, since, when } from "./words.js";

/** Values change without a version. */
const POLL_MS = 2_000;

/** What comes right by itself, or by what is measured. */
const PASSES = ["soak", "start", "gate", "trigger", "noData"];

/** Whether it stays until somebody does something, however long it takes. */
const waitsForSomebody = ({ blockers }) => blockers.some(({ kind, until }) => !until && !PASSES.includes(kind));

export class RolloutView {
  #app;
  #name;
  #status;
  #version;
  #decisions;
  #askedAt = 0;
  #shown = new Map();
  #head = element("div", { className: "flag-head" });
  #verbs = element("div", { className: "verbs" });
  #buttons = {};
  #gone = element("p", { className: "nothing", text: "Asking where it stands …" });
  #track = element("div");
  #line;
  #sentence = element("div", { className: "sentence" });
  #incident = element("div");
  #waits = element("div");
  #guards = new Guards();
  #unmeasured = element("p", { className: "quiet" });
  #words = element("div");
  #signals = element("div");
  #plot = element("div");
  #about = element("div");
  #signalsCard;
  #body;

  constructor(app, main, name) {
    this.#app = app;
    this.#name = name;
    this.#decisions = new Decisions(this.#path("decisions"));
    this.#decisions.onDecisions = () => this.#showPlot();
    const verb = (key, text, run, className = "") => {
      const button = element("button", { type: "button", text, className, hidden: true });
      button.addEventListener("click", () => run(app, this.#status));
      this.#buttons[key] = button;
      this.#verbs.append(button);
    };
    verb("start", "Start …", start, "primary");
    verb("hold", "Hold …", hold);
    verb("resume", "Resume …", resume, "primary");
    verb("retry", "Retry …", retry);
    verb("rollback", "Roll back …", rollback, "danger");
    const heading = element("h2", { className: "flag-key", text: name, tabIndex: -1 });
    const back = element("a", { className: "back", href: app.hash("rollouts"), text: "All rollouts" });
    const title = element("div", { className: "flag-title" }, heading, this.#head);
    const top = element("div", { className: "flag-top" }, title, this.#verbs);
    this.#signalsCard = section("signals", "Signals", this.#signals);
    this.#body = element(
      "div",
      { className: "rollout-body", hidden: true },
      element("section", { className: "card hero", ariaLabel: "Where it is" }, this.#track, this.#sentence),
      this.#incident,
      element(
        "div",
        { className: "cards" },
        element(
          "div",
          { className: "column-of-cards" },
          section("waits", "What it waits for", this.#waits),
          section("measured", "What is measured", this.#unmeasured, this.#guards.element),
          section("decisions", "Decisions", this.#decisions.element),
        ),
        element(
          "div",
          { className: "column-of-cards" },
          section("percents", "How far it was open", this.#plot),
          section("words", "What people must say", this.#words),
          this.#signalsCard,
          section("plan", "Plan", this.#about),
        ),
      ),
    );
    main.replaceChildren(element("section", { className: "page" }, back, top, this.#gone, this.#body));
  }

  update() {
    if (this.#version === this.#app.flags.version) return;
    this.#version = this.#app.flags.version;
    this.#ask();
    this.#decisions.update();
  }

  /** Asks again once it is time, and lets what moves by the clock move. */
  tick() {
    if (document.hidden || !this.#status) return;
    drawSoak(this.#line, this.#status);
    if (!this.#ask.isRunning() && Date.now() - this.#askedAt > POLL_MS) this.#ask();
  }

  #path(...parts) {
    return environmentPath(this.#app.environment, "rollouts", this.#name, ...parts);
  }

  #ask = newest(async (signal) => {
    this.#askedAt = Date.now();
    try {
      this.#status = await ask(this.#path(), { signal });
      this.#show();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Refused && !this.#status) this.#gone.textContent = `${error.message}.`;
      else if (error.status === 404) this.#lost(error);
      else if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    }
  });

  /** The plan was taken out of what is published. */
  #lost({ message }) {
    this.#body.hidden = this.#verbs.hidden = true;
    this.#gone.hidden = false;
    this.#gone.textContent = `${message}.`;
    this.#status = undefined;
  }

  /** Draws a part of the page anew where what it shows has changed. */
  #part(element, input, make) {
    const shown = JSON.stringify(input);
    if (this.#shown.get(element) === shown) return;
    this.#shown.set(element, shown);
    element.replaceChildren(...make());
  }

  #show() {
    const status = this.#status;
    const { description, owner, flags, progress, steps, at, blockers, verdict, evidence, measured, plan, next } =
      status;
    this.#gone.hidden = true;
    this.#body.hidden = this.#verbs.hidden = false;
    this.#body.dataset.phase = phaseOf(status);
    this.showVerbs();
    this.#part(this.#head, [progress?.phase, description], () => [
      phaseBadge(status),
      element("p", { text: description ?? "" }),
    ]);
    this.#part(this.#track, [steps, at, progress?.phase, progress?.incident?.step], () => [track(status)]);
    const line = this.#track.querySelector(".track");
    drawSoak(line, status);
    if (line !== this.#line) bringIntoView(line);
    this.#line = line;
    const { deeds, percent } = reach(status);
    this.#part(this.#sentence, [progress, next, blockers, verdict, at, deeds, percent, this.#app.flags.version], () =>
      this.#sentenceOf(status),
    );
    this.#part(this.#incident, progress?.incident ?? null, () => this.#incidentOf(status));
    this.#part(this.#waits, [blockers, verdict, progress?.phase, progress?.incident], () => this.#waitsOf(status));
    this.#unmeasured.textContent = !progress
      ? "Measured from its start on."
      : !measured
        ? "This server was started without --prometheus, so it shows no values. The controller has its own."
        : evidence.length === 0
          ? "Nothing is watched where it is now."
          : "";
    this.#unmeasured.hidden = this.#unmeasured.textContent === "";
    this.#guards.show(measured ? evidence.filter(({ metric }) => metric) : [], plan);
    this.#part(this.#words, [steps, progress, blockers, this.#app.me()], () => requirements(this.#app, status));
    this.#signalsCard.hidden = signalsOf(plan).length === 0;
    this.#part(this.#signals, [plan, progress?.signals, progress?.phase, at, evidence.length], () =>
      signals(this.#app, status),
    );
    this.#part(this.#about, [plan, owner, flags], () => this.#aboutOf(status));
    this.#showPlot();
    for (const button of this.#body.querySelectorAll("button")) this.#app.allowWrites(button);
  }

  /** Which of the verbs make sense where it is; whoever may change nothing has none. */
  showVerbs() {
    if (!this.#status) return;
    const { blockers } = this.#status;
    const phase = phaseOf(this.#status);
    const repairs = blockers.some(({ kind }) => kind === "ceiling" || kind === "changed");
    const isAllowed = {
      start: phase === "none",
      hold: phase === "running",
      resume: phase === "held" || (phase === "running" && repairs),
      retry: phase === "rolledBack",
      rollback: phase !== "none" && !isTurnedBackWhole(this.#status),
    };
    for (const [key, button] of Object.entries(this.#buttons)) {
      button.hidden = !isAllowed[key] || this.#app.me().role === "reader";
      this.#app.allowWrites(button);
    }
    this.#buttons.rollback.textContent = `${rollbackName(this.#status)} …`;
    this.#buttons.rollback.className = phase === "rolledBack" ? "danger quiet-danger" : "danger";
  }

  #sentenceOf(status) {
    const { progress } = status;
    if (!progress) return [element("p", { className: "big", text: "Not started" })];
    const { percent, deeds } = reach(status);
    const big = element("p", { className: "big" }, element("b", { text: percent }));
    if (deeds) big.append(": ", element("span", { className: "deeds" }, ...prose(deeds)), ",");
    const where = isPercent(place(status)) && !deeds ? "" : `at ${place(status)} `;
    const phase = deeds ? PHASES[progress.phase] : "on the new path";
    big.append(element("span", { text: ` ${progress.step ? where : `${phase} `}for ` }), elapsed(progress.entered));
    const attempt = quiet(`Attempt ${progress.attempt}, started ${when(progress.started)}`);
    return [big, element("p", { className: "next" }, ...this.#nextOf(status)), attempt];
  }

  /** What comes next, and when. */
  #nextOf(status) {
    const { progress, next, steps, at, verdict } = status;
    const to = steps[(at ?? -1) + 1];
    if (progress.phase === "running") {
      const text = to ? `Next is ${to.name}` : "Then it is through";
      if (next && !waitsForSomebody(status)) return [`${text}, at the earliest `, countdown(next)];
      return [verdict === "wait" ? `${text}, once what is below is so` : text];
    }
    if (progress.phase === "rollingBack" && next) return ["The next stair ", countdown(next)];
    if (progress.phase === "held") return ["It stays until somebody resumes it"];
    if (progress.phase === "completed") return ["It has been through all of its steps"];
    if (!isRestored(status)) return ["It is over until somebody retries it"];
    const isIn = status.flags.some((key) =>
      this.#app.flags.flags.some((flag) => flag.key === key && !["killed", "off"].includes(standing(flag))),
    );
    return [
      isIn ? "Rules, lists or percents let people in again. " : "Nothing lets anybody in as it is. ",
      "Roll back again to kill what was restored, or retry",
    ];
  }

  #incidentOf({ progress }) {
    if (!progress?.incident) return [];
    const {
      severity,
      reason,
      at,
      author,
      step,
      rollbackTriggered,
      evidence: readings = [],
      recovery,
    } = progress.incident;
    const by = rollbackTriggered ? "a trigger" : author;
    const head = element(
      "p",
      { className: "incident-head" },
      element("span", { className: `severity ${severity}`, text: severity }),
      element("strong", { text: `Turned back${step ? ` from ${step}` : ""} by ${by}` }),
      since(at),
    );
    const recovered = element("p", { className: `recovery ${recovery}`, text: RECOVERIES[recovery] });
    const made = section("incident", "Incident", head, element("blockquote", { text: reason }), recovered);
    made.classList.add("incident");
    if (readings.length > 0) made.append(evidence(readings));
    return [made];
  }

  #waitsOf({ blockers, verdict, progress }) {
    if (!progress) return [quiet("For somebody to start it.")];
    const waits = blockers.map((blocker) =>
      element(
        "li",
        { className: `blocker ${blocker.kind}` },
        element("span", { className: "kind", text: BLOCKERS[blocker.kind] ?? blocker.kind }),
        blockerLine(blocker),
      ),
    );
    if (verdict !== "wait")
      return [element("p", { className: `would ${verdict}`, text: `${VERDICTS[verdict] ?? verdict}.` })];
    if (waits.length > 0) return [element("ul", { className: "blockers" }, ...waits)];
    return [
      quiet(
        { rolledBack: "For somebody to retry it.", completed: "For nothing: it is through." }[progress?.phase] ??
          "For nothing.",
      ),
    ];
  }

  #aboutOf({ plan, owner, flags }) {
    const links = flags.flatMap((key, index) => [...(index > 0 ? [", "] : []), this.#app.linkTo(key)]);
    const facts = element("dl", {}, element("div", {}, element("dt", { text: "Flags" }), element("dd", {}, ...links)));
    if (owner) facts.append(element("div", {}, element("dt", { text: "Owner" }), element("dd", { text: owner })));
    const json = element("pre", { text: JSON.stringify(plan, null, 2), tabIndex: 0 });
    return [
      element("div", { className: "facts" }, facts),
      element("details", {}, element("summary", { text: "As published, as JSON" }), json),
    ];
  }

  #showPlot() {
    const { known } = this.#decisions;
    if (known.length === 0 || !this.#status) return this.#plot.replaceChildren(quiet("Drawn from its start on."));
    const isOther = this.#status.byHand.length > 0;
    const note = isOther ? [quiet("As it was decided; what others made of its flags by hand is not drawn.")] : [];
    return this.#plot.replaceChildren(plot(known, this.#status, Date.now()), ...note);
  }
}
