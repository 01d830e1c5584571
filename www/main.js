// The playground: definitions on one side, on the other who gets what and why. Decisions are the engines', one in this
// browser and one on the server; the page only shows them.
import { ask, get, Refused, Unreachable } from "./api.js";
import { Answer } from "./answer.js";
import { Definitions } from "./definitions.js";
import { $, element, newest, pause, plural, prose, timeOf } from "./dom.js";
import { at, startEngines, Unavailable } from "./engines.js";
import { lastRamp } from "./explain.js";
import { Grid } from "./grid.js";
import { SMALL_EXAMPLE, USERS } from "./presets.js";
import { pack, unpack } from "./share.js";

const TYPING_PAUSE_MS = 250;
/** What takes longer than this is seen to be under way. */
const PATIENCE_MS = 1000;
const RETRY_MS = [1000, 2000, 4000, 8000];
/** Of users for whom the engines differ, so many are looked for. */
const MARKED_LIMIT = 20;

/** What the newest definitions without errors were compiled to; undefined before there were any. */
let held;
let keys;
/** What stood in the editor before it was replaced. */
let replaced;
let flagWanted = "";
/** Whether anything here is of the person's making, and so worth a link. */
let isTouched = false;

const definitions = new Definitions(() => {
  isTouched = true;
  compile();
});
const answer = new Answer();
const grid = new Grid((key) => {
  isTouched = true;
  const context = readContext() ?? {};
  writeContext({ ...context, targetingKey: key });
  showUser();
});

// --- what the page says of itself -----------------------------------------------------------------------------------

function say(state, text) {
  $("state").dataset.state = state;
  $("state").textContent = text;
}

/** Whose results are shown, where they are not those of what stands in the editor. */
const meanwhile = () =>
  held
    ? ` Showing the results of ${timeOf(held.at)}, the last good definitions.`
    : " There is nothing to evaluate yet.";

/** Shows that something is under way, if it takes long; call what it returns when it is done. */
function working() {
  const timer = setTimeout(() => ($("progress").hidden = false), PATIENCE_MS);
  return () => {
    clearTimeout(timer);
    $("progress").hidden = true;
  };
}

function notify(text, undo) {
  replaced = undo;
  $("notice-text").replaceChildren(...prose(text));
  $("undo").hidden = !undo;
  $("notice").hidden = false;
}

// --- the server that may be gone ------------------------------------------------------------------------------------

const lookForServer = newest(async (signal, delays = RETRY_MS) => {
  for (let tries = 0; ; tries++) {
    await pause(delays[Math.min(tries, delays.length - 1)], signal);
    try {
      await get("keys.json", signal);
      break;
    } catch {
      signal.throwIfAborted();
    }
  }
  $("gone").hidden = true;
  await start();
});

function serverIsGone() {
  if (!$("gone").hidden) return;
  $("gone").hidden = false;
  lookForServer();
}

// --- definitions ----------------------------------------------------------------------------------------------------

/** Checks and compiles what stands in the editor, and shows the results; what was held before is held until then. */
const compile = newest(async (signal) => {
  // Nothing of what was asked about other definitions may come in between.
  await pause(TYPING_PAUSE_MS, signal);
  const done = working();
  signal.addEventListener("abort", done);
  const { files } = definitions;
  let isChecked = false;
  try {
    const { problems } = await ask("lint", { files }, signal);
    isChecked = true;
    $("gone").hidden = true;
    definitions.show(problems);
    remember();
    const errors = problems.filter(({ severity }) => severity === "error").length;
    if (errors > 0) return say("errors", `${plural(errors, "error")} in the definitions.${meanwhile()}`);
    const compiled = await ask("compile", { files }, signal);
    keys ??= await get("keys.json", signal);
    await take(compiled, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!isChecked) definitions.showUnchecked(`Not checked: ${error.message}`);
    if (error instanceof Unreachable) {
      say("gone", `The server does not answer.${meanwhile()}`);
      serverIsGone();
    } else if (error instanceof Refused) {
      say("errors", `The server did not take the definitions: ${error.message}.${meanwhile()}`);
    } else {
      say("refused", `The compiled snapshot was refused: ${error.message}.${meanwhile()}`);
    }
  } finally {
    done();
    if (!held) showNothing();
  }
});

