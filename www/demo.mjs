// What `make demo` runs once everything is built: publishes a project, changes it as an operator would, evaluates users
// natively and through WebAssembly side by side, then serves the dashboard and the playground, and runs a rollout of an
// application that Prometheus measures. With DEMO_EXIT=1 it stops after seeing that both pages and what is behind them answer,
// that the rollout goes on, and that a fault turns it back.
//
//     node www/demo.mjs [--port N] [--project FOLDER] [--quick]
//
// `--quick` makes each of the rollout's soaks a second long, for whoever will not wait.
import { execFile, execFileSync, spawn } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { availableParallelism } from "node:os";
import { basename, dirname, join, relative, resolve } from "node:path";
import { createInterface, emitKeypressEvents } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify, styleText } from "node:util";
import { runApplication } from "./application.mjs";
import { HAPPENED } from "./dashboard/terms.js";
import { USERS } from "./presets.js";
import { differences, resultOf } from "./result.js";
import { serve } from "./server.mjs";

const www = dirname(fileURLToPath(import.meta.url));
const root = dirname(www);
const pkg = join(root, "pkg");
const { values: options } = parseArgs({
  options: { port: { type: "string" }, project: { type: "string", default: "demo" }, quick: { type: "boolean" } },
});
const demo = resolve(root, options.project);
const flagstone = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "debug", "flagstone");
const keys = join(demo, "keys", "production.jwks");
const signingKey = join(demo, "keys", "production.private.jwk");
const published = (audience) => join(demo, "published", "production", "current", `${audience}.json`);

// styleText leaves colours out where nobody would see them.
const style = (format, text) => (process.stdout.isTTY && !process.env.NO_COLOR ? styleText(format, text) : text);
const heading = (text) => console.log(`\n${style("bold", text)}`);

function fail(message) {
  console.error(message);
  process.exit(1);
}

for (const built of [flagstone, join(pkg, "node.js")]) {
  if (!existsSync(built)) fail(`${relative(root, built)} is missing: run 'make demo', which builds it`);
}

/** Runs the command where everyone can see it. */
function show(...args) {
  heading(`$ flagstone ${args.map((arg) => (/[\s{]/.test(arg) ? `'${arg}'` : arg)).join(" ")}`);
  try {
    execFileSync(flagstone, args, { cwd: root, stdio: "inherit" });
  } catch (error) {
    fail(`flagstone ${args[0]} failed with exit code ${error.status}. 'make clean' takes the demo's project away.`);
  }
}

const OPERATOR = "demo operator";
const store = join(demo, "published");
const ROLLOUT = "image-resizer";

/** Puts the plans of rollouts beside the flags, where they are not: the five, and one to watch. */
function addPlans() {
  const plans = join(root, "tests", "rollouts", "definitions");
  const names = readdirSync(plans).filter((name) => name.endsWith(".rollout.yaml"));
  const watched = join(www, `${ROLLOUT}.rollout.yaml`);
  const files = [...names.map((name) => join(plans, name)), watched];
  for (const file of files) if (!existsSync(join(demo, basename(file)))) copyFileSync(file, join(demo, basename(file)));
  if (!options.quick) return;
  const text = readFileSync(watched, "utf8").replaceAll(/soak: \d+s/g, "soak: 1s");
  writeFileSync(join(demo, basename(watched)), text);
}

/** Publishes, and gives a new project some history. */
function publish() {
  const project = relative(root, demo);
  const isNew = !existsSync(demo);
  if (isNew) show("init", project, "--example", "five-plans");
  addPlans();
  const where = ["--environment", "production", "--store", relative(root, store), "--key", relative(root, signingKey)];
  show("publish", project, ...where, "--reason", "A demonstration");
  if (!isNew) return;
  const who = [...where, "--author", OPERATOR, "--reason"];
  show("ramp", "use_new_gateway", "--percent", "10", ...who, "The people on the list see no errors");
  show("kill", "use_new_gateway", ...who, "Connections fail in one region");
  show("restore", "use_new_gateway", ...who, "A firewall was to blame, and is mended");
  show("ramp", "use_new_gateway", "--percent", "25", ...who, "No errors at 10 %");
}

