// What `make demo` runs once everything is built: publishes a project, changes it as an operator would, evaluates users
// natively and through WebAssembly side by side, then serves the dashboard and the playground. With DEMO_EXIT=1 it stops after
// seeing that both pages and what is behind them answer.
//
//     node www/demo.mjs [--port N] [--project FOLDER]
import { execFile, execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify, styleText } from "node:util";
import { USERS } from "./presets.js";
import { differences, resultOf } from "./result.js";
import { serve } from "./server.mjs";

const www = dirname(fileURLToPath(import.meta.url));
const root = dirname(www);
const pkg = join(root, "pkg");
const { values: options } = parseArgs({
  options: { port: { type: "string" }, project: { type: "string", default: "demo" } },
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

/** Publishes, and gives a new project some history. */
function publish() {
  const project = relative(root, demo);
  const isNew = !existsSync(demo);
  if (isNew) show("init", project, "--example", "five-plans");
  const where = ["--environment", "production", "--store", relative(root, store), "--key", relative(root, signingKey)];
  show("publish", project, ...where, "--reason", "A demonstration");
  if (!isNew) return;
  const who = [...where, "--author", OPERATOR, "--reason"];
  show("ramp", "use_new_gateway", "--percent", "10", ...who, "The people on the list see no errors");
  show("kill", "use_new_gateway", ...who, "Connections fail in one region");
  show("restore", "use_new_gateway", ...who, "A firewall was to blame, and is mended");
  show("ramp", "use_new_gateway", "--percent", "25", ...who, "No errors at 10 %");
}

/** Starts `flagstone serve` with a token of its operator; `{address, token, close}`. */
async function serveDashboard(port) {
  const tokens = join(demo, "tokens.json");
  // The one of last time is shown nowhere.
  rmSync(tokens, { force: true });
  const issue = ["token", "--name", OPERATOR, "--role", "operator", "--file", tokens];
  const token = execFileSync(flagstone, issue, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  const args = ["serve", "--store", store, "--keys", keys, "--key", signingKey, "--tokens", tokens];
  const listening = (port) =>
    new Promise((done, failed) => {
      const options = ["--listen", `127.0.0.1:${port}`, "--public-evaluation", "--log", "error"];
      const child = spawn(flagstone, [...args, ...options], { stdio: ["ignore", "pipe", "pipe"] });
      let complaint = "";
      child.stderr.on("data", (text) => (complaint += text));
      child.once("exit", (code) => failed(new Error(`flagstone serve ended with ${code}: ${complaint}`)));
      createInterface(child.stdout).once("line", (line) => done({ child, address: `${line.split(" ").at(-1)}/` }));
    });
  // Somebody else may be there.
  const { child, address } = await listening(port).catch((error) => (port === 0 ? fail(error.message) : listening(0)));
  const close = () => child.kill();
  process.once("exit", close);
  return { address, token, close };
}

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
    const details = client.all(question.context)[question.flag];
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

const dashboard = await serveDashboard(isFixed ? DASHBOARD_PORT : 0);
heading(`The dashboard: ${dashboard.address}dashboard/`);
console.log(`Sign in with the token ${dashboard.token}`);

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
  close();
  dashboard.close();
} else {
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(0));
  console.log("Ctrl-C ends it. What you edit in the page stays in the page.");
}