/** Has the browser's engine take the snapshots; one that it refuses changes nothing. */
async function take(compiled, signal) {
  let engines;
  let why = "";
  try {
    engines = await startEngines(compiled, keys);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    why = error.message;
  }
  const partly = await servedPartly(compiled.flags, engines?.server);
  if (signal.aborted) {
    await close(engines);
    signal.throwIfAborted();
  }
  const before = held;
  held = { ...compiled, engines, why, partly, at: new Date() };
  const clients = compiled.flags.filter(({ client }) => client).length;
  const counts = `${plural(compiled.flags.length, "flag")}, ${clients.toLocaleString("en")} for clients. Compiled at ${timeOf(held.at)}`;
  if (compiled.flags.length === 0) say("loading", "No flags are defined.");
  else if (engines) say("good", `${counts}; both signatures verified in this browser.`);
  else say("refused", `${counts}. In this browser ${why}. The server’s engine goes on.`);
  // What a schedule decides changes without anyone's doing.
  for (const client of Object.values(engines ?? {})) client.on("change", showFlag);
  listFlags();
  if (!before && !isTouched) definitions.reveal($("flag").value, false);
  showFlag();
  await close(before?.engines);
}

/** The flags that ramps serve to some users and not to others. */
async function servedPartly(flags, engine) {
  const found = new Set();
  if (!engine) return found;
  for (const { key } of flags) {
    const ramp = lastRamp(await engine.explain(key, { targetingKey: "user-0" }));
    if (ramp?.percent > 0 && ramp.percent < 100_000) found.add(key);
  }
  return found;
}

const close = (engines) => Promise.all(Object.values(engines ?? {}).map((client) => client.close()));

function replace(files, what) {
  const before = definitions.files;
  const wasEmpty = definitions.isEmpty;
  definitions.replace(files);
  if (wasEmpty) $("notice").hidden = true;
  else notify(what, before);
}

async function openFiles(list) {
  const chosen = [...list];
  if (chosen.length === 0) return;
  try {
    replace(await Definitions.read(chosen), `Opened ${chosen.map(({ name }) => name).join(", ")}.`);
  } catch (error) {
    notify(`Nothing was opened. ${error.message}`);
  }
}

async function restore() {
  try {
    const { files } = await get("definitions");
    replace(files, "These are the demo’s own definitions.");
    isTouched = false;
  } catch (error) {
    if (error instanceof Unreachable) serverIsGone();
    notify(`The demo’s definitions cannot be read: ${error.message}.`);
  }
}

// --- flag and context -----------------------------------------------------------------------------------------------

/** Fills the choice, and keeps what was chosen; at first, a flag that some users have and others do not. */
function listFlags() {
  const chosen = $("flag").value || flagWanted;
  const sorted = held.flags.toSorted((a, b) => a.key.localeCompare(b.key, "en"));
  const group = (label, isClient) => {
    const options = sorted.filter(({ client }) => client === isClient).map(({ key }) => new Option(key, key));
    return options.length ? [element("optgroup", { label }, ...options)] : [];
  };
  $("flag").replaceChildren(...group("For clients and servers", true), ...group("For servers alone", false));
  $("flag").disabled = sorted.length === 0;
  const partly = ({ key }) => held.partly.has(key);
  const isThere = sorted.some(({ key }) => key === chosen);
  const ordered = [...sorted.filter(({ client }) => client), ...sorted.filter(({ client }) => !client)];
  $("flag").value = isThere ? chosen : ((ordered.find(partly) ?? ordered[0])?.key ?? "");
}

/** The context as typed; undefined, and said so, where it is no JSON object. */
function readContext() {
  const text = $("context").value.trim();
  let parsed;
  let problem = "";
  try {
    parsed = JSON.parse(text || "{}");
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
      problem = 'Write an object: {"targetingKey": "user-42", "plan": "pro"}';
  } catch (error) {
    problem = `This is no JSON yet: ${error.message}`;
  }
  $("context-error").textContent = problem;
  $("context").setAttribute("aria-invalid", String(problem !== ""));
  return problem ? undefined : parsed;
}

function writeContext(context) {
  const text = JSON.stringify(context, null, 1).replace(/\n\s*/g, " ");
  $("context").value = text.replace(/^\{ /, "{").replace(/ \}$/, "}");
  showPreset();
}