/** Installs the package as npm would where the application is, and returns where it is then. */
function installed() {
  const modules = join(demo, "application", "node_modules");
  rmSync(modules, { recursive: true, force: true });
  const { name, dependencies } = JSON.parse(readFileSync(join(pkg, "package.json"), "utf8"));
  cpSync(pkg, join(modules, name), { recursive: true });
  for (const dependency of Object.keys(dependencies)) {
    mkdirSync(dirname(join(modules, dependency)), { recursive: true });
    symlinkSync(join(root, "pkg-templates", "node_modules", dependency), join(modules, dependency), "dir");
  }
  return join(modules, name);
}

/** A port that nobody listens at, for what does not say which it took. */
async function freePort() {
  const server = createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

/** Starts what runs until the demo ends; what it says of what goes wrong is shown if it ends before. */
function start(name, command, args) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let complaint = "";
  child.stderr.on("data", (text) => (complaint = (complaint + text).slice(-4000)));
  const failed = new Promise((_, reject) => {
    child.once("error", (error) => reject(new Error(`${name} cannot be started: ${error.message}`)));
    child.once("exit", (code) => reject(new Error(`${name} ended with ${code}: ${complaint}`)));
  });
  failed.catch(() => {});
  const close = () => child.kill();
  process.once("exit", close);
  return { child, failed, close };
}

const listeningLine = ({ child, failed }) =>
  Promise.race([new Promise((said) => createInterface(child.stdout).once("line", said)), failed]);

/** Starts a Prometheus that reads the application's metrics every second. */
async function startPrometheus(address, application) {
  const folder = join(demo, "prometheus");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const config = {
    global: { scrape_interval: "1s", scrape_timeout: "1s" },
    scrape_configs: [{ job_name: "application", static_configs: [{ targets: [new URL(application).host] }] }],
  };
  // JSON is YAML.
  writeFileSync(join(folder, "prometheus.json"), JSON.stringify(config));
  const listen = new URL(address).host;
  const args = [`--config.file=${join(folder, "prometheus.json")}`, `--storage.tsdb.path=${join(folder, "data")}`];
  const running = start("prometheus", "prometheus", [...args, `--web.listen-address=${listen}`, "--log.level=warn"]);
  const isReady = async () => (await fetch(`${address}/-/ready`).catch(() => undefined))?.ok;
  while (!(await isReady())) await Promise.race([new Promise((later) => setTimeout(later, 100)), running.failed]);
  return running;
}

