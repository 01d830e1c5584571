// How a flag is decided, top to bottom: what stands at each step, and the way of one user through them.
import { element, newest, prose } from "../dom.js";
import { findings, withoutNulls } from "../explain.js";
import { ask, environmentPath } from "./api.js";
import { written } from "./diff.js";
import { offVariant } from "./shares.js";
import { since } from "./words.js";

const serves = (serve) => {
  if (serve === undefined) return "the off variant";
  if (typeof serve === "string") return serve;
  if (serve.split) return serve.split.map(({ variant, weight }) => `${variant} (${weight})`).join(" : ");
  return serves(serve.ramp.serve);
};

const ramped = (serve, ramp) => {
  if (!serve?.ramp) return `Serves \`${serves(serve)}\`.`;
  const share =
    typeof ramp?.percent === "number" ? `${written(ramp.percent, "percent")} get` : "A schedule decides who gets";
  return `${share} \`${serves(serve)}\`.`;
};

const people = ({ keys = [], segments = [] }) =>
  [
    ...(keys.length > 0 ? [`keys ${keys.map((key) => `\`${key}\``).join(", ")}`] : []),
    ...(segments.length > 0 ? [`segments ${segments.map((name) => `\`${name}\``).join(", ")}`] : []),
  ].join("; ");

const isSomebody = (list) => Object.values(list ?? {}).some((members) => members?.length > 0);

/** The steps at which this flag has anything, in the engine's order: `{step, rule?, title, texts, stops}` each. */
function steps({ key, enabled, killed, ramp, ruleRamps, definition, state }) {
  const off = offVariant(definition);
  const all = [{ step: "kill", title: "Kill", texts: ["Not killed."] }];
  if (killed) {
    const by = { flag: "the flag", all: "everything" }[killed.by] ?? `the ${killed.by.replace(":", " ")}`;
    const [text, author] = [`By \`${killed.author ?? "nobody"}\`, who killed ${by}: ${killed.reason ?? ""}`, killed.at];
    all[0] = { step: "kill", title: "Kill", texts: [text, `Everyone gets \`${off}\`.`], stops: true, at: author };
  }
  const disabled = enabled ? "Enabled." : `Disabled: everyone gets \`${off}\`.`;
  all.push({ step: "disabled", title: "Enabled", texts: [disabled], stops: !enabled });
  const add = (step, title, texts, rule) => texts.length > 0 && all.push({ step, title, texts, rule });
  add(
    "prerequisite",
    "Prerequisites",
    (definition.prerequisites ?? []).map(
      ({ flag, variant, variants }) => `\`${flag}\` must serve \`${variants?.join("`, `") ?? variant}\`.`,
    ),
  );
  const denied = [definition.deny, state?.deny].filter(isSomebody);
  add(
    "deny",
    "Deny list",
    denied.map((list) => `${people(list)} get \`${off}\`.`),
  );
  const excluded = [definition.exclude, state?.exclude].filter(isSomebody);
  add(
    "exclude",
    "Excluded cohorts",
    excluded.map(({ positions = [], ...list }) => {
      const ranges = positions.map(([from, to]) => `positions ${from} to ${to} %`);
      return `Out: ${[people(list), ...ranges].filter(Boolean).join("; ")}.`;
    }),
  );
  const allowed = [...(state?.allow ?? []), ...(definition.allow ?? [])];
  add(
    "allow",
    "Allow list",
    allowed.map(({ variant, ...list }) => `${people(list)} get \`${variant}\`.`),
  );
  add(
    "holdout",
    "Holdouts",
    (definition.holdouts ?? []).map((name) => `Whoever is in \`${name}\` is kept out.`),
  );
  const { layer } = definition;
  add("layer", "Layer", layer ? [`A part of \`${layer.name}\`.`] : []);
  (definition.rules ?? []).forEach((rule, index) => {
    const title = rule.id ? `Rule ${rule.id}` : `Rule ${index + 1}`;
    const then = ramped(rule.serve, ruleRamps?.[rule.id] ?? rule.serve?.ramp);
    add(
      "rule",
      title,
      [rule.when === undefined ? "For everyone:" : `When \`${JSON.stringify(rule.when)}\`:`, then],
      index,
    );
  });
  add("default", "Everyone else", [ramped(definition.default, ramp)]);
  return all.map((one) => ({ ...one, key }));
}

/** What the engine said of each step: the steps of the flag itself, with those of its prerequisites below theirs. */
function walked(explained) {
  const own = [];
  let rules = 0;
  for (const step of withoutNulls(explained)) {
    if (step.depth === 0) own.push({ ...step, rule: step.step === "rule" ? rules++ : undefined, below: [] });
    else if (step.decided || step.findings.length > 0) own.at(-1).below.push(step);
  }
  return own;
}

/** Where a user stands on the ramp that decided, in thousandths of a percent. */
const positionOf = (own) =>
  own
    .find(({ decided }) => decided)
    ?.findings.findLast(({ kind, holdout }) => kind === "threshold" && holdout === undefined)?.position;

const OUTCOMES = { decided: "decides", passed: "passed", stopped: "not asked" };

