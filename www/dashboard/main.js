// The dashboard of whoever is on call: what is served, and what can be done about it. It knows what the server's public HTTP
// interface tells, and nothing else.
import { $, element, newest, timeOf } from "../dom.js";
import { ask, environmentPath, onSignedOut, Refused, Unreachable } from "./api.js";
import { dismiss } from "./dialog.js";
import { FlagView } from "./flag.js";
import { FlagsView } from "./flags.js";
import { HistoryView } from "./history.js";
import { Live } from "./live.js";
import { RolloutView } from "./rollout.js";
import { RolloutsView } from "./rollouts.js";
import { forget, keep, token } from "./session.js";
import { unfreeze } from "./steering.js";
import { restore } from "./verbs.js";
import { countdown, grow, since, tick, when } from "./words.js";

const GROW_MS = 30_000;
const TICK_MS = 500;
const TOAST_MS = 12_000;

let me, health, view, shownAt, toastTimer, awaited;

/** What the views share. */
const app = {
  environment: undefined,
  /** The flags as the server told them last. */
  flags: undefined,
  /** Who gets what, by flag. */
  stats: new Map(),
  /** Where rollouts stand, as the server told last, and when it was asked. */
  rollouts: undefined,
  rolloutsAt: 0,

  hash: (...parts) => `#/${[app.environment, ...parts].map(encodeURIComponent).join("/")}`,

  linkTo: (key) => element("a", { className: "flag-link", href: app.hash("flag", key), text: key }),

  rolloutLink: (name) => element("a", { className: "flag-link", href: app.hash("rollout", name), text: name }),

  /** The name and the role of whoever is signed in. */
  me: () => me,

  /** The rollouts that move a flag. */
  rolloutsOf: (key) => (app.rollouts?.rollouts ?? []).filter(({ flags }) => flags.includes(key)),

  /** Lets a control change things, or not; why not, is said once for all of them. */
  allowWrites(control) {
    control.disabled = whyNoWrites() !== "";
    if (control.disabled) control.setAttribute("aria-describedby", "read-only");
    else control.removeAttribute("aria-describedby");
  },

  /** Takes up what was changed here. */
  changed({ version, changed, served, warnings = [] }, done) {
    const more = warnings.length > 0 ? ` ${warnings.join(" ")}` : "";
    if (!changed) toast(`Nothing to do: it was so already, at version ${version}.${more}`);
    else if (served) toast(`${done}. Version ${version} is served.${more}`, "good");
    else {
      awaited = { version, done };
      toast(`${done}. Version ${version} is written; this server does not serve it yet.${more}`);
    }
    refresh();
  },
};

function toast(text, kind = "") {
  clearTimeout(toastTimer);
  $("toast").className = `toast ${kind}`;
  $("toast").textContent = text;
  toastTimer = setTimeout(() => ($("toast").textContent = ""), TOAST_MS);
}

function whyNoWrites() {
  if (me.role === "reader")
    return `Read only: the token ${me.name} has the role reader. To change anything takes one with the role operator.`;
  if (health.environments[app.environment]?.writes) return "";
  return `Read only: this server was started without a key that may sign for ${app.environment}.`;
}

// --- what is served -------------------------------------------------------------------------------------------------

/** Asks what there is, and shows it. */
const refresh = newest(async (signal) => {
  const { environment } = app;
  try {
    const flags = await ask(environmentPath(environment, "flags"), { signal });
    tellOfOthers(flags.version);
    app.flags = flags;
    shownAt = new Date();
    show();
    app.readRollouts();
    const { flags: stats } = await ask(environmentPath(environment, "stats"), { signal });
    app.stats = new Map(stats.map((one) => [one.flag, one]));
    view?.update();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Unreachable) return;
    if (!(error instanceof Refused)) throw error;
    if (error.status !== 401 && !app.flags) showNothing(`${error.message}.`);
    else if (error.status !== 401) toast(`Not read again: ${error.message}.`, "bad");
  }
});

/** Asks where rollouts stand. It may take as long as whoever measures takes. */
app.readRollouts = newest(async (signal) => {
  app.rolloutsAt = Date.now();
  try {
    app.rollouts = await ask(environmentPath(app.environment, "rollouts"), { signal });
    showFrozen();
    view?.update();
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Unreachable || error instanceof Refused)) throw error;
  }
});