/** Starts `flagstone serve` with a token of its operator; `{address, token, close}`. */
async function serveDashboard(port, prometheus) {
  const tokens = join(demo, "tokens.json");
  // The one of last time is shown nowhere.
  rmSync(tokens, { force: true });
  const issue = ["token", "--name", OPERATOR, "--role", "operator", "--file", tokens];
  const token = execFileSync(flagstone, issue, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  const args = ["serve", "--store", store, "--keys", keys, "--key", signingKey, "--tokens", tokens];
  const listening = async (port) => {
    const options = [
      "--listen",
      `127.0.0.1:${port}`,
      "--public-evaluation",
      "--prometheus",
      prometheus,
      "--log",
      "error",
    ];
    const running = start("flagstone serve", flagstone, [...args, ...options]);
    const line = await listeningLine(running);
    return { address: `${line.split(" ").at(-1)}/`, close: running.close };
  };
  // Somebody else may be there.
  const { address, close } = await listening(port).catch((error) => (port === 0 ? fail(error.message) : listening(0)));
  return { address, token, close };
}

/** Starts the controller, and the rollout, where it is not under way. */
async function startRollout(prometheus) {
  const where = ["--environment", "production", "--store", store, "--key", signingKey];
  const run = ["rollout", "run", ...where, "--prometheus", prometheus, "--interval", "1s", "--log", "error"];
  const controller = start("flagstone rollout run", flagstone, run);
  await listeningLine(controller);
  await begin();
  return controller;
}

/** Begins the rollout, again where it is over, and says so. */
async function begin() {
  const { progress } = await rollout();
  const steer = (verb, reason = "A demonstration") => rollout(`/${verb}`, { reason });
  switch (progress?.phase) {
    case undefined:
      await steer("start");
      return "The rollout begins.\n";
    case "completed":
      await steer("rollback", "It is through, and begins again");
      await steer("retry");
      return "The rollout begins again.\n";
    case "rolledBack":
      await steer("retry");
      return "The rollout begins again.\n";
    case "held":
      await steer("resume");
      return "The rollout goes on.\n";
    default:
      return "The rollout is under way already.\n";
  }
}

/** What whoever watches can do, by the terminal or by HTTP. */
const commands = {
  async break() {
    application.setBroken(true);
    const { progress } = await rollout();
    const now = "The new path fails now";
    if (progress.phase === "completed")
      return `${now}, and stays: the rollout is through, and watches nothing. Begin again.\n`;
    return progress.phase === "rolledBack" ? `${now}, and nobody is on it.\n` : `${now}. See the rollout turn back.\n`;
  },
  async mend() {
    application.setBroken(false);
    return "The new path works.\n";
  },
  async again() {
    application.setBroken(false);
    return begin();
  },
};

/** Evaluates a flag for a user with the native engine. */
async function natively(audience, flag, context, now) {
  const question = ["--flag", flag, "--context", JSON.stringify(context), "--now", new Date(now).toISOString()];
  const args = ["eval", "--snapshot", published(audience), "--keys", keys, ...question];
  const { stdout } = await promisify(execFile)(flagstone, args);
  return JSON.parse(stdout);
}

/** Evaluates every flag for every user twice, and returns how many results differ. */
async function compare(audience, isShown) {
  const { FlagstoneClient } = await import(join(pkg, "node.js"));
  const now = Date.now();
  const client = await FlagstoneClient.start({
    source: readFileSync(published(audience)),
    environment: "production",
    audience,
    keys: JSON.parse(readFileSync(keys, "utf8")),
    now: () => now,
  });
  if (client.error) fail(`the ${audience} snapshot was refused: ${client.error.message}`);
  const names = client.flags.map(({ key }) => key);
  const questions = names.flatMap((flag) => USERS.map(([, context]) => ({ flag, context })));
  const answers = new Map();
  const todo = questions.values();
  const work = async () => {
    for (const question of todo) answers.set(question, await natively(audience, question.flag, question.context, now));
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));

  let unequal = 0;
  const cells = questions.map((question) => {
    const native = answers.get(question);
    const details = client.all(question.context).find(({ flagKey }) => flagKey === question.flag);
    const equal = differences(resultOf(native), resultOf(details)).length === 0;
    if (!equal) unequal++;
    const served = ({ variant, errorCode }) => variant ?? errorCode;
    if (equal) return `${served(native)} ✓`;
    return `${served(native)}, ${native.reason} ✗ ${served(details)}, ${details.reason}`;
  });
  await client.close();
  if (isShown) {
    const width = Math.max(...names.map((name) => name.length));
    const column = Math.max(...[...cells, ...USERS.map(([name]) => name)].map(({ length }) => length));
    console.log(style("dim", [" ".repeat(width), ...USERS.map(([name]) => name.padEnd(column))].join("  ")));
    names.forEach((name, row) => {
      const ours = cells.slice(row * USERS.length, (row + 1) * USERS.length);
      const colour = (cell) => (cell.includes("✗") ? "red" : cell.startsWith("off") ? "dim" : "green");
      console.log([name.padEnd(width), ...ours.map((cell) => style(colour(cell), cell.padEnd(column)))].join("  "));
    });
  }
  const equal = `${cells.length - unequal} of ${cells.length} results are the same`;
  console.log(`${audience} snapshot: ${equal} (value, variant, reason, error code, rule, version)`);
  return unequal;
}