/** Names the preset that the context is, if it is one. */
function showPreset() {
  const text = JSON.stringify(readContext());
  const found = USERS.findIndex(([, context]) => JSON.stringify(context) === text);
  $("preset").value = String(found);
}

// --- results --------------------------------------------------------------------------------------------------------

function showNothing() {
  const isEmpty = held?.flags.length === 0;
  $("results").hidden = !held || isEmpty;
  $("nothing").hidden = Boolean(held) && !isEmpty;
  if (isEmpty) $("nothing").textContent = "There is no flag yet. Results appear here with the first one.";
  else $("nothing").textContent = "Results appear here once the definitions compile.";
}

/** Which of the snapshots holds the flag for this browser: the clients', or else the servers'. */
function audience() {
  const flag = held.flags.find(({ key }) => key === $("flag").value);
  return flag?.client ? "client" : "server";
}

function showFlag() {
  showNothing();
  if (!held || $("flag").value === "") return;
  const isClient = audience() === "client";
  $("browser-source").textContent = isClient
    ? "The clients’ snapshot"
    : "The servers’ snapshot: no client receives this flag";
  const hasEngine = Boolean(held.engines);
  $("crowd").hidden = !hasEngine;
  $("crowd-missing").hidden = hasEngine;
  $("crowd-missing").textContent = "The grid takes an engine in this browser.";
  showUser();
  showCrowd();
}

function showUser() {
  const context = readContext();
  if (!held || !context || $("flag").value === "") return;
  remember();
  const question = { flag: $("flag").value, context, now: Date.now() };
  answer.awaitServer(PATIENCE_MS);
  const explained = awaited(explainHere(question));
  askServer({ ...question, snapshot: held.server }, explained);
}

const explainHere = newest(async (signal, { flag, context, now }) => {
  const { engines, why } = held;
  const explanation = await at(now, () => engines?.[audience()].explain(flag, context));
  signal.throwIfAborted();
  answer.showBrowser(explanation, `In this browser ${why}.`);
});

const askServer = newest(async (signal, question, explained) => {
  try {
    const evaluated = await ask("evaluate", question, signal);
    await explained;
    signal.throwIfAborted();
    answer.showServer(evaluated);
  } catch (error) {
    signal.throwIfAborted();
    answer.showServer(undefined, `${error.message}.`);
    if (error instanceof Unreachable) serverIsGone();
  }
});

function showCrowd() {
  const attributes = readContext();
  if (!held?.engines || !attributes || $("flag").value === "") return;
  const contextOf = (key) => ({ ...attributes, targetingKey: key });
  awaited(surveyCrowd({ snapshot: held.server, flag: $("flag").value, now: Date.now(), contextOf }));
}

let pending = 0;

/** Says of the results that they are about to change, until they did. */
async function awaited(work) {
  $("results").ariaBusy = String(++pending > 0);
  try {
    await work;
  } finally {
    $("results").ariaBusy = String(--pending > 0);
  }
}

const surveyCrowd = newest(async (signal, question) => {
  const { flag, now, contextOf } = question;
  const engine = held.engines[audience()];
  await grid.survey(signal, flag, (key) => at(now, () => engine.explain(flag, contextOf(key))));
  compareCrowd(question);
});

/**
 * Holds every user's result against the server's engine, in few questions: those who are served the same for the same
 * reason here are counted there, and if all of them are again, each of them is. A group that is not is halved.
 */
const compareCrowd = newest(async (signal, { contextOf, ...question }) => {
  const tell = (className, text) => {
    $("comparison").className = className;
    $("comparison").textContent = text;
  };
  tell("", "Comparing with the server’s engine …");
  await pause(TYPING_PAUSE_MS, signal);
  const groups = grid.groups();
  let unlike = 0;
  try {
    while (groups.length > 0 && unlike < MARKED_LIMIT) {
      const { details, users } = groups.pop();
      const { variants, reasons } = await ask("simulate", { ...question, contexts: users.map(contextOf) }, signal);
      const counted = (list, wanted) => list.find(({ name }) => name === wanted)?.users ?? 0;
      const hasVariant = details.variant === undefined || counted(variants, details.variant) === users.length;
      if (hasVariant && counted(reasons, details.reason) === users.length) continue;
      const half = Math.ceil(users.length / 2);
      if (half < users.length)
        groups.push({ details, users: users.slice(half) }, { details, users: users.slice(0, half) });
      else {
        unlike++;
        grid.markDifferent(users[0]);
      }
    }
    const least = groups.length > 0 ? "at least " : "";
    if (unlike > 0) tell("bad", `The engines differ for ${least}${plural(unlike, "user")}, marked above.`);
    else tell("good", "The server’s engine gives each of these 1,000 the same variant for the same reason.");
  } catch (error) {
    signal.throwIfAborted();
    tell("", `Not compared: ${error.message}.`);
    if (error instanceof Unreachable) serverIsGone();
  }
});