function showFrozen() {
  const { frozen } = app.rollouts;
  $("frozen").hidden = !frozen;
  if (!frozen) return;
  const { author, reason, at } = frozen.by;
  $("frozen-text").replaceChildren(
    element("strong", { text: `Changes are frozen by ${author}: ` }),
    `${reason} · no rollout goes on `,
    ...(frozen.until
      ? ["until ", element("span", { text: when(frozen.until) }), ", ", countdown(frozen.until)]
      : ["until somebody unfreezes it"]),
    "; rollbacks do · ",
    since(at),
  );
  app.allowWrites($("unfreeze"));
  $("unfreeze").hidden = me.role === "reader";
}

/** Says who made a newer version, unless it was made here. */
async function tellOfOthers(version) {
  const known = app.flags?.version;
  if (known === undefined || version <= known) return;
  try {
    const { entries } = await ask(`${environmentPath(app.environment, "history")}?limit=1`);
    const [{ author, reason }] = entries;
    if (author !== me.name) toast(`Version ${version} by ${author}: ${reason}`);
  } catch {
    // The history says it, too.
  }
}

const live = new Live({
  version(version) {
    if (awaited && version >= awaited.version) {
      toast(`${awaited.done}. Version ${awaited.version} is served.`, "good");
      awaited = undefined;
    }
    if (!app.flags || version > app.flags.version) refresh();
  },
  health(answer) {
    health = answer;
    showHealth();
    view?.showVerbs?.();
    if (app.flags) view?.update();
  },
  state(name, since) {
    const text = { live: "Live", polling: "Polling", lost: "Not connected" }[name];
    if ($("live").dataset.state === "lost" && name !== "lost") refresh();
    $("live").dataset.state = name;
    $("live-text").textContent = text;
    $("live").title = name === "polling" ? "The server’s stream cannot be heard; it is asked every two seconds" : "";
    const isNew = $("lost").hidden;
    $("lost").hidden = name !== "lost";
    if (name !== "lost" || !isNew) return;
    const shown = shownAt ? ` What you see is of ${timeOf(shownAt)} and may have changed since.` : "";
    $("lost-text").replaceChildren(
      element("strong", { text: `The server was last heard of at ${timeOf(since)}.` }),
      shown,
    );
  },
});

function showHealth() {
  const { reasons = [], problem } = health.environments[app.environment] ?? {};
  const lines = [...reasons, ...(problem ? [problem] : [])];
  $("read-only").textContent = whyNoWrites();
  $("read-only").hidden = whyNoWrites() === "";
  $("health").hidden = lines.length === 0;
  const shown = lines.map((text) => element("p", { text: `${text[0].toUpperCase()}${text.slice(1)}.` }));
  if ($("health").textContent !== shown.map(({ textContent }) => textContent).join(""))
    $("health").replaceChildren(...shown);
}

function showNothing(text) {
  view = undefined;
  $("view").replaceChildren(element("p", { className: "nothing", text }));
}

// --- views ----------------------------------------------------------------------------------------------------------

/** What the address names: `#/production`, `#/production/flag/KEY`, `#/production/rollout/NAME`, `#/production/history`. */
function wanted() {
  try {
    const [, environment = "", name = "", key = ""] = location.hash.split("/").map(decodeURIComponent);
    return { environment, name, key };
  } catch {
    return { environment: "", name: "", key: "" };
  }
}

let shown = "";

/** Shows what the address names, anew where it is another view. */
function show() {
  const { name, key } = wanted();
  const which = JSON.stringify([app.environment, name, key]);
  const isOther = which !== shown || !view;
  if (isOther) {
    const isFirst = shown === "";
    shown = which;
    if (name === "flag") view = new FlagView(app, $("view"), key);
    else if (name === "history") view = new HistoryView(app, $("view"));
    else if (name === "rollouts") view = new RolloutsView(app, $("view"));
    else if (name === "rollout") view = new RolloutView(app, $("view"), key);
    else view = new FlagsView(app, $("view"));
    const title = { history: "History", rollouts: "Rollouts" }[name] ?? key;
    document.title = [...(title ? [title] : []), app.environment, "Flagstone"].join(" · ");
    const section = { history: "to-history", rollouts: "to-rollouts", rollout: "to-rollouts" }[name] ?? "to-flags";
    for (const link of $("nav").children)
      if (link.id === section) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    if (!isFirst) {
      scrollTo(0, 0);
      $("view").querySelector("h2")?.focus();
    }
  }
  const { killedAll } = app.flags;
  $("killed-all").hidden = !killedAll;
  if (killedAll) {
    const told = element("strong", { text: `Everything is killed by ${killedAll.author ?? "somebody"}: ` });
    $("killed-all-text").replaceChildren(
      told,
      killedAll.reason ?? "no reason given",
      " ",
      ...(killedAll.at ? [since(killedAll.at)] : []),
    );
    app.allowWrites($("restore-all"));
  }
  view.update();
}

