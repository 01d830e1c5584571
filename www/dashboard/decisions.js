// What was decided about a rollout, by whom, why, and by what evidence; the newest first.
import { element, newest } from "../dom.js";
import { ask, Refused, Unreachable } from "./api.js";
import { evidence } from "./guards.js";
import { HAPPENED } from "./terms.js";
import { since } from "./words.js";

const PAGE = 100;

function decisionItem({ version, decision, step, percent, phase, attempt, incident }) {
  const { what, author, reason, at, evidence: readings = [] } = decision;
  const led = typeof percent === "number" ? `${percent} %` : (step ?? (phase === "rolledBack" ? "nobody is in" : ""));
  const item = element(
    "li",
    { className: `entry decision ${what}` },
    element(
      "p",
      { className: "head" },
      element("span", { className: "version", text: `v${version}` }),
      element("strong", { text: HAPPENED[what] ?? what }),
      element("span", { className: "led", text: led }),
      element("span", { className: "by", text: `by ${author}${attempt > 1 ? `, attempt ${attempt}` : ""}` }),
      since(at),
    ),
    element("blockquote", { text: reason }),
  );
  item.dataset.version = String(version);
  if (what === "rolledBack" && incident) item.classList.add(incident.severity);
  if (readings.length > 0) item.append(evidence(readings));
  return item;
}

export class Decisions {
  #path;
  #list = element("ol", { className: "entries" });
  #note = element("p", { className: "quiet" });
  element = element("div", {}, this.#list, this.#note);
  /** Those that are known. */
  known = [];
  /** Is told when there are others. */
  onDecisions = () => {};

  /** `path` is where they are asked for. */
  constructor(path) {
    this.#path = path;
  }

  /** Takes up what is new. */
  update = newest(async (signal) => {
    try {
      const { decisions, next } = await ask(`${this.#path}?limit=${PAGE}`, { signal });
      const known = this.known[0]?.version ?? 0;
      const items = decisions.filter(({ version }) => version > known).map(decisionItem);
      if (known > 0) for (const item of items) item.classList.add("new");
      this.#list.prepend(...items);
      this.known = decisions;
      const older = next === null ? "" : `The ${PAGE} newest; flagstone log has them all.`;
      this.#note.textContent = decisions.length === 0 ? "Nothing was decided yet." : older;
      this.onDecisions();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      this.#note.textContent = `What was decided cannot be read: ${error.message}.`;
    }
  });
}
