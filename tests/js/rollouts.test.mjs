// Rollouts in the dashboard, driven as whoever runs one would, on `flagstone serve` with a Prometheus that says what the test
// has it say. Whatever others do, and the controller's looks, is done by the command line.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { launch } from "./support/browser.mjs";
import { binary, publishedProject } from "./support/server.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const MARKUP = "<img src=x onerror=globalThis.broken=1>";

const definitions = `
flags:
  use_new_gateway: {salt: use_new_gateway-1, default: {ramp: {percent: 0, serve: on}}}
  websocket: {salt: websocket-1, default: {ramp: {percent: 0, serve: on}}}
  search: {salt: search-1, allow: [{variant: on, keys: [internal-user-1]}], default: {ramp: {percent: 0, serve: on}}}
  markup: {salt: markup-1, default: {ramp: {percent: 0, serve: on}}}
  theme: {salt: theme-1, default: {ramp: {percent: 40, serve: on}}}
rollouts:
  gateway:
    description: Moves media to the new gateway.
    owner: media
    flags: [use_new_gateway]
    interval: 1s
    metrics:
      errors: {query: 'errors{arm="{{arm}}"}', window: 1ms, samples: samples, minimumSamples: 100}
      latency: {query: latency, window: 1ms, baseline: {value: 100}}
      unknown: {query: unknown, window: 1ms}
      traffic: {query: traffic, window: 1ms}
    gates: [{metric: errors, value: < 0.1%}, {name: about as fast, metric: latency, ratio: <= 1.2}]
    triggers:
      - {metric: errors, value: '> 1%'}
      - {metric: unknown, value: '> 5', severity: warning}
      - {signal: criticalBug}
      - {signal: complaints, severity: warning}
    afterRollback: {share: traffic}
    roles: {stakeholders: [dana], nobodyHere: [sam]}
    steps:
      - {percent: 5, soak: 0s, requires: [{approval: stakeholders}, {attestation: support team trained, role: nobodyHere}]}
      - {percent: 25, soak: 2d}
      - {percent: 100, soak: 7d}
  websocket:
    flags: [websocket]
    steps: [{series: {from: 5, to: 100, by: [{add: 5}]}, soak: 1d, ceiling: true}]
  search:
    flags: [search]
    triggers:
      - {signal: slow, severity: warning}
      - {signal: wrong, do: stepDown}
      - {name: data is lost, signal: lost}
    roles: {stakeholders: [dana]}
    steps:
      - {name: beta, percent: 10, requires: [{approval: stakeholders}]}
      - {percent: 50}
      - {percent: 100, requires: [{approval: stakeholders}]}
  ? "${MARKUP}"
  : description: "${MARKUP}"
    owner: "${MARKUP}"
    flags: [markup]
    triggers: [{signal: "${MARKUP}"}]
    steps: [{name: "${MARKUP}", percent: 5, requires: [{attestation: "${MARKUP}"}]}]
`;

/** What browsers say on their own of requests that a test has fail. */
const EXPECTED = /net::ERR_|status of (4|5)\d\d/;

/** What is measured now, by a word of the query; null for no data. */
const measured = {};
const calm = () =>
  Object.assign(measured, { errors: 0.0004, latency: 110, samples: 5000, unknown: null, traffic: 0.2 });

const complaints = [];
let browser, project, server, prometheus, operator, reader;