publish();
heading("Natively and through WebAssembly, side by side");
const unequal = (await compare("server", true)) + (await compare("client", false));
if (unequal > 0) fail(`${unequal} results differ`);

/** The same for everyone, so that one's link to the page opens on another's machine. */
const PORT = 4352;
const DASHBOARD_PORT = 4353;
const isCheck = process.env.DEMO_EXIT === "1";
const isFixed = !isCheck && options.port === undefined;

const measures = `http://127.0.0.1:${await freePort()}`;
const dashboard = await serveDashboard(isFixed ? DASHBOARD_PORT : 0, measures);
const snapshots = new URL("snapshots/production/", dashboard.address);
const folder = installed();
const { FlagstoneClient } = await import(join(folder, "node.js"));
const { Guards } = await import(join(folder, "guard.js"));
const client = await FlagstoneClient.start({
  source: new URL("client.json", snapshots),
  stream: new URL("stream", snapshots),
  environment: "production",
  keys: JSON.parse(readFileSync(keys, "utf8")),
});
if (client.error) fail(`the application has no flags: ${client.error.message}`);
const application = await runApplication(new Guards(client), commands);
const prometheus = await startPrometheus(measures, application.address).catch((error) =>
  fail(`${error.message}\n.ci/install prometheus installs it, as 'make demo' does.`),
);

