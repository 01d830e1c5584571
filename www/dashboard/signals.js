// The signals that triggers of a rollout wait for: those that are raised, and who did.
import { element, prose, unseen } from "../dom.js";
import { effectOf, signal } from "./steering.js";
import { since } from "./words.js";

/** The signals that a plan knows. */
export function signalsOf({ triggers = [], steps }) {
  const all = [...triggers, ...steps.flatMap((step) => step.triggers ?? [])];
  return [...new Set(all.map((trigger) => trigger.signal).filter(Boolean))];
}

function signalItem(app, status, name) {
  const { progress } = status;
  const raised = progress?.signals?.[name];
  const isWatched = ["running", "held", "rollingBack", "rolledBack"].includes(progress?.phase);
  const text = element("div", {}, element("strong", { text: name }));
  if (raised)
    text.append(element("p", { className: "quiet" }, `${raised.author}: ${raised.reason} · `, since(raised.at)));
  else if (isWatched)
    text.append(element("p", { className: "quiet" }, ...prose(`once raised, it ${effectOf(status, name)}`)));
  const item = element(
    "li",
    { className: "word" },
    element("span", { className: `finding ${raised ? "open" : "quiet"}`, text: raised ? "raised" : "not raised" }),
    text,
  );
  if (isWatched && app.me().role !== "reader") {
    const button = element("button", { type: "button", text: raised ? "Clear …" : "Raise …" });
    button.append(unseen(name));
    button.addEventListener("click", () => signal(app, status, name, Boolean(raised)));
    item.append(button);
  }
  return item;
}

/** Draws them. */
export const signals = (app, status) => [
  element("ul", { className: "said" }, ...signalsOf(status.plan).map((name) => signalItem(app, status, name))),
];