/** Answers range queries as Prometheus does, with the same value at each instant. */
async function startPrometheus() {
  const listening = createServer(async (request, response) => {
    let body = "";
    for await (const text of request) body += text;
    const asked = new URLSearchParams(body || new URL(request.url, "http://localhost").search);
    const [start, end, step] = ["start", "end", "step"].map((name) => parseFloat(asked.get(name)));
    const value = Object.entries(measured).find(([word]) => asked.get("query").includes(word))?.[1] ?? null;
    const values = [];
    if (value !== null) for (let at = start; at <= end + 1e-6; at += step) values.push([at, String(value)]);
    const result = values.length > 0 ? [{ metric: {}, values }] : [];
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ status: "success", data: { resultType: "matrix", result } }));
  });
  await new Promise((done) => listening.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${listening.address().port}`,
    close() {
      listening.closeAllConnections();
      listening.close();
    },
  };
}

before(async () => {
  calm();
  prometheus = await startPrometheus();
  project = publishedProject(definitions);
  operator = project.token("dana", "operator");
  reader = project.token("rita", "reader");
  const how = ["--tokens", "tokens.json", "--key", "key.jwk", "--public-evaluation", "--prometheus", prometheus.url];
  server = await project.serve(...how);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.close();
  prometheus?.close();
  project?.remove();
});

const where = ["--environment", "production", "--store", "published"];

const command = (verb, ...args) => project.run("rollout", verb, ...args, ...where, "--key", "key.jwk");
const bySam = (verb, ...args) => command(verb, ...args, "--author", "sam", "--reason", `By sam: ${verb}`);

/** Has the controller look once. It asks this process, which must not stand still meanwhile. */
const look = () =>
  promisify(execFile)(
    binary,
    ["rollout", "run", ...where, "--key", "key.jwk", "--prometheus", prometheus.url, "--once"],
    { cwd: project.folder },
  );

/** Where a rollout is, as the command line has it. */
function status(name = "gateway") {
  const text = project.run("rollout", "status", name, "--store", "published", "--keys", "keys.jwks", "--json");
  return JSON.parse(text).rollouts[0];
}

/** A flag, as the server has it. */
async function flagOf(key) {
  const headers = { authorization: `Bearer ${operator}` };
  return (await fetch(`${server.base}/admin/v1/environments/production/flags/${key}`, { headers })).json();
}

async function open({ hash = "rollouts", token = operator, ...options } = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !EXPECTED.test(message.text()))
      complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(`${server.base}/dashboard/#/production/${hash}`);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  return page;
}

const phase = (page, name) => page.waitForSelector(`.flag-head .badge.${name}`);
const row = (page, name) => page.locator(`.row[data-rollout="${name}"]`);
const button = (page, name) => page.locator(".verbs").getByRole("button", { name, exact: true });
const guard = (page, name) => page.locator(".guard").filter({ hasText: name });

/** Waits until a part of the page says something. */
const says = (page, selector, wanted) =>
  page.waitForFunction(
    ([selector, source]) => new RegExp(source).test(document.querySelector(selector)?.innerText),
    [selector, wanted.source],
  );

/** Confirms what a dialog asks, and waits until it is done. */
async function confirm(page, name, reason) {
  await page.locator("#reason").fill(reason);
  await page.locator("#dialog").getByRole("button", { name }).click();
  await page.waitForSelector("#dialog:not([open])", { state: "attached" });
}

const verbs = (page) => page.locator(".verbs button:visible").allInnerTexts();

test("lists every rollout with where it is, and what it waits for", async () => {
  const page = await open();
  await row(page, "gateway").waitFor();
  assert.equal(await page.locator(".row[data-rollout]").count(), 4);
  assert.match(await row(page, "gateway").innerText(), /not started[^]*Moves media[^]*3 steps[^]*Waits to be started/);
  assert.equal(await row(page, "websocket").locator(".small-track .stop").count(), 20);
  await page.getByRole("link", { name: "gateway" }).click();
  await phase(page, "none");
  assert.equal(await page.title(), "gateway · production · Flagstone");
  assert.equal(await page.locator("#to-rollouts").getAttribute("aria-current"), "page");
  assert.deepEqual(await page.locator(".track b").allInnerTexts(), ["5%", "25%", "100%"]);
  await page.context().close();
});

