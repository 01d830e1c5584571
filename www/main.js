// The page: one flag, one user, 1,000 users. All decisions are the package's, made here in the browser.
import { FlagstoneClient } from "./pkg/browser.js";
import { FATES, fate, SIZE, survey } from "./crowd.js";
import { findings, isQuiet, lastRamp, percent, title } from "./explain.js";

const $ = (id) => document.getElementById(id);
const SOURCE = "client.json";

/** An element with text, never markup, in it. */
function element(name, { text = "", className = "" } = {}, ...children) {
  const made = document.createElement(name);
  made.className = className;
  made.append(text, ...children);
  return made;
}

const keys = await (await fetch("keys.json")).json();
const flags = await FlagstoneClient.start({ source: SOURCE, environment: "production", keys });
let crowd;
let active = 0;

// --- the snapshot ---------------------------------------------------------------------------------------------------

function showSnapshot(note = "") {
  if (flags.version === undefined) {
    $("snapshot").textContent = `No snapshot: ${flags.error?.message}`;
    return;
  }
  const made = flags.created.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
  $("snapshot").textContent = `Version ${flags.version}, signed ${made}, verified in this browser. ${note}`;
}

async function lookForNewer() {
  try {
    const taken = await flags.load(await fetch(SOURCE, { cache: "no-store" }));
    showSnapshot(taken ? "It is new." : "There is no newer one.");
    if (taken) {
      listFlags();
      showFlag();
    }
  } catch (error) {
    showSnapshot(`The one just fetched was refused: ${error.message}`);
  }
}

/** Fills the choice, and keeps what was chosen; at first, a flag that some users have and others do not. */
function listFlags() {
  const chosen = $("flag").value;
  const names = flags.flags.map(({ key }) => key).sort((a, b) => a.localeCompare(b, "en"));
  $("flag").replaceChildren(...names.map((name) => new Option(name)));
  const partly = (name) => {
    const ramp = lastRamp(flags.explain(name, { targetingKey: "user-0" }));
    return ramp && ramp.percent > 0 && ramp.percent < 100_000;
  };
  $("flag").value = names.includes(chosen) ? chosen : (names.find(partly) ?? names[0]);
}

// --- one user -------------------------------------------------------------------------------------------------------

/** The attributes as typed; undefined, and said so, where they are no JSON object. */
function attributes() {
  const text = $("attributes").value.trim();
  let parsed;
  let problem = "";
  try {
    parsed = JSON.parse(text || "{}");
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
      problem = 'Write an object: {"plan": "pro"}';
  } catch (error) {
    problem = `This is no JSON yet: ${error.message}`;
  }
  $("attributes-error").textContent = problem;
  $("attributes").setAttribute("aria-invalid", String(problem !== ""));
  return problem ? undefined : parsed;
}

function showUser() {
  const shared = attributes();
  if (!shared) return;
  const { details, steps } = flags.explain($("flag").value, { ...shared, targetingKey: $("key").value });
  const { rule, keyMissing, until } = details.flagMetadata;
  const facts = [
    ["variant", details.variant ?? "none"],
    ["reason", details.reason],
    ...(rule ? [["rule", rule]] : []),
    ...(keyMissing ? [["key", "missing"]] : []),
    ...(until ? [["until", new Date(until).toISOString()]] : []),
    ...(details.errorMessage ? [["error", details.errorMessage]] : []),
  ];
  $("result").replaceChildren(
    element("p", {
      className: "value",
      text: details.value === undefined ? "the caller’s default" : JSON.stringify(details.value),
    }),
    element(
      "dl",
      {},
      ...facts.map(([name, text]) => element("div", {}, element("dt", { text: name }), element("dd", { text }))),
    ),
  );
  const items = [];
  let passed = [];
  for (const step of steps) {
    if (isQuiet(step)) {
      passed.push(title(step, rule));
      continue;
    }
    if (passed.length) items.push(element("li", { text: `Passed: ${passed.join(", ").toLowerCase()}` }));
    passed = [];
    const item = element(
      "li",
      { className: step.decided ? "decided" : "" },
      element("strong", { text: title(step, rule) }),
    );
    if (step.depth > 0) item.append(` of ${step.flag}`);
    item.append(element("span", { className: "answer", text: step.decided ? "decides" : "passed" }));
    item.append(element("ul", {}, ...findings(step).map((text) => element("li", { text }))));
    items.push(item);
  }
  $("steps").replaceChildren(...items);
}

// --- 1,000 users ----------------------------------------------------------------------------------------------------