// --- the link -------------------------------------------------------------------------------------------------------

const shared = () => ({ files: definitions.files, flag: $("flag").value, context: $("context").value });

/** Keeps the link in the address bar to what is on the page, so that a reload brings it back. */
const remember = newest(async (signal) => {
  const hash = isTouched ? await pack(shared()) : location.pathname;
  if (!signal.aborted) history.replaceState(null, "", hash);
});

async function share() {
  const hash = await pack(shared());
  history.replaceState(null, "", hash);
  try {
    await navigator.clipboard.writeText(location.href);
    notify(
      "The link is copied. It opens wherever `make demo` runs; definitions and context are in it, not on a server.",
    );
  } catch {
    notify("The link is in the address bar: copy it from there.");
  }
}

/** Shows what the link holds; false where there is nothing in it. */
async function openLink() {
  try {
    const found = await unpack(location.hash);
    if (!found) return false;
    flagWanted = found.flag;
    $("flag").value = "";
    $("context").value = found.context;
    showPreset();
    replace(found.files, "The link is opened.");
    return true;
  } catch (error) {
    notify(`The link is damaged and was not opened: ${error.message}.`);
    return false;
  }
}

// --- start ----------------------------------------------------------------------------------------------------------

$("open").addEventListener("click", () => $("picker").click());
$("picker").addEventListener("change", async () => {
  await openFiles($("picker").files);
  $("picker").value = "";
});
$("restore").addEventListener("click", restore);
$("begin-demo").addEventListener("click", restore);
$("begin-small").addEventListener("click", () => {
  definitions.replace([{ name: "flags.yaml", text: SMALL_EXAMPLE }]);
  $("text").focus();
});
$("share").addEventListener("click", share);
$("undo").addEventListener("click", () => {
  definitions.replace(replaced);
  $("notice").hidden = true;
});
$("dismiss").addEventListener("click", () => ($("notice").hidden = true));
$("retry").addEventListener("click", () => lookForServer([0, ...RETRY_MS]));
$("flag").addEventListener("change", () => {
  isTouched = true;
  showFlag();
});
$("go-to-flag").addEventListener("click", () => definitions.reveal($("flag").value, true));
$("preset").addEventListener("change", () => {
  isTouched = true;
  writeContext(USERS[Number($("preset").value)][1]);
  showFlag();
});
$("context").addEventListener("input", () => {
  isTouched = true;
  showPreset();
  showFlag();
});
addEventListener("hashchange", openLink);

let dragged = 0;
const showDrop = (change) => {
  dragged = change === 0 ? 0 : dragged + change;
  $("drop").hidden = dragged <= 0;
};
const hasFiles = ({ dataTransfer }) => [...(dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (event) => hasFiles(event) && showDrop(1));
addEventListener("dragleave", (event) => hasFiles(event) && showDrop(-1));
addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
addEventListener("drop", async (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  showDrop(0);
  await openFiles(event.dataTransfer.files);
});

$("preset").append(...USERS.map(([name], index) => new Option(name, String(index))));
$("preset").append(element("option", { text: "as written below", value: "-1", disabled: true }));
writeContext(USERS[0][1]);

/** Begins, or goes on after the server was gone. */
async function start() {
  if (definitions.names.length > 0) return compile();
  if (await openLink()) return undefined;
  try {
    const { files } = await get("definitions");
    definitions.replace(files.length ? files : [{ name: "flags.yaml", text: "" }]);
    isTouched = false;
  } catch (error) {
    definitions.replace([{ name: "flags.yaml", text: "" }]);
    say("gone", `The demo’s definitions cannot be read: ${error.message}.`);
    if (error instanceof Unreachable) serverIsGone();
  }
  return undefined;
}
await start();