test("starts, approves, holds, resumes, rolls back and retries", async () => {
  const page = await open({ hash: "rollout/gateway" });
  await phase(page, "none");
  assert.deepEqual(await verbs(page), ["Start …"]);
  await button(page, "Start …").click();
  assert.match(await page.locator("#dialog").innerText(), /first step, 5%, and moves use_new_gateway/);
  await confirm(page, "Start it", "The preparations are done");
  await phase(page, "running");
  assert.equal(status().progress.step, "5%");
  assert.equal(await page.locator('.track [aria-current="step"] b').innerText(), "5%");
  assert.deepEqual(await verbs(page), ["Hold …", "Roll back …"]);

  // What is missing is said with the verb that gives it, to whoever may give it.
  const approval = page.locator("#words .word").filter({ hasText: "approval of stakeholders" });
  assert.match(await approval.innerText(), /missing/);
  const attestation = page.locator("#words .word").filter({ hasText: "support team trained" });
  assert.match(await attestation.innerText(), /missing[^]*given by sam/);
  assert.equal(await attestation.getByRole("button").count(), 0, "dana does not have the role");
  await approval.getByRole("button").click();
  await confirm(page, "Approve", "Looks well");
  await says(page, "#words .word", /given/);
  assert.match(await approval.innerText(), /dana: Looks well/);
  assert.deepEqual(
    status().progress.attested.map(({ what, by }) => [what, by.author]),
    [["approval of stakeholders", "dana"]],
  );

  await button(page, "Hold …").click();
  await confirm(page, "Hold it", "Lunch");
  await phase(page, "held");
  assert.equal(status().progress.phase, "held");
  assert.deepEqual(await verbs(page), ["Resume …", "Roll back …"]);
  await says(page, "#waits", /Held by dana: Lunch/);
  await button(page, "Resume …").click();
  await confirm(page, "Resume it", "Fed");
  await phase(page, "running");
  assert.equal(status().progress.phase, "running");

  await button(page, "Roll back …").click();
  await page.getByLabel("Who leaves the new path").selectOption("emergency");
  assert.match(await page.locator(".effect").innerText(), /From 5 % to nobody.*critical.*use_new_gateway/);
  const asked = page.waitForRequest((request) => request.url().endsWith("/rollback"));
  await confirm(page, "Roll it back", "Calls drop");
  assert.equal((await asked).headers()["if-match"], undefined, "a rollback wins, whatever happened meanwhile");
  await phase(page, "rolledBack");
  const { progress, percent } = status();
  assert.deepEqual([progress.phase, percent, progress.incident.severity], ["rolledBack", 0, "critical"]);
  assert.match(await page.locator("#incident").innerText(), /critical[^]*Turned back from 5% by dana[^]*Calls drop/i);
  assert.deepEqual(await verbs(page), ["Retry …"], "nobody is left to take out");
  await button(page, "Retry …").click();
  assert.match(await page.locator("#dialog").innerText(), /begins again at 5%, as attempt 2/);
  await confirm(page, "Retry it", "Mended");
  await phase(page, "running");
  assert.equal(status().progress.attempt, 2);
  await says(page, "#decisions", /Began again[^]*Rolled back[^]*Resumed[^]*Held[^]*Approved[^]*Started/);
  assert.match(await page.locator(".plot .canvas").getAttribute("aria-label"), /5 %, 0 %, 5 %$/);
  await page.context().close();
});