const cells = Array.from({ length: SIZE }, (_, index) => {
  const cell = element("div");
  cell.id = `user-${index}`;
  cell.setAttribute("role", "option");
  return cell;
});
$("grid").append(...cells);

function showFlag() {
  const shared = attributes();
  if (!shared) return;
  crowd = survey(flags, $("flag").value, shared);
  const { ramp } = crowd;
  $("ramp").hidden = !ramp;
  if (ramp) $("percent").value = String(ramp.percent / 1000);
  showUser();
  showCrowd();
  check();
}

const chosenPercent = () => Math.round(Number($("percent").value) * 1000);

function showCrowd() {
  const at = chosenPercent();
  const counts = Object.fromEntries(Object.keys(FATES).map((name) => [name, 0]));
  crowd.users.forEach((user, index) => {
    const what = fate(user, at);
    counts[what]++;
    const { variant = "the default" } = user.details;
    const where = user.ramp ? `position ${percent(user.ramp.position)}, ` : "";
    const label = `${user.key}: ${where}${FATES[what]}; served ${variant} now`;
    const cell = cells[index];
    if (cell.title === label) return;
    cell.className = what;
    cell.title = label;
    cell.ariaLabel = label;
    cell.ariaSelected = String(what === "stays" || what === "joins");
  });
  const inside = counts.stays + counts.joins;
  $("percent-shown").textContent = percent(at);
  $("percent").setAttribute("aria-valuetext", `${percent(at)}, ${inside} of ${SIZE} users in`);
  $("summary").textContent = crowd.ramp
    ? `${inside} of ${SIZE.toLocaleString("en")} users are in at ${percent(at)}. Raising the percent only adds users; nobody moves out.`
    : "No percent decides this flag: every user here is served the same way, whatever their position.";
  const shown = Object.entries(FATES).filter(([name]) => counts[name] > 0);
  $("legend").replaceChildren(
    ...shown.map(([name, text]) =>
      element(
        "li",
        {},
        element("i", { className: name }),
        element("b", { text: counts[name].toLocaleString("en") }),
        ` ${text}`,
      ),
    ),
  );
  $("grid").dataset.in = String(inside);
}

/** Holds the slider's promise against what is served: at the published percent both name the same users. */
function check() {
  const { ramp, users } = crowd;
  // A ramp that serves a split may serve those inside what those outside get.
  const isSplit = users.some(({ isSplit }) => isSplit);
  $("check").hidden = !ramp || isSplit;
  if ($("check").hidden) return;
  const variants = (isIn) =>
    users
      .filter((user) => user.ramp && user.ramp.position < ramp.percent === isIn)
      .map(({ details }) => details.variant);
  const [inside, outside] = [variants(true), new Set(variants(false))];
  const agree = inside.every((variant) => !outside.has(variant)) && outside.size <= 1;
  $("check").textContent = agree
    ? `✓ At the published ${percent(ramp.percent)} the engine serves exactly these ${inside.length} users.`
    : `✗ At the published ${percent(ramp.percent)} the engine serves others than these ${inside.length} users.`;
}

/** Marks a user as the one that the keyboard is at. */
function moveTo(index) {
  cells[active].classList.remove("active");
  active = Math.max(0, Math.min(SIZE - 1, index));
  cells[active].classList.add("active");
  $("grid").setAttribute("aria-activedescendant", cells[active].id);
}

function explainUser(index) {
  moveTo(index);
  $("key").value = `user-${index}`;
  showUser();
}

function onKey(event) {
  const columns = getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -SIZE, End: SIZE };
  if (event.key in moves) moveTo(active + moves[event.key]);
  else if (event.key === "Enter" || event.key === " ") explainUser(active);
  else return;
  event.preventDefault();
}

// --- start ----------------------------------------------------------------------------------------------------------

$("flag").addEventListener("change", showFlag);
$("percent").addEventListener("input", showCrowd);
$("published").addEventListener("click", () => {
  $("percent").value = String(crowd.ramp.percent / 1000);
  showCrowd();
});
$("key").addEventListener("input", showUser);
$("attributes").addEventListener("input", showFlag);
$("context").addEventListener("submit", (event) => event.preventDefault());
$("grid").addEventListener("keydown", onKey);
$("grid").addEventListener("focus", () => moveTo(active));
$("grid").addEventListener("click", ({ target }) => {
  const index = cells.indexOf(target);
  if (index >= 0) explainUser(index);
});
$("reload").addEventListener("click", lookForNewer);

showSnapshot();
if (flags.version !== undefined) {
  listFlags();
  showFlag();
  document.querySelector("main").hidden = false;
}
