// What the server of the playground answers, and whom.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { serve } from "../../www/server.mjs";
import { launch } from "./support/browser.mjs";
import { demo } from "./support/demo.mjs";

const run = promisify(execFile);

let server, browser;
before(async () => {
  server = await demo("--quick");
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.remove();
});

const GOOD = `flags:
  gateway: {client: true, salt: gateway-1, default: {ramp: {percent: 25, serve: on}}}
  inner: {salt: inner-1, default: on}
`;
const files = (text, name = "flags.yaml") => [{ name, text }];

async function ask(path, question, headers = {}) {
  const response = await fetch(server.base + path, {
    method: "POST",
    headers: { "content-type": "application/json", origin: server.base, ...headers },
    body: typeof question === "string" ? question : JSON.stringify(question),
  });
  return { status: response.status, answer: await response.json() };
}

/** A request with headers that `fetch` does not let through. */
const raw = (path, { method = "GET", headers = {}, body = "" }) =>
  new Promise((resolve, reject) => {
    const asked = request(server.base + path, { method, headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode));
    });
    asked.on("error", reject);
    asked.end(body);
  });

test("lints, compiles, evaluates and counts", async () => {
  const { answer: linted } = await ask("/lint", { files: files("flags:\n  a: {bogus: 1}\n") });
  const [{ severity, file, line, column }] = linted.problems;
  assert.deepEqual({ severity, file, line, column }, { severity: "error", file: "flags.yaml", line: 2, column: 7 });

  const { status, answer: compiled } = await ask("/compile", { files: files(GOOD) });
  assert.equal(status, 200);
  assert.deepEqual(compiled.flags, [
    { key: "gateway", client: true },
    { key: "inner", client: false },
  ]);
  for (const audience of ["server", "client"])
    assert.equal(JSON.parse(JSON.parse(compiled[audience]).payload).audience, audience);

  const question = { snapshot: compiled.server, flag: "gateway", context: { targetingKey: "user-1" }, now: Date.now() };
  const { answer: evaluated } = await ask("/evaluate", question);
  assert.equal(evaluated.evaluation.reason, "SPLIT");
  assert.ok(evaluated.steps.some(({ step, decided }) => step === "default" && decided));

  const contexts = Array.from({ length: 200 }, (_, index) => ({ targetingKey: `user-${index}` }));
  const { answer: counted } = await ask("/simulate", { ...question, contexts });
  assert.equal(counted.users, 200);
  assert.equal(
    counted.variants.reduce((sum, { users }) => sum + users, 0),
    200,
  );
});

test("serves the dashboard beside it, with some history, to whoever has the token that it says", async () => {
  const page = await fetch(server.dashboard);
  assert.equal(page.status, 200);
  assert.match(await page.text(), /<title>Flagstone dashboard/);
  const history = new URL("../admin/v1/environments/production/history", server.dashboard);
  assert.equal((await fetch(history)).status, 401);
  const told = await fetch(history, { headers: { authorization: `Bearer ${server.token}` } });
  const { entries } = await told.json();
  assert.deepEqual(
    // Later ones come of the rollout that runs.
    entries.map(({ version, author }) => [version, author]).filter(([version]) => version > 1 && version < 6),
    [5, 4, 3, 2].map((version) => [version, "demo operator"]),
  );
  for (const { reason } of entries) assert.ok(reason);
});