test("what is measured shows as it changes, and what others decide without a reload", async () => {
  calm();
  const page = await open({ hash: "rollout/gateway" });
  await phase(page, "running");
  await page.evaluate(() => (globalThis.sameDocument = true));
  await says(page, "#measured", /0\.04 %/);
  await guard(page, "errors < 0.1%").locator(".finding.good").waitFor();
  await guard(page, "errors > 1%").locator(".finding.quiet").waitFor();
  assert.match(await guard(page, "about as fast").innerText(), /holds[^]*ratio to baseline 100[^]*1\.1[^]*<= 1\.2/);
  assert.match(await guard(page, "unknown > 5").innerText(), /no data/);
  assert.equal(
    await guard(page, "errors < 0.1%").getByRole("img").getAttribute("aria-label"),
    "it is 0.04 %, wanted is < 0.1%",
  );
  const query = guard(page, "errors < 0.1%").locator("details");
  await query.locator("summary").click();
  Object.assign(measured, { errors: 0.004 });
  await guard(page, "errors < 0.1%").locator(".finding.bad").waitFor();
  assert.ok(await query.evaluate(({ open }) => open), "what is open stays open");
  assert.equal(await query.innerText(), 'Query\nerrors{arm="new"}');
  await says(page, "#waits", /"errors < 0\.1%" does not hold/);
  Object.assign(measured, { errors: 0.03 });
  await guard(page, "errors > 1%").locator(".finding.open").waitFor();
  await says(page, "#waits", /the controller rolls it back/);

  await look();
  await phase(page, "rolledBack");
  assert.match(await page.locator("#incident").innerText(), /critical[^]*by a trigger/i);
  await page.locator("#incident summary").click();
  assert.match(
    await page.locator("#incident .evidence").innerText(),
    /open\s+errors > 1%[^]*3 % \(> 1%\), 5,000 samples/,
  );
  await page.locator(".track .failed b").waitFor();
  // Traffic is looked at until it follows.
  await says(page, "#incident", /Whether traffic and health follow is watched/);
  await guard(page, "share of traffic").locator(".finding.bad").waitFor();
  await look();
  assert.equal(status().progress.incident.recovery, "awaited");
  const { reason } = (await flagOf("use_new_gateway")).killed;
  measured.traffic = 0;
  await look();
  await says(page, "#incident", /Traffic and health followed/);
  assert.deepEqual((await flagOf("use_new_gateway")).killed.reason, reason, "it was not killed for what came after");
  calm();
  bySam("retry", "gateway");
  await phase(page, "running");
  bySam("signal", "gateway", "criticalBug");
  await says(page, "#signals", /raised[^]*sam: By sam: signal/);
  await page.locator("#signals").getByRole("button", { name: "Clear" }).click();
  await confirm(page, "Clear it", "It is none");
  await says(page, "#signals", /not raised/);
  assert.deepEqual(status().progress.signals ?? {}, {});
  assert.equal(await page.evaluate(() => globalThis.sameDocument), true);
  await page.context().close();
});

test("goes on, counts down, and is told of on its flag, among the flags, and in the history", async () => {
  calm();
  measured.unknown = 1;
  const page = await open({ hash: "rollout/gateway" });
  await phase(page, "running");
  bySam("attest", "gateway", "support team trained");
  await says(page, "#words", /sam: By sam: attest/);
  await page.locator("#words").getByRole("button", { name: "Approve" }).click();
  await confirm(page, "Approve", "Go on");
  await look();
  await says(page, ".sentence", /25 %[^]*Next is 100%, at the earliest in (2 d|1 d 23 h)/);
  await says(page, "#waits", /soak[^]*Stays at 25% for 2d at least · in/);
  await page.evaluate(() => (location.hash = "#/production"));
  const moved = page.locator('.row[data-flag="use_new_gateway"] .rollout');
  await page.waitForFunction(() =>
    /gateway\s*25% · running/.test(document.querySelector('[data-flag="use_new_gateway"] .rollout').innerText),
  );
  await moved.getByRole("link", { name: "gateway" }).waitFor();
  await page.evaluate(() => (location.hash = "#/production/flag/use_new_gateway"));
  await says(page, "#rollout", /gateway\s*running\s*25%[^]*Stays at 25%/);
  await page.evaluate(() => (location.hash = "#/production/history"));
  await says(page, ".entry", /flagstone rollout[^]*gateway\s*Step\s*5%\s*→\s*25%/);
  assert.ok(!/\.last\.|\.entered|rolledBack/.test(await page.locator("#view").innerText()), "no paths, but words");
  await page.context().close();
});

