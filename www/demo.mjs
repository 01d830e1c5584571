// What `make demo` runs once everything is built: publishes a project, evaluates users natively and through WebAssembly side
// by side, then serves a page that evaluates in the browser. With DEMO_EXIT=1 it stops after seeing that the page answers.
import { execFile, execFileSync } from "node:child_process";
import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { availableParallelism } from "node:os";
import { dirname, extname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify, styleText } from "node:util";

const www = dirname(fileURLToPath(import.meta.url));
const root = dirname(www);
const pkg = join(root, "pkg");
const demo = join(root, "demo");
const flagstone = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "debug", "flagstone");
const keys = join(demo, "keys", "production.jwks");
const published = (audience) => join(demo, "published", "production", "current", `${audience}.json`);

/** Those whom the plans name, and others; headed by their keys. */
const USERS = [
  ["user-42", { targetingKey: "user-42", plan: "pro" }],
  ["user-114", { targetingKey: "user-114" }],
  ["user1", { targetingKey: "user1" }],
  ["legacy-user-1", { targetingKey: "legacy-user-1" }],
  ["internal-user-1", { targetingKey: "internal-user-1", internal: true }],
  ["22, a number", { targetingKey: 22 }],
  ["ngày", { targetingKey: "ngày", betaOptIn: true }],
  ["no key", {}],
];

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

function publish() {
  if (!existsSync(demo)) show("init", "demo", "--example", "five-plans");
  const key = "demo/keys/production.private.jwk";
  const store = ["--store", "demo/published", "--key", key];
  show("publish", "demo", "--environment", "production", ...store, "--reason", "A demonstration");
}

/** What a result is, whichever engine it comes from. */
const result = ({ value, variant, reason, errorCode, rule, version }) =>
  JSON.stringify([value ?? null, variant ?? null, reason, errorCode ?? null, rule ?? null, version]);

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

  let differences = 0;
  const cells = questions.map((question) => {
    const native = answers.get(question);
    const details = client.all(question.context)[question.flag];
    const equal = result(native) === result({ ...details, ...details.flagMetadata });
    if (!equal) differences++;
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
  const equal = `${cells.length - differences} of ${cells.length} results are the same`;
  console.log(`${audience} snapshot: ${equal} (value, variant, reason, error code, rule, version)`);
  return differences;
}

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css",
  ".js": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** The file that a path names, undefined where there is none. */
function file(path) {
  if (path === "/client.json") return published("client");
  if (path === "/keys.json") return keys;
  const [folder, rest] = path.startsWith("/pkg/") ? [pkg, path.slice(5)] : [www, path.slice(1) || "index.html"];
  const found = resolve(folder, rest);
  return found.startsWith(folder + sep) && statSync(found, { throwIfNoEntry: false })?.isFile() ? found : undefined;
}

/** Serves the page on this machine alone. */
async function serve() {
  const server = createServer((request, response) => {
    let found;
    try {
      found = file(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
    } catch {
      // No path: nothing is found there.
    }
    if (!found) return response.writeHead(404).end();
    const type = TYPES[extname(found)] ?? TYPES[".json"];
    return createReadStream(found).pipe(response.writeHead(200, { "content-type": type, "cache-control": "no-store" }));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return { server, address: `http://127.0.0.1:${server.address().port}/` };
}

publish();
heading("Natively and through WebAssembly, side by side");
const differences = (await compare("server", true)) + (await compare("client", false));
if (differences > 0) fail(`${differences} results differ`);

const { server, address } = await serve();
heading(`The page: ${address}`);
if (process.env.DEMO_EXIT === "1") {
  for (const path of ["", "main.js", "pkg/browser.js", "pkg/flagstone_bg.wasm", "client.json", "keys.json"]) {
    const { status } = await fetch(address + path);
    if (status !== 200) fail(`${address}${path} answers ${status}`);
  }
  console.log("It answers.");
  server.closeAllConnections();
  server.close();
} else {
  console.log("Ctrl-C ends it. Edit demo/*.yaml, publish again as above, and press “Look for a newer one”.");
}