/** Goes where the address says. */
function go() {
  if (!me) return;
  const { environment } = wanted();
  const known = [...$("environment").options].filter(({ disabled }) => !disabled).map(({ value }) => value);
  if (known.length === 0) return showNothing(`The token ${me.name} counts for no environment of this server.`);
  if (!known.includes(environment)) {
    const [first] = known.includes(app.environment) ? [app.environment] : known;
    history.replaceState(null, "", `#/${encodeURIComponent(first)}`);
    return go();
  }
  if (environment !== app.environment) {
    Object.assign(app, { environment, flags: undefined, stats: new Map(), rollouts: undefined });
    $("frozen").hidden = true;
    view = undefined;
    $("environment").value = environment;
    $("to-flags").href = app.hash();
    $("to-rollouts").href = app.hash("rollouts");
    $("to-history").href = app.hash("history");
    $("view").replaceChildren(element("p", { className: "nothing", text: "Asking what is served …" }));
    showHealth();
    live.follow(environment);
    return refresh();
  }
  return app.flags && show();
}

// --- signing in and out ---------------------------------------------------------------------------------------------

function signOut(why = "") {
  forget();
  live.end();
  dismiss();
  me = health = view = awaited = undefined;
  shown = "";
  Object.assign(app, { environment: undefined, flags: undefined, stats: new Map(), rollouts: undefined });
  $("view").replaceChildren();
  for (const id of ["view", "nav", "who", "lost", "health", "read-only", "killed-all", "frozen"]) $(id).hidden = true;
  $("toast").textContent = "";
  $("sign-in-why").textContent = why;
  $("sign-in").hidden = false;
  $("token").focus();
}

/** Begins with a token; throws where it does not count. */
async function signIn(secret) {
  const told = await ask("admin/v1/token", { as: secret });
  const answer = await ask("admin/v1/health", { as: secret });
  keep(secret);
  me = told;
  health = answer;
  const options = Object.keys(health.environments).map((name) => {
    const option = new Option(name, name);
    option.disabled = me.environments !== null && !me.environments.includes(name);
    return option;
  });
  $("environment").replaceChildren(...options);
  $("token-name").replaceChildren(
    element("b", { text: me.name }),
    element("span", { className: `role ${me.role}`, text: me.role }),
  );
  $("sign-in").hidden = true;
  $("sign-in-why").textContent = $("token").value = "";
  for (const id of ["view", "nav", "who"]) $(id).hidden = false;
  go();
}

const trySignIn = async (secret) => {
  try {
    $("sign-in-error").textContent = "";
    await signIn(secret);
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    if (error.status === 401) forget();
    $("sign-in").hidden = false;
    $("sign-in-error").textContent = `${error.message}.`;
    $("token").focus();
  }
};

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const secret = $("token").value.trim();
  if (secret) trySignIn(secret);
});
$("sign-out").addEventListener("click", () => signOut());
onSignedOut((why) => me && signOut(`You are signed out: ${why}.`));
$("retry").addEventListener("click", () => live.look());
$("restore-all").addEventListener("click", () => restore(app, "all"));
$("environment").addEventListener("change", () => (location.hash = `#/${encodeURIComponent($("environment").value)}`));
addEventListener("hashchange", go);
$("unfreeze").addEventListener("click", () => unfreeze(app));
setInterval(grow, GROW_MS);
setInterval(() => {
  tick();
  if (app.flags) view?.tick?.();
}, TICK_MS);

if (token()) await trySignIn(token());
else signOut();