/** Asks the server about the rollout, or does something to it. */
async function rollout(verb = "", body = undefined) {
  const path = `admin/v1/environments/production/rollouts/${ROLLOUT}${verb}`;
  const headers = { authorization: `Bearer ${dashboard.token}`, "content-type": "application/json" };
  const asked = body && { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(new URL(path, dashboard.address), { headers, ...asked });
  if (!response.ok) throw new Error(`${path} answers ${response.status}: ${await response.text()}`);
  return response.json();
}

const controller = await startRollout(measures);
heading(`The dashboard: ${dashboard.address}dashboard/`);
console.log(`Sign in with the token ${dashboard.token}`);
heading(`A rollout that runs: ${dashboard.address}dashboard/#/production/rollout/${ROLLOUT}`);
console.log(`Its application is measured by Prometheus at ${measures}`);
console.log(`Until it is through, in about ${left(await rollout())} s, a fault of its new path turns it back.`);
console.log(`To break its new path: curl -X POST ${application.address}/break`);
console.log(`To mend it:            curl -X POST ${application.address}/mend`);
console.log(`To begin it again:     curl -X POST ${application.address}/again`);

const content = {
  command: flagstone,
  folders: { "/pkg/": pkg, "/": www },
  project: demo,
  jwks: keys,
  key: signingKey,
};
const wanted = options.port ?? (isFixed ? String(PORT) : "0");
const { address, close } = await serve({ ...content, port: Number(wanted) }).catch((error) => {
  if (error.code !== "EADDRINUSE" || options.port !== undefined) throw error;
  return serve({ ...content, port: 0 });
});
heading(`The playground: ${address}`);

/** Asks the server as the page does. */
async function ask(path, question) {
  const headers = { "content-type": "application/json", origin: new URL(address).origin };
  const asked = question && { method: "POST", headers, body: JSON.stringify(question) };
  const response = await fetch(new URL(path, address), asked);
  if (!response.ok) fail(`${address}${path} answers ${response.status}: ${await response.text()}`);
  return response;
}

/** How many seconds of soaks are left from the step on that a rollout is at. */
function left({ steps, at }) {
  const inSeconds = ([, count, unit]) => count * { s: 1, m: 60 }[unit];
  const soaks = steps.slice(at).flatMap(({ soak }) => [...soak.matchAll(/(\d+)([sm])/g)]);
  return soaks.reduce((sum, part) => sum + inSeconds(part), 0);
}

/** What can be done once something has happened. */
async function hint(what) {
  const again = `To begin again: ${process.stdin.isTTY ? "r, or " : ""}curl -X POST ${application.address}/again`;
  if (what === "completed") return `It is through, and a fault does not turn it back any more. ${again}`;
  if (what === "verified" || what === "escalated") return again;
  const { progress, ...status } = await rollout();
  if (progress.phase !== "running") return "";
  return `Through in ${left(status)} s at the earliest; until then a fault turns it back.`;
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/** Says what is decided from now on, until a decision is the last that is waited for. */
async function tell(isLast) {
  let known = (await rollout("/decisions?limit=1")).decisions[0]?.version ?? 0;
  for (;;) {
    // A server that is busy is asked again.
    const { decisions } = await rollout("/decisions?limit=20").catch(() => ({ decisions: [] }));
    for (const { version, decision, step } of decisions.filter((one) => one.version > known).reverse()) {
      const where = step === undefined || step === null ? "" : ` at ${step}`;
      const what = style("bold", HAPPENED[decision.what] ?? decision.what);
      console.log(`${style("dim", `v${version}`)} ${what}${where}: ${decision.reason}`);
      known = version;
      if (isLast(decision, step)) return;
      const then = await hint(decision.what).catch(() => "");
      if (then) console.log(then);
    }
    await new Promise((later) => setTimeout(later, 250));
  }
}

/** Waits until the rollout is past its first step, breaks the new path, and sees that nobody stays on it. */
async function watchItTurnBack() {
  heading("The rollout goes on");
  await tell(({ what }) => what === "advanced");
  heading("The new path breaks");
  const broken = Date.now();
  application.setBroken(true);
  await tell(({ what }) => what === "rolledBack");
  const turned = Date.now();
  await tell(({ what }) => what === "verified" || what === "escalated");
  const { progress } = await rollout();
  if (progress.incident.recovery !== "verified") fail("traffic did not follow the rollback");
  const last = application.lastNew() - broken;
  console.log(
    `Rolled back ${seconds(turned - broken)} after the fault; the last call took the new path after ${seconds(last)}.`,
  );
}

/** Lets whoever sits at the terminal break things. */
function listenToKeys() {
  if (!process.stdin.isTTY) return;
  console.log("Or press b to break it and to mend it, r to begin the rollout again");
  emitKeypressEvents(process.stdin);
  process.stdin.setRawMode(true);
  process.stdin.on("keypress", async (_, { name, ctrl }) => {
    if (ctrl && name === "c") process.exit(0);
    const command = { b: application.isBroken() ? commands.mend : commands.break, r: commands.again }[name];
    if (command) process.stdout.write(await command().catch(({ message }) => `${message}\n`));
  });
}

if (isCheck) {
  for (const path of ["", "main.js", "pkg/browser.js", "pkg/flagstone_bg.wasm", "keys.json"]) await ask(path);
  const { files } = await (await ask("definitions")).json();
  const { problems } = await (await ask("lint", { files })).json();
  if (problems.some(({ severity }) => severity === "error")) fail("the page's definitions have errors");
  const { server: snapshot, flags } = await (await ask("compile", { files })).json();
  const [[, context]] = USERS;
  const { evaluation } = await (await ask("evaluate", { snapshot, flag: flags[0].key, context })).json();
  if (evaluation.errorCode) fail(`${evaluation.flag} is not evaluated: ${evaluation.errorCode}`);
  for (const path of ["dashboard/", "dashboard/dashboard/main.js", "admin/v1/environments/production/flags"]) {
    const response = await fetch(dashboard.address + path, { headers: { authorization: `Bearer ${dashboard.token}` } });
    if (!response.ok) fail(`${dashboard.address}${path} answers ${response.status}: ${await response.text()}`);
  }
  console.log("Both answer.");
  await watchItTurnBack();
  close();
  for (const one of [controller, prometheus, dashboard, application, client]) await one.close();
} else {
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(0));
  for (const { failed } of [controller, prometheus]) failed.catch((error) => console.error(error.message));
  listenToKeys();
  console.log("Ctrl-C ends it. What you edit in the page stays in the page.");
  await tell(() => false);
}