test("rolls back to the step before, to a percent, down a staircase, and a part of the people", async () => {
  bySam("start", "websocket");
  const page = await open({ hash: "rollout/websocket" });
  await phase(page, "running");
  const roll = async (way, fields, reason = "Memory") => {
    await button(page, /Roll back/).click();
    await page.getByLabel("Who leaves the new path").selectOption(way);
    for (const [label, text] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(text);
    await confirm(page, "Roll it back", reason);
  };
  await roll("cohort", { "Users, by their targetingKey": "user-1, user-2" });
  await phase(page, "held");
  assert.deepEqual((await flagOf("websocket")).state.exclude, { keys: ["user-1", "user-2"] });

  await button(page, "Roll back …").click();
  const ways = await page.locator("#way option").allInnerTexts();
  assert.ok(!ways.some((way) => way.startsWith("To the step before")), "there is none before the first");
  await page.getByLabel("Who leaves the new path").selectOption("percent");
  await page.getByLabel("Percent", { exact: true }).fill("7");
  await page.locator("#reason").fill("No");
  await page.locator("#dialog-confirm").click();
  assert.match(await page.locator("#dialog-problem").innerText(), /a percent below 5/);
  await page.locator("#dialog-cancel").click();

  await roll("staircase", { "Points at once": "2", Every: "1h", "Down to percent": "1" });
  await phase(page, "rollingBack");
  assert.equal(status("websocket").percent, 3);
  await says(page, ".sentence", /3 %[^]*The next stair in/);
  assert.deepEqual(await verbs(page), ["Roll back …"]);
  await roll("percent", { Percent: "2" });
  await phase(page, "rolledBack");
  assert.equal(status("websocket").percent, 2);
  await roll("zero", {});
  await page.waitForFunction(() => document.querySelector(".sentence .big b").textContent === "0 %");
  assert.ok((await flagOf("websocket")).killed);
  await page.context().close();
});

test("says what others made of its flags, and what lets people in again", async () => {
  const others = (verb, ...args) =>
    project.run(verb, "search", ...args, ...where, "--key", "key.jwk", "--author", "sam", "--reason", `By sam: ${verb}`);
  const reach = (page, wanted) => says(page, ".sentence .big", wanted);
  bySam("start", "search");
  const page = await open({ hash: "rollout/search" });
  await reach(page, /^10 % at beta for/);
  others("ramp", "--percent", "50");
  await reach(page, /^50 %: changed by hand, at beta for/);
  assert.match(await page.locator(".sentence .next").innerText(), /^Next is 50%, once what is below is so$/);
  others("kill");
  await reach(page, /^0 %: killed by hand, at beta for/);
  await page.evaluate(() => (location.hash = "#/production/rollouts"));
  await says(page, '.row[data-rollout="search"]', /beta for[^]*killed by hand[^]*0 %[^]*is killed/);
  await page.evaluate(() => (location.hash = "#/production/rollout/search"));
  others("restore");
  await reach(page, /^50 %: changed by hand/);
  await button(page, "Resume …").click();
  await confirm(page, "Resume it", "As planned");
  await reach(page, /^10 % at beta/);

  bySam("rollback", "search");
  await reach(page, /^0 % on the new path/);
  await says(page, ".sentence .next", /over until somebody retries/);
  assert.deepEqual(await verbs(page), ["Retry …"]);
  others("restore");
  await reach(page, /^0 %: restored by hand, rolled back for/);
  await says(page, ".sentence .next", /let people in again[^]*Roll back again/);
  const { mode, byHand } = status("search");
  assert.deepEqual([mode, byHand], ["testing", [{ flag: "search", what: "restored", percent: 0 }]]);
  assert.ok(!/nobody/.test(await page.locator("#view").innerText().then((text) => text.split("Decisions")[0])));
  await page.evaluate(() => (location.hash = "#/production"));
  await says(page, '.row[data-flag="search"] .rollout', /at no step · rolled back/);
  await page.evaluate(() => (location.hash = "#/production/rollout/search"));
  await button(page, "Roll back again …").click();
  await confirm(page, "Roll it back", "They were let in again");
  await reach(page, /^0 % on the new path/);
  assert.ok((await flagOf("search")).killed.rollout);

  // Who kills it by hand is who restores it.
  others("kill");
  await reach(page, /^0 %: killed by hand, rolled back for/);
  await button(page, "Retry …").click();
  assert.match(await page.locator("#dialog").innerText(), /begins again at beta \(10 %\)[^]*Killed by hand[^]*search/);
  await page.locator("#dialog-cancel").click();
  others("restore");
  await page.context().close();
});

test("says what an approval leads to, and what a signal does before it is raised", async () => {
  const page = await open({ hash: "rollout/search" });
  await phase(page, "rolledBack");
  const item = (name) => page.locator("#signals .word").filter({ hasText: name });
  const does = (name, wanted) =>
    page.waitForFunction(
      ([name, source]) => {
        const items = [...document.querySelectorAll("#signals .word")];
        return new RegExp(source).test(items.find(({ innerText }) => innerText.includes(name))?.innerText);
      },
      [name, wanted.source],
    );
  await does("lost", /once raised, it keeps the rollout from being retried/);
  bySam("retry", "search");
  await phase(page, "running");
  await does("slow", /once raised, it holds the rollout where it is, until somebody resumes it/);
  await does("wrong", /once raised, it rolls the rollout back to zero/);
  await does("lost", /once raised, it rolls the rollout back to zero: nobody is on the new path/);

  const approval = page.locator("#words .word").first();
  await approval.getByRole("button").click();
  assert.match(await page.locator("#dialog").innerText(), /approve of going on from beta \(10 %\) to 50%\./);
  await confirm(page, "Approve", "Go on");
  await look();
  await look();
  await says(page, ".sentence", /100 %[^]*Then it is through, once/);
  await does("wrong", /takes the rollout back to 50% and holds it there/);
  await page.locator("#words .missing").getByRole("button").click();
  assert.match(await page.locator("#dialog").innerText(), /going on from 100%, the last step, to its end/);
  await page.locator("#dialog-cancel").click();

  bySam("hold", "search");
  await does("slow", /does no more than hold the rollout/);
  await item("wrong").getByRole("button", { name: "Raise" }).click();
  assert.match(await page.locator("#dialog").innerText(), /At the controller’s next look it takes the rollout back to 50% and/);
  await confirm(page, "Raise it", "Wrong results");
  await does("wrong", /raised[^]*dana: Wrong results/);
  await look();
  await says(page, ".sentence .big", /^50 % for/);
  await page.context().close();
});

test("freezes, says so everywhere, and unfreezes", async () => {
  const page = await open();
  await row(page, "gateway").waitFor();
  await page.getByRole("button", { name: "Freeze changes …" }).click();
  await confirm(page, "Freeze it", "The holidays");
  await says(page, "#frozen", /frozen by dana: The holidays[^]*until somebody unfreezes it/);
  await page.evaluate(() => (location.hash = "#/production/rollout/gateway"));
  await says(page, "#waits", /freeze[^]*Changes are frozen by dana/);
  await page.getByRole("button", { name: "Unfreeze …" }).click();
  await confirm(page, "Unfreeze it", "Back");
  await page.waitForSelector("#frozen", { state: "hidden" });
  await page.context().close();
});

test("the history says in words what was done, however often", async () => {
  for (const [verb, ...names] of [
    ["signal", "criticalBug"],
    ["signal", "complaints"],
    ["clear", "criticalBug"],
    ["clear", "complaints"],
    ["resume"],
    ["resume"],
    ["attest", "support team trained"],
  ])
    bySam(verb, "gateway", ...names);
  const { reason } = (await flagOf("websocket")).killed;
  project.run("kill", "websocket", ...where, "--key", "key.jwk", "--author", "sam", "--reason", "By hand");
  bySam("rollback", "websocket");
  const page = await open({ hash: "history" });
  await page.locator(".entry").first().waitFor();
  const entries = await page.locator(".entry").evaluateAll((all) =>
    all.slice(0, 11).map((entry) => {
      const changes = [...entry.querySelectorAll(".changes li")];
      return changes.map(({ className, innerText }) => `${innerText.replace(/\s+/g, " ")}${className && ` (${className})`}`);
    }),
  );
  assert.deepEqual(entries, [
    ["websocket Rolled back again"],
    [`websocket Kill: reason ${reason} → By hand`],
    ["gateway Attested: support team trained"],
    ["gateway Resumed"],
    ["gateway Resumed"],
    ["gateway Signal complaints cleared"],
    ["gateway Signal criticalBug cleared"],
    ["gateway Signal complaints raised"],
    ["gateway Signal criticalBug raised"],
    ["Changes of rollouts frozen → not frozen"],
    ["Changes of rollouts not frozen → frozen"],
  ]);
  await page.context().close();
});

test("a reader sees everything and is offered nothing", async () => {
  const page = await open({ token: reader, hash: "rollout/gateway" });
  await phase(page, "running");
  await page.locator("#signals .word").first().waitFor();
  assert.deepEqual(await verbs(page), []);
  assert.equal(await page.locator("#view button:visible").count(), 0);
  await page.context().close();
});

test("says why the server refuses, and what is not there", async () => {
  const page = await open({ hash: "rollout/gateway" });
  await phase(page, "running");
  await button(page, "Hold …").click();
  bySam("hold", "gateway");
  await page.locator("#reason").fill("Me too");
  await page.locator("#dialog-confirm").click();
  await says(page, "#dialog-problem", /it is held already/);
  await page.locator("#dialog-cancel").click();
  await phase(page, "held");
  await page.evaluate(() => (location.hash = "#/production/rollout/nothing"));
  await says(page, ".nothing", /there is no rollout `nothing`/);
  await page.context().close();
});

test("text of others stays text", async () => {
  command("start", MARKUP, "--author", MARKUP, "--reason", MARKUP);
  command("signal", MARKUP, MARKUP, "--author", MARKUP, "--reason", MARKUP);
  command("attest", MARKUP, MARKUP, "--author", MARKUP, "--reason", MARKUP);
  command("rollback", MARKUP, "--emergency", "--author", MARKUP, "--reason", MARKUP);
  const page = await open();
  await row(page, "gateway").waitFor();
  for (const parts of [["rollouts"], ["rollout", MARKUP], ["flag", "markup"], ["history"], []]) {
    await page.evaluate((hash) => (location.hash = hash), `#/production/${parts.map(encodeURIComponent).join("/")}`);
    await page.waitForFunction((text) => document.querySelector("#view").innerText.includes(text), MARKUP);
    if (parts[0] === "rollout") await page.locator(".decision.rolledBack").waitFor();
    assert.equal(await page.locator("#view img").count(), 0);
  }
  assert.equal(await page.evaluate(() => globalThis.broken), undefined);
  await page.context().close();
});

/** What axe finds fault with. */
async function violations(on) {
  // The page's policy forbids scripts of others, and the test is one.
  await on.evaluate(axe);
  const { violations } = await on.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join("\n")}`);
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1440, 360]) {
    test(`accessible and not too wide: ${colorScheme}, ${width} pixels`, async () => {
      const page = await open({ colorScheme, viewport: { width, height: 740 }, reducedMotion: "reduce" });
      const check = async (what) => {
        assert.deepEqual(await violations(page), [], what);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${what}: ${overflow} pixels too wide`);
      };
      await row(page, "gateway").waitFor();
      await check("all rollouts");
      for (const name of ["gateway", "websocket", MARKUP]) {
        await page.evaluate((hash) => (location.hash = hash), `#/production/rollout/${encodeURIComponent(name)}`);
        await page.locator(".rollout-body:not([hidden])").waitFor();
        await page.waitForFunction((name) => document.querySelector(".flag-key").textContent === name, name);
        await page.locator(".decision").first().waitFor();
        await check(name);
      }
      await page.evaluate(() => (location.hash = "#/production/rollout/gateway"));
      await phase(page, "held");
      await button(page, "Roll back …").click();
      await page.getByLabel("Who leaves the new path").selectOption("staircase");
      await check("rolling back");
      await page.context().close();
    });
  }
}

test("nothing was complained about", () => {
  assert.deepEqual(complaints, []);
});
