// One user's result: the browser's engine beside the server's, and how it was decided.
import { $, element, prose } from "./dom.js";
import { findings, isQuiet, title, withoutNulls } from "./explain.js";
import { differences, resultOf } from "./result.js";

const SAID = {
  value: "value",
  variant: "variant",
  reason: "reason",
  rule: "rule",
  errorCode: "error",
  version: "version",
};

const LIST = new Intl.ListFormat("en");

const served = ({ value, errorCode }) => (errorCode === null ? JSON.stringify(value) : "the caller’s default");

/** A column of facts, those that differ marked; without a result, why there is none. */
function fill(column, { result, extra = [], missing = "" }, differing, hasRule) {
  const box = $(column).querySelector(".result");
  if (!result) return box.replaceChildren(element("p", { className: "missing", text: missing }));
  const row = (name, text, part) => {
    const isDifferent = differing.includes(part);
    const fact = element("div", { className: isDifferent ? "differs" : "" });
    fact.append(element("dt", { text: name }), element("dd", { text }));
    return fact;
  };
  const rows = [
    row("variant", result.variant ?? "none", "variant"),
    row("reason", result.reason, "reason"),
    ...(hasRule ? [row("rule", result.rule ?? "none", "rule")] : []),
    ...(result.errorCode ? [row("error", result.errorCode, "errorCode")] : []),
    ...extra.map(([name, text]) => row(name, text)),
  ];
  const value = element("p", {
    className: differing.includes("value") ? "value differs" : "value",
    text: served(result),
  });
  return box.replaceChildren(value, element("dl", {}, ...rows));
}

/** The steps as a list; those at which nothing was to be said are one item together. */
function stepItems(steps, rule) {
  const items = [];
  let passed = [];
  for (const step of steps) {
    if (isQuiet(step)) {
      passed.push(title(step, rule));
      continue;
    }
    if (passed.length) items.push(element("li", { className: "quiet", text: `${passed.join(", ")}: nothing there` }));
    passed = [];
    const item = element(
      "li",
      { className: step.decided ? "decided" : "" },
      element("strong", { text: title(step, rule) }),
    );
    if (step.depth > 0) item.append(` of ${step.flag}`);
    item.append(element("span", { className: "outcome", text: step.decided ? "decides" : "passed" }));
    item.append(element("ul", {}, ...findings(step).map((text) => element("li", {}, ...prose(text)))));
    items.push(item);
  }
  return items;
}

export class Answer {
  #browser = { missing: "" };
  #server = { missing: "" };
  #waiting;

  constructor() {
    for (const radio of document.getElementsByName("steps-of"))
      radio.addEventListener("change", () => this.#showSteps());
  }

  /** Shows what the browser's engine says: an explanation of the package, or why there is none. */
  showBrowser(explanation, missing) {
    if (!explanation) {
      this.#browser = { missing };
      document.querySelector('input[name="steps-of"][value="server"]').checked = true;
    } else {
      const { keyMissing, until } = explanation.details.flagMetadata;
      const extra = [
        ...(keyMissing ? [["key", "missing"]] : []),
        ...(until ? [["until", new Date(until).toISOString()]] : []),
      ];
      this.#browser = { result: resultOf(explanation.details), extra, steps: explanation.steps };
    }
    this.#show();
  }

  /** Shows what the server's engine says: `{evaluation, steps}`, or why there is nothing. */
  showServer(answer, missing) {
    clearTimeout(this.#waiting);
    $("server").ariaBusy = "false";
    this.#server = answer ? { result: resultOf(answer.evaluation), steps: withoutNulls(answer.steps) } : { missing };
    this.#show();
  }

  /** What the server said before was about something else. That it is being asked is said if it takes longer than this. */
  awaitServer(patienceMs) {
    $("server").ariaBusy = "true";
    this.#showVerdict([]);
    clearTimeout(this.#waiting);
    this.#waiting = setTimeout(() => ($("verdict").textContent = "Asking the server’s engine …"), patienceMs);
  }

  #show() {
    const [browser, server] = [this.#browser, this.#server];
    const isWaiting = $("server").ariaBusy === "true";
    const differing = browser.result && server.result && !isWaiting ? differences(browser.result, server.result) : [];
    const hasRule = Boolean(browser.result?.rule ?? server.result?.rule);
    fill("browser", browser, differing, hasRule);
    fill("server", server, differing, hasRule);
    this.#showVerdict(differing);
    this.#showSteps();
  }

  #showVerdict(differing) {
    const isWaiting = $("server").ariaBusy === "true";
    const isComparable = this.#browser.result && this.#server.result;
    const verdict = isWaiting ? "waiting" : !isComparable ? "none" : differing.length ? "differ" : "same";
    $("verdict").dataset.verdict = verdict;
    $("verdict").textContent = {
      waiting: "",
      none: "Nothing to compare",
      same: "Both engines give the same result",
      differ: `The engines differ in ${LIST.format(differing.map((part) => SAID[part]))}. That must never happen: please report it, with the link to this page.`,
    }[verdict];
  }

  #showSteps() {
    const { value } = document.querySelector('input[name="steps-of"]:checked');
    const { result, steps = [], missing } = value === "server" ? this.#server : this.#browser;
    const items = result ? stepItems(steps, result.rule ?? undefined) : [element("li", { text: missing })];
    $("steps").replaceChildren(...items);
  }
}