export class Explanation {
  #app;
  #flag;
  #answer;
  #asked;
  #list = element("ol", { className: "pipeline", ariaLabel: "The order in which it is decided" });
  #result = element("div", { className: "verdict-of-user", role: "status" });
  #error = element("p", { className: "error", role: "alert" });
  #key = element("input", {
    id: "explain-key",
    type: "text",
    autocomplete: "off",
    spellcheck: false,
    placeholder: "user-42",
  });
  #attributes = element("textarea", {
    id: "explain-attributes",
    rows: 1,
    spellcheck: false,
    autocomplete: "off",
    placeholder: '{"plan": "pro"}',
  });
  #clear = element("button", { type: "button", text: "Clear", hidden: true });
  element;
  /** Is told where the user stands on the ramp, undefined where on none. */
  onPosition = () => {};

  constructor(app) {
    this.#app = app;
    this.#attributes.setAttribute("aria-describedby", "explain-help");
    const field = (control, text) =>
      element("div", { className: "field" }, element("label", { htmlFor: control.id, text }), control);
    const actions = element(
      "div",
      { className: "form-actions" },
      element("button", { type: "submit", text: "Explain" }),
      this.#clear,
    );
    const form = element(
      "form",
      { className: "explain-form" },
      field(this.#key, "User, the targetingKey"),
      field(this.#attributes, "Attributes, as JSON"),
      actions,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#clear.addEventListener("click", () => {
      this.#asked = this.#answer = undefined;
      this.#key.value = this.#attributes.value = "";
      this.#show();
      this.#key.focus();
    });
    const help = element("p", {
      className: "help",
      id: "explain-help",
      text: "It goes into the body of a request, into no address and no log.",
    });
    this.element = element("div", {}, form, help, this.#error, this.#result, this.#list);
  }

  /** The flag as it is now; what was asked is asked again. */
  update(flag) {
    this.#flag = flag;
    this.#show();
    if (this.#asked) return this.#ask();
    return undefined;
  }

  #submit() {
    const key = this.#key.value;
    let attributes;
    try {
      attributes = JSON.parse(this.#attributes.value.trim() || "{}");
      if (typeof attributes !== "object" || attributes === null || Array.isArray(attributes))
        throw new Error('write an object, as {"plan": "pro"}');
      this.#attributes.ariaInvalid = "false";
    } catch (error) {
      this.#attributes.ariaInvalid = "true";
      this.#error.textContent = `The attributes are no JSON: ${error.message}.`;
      this.#attributes.focus();
      return;
    }
    this.#asked = { ...(key === "" ? {} : { targetingKey: key }), ...attributes };
    this.#ask();
  }

  #ask = newest(async (signal) => {
    const path = environmentPath(this.#app.environment, "flags", this.#flag.key, "explain");
    try {
      this.#answer = await ask(path, { method: "POST", body: { context: this.#asked }, signal });
      this.#error.textContent = "";
    } catch (error) {
      signal.throwIfAborted();
      this.#answer = undefined;
      this.#error.textContent = `There is no explanation: ${error.message}.`;
    }
    this.#show();
  });

  #show() {
    const own = this.#answer && walked(this.#answer.steps);
    this.#clear.hidden = !this.#answer;
    this.#list.replaceChildren(...this.#items(own));
    this.onPosition(own && positionOf(own));
    this.#result.hidden = !own;
    if (!own) return;
    const { value, variant, reason, errorCode, version } = this.#answer.evaluation;
    const who = this.#asked.targetingKey ?? "Somebody without a key";
    this.#result.replaceChildren(
      element("p", {}, element("b", { text: String(who) }), " gets"),
      element("p", { className: "value", text: errorCode ? "the caller’s default" : JSON.stringify(value) }),
      element("p", {
        className: "quiet",
        text: [variant, reason, errorCode, `v${version}`].filter(Boolean).join(" · "),
      }),
    );
  }

  #items(own) {
    const all = steps(this.#flag);
    const known = new Set(all.map(({ step }) => step));
    // A pin, or what this engine lacks, stands in no definition.
    for (const { step, decided } of own ?? [])
      if (decided && !known.has(step)) all.unshift({ step, title: step, texts: [] });
    let isDecided = false;
    return all.map(({ step, rule, title, texts, stops, at }) => {
      const found = own?.find((one) => one.step === step && one.rule === rule);
      const outcome = !own
        ? isDecided
          ? "stopped"
          : stops
            ? "decided"
            : ""
        : found?.decided
          ? "decided"
          : isDecided || !found
            ? "stopped"
            : "passed";
      isDecided ||= outcome === "decided";
      const item = element(
        "li",
        { className: `${outcome} ${stops ? "stops" : ""}` },
        element("strong", { text: title }),
      );
      if (own && outcome) item.append(element("span", { className: "outcome", text: OUTCOMES[outcome] }));
      for (const text of texts) item.append(element("p", {}, ...prose(text)));
      if (at) item.append(element("p", { className: "quiet" }, since(at)));
      const said = [
        ...(found ? findings(found) : []),
        ...(found?.below ?? []).flatMap((one) => findings(one).map((text) => `\`${one.flag}\`: ${text}`)),
      ];
      if (said.length > 0)
        item.append(element("ul", { className: "findings" }, ...said.map((text) => element("li", {}, ...prose(text)))));
      return item;
    });
  }
}
