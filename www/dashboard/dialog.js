// What is asked before anything is changed: what will happen, why, and what to do if the server says no.
import { $, element } from "../dom.js";
import { Refused, Unreachable } from "./api.js";
import { changeList, told } from "./diff.js";
import { since } from "./words.js";

let current;

const dialog = () => $("dialog");

function showProblem(...nodes) {
  $("dialog-problem").replaceChildren(...nodes);
  if (nodes.length > 0) $("dialog-problem").scrollIntoView({ block: "nearest" });
}

const HINTS = {
  403: "Nothing was changed.",
  404: "Nothing was changed.",
  422: "Nothing was changed.",
  429: "Nothing was changed.",
};

/** Changes of definitions and, under `state`, of the state, as an entry of the history has them. */
function split(changes) {
  const isOfState = ({ path }) => path.startsWith("state.");
  const ofState = changes.filter(isOfState).map((change) => ({ ...change, path: change.path.slice("state.".length) }));
  return { changes: changes.filter((change) => !isOfState(change)), stateChanges: ofState };
}

/** What others did meanwhile, so that whoever goes on does it knowingly. */
function overtaken({ meanwhile }) {
  const others = meanwhile.map(({ version, author, reason, time, changes }) =>
    element(
      "li",
      { className: "entry" },
      element(
        "p",
        { className: "head" },
        element("span", { className: "version", text: `v${version}` }),
        element("strong", { text: author }),
        since(time),
      ),
      element("blockquote", { text: reason }),
      changeList(told(split(changes)), (key) => element("code", { text: key })),
    ),
  );
  return [
    element(
      "p",
      { className: "problem" },
      element("strong", { text: "Somebody else changed this since you looked." }),
      " Nothing was done. Confirm again if you still want it.",
    ),
    element("ol", { className: "entries" }, ...others),
  ];
}

function explain(error) {
  const problem = (title, text) =>
    element("p", { className: "problem" }, element("strong", { text: title }), ` ${text}`);
  if (error instanceof Unreachable)
    return [
      problem(
        `${error.message}.`,
        "Whether it was done is not known. Doing it again does no harm: what is done already is not done twice.",
      ),
    ];
  if (!(error instanceof Refused)) throw error;
  if (error.code === "overtaken") return overtaken(error);
  const later = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  return [
    problem(`The server refused this (${error.status}).`, `${error.message}. ${HINTS[error.status] ?? ""}${later}`),
  ];
}

/**
 * Asks for a reason and a confirmation. `what` says what will happen; `version` is what was looked at, where the change goes by
 * it; `check` returns what is wrong with the fields, and `run` does it.
 */
export function confirm({ title, what, action, isDangerous = false, version, check = () => "", run }) {
  current = { version, check, run, action, opener: document.activeElement };
  $("dialog-title").textContent = title;
  $("dialog-what").replaceChildren(...what);
  $("reason").value = "";
  $("reason").ariaInvalid = "false";
  $("reason-error").textContent = "";
  $("dialog-confirm").textContent = action;
  $("dialog-confirm").className = isDangerous ? "danger" : "primary";
  showProblem();
  busy(false);
  dialog().showModal();
  ($("dialog-what").querySelector("input, select") ?? $("reason")).focus();
}

function busy(is) {
  $("dialog-confirm").disabled = is;
  $("dialog-confirm").ariaBusy = String(is);
  $("dialog-confirm").textContent = is ? "Working …" : current.action;
}

async function submit() {
  const asked = current;
  const reason = $("reason").value.trim();
  $("reason").ariaInvalid = String(reason === "");
  $("reason-error").textContent = reason === "" ? "Say why: whoever reads the log will want to know." : "";
  if (reason === "") return $("reason").focus();
  const wrong = asked.check();
  if (wrong) return showProblem(element("p", { className: "problem", text: wrong }));
  showProblem();
  busy(true);
  try {
    await asked.run({ reason, version: asked.version });
    if (current === asked) dialog().close();
  } catch (error) {
    if (current !== asked) return undefined;
    showProblem(...explain(error));
    if (error.code === "overtaken" && asked.version !== undefined)
      asked.version = Math.max(asked.version, ...error.meanwhile.map(({ version }) => version));
  }
  if (current === asked) busy(false);
  return undefined;
}

/** Closes what is open, as when nobody is signed in any more. */
export const dismiss = () => dialog().close();

$("dialog-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
$("dialog-cancel").addEventListener("click", dismiss);
$("dialog").addEventListener("close", () => {
  current?.opener?.focus();
  current = undefined;
});