test("runs a rollout until it is through, begins it again, and has it turn back when its new path breaks", async () => {
  const tell = async (command, headers = {}) => {
    const response = await fetch(`${server.application}/${command}`, { method: "POST", headers });
    return [response.status, await response.text()];
  };
  const page = await (await browser.newContext()).newPage();
  // Soaks are a second, and what is measured takes seconds in each step.
  page.setDefaultTimeout(120_000);
  await page.goto(`${server.dashboard}#/production/rollout/image-resizer`);
  await page.getByLabel("Token").fill(server.token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator(".flag-head .badge.completed").waitFor();
  assert.match(await page.locator(".sentence").innerText(), /^100 % for[^]*through all of its steps/);
  assert.deepEqual(await page.locator(".track .passed b").allInnerTexts(), ["5%", "25%", "50%", "100%"]);
  const [, broken] = await tell("break");
  assert.match(broken, /fails now, and stays: the rollout is through[^]*Begin again/);

  assert.equal((await tell("again", { origin: "https://elsewhere.example" }))[0], 404, "pages elsewhere have no say");
  assert.deepEqual(await tell("again"), [200, "The rollout begins again.\n"]);
  await page.locator(".flag-head .badge.running").waitFor();
  assert.deepEqual(await tell("again"), [200, "The rollout is under way already.\n"]);
  assert.match((await tell("break"))[1], /See the rollout turn back/);
  await page.locator(".flag-head .badge.rolledBack").waitFor();
  assert.match(await page.locator("#incident").innerText(), /critical[^]*by a trigger/i);
  await page.getByText("Traffic and health followed.").waitFor();
  assert.deepEqual(await tell("again"), [200, "The rollout begins again.\n"]);
  await page.locator(".flag-head .badge.running").waitFor();
  await page.context().close();
});

test("says clearly why there is no answer", async () => {
  const compiled = (await ask("/compile", { files: files(GOOD) })).answer.server;
  const evaluate = (rest) => ask("/evaluate", { snapshot: compiled, flag: "gateway", context: {}, ...rest });
  for (const [asked, status, why] of [
    [ask("/lint", "{"), 400, /no JSON/],
    [ask("/lint", "[]"), 400, /no JSON object/],
    [ask("/lint", {}), 400, /`files`/],
    [ask("/lint", { files: [] }), 400, /`files`/],
    [ask("/lint", { files: [{ name: "a.yaml" }] }), 400, /`text`/],
    [ask("/lint", { files: [...files(""), ...files("", "FLAGS.yaml")] }), 400, /same name/],
    [ask("/lint", { files: files("") }, { "content-type": "text/plain" }), 415, /application\/json/],
    [ask("/lint", { files: files("x".repeat(2 ** 20)) }), 413, /longer than 1,048,576 bytes/],
    [ask("/compile", { files: files("flags: {a: {default: on}}") }), 422, /salt/],
    [evaluate({ snapshot: compiled.replace('\\"percent\\":25000', '\\"percent\\":99000') }), 422, /signature/],
    [evaluate({ snapshot: 7 }), 400, /`snapshot`/],
    [evaluate({ flag: 7 }), 400, /`flag`/],
    [evaluate({ now: "soon" }), 400, /`now`/],
    [evaluate({ context: [] }), 422, /context/],
    [ask("/simulate", { snapshot: compiled, flag: "gateway" }), 400, /`contexts`/],
  ]) {
    const { status: got, answer } = await asked;
    assert.equal(got, status, JSON.stringify(answer));
    assert.match(answer.error, why);
  }
  assert.equal((await fetch(`${server.base}/lint`)).status, 405);
});

test("takes no name that leads out of its folder", async () => {
  for (const name of ["../a.yaml", "/etc/a.yaml", "a/b.yaml", "..\\a.yaml", ".a.yaml", "-a.yaml", "a.sh", "a\n.yaml"]) {
    const { status, answer } = await ask("/lint", { files: files("", name) });
    assert.equal(status, 400, name);
    assert.match(answer.error, /no name for definitions/);
  }
  for (const path of ["/..%2fCargo.toml", "/pkg/..%2f..%2fCargo.toml", "/%2e%2e/Cargo.toml", "/%ff"])
    assert.ok([400, 404].includes(await raw(path, {})), path);
});

test("answers its own page alone", async () => {
  const { host } = new URL(server.base);
  const headers = { "content-type": "application/json", host };
  const body = JSON.stringify({ files: files("") });
  const post = (more) => raw("/lint", { method: "POST", headers: { ...headers, ...more }, body });
  assert.equal(await post({ origin: server.base }), 200);
  assert.equal(await post({}), 403);
  assert.equal(await post({ origin: "https://elsewhere.example" }), 403);
  assert.equal(await post({ origin: "null" }), 403);
  // A name that somebody else had resolve to this machine.
  const rebound = "elsewhere.example:80";
  assert.equal(await post({ host: rebound, origin: `http://${rebound}` }), 403);
  assert.equal(await raw("/definitions", { headers: { host: rebound } }), 403);
  assert.equal(await raw("/definitions", { headers: { origin: "https://elsewhere.example" } }), 403);
  assert.equal(await raw("/definitions", { headers: {} }), 200);
});

test("leaves nothing behind", async () => {
  await ask("/compile", { files: files(GOOD) });
  const [own, ...others] = readdirSync(server.temporary);
  assert.deepEqual(others, []);
  assert.deepEqual(readdirSync(join(server.temporary, own)), []);
  await server.stop();
  assert.deepEqual(readdirSync(server.temporary), []);
  await server.start();
});

test("runs to its end by itself where it is told to", async () => {
  const folder = mkdtempSync(join(tmpdir(), "flagstone-demo-end-"));
  const script = fileURLToPath(new URL("../../www/demo.mjs", import.meta.url));
  const args = [script, "--quick", "--project", join(folder, "project")];
  const temporary = join(folder, "temporary");
  mkdirSync(temporary);
  try {
    // It fails where the exit code is another than 0.
    const { stdout } = await run(process.execPath, args, { env: { ...process.env, TMPDIR: temporary, DEMO_EXIT: "1" } });
    assert.match(stdout, /Rolled back [\d.]+ s after the fault/);
    assert.deepEqual(readdirSync(temporary), []);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("turns away what is too much at once, and answers the rest", async () => {
  const folder = mkdtempSync(join(tmpdir(), "flagstone-slow-"));
  const go = join(folder, "go");
  const command = join(folder, "command");
  writeFileSync(command, `#!/bin/sh\nwhile [ ! -e '${go}' ]; do sleep 0.02; done\necho '[]'\n`);
  chmodSync(command, 0o755);
  const www = fileURLToPath(new URL("../../www", import.meta.url));
  const slow = await serve({ command, folders: { "/": www }, project: folder, jwks: "", key: "" });
  const { origin } = new URL(slow.address);
  const lint = async () => {
    const headers = { "content-type": "application/json", origin };
    const body = JSON.stringify({ files: files("") });
    const { status } = await fetch(`${origin}/lint`, { method: "POST", headers, body });
    return status;
  };
  try {
    const [running, waiting, above] = [availableParallelism(), 64, 5];
    const statuses = [];
    const asked = Array.from({ length: running + waiting + above }, async () => statuses.push(await lint()));
    while (statuses.length < above) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual(statuses, Array(above).fill(503));
    writeFileSync(go, "");
    await Promise.all(asked);
    assert.equal(statuses.filter((status) => status === 200).length, running + waiting);
    assert.equal(await lint(), 200);
  } finally {
    slow.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test("says that the native command is not there", async () => {
  const slow = await serve({ command: "/no/such/command", folders: { "/": "/" }, project: "/", jwks: "", key: "" });
  const { origin } = new URL(slow.address);
  try {
    const headers = { "content-type": "application/json", origin };
    const body = JSON.stringify({ files: files("") });
    const response = await fetch(`${origin}/lint`, { method: "POST", headers, body });
    assert.equal(response.status, 503);
    assert.match((await response.json()).error, /native command cannot be run/);
  } finally {
    slow.close();
  }
});
