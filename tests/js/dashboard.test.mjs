// The dashboard, driven as whoever is on call would, on `flagstone serve` with a log that others change, too.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch } from "./support/browser.mjs";
import { publishedProject } from "./support/server.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const MARKUP = "<img src=x onerror=globalThis.broken=1>";

const flags = (percent) => `
hashSalt: 5d1f0c7be2a94836a1c07d4f92be6358
flags:
  use_new_gateway:
    description: Routes media through the new gateway.
    owner: media
    client: true
    tags: [gateway]
    salt: use_new_gateway-1
    allow: [{variant: on, keys: [internal-user-1]}]
    default: {ramp: {percent: ${percent}, serve: on}}
  needs_gateway:
    salt: needs_gateway-1
    prerequisites: [{flag: use_new_gateway, variant: on}]
    default: on
  theme:
    tags: [looks]
    salt: theme-1
    variants: {light: light, dark: dark, sepia: sepia}
    off: light
    rules: [{id: staff, when: {attribute: staff, equals: true}, serve: dark}]
    default: {ramp: {percent: 40, serve: {split: [{variant: dark, weight: 1}, {variant: sepia, weight: 1}]}}}
  asleep: {salt: asleep-1, enabled: false, default: on, expires: 2020-01-01}
  ? "${MARKUP}"
  : {description: "${MARKUP}", owner: "${MARKUP}", salt: markup-1, default: on}
`;

/** What browsers say on their own of requests that a test has fail. */
const EXPECTED = /net::ERR_|status of (4|5)\d\d/;

const complaints = [];
const elsewhere = [];
const written = [];
let browser, project, server, operator, reader;

before(async () => {
  project = publishedProject(flags(0));
  project.publish(flags(5));
  operator = project.token("dana", "operator");
  reader = project.token("rita", "reader");
  server = await project.serve("--tokens", "tokens.json", "--key", "key.jwk", "--public-evaluation");
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.close();
  project?.remove();
});

/** Whatever anybody else does is done by the command line. */
const command = (verb, ...args) =>
  project.run(verb, ...args, "--environment", "production", "--store", "published", "--key", "key.jwk");

const log = () =>
  JSON.parse(
    project.run("log", "--environment", "production", "--store", "published", "--keys", "keys.jwks", "--json"),
  );

/** A page of its own, watched for complaints, for requests to others, and for the token. */
async function open({ path = "/", base = server.base, token = operator, ...options } = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !EXPECTED.test(message.text()))
      complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => {
    written.push(request.url());
    if (!request.url().startsWith(`${base}/`) && !request.url().startsWith("data:")) elsewhere.push(request.url());
  });
  await page.goto(base + path);
  if (token !== null) await signIn(page, token);
  return page;
}

async function signIn(page, token) {
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
}

const row = (page, key) => page.locator(`.row[data-flag="${key}"]`);
const state = (page, key, name) => page.waitForSelector(`.row[data-flag="${key}"] .badge.${name}`);
const toast = (page, text) =>
  page.waitForFunction((text) => document.querySelector("#toast").textContent.includes(text), text);
const go = (page, ...parts) =>
  page.evaluate((hash) => (location.hash = hash), `#/production/${parts.map(encodeURIComponent).join("/")}`);

async function flag(page, key = "use_new_gateway") {
  await go(page, "flag", key);
  await page.waitForFunction((key) => document.querySelector(".flag-key")?.textContent === key, key);
  await page.waitForSelector(".variants");
}

/** Confirms what a dialog asks. */
async function confirm(page, name, reason) {
  await page.locator("#reason").fill(reason);
  await page.locator("#dialog").getByRole("button", { name }).click();
}

const closed = (page) => page.waitForSelector("#dialog:not([open])", { state: "attached" });

// --- what is served -------------------------------------------------------------------------------------------------

test("shows every flag with who gets what", async () => {
  const page = await open();
  assert.equal(new URL(page.url()).pathname, "/dashboard/");
  await state(page, "use_new_gateway", "part");
  await state(page, "asleep", "disabled");
  assert.equal(await page.locator(".row[data-flag]").count(), 5);
  assert.equal(await page.locator(".tile.disabled b").innerText(), "1");
  assert.match(await row(page, "use_new_gateway").innerText(), /gateway[^]*Routes media[^]*media/);
  // 5 % of the 1,000 whom the server makes up, give or take four standard deviations.
  const share = row(page, "use_new_gateway").locator(".share");
  await page.waitForFunction(() =>
    /%/.test(document.querySelector('[data-flag="use_new_gateway"] .share').textContent),
  );
  const percent = parseFloat(await share.innerText());
  assert.ok(percent > 2.2 && percent < 7.8, `${percent} %`);
  assert.equal(
    await row(page, "use_new_gateway")
      .locator(".mark")
      .evaluate((mark) => mark.style.left),
    "5%",
  );
  assert.match(await row(page, "theme").getByRole("img").getAttribute("aria-label"), /dark \d.*sepia \d.*light \d/);

  await page.getByLabel("Filter flags").fill("GATEWAY media");
  assert.equal(await page.locator(".row[data-flag]:visible").count(), 1);
  await page.getByLabel("Filter flags").fill("");
  await page.locator(".tile.disabled").click();
  assert.deepEqual(await page.locator(".row:visible .flag-link").allInnerTexts(), ["asleep"]);
  await page.context().close();
});

test("of thousands of flags those in view are laid out, and each is found", async () => {
  const numbers = Array.from({ length: 3000 }, (_, index) => String(index).padStart(4, "0"));
  const lines = numbers.map((number) => `  flag_${number}: {salt: s-${number}, default: {ramp: {percent: 5, serve: on}}}`);
  const large = publishedProject(["flags:", ...lines].join("\n"));
  const token = large.token("dana", "operator");
  const crowded = await large.serve("--tokens", "tokens.json", "--key", "key.jwk");
  const page = await open({ base: crowded.base, token });
  await state(page, "flag_0000", "part");
  const isLaidOut = (key) =>
    row(page, key)
      .locator(".name")
      .evaluate((part) => part.checkVisibility({ contentVisibilityAuto: true }));
  assert.equal(await page.locator(".row[data-flag]").count(), 3000);
  assert.deepEqual([await isLaidOut("flag_0000"), await isLaidOut("flag_2999")], [true, false]);
  await page.getByLabel("Filter flags").fill("2999");
  assert.deepEqual(await page.locator(".row[data-flag]:visible .flag-link").allInnerTexts(), ["flag_2999"]);
  assert.ok(await isLaidOut("flag_2999"));
  await page.getByLabel("Filter flags").fill("");
  await row(page, "flag_2999").scrollIntoViewIfNeeded();
  await page.waitForFunction(() =>
    document.querySelector('[data-flag="flag_2999"] .name').checkVisibility({ contentVisibilityAuto: true }),
  );
  await page.context().close();
  await crowded.close();
  large.remove();
});

test("a kill by somebody else shows without a reload, and so does its lifting", async () => {
  const page = await open();
  await state(page, "use_new_gateway", "part");
  await page.evaluate(() => (globalThis.sameDocument = true));
  command("kill", "use_new_gateway", "--author", "sam", "--reason", "Errors at checkout");
  await state(page, "use_new_gateway", "killed");
  assert.match(await row(page, "use_new_gateway").innerText(), /sam: Errors at checkout/);
  await toast(page, "by sam: Errors at checkout");
  command("restore", "use_new_gateway", "--author", "sam", "--reason", "It was the network");
  await state(page, "use_new_gateway", "part");
  assert.equal(await page.evaluate(() => globalThis.sameDocument), true);
  await page.context().close();
});

// --- changes --------------------------------------------------------------------------------------------------------

test("kills after a confirmation with a reason, says that it is served, and restores", async () => {
  const page = await open();
  await state(page, "use_new_gateway", "part");
  await flag(page);
  await page.getByRole("button", { name: "Kill …" }).click();
  const dialog = page.locator("#dialog");
  assert.match(
    await dialog.innerText(),
    /Kill use_new_gateway[^]*Everyone in production gets off \(false\)[^]*Now about \d[\d.]* % get on\.[^]*needs_gateway/,
  );
  // Without a reason nothing is done.
  await dialog.getByRole("button", { name: "Kill it" }).click();
  assert.match(await page.locator("#reason-error").innerText(), /Say why/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "reason");
  const before = log().length;
  await page.keyboard.press("Escape");
  await closed(page);
  assert.equal(log().length, before);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Kill …");

  await page.getByRole("button", { name: "Kill …" }).click();
  const asked = page.waitForRequest((request) => request.url().endsWith("/kill"));
  await confirm(page, "Kill it", "Errors at checkout");
  assert.equal((await asked).headers()["if-match"], undefined, "a kill is refused for nobody's sake");
  await toast(page, "is served");
  assert.match(await page.locator("#toast").innerText(), /use_new_gateway is killed\. Version \d+ is served/);
  await page.waitForSelector(".flag-head .badge.killed");
  assert.match(await page.locator(".killed-by").innerText(), /Killed by dana: Errors at checkout/);
  const newest = log().toSorted((a, b) => b.version - a.version)[0];
  assert.deepEqual([newest.author, newest.reason], ["dana", "Errors at checkout"]);
  const { value } = await (
    await fetch(`${server.base}/ofrep/v1/evaluate/flags/use_new_gateway`, {
      method: "POST",
      body: JSON.stringify({ context: { targetingKey: "internal-user-1" } }),
    })
  ).json();
  assert.equal(value, false);

  await page.getByRole("button", { name: "Restore …" }).click();
  const restored = page.waitForRequest((request) => request.url().endsWith("/restore"));
  await confirm(page, "Restore", "It was the network");
  assert.equal((await restored).headers()["if-match"], `"${newest.version}"`);
  await page.waitForSelector(".flag-head .badge.part");
  await page.context().close();
});

test("sets a percent, and shows it in the history as before and after", async () => {
  const page = await open();
  await state(page, "use_new_gateway", "part");
  await flag(page);
  await page.getByRole("button", { name: "Set the percent …" }).click();
  await page.getByLabel("Percent", { exact: true }).first().fill("100.5");
  assert.match(await page.locator(".effect").innerText(), /from 0 to 100/);
  await page.getByLabel("Percent", { exact: true }).first().fill("12.5");
  assert.match(await page.locator(".effect").innerText(), /From 5 % to 12.5 %.*nobody moves out/);
  await confirm(page, "Set it", "Looks well");
  await closed(page);
  await page.waitForFunction(() => /^v\d+dana[^]*Looks well[^]*5/.test(document.querySelector(".entry").textContent));
  const entry = page.locator("#history .entry").first();
  assert.match(await entry.innerText(), /dana\s[^]*Looks well[^]*Percent[^]*as defined[^]*12\.5 %/);
  assert.match(await page.locator(".ruler").innerText(), /12\.5 %[^]*defined: 5 %/);
  assert.match(await page.locator(".timeline li").last().getAttribute("title"), /: 12\.5 %$/);
  assert.match(await page.locator(".timeline li").first().getAttribute("title"), /^Version 1, .*: 0 %$/);
  const published = page.locator("#history .entry").filter({ hasText: "default › ramp › percent" });
  assert.match(await published.innerText(), /0 %[^]*→?[^]*5 %/);

  // What another changed meanwhile is shown before it is overwritten.
  await page.getByRole("button", { name: "Set the percent …" }).click();
  await page.getByLabel("Percent", { exact: true }).first().fill("20");
  command("ramp", "use_new_gateway", "--percent", "15", "--author", "sam", "--reason", "Slowly");
  await confirm(page, "Set it", "Faster");
  await page.waitForSelector("#dialog-problem .entry");
  assert.match(await page.locator("#dialog-problem").innerText(), /Somebody else[^]*sam[^]*Slowly[^]*15 %/);
  await page.locator("#dialog").getByRole("button", { name: "Set it" }).click();
  await toast(page, "use_new_gateway is at 20 %");

  await page.getByRole("button", { name: "Set the percent …" }).click();
  await page.getByLabel("As defined").check();
  await confirm(page, "Set it", "As it was");
  await toast(page, "use_new_gateway is at what is defined");
  await page.context().close();
});

test("kills by tag, and all", async () => {
  const page = await open();
  await state(page, "theme", "part");
  await page.getByRole("button", { name: "Kill by tag, or all …" }).click();
  await page.getByLabel("Which").selectOption("tag:looks");
  assert.match(await page.locator(".effect").innerText(), /Every flag tagged looks[^]*theme/);
  await confirm(page, "Kill them", "It blinds people");
  await state(page, "theme", "killed");
  assert.match(await page.locator(".killed-tag").innerText(), /The tag looks is killed by dana: It blinds people/);
  await page.locator(".killed-tag button").click();
  await confirm(page, "Restore", "Sunglasses");
  await state(page, "theme", "part");

  await page.getByRole("button", { name: "Kill by tag, or all …" }).click();
  await page.getByLabel("Which").selectOption("all");
  await confirm(page, "Kill them", "Everything burns");
  await page.waitForSelector("#killed-all:not([hidden])");
  assert.match(await page.locator("#killed-all").innerText(), /Everything is killed by dana: Everything burns/);
  assert.equal(await page.locator(".badge.killed").count(), 5);
  await page.locator("#restore-all").click();
  await confirm(page, "Restore", "It does not");
  await page.waitForSelector("#killed-all", { state: "hidden" });
  await state(page, "theme", "part");

  // Killed by several, it is one kill.
  command("kill", "--all", "--author", "sam", "--reason", "Smoke");
  command("kill", "--all", "--author", "dana", "--reason", "Fire");
  command("restore", "--all", "--author", "sam", "--reason", "Rain");
  await go(page, "history");
  await page.waitForFunction(() => /Rain/.test(document.querySelector(".entry")?.textContent));
  const told = await page.locator(".entry .changes").evaluateAll((all) => all.slice(0, 3).map((one) => one.innerText));
  assert.deepEqual(
    told.map((text) => text.replace(/\s+/g, " ")),
    ["Everything killed → not killed", "Everything: reason Smoke → Fire", "Everything not killed → killed"],
  );
  await flag(page, "needs_gateway");
  const columns = page.locator(".timeline li");
  await page.waitForFunction(() => document.querySelectorAll(".timeline li").length >= 6);
  assert.match(await columns.first().getAttribute("title"), /^Version 1, .*: on$/, "it was not killed ever since");
  assert.match(await columns.nth(-2).getAttribute("title"), /: killed$/);
  await page.context().close();
});

test("says why the server refuses", async () => {
  const page = await open();
  await state(page, "theme", "part");
  await flag(page);
  const refusals = [
    [403, "no-signing-key", "this server has no key", {}, /refused this \(403\).*has no key.*Nothing was changed/],
    [422, "refused", "that cannot be", {}, /refused this \(422\).*that cannot be/],
    [429, "too-many-requests", "this is asked too often", { "retry-after": "7" }, /\(429\).*Try again in 7 s/],
    [503, "store", "the store cannot be written", {}, /\(503\).*the store cannot be written/],
  ];
  await page.getByRole("button", { name: "Kill …" }).click();
  await page.locator("#reason").fill("Errors");
  for (const [status, code, detail, headers, wanted] of refusals) {
    await page.route("**/kill", (route) => route.fulfill({ status, headers, json: { status, code, detail } }));
    await page.locator("#dialog-confirm").click();
    await page.waitForFunction(
      (status) => document.querySelector("#dialog-problem").textContent.includes(status),
      String(status),
    );
    assert.match(await page.locator("#dialog-problem").innerText(), wanted);
    assert.equal(await page.locator("#reason").inputValue(), "Errors", "what was written stays");
    await page.unroute("**/kill");
  }
  await page.route("**/kill", (route) => route.abort());
  await page.locator("#dialog-confirm").click();
  await page.waitForFunction(() =>
    /Whether it was done is not known/.test(document.querySelector("#dialog-problem").textContent),
  );
  await page.context().close();
});

// --- tokens ---------------------------------------------------------------------------------------------------------

test("a reader sees everything, and is told why nothing can be changed", async () => {
  const page = await open({ token: reader });
  await state(page, "theme", "part");
  assert.match(await page.locator("#token-name").innerText(), /rita\s*reader/);
  assert.match(await page.locator("#read-only").innerText(), /the token rita has the role reader/);
  await flag(page);
  for (const button of await page.locator(".verbs button:visible").all()) {
    assert.ok(await button.isDisabled());
    assert.equal(await button.getAttribute("aria-describedby"), "read-only");
  }
  await page.context().close();
});

test("a wrong token is refused; a right one stays in the tab, and in no address, until it is withdrawn", async () => {
  const page = await open({ token: "flagstone_wrong" });
  await page.waitForFunction(() => /does not count here/.test(document.querySelector("#sign-in-error").textContent));
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  const short = project.token("short", "operator");
  await fetchUntil(short);
  await signIn(page, short);
  await state(page, "theme", "part");
  await page.reload();
  await state(page, "theme", "part");
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  assert.equal(await page.evaluate(() => document.cookie), "");
  await page.getByRole("button", { name: "Sign out" }).click();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await page.waitForSelector("#sign-in:not([hidden])");
  assert.equal(await page.locator("#view").innerText(), "");

  await signIn(page, short);
  await state(page, "theme", "part");
  const file = join(project.folder, "tokens.json");
  const { tokens } = JSON.parse(readFileSync(file, "utf8"));
  writeFileSync(file, JSON.stringify({ tokens: tokens.filter(({ name }) => name !== "short") }));
  // The next change is asked about with a token that no longer counts.
  await page.waitForSelector("#sign-in:not([hidden])", { timeout: 60_000 });
  assert.match(await page.locator("#sign-in-why").innerText(), /You are signed out.*withdrawn/);
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await page.context().close();
});

/** Waits until the server has read a token that was just made. */
async function fetchUntil(token) {
  const asked = () => fetch(`${server.base}/admin/v1/token`, { headers: { authorization: `Bearer ${token}` } });
  while ((await asked()).status !== 200) await new Promise((resolve) => setTimeout(resolve, 1100));
}

test("no token stands in an address", () => {
  assert.ok(written.length > 0);
  for (const url of written) assert.ok(!url.includes("flagstone_"), url);
});

// --- one user -------------------------------------------------------------------------------------------------------

test("draws how a user is decided, step by step", async () => {
  const page = await open();
  await state(page, "theme", "part");
  await flag(page);
  assert.deepEqual(await page.locator(".pipeline strong").allInnerTexts(), [
    "Kill",
    "Enabled",
    "Allow list",
    "Everyone else",
  ]);
  await page.getByLabel("User, the targetingKey").fill("internal-user-1");
  await page.getByRole("button", { name: "Explain" }).click();
  await page.waitForSelector(".pipeline .decided");
  assert.match(await page.locator(".verdict-of-user").innerText(), /internal-user-1 gets\s*true[^]*TARGETING_MATCH/);
  assert.match(await page.locator(".pipeline .decided").innerText(), /Allow list[^]*decides[^]*The key is on the list/);
  assert.match(await page.locator(".pipeline li.stopped").innerText(), /Everyone else[^]*not asked/);

  await page.getByLabel("User, the targetingKey").fill("user-42");
  await page.getByLabel("User, the targetingKey").press("Enter");
  await page.waitForSelector(".ruler .user b");
  assert.match(await page.locator(".ruler .user").innerText(), /^position \d/);
  assert.match(await page.locator(".pipeline .decided").innerText(), /Position .*threshold 5 %: not in/);
  // The same user, once everybody is in.
  command("ramp", "use_new_gateway", "--percent", "100", "--author", "sam", "--reason", "Everyone");
  await page.waitForFunction(() => /true/.test(document.querySelector(".verdict-of-user .value").textContent));
  command("ramp", "use_new_gateway", "--as-defined", "--author", "sam", "--reason", "Not yet");
  await page.waitForFunction(() => /false/.test(document.querySelector(".verdict-of-user .value").textContent));

  await page.getByLabel("Attributes, as JSON").fill("[");
  await page.getByRole("button", { name: "Explain" }).click();
  assert.match(await page.locator("#how .error").innerText(), /no JSON/);

  await flag(page, "needs_gateway");
  await page.getByLabel("User, the targetingKey").fill("user-42");
  await page.getByRole("button", { name: "Explain" }).click();
  await page.waitForSelector(".pipeline .decided");
  assert.match(
    await page.locator(".pipeline .decided").innerText(),
    /Prerequisites[^]*decides[^]*not as needed[^]*use_new_gateway:/,
  );

  await flag(page, "theme");
  await page.getByLabel("Attributes, as JSON").fill('{"staff": true}');
  await page.getByRole("button", { name: "Explain" }).click();
  await page.waitForSelector(".pipeline .decided");
  assert.match(await page.locator(".pipeline .decided").innerText(), /Rule staff[^]*decides/);
  for (const url of written) assert.ok(!url.includes("user-42"), "no address names a user");
  await page.context().close();
});

// --- history --------------------------------------------------------------------------------------------------------

test("the whole history, page by page", async () => {
  for (let version = log().length; version < 25; version++)
    command("ramp", "theme", "--percent", String(version), "--author", "sam", "--reason", `Step ${version}`);
  const page = await open();
  await state(page, "theme", "part");
  await go(page, "history");
  await page.waitForSelector(".entry");
  assert.equal(await page.locator(".entry").count(), 20);
  await page.getByRole("button", { name: "Older changes" }).click();
  await page.waitForSelector('.entry[data-version="1"]');
  const versions = await page.$$eval(".entry", (entries) => entries.map(({ dataset }) => Number(dataset.version)));
  assert.deepEqual(
    versions,
    versions.toSorted((a, b) => b - a),
  );
  assert.equal(versions.length, log().length);
  assert.ok(await page.getByRole("button", { name: "Older changes" }).isHidden());
  command("ramp", "theme", "--as-defined", "--author", "sam", "--reason", "Enough");
  await page.waitForFunction(() => /Enough/.test(document.querySelector(".entry").textContent));
  assert.equal(await page.locator(".entry").count(), versions.length + 1);
  await page.context().close();
});

// --- attacks --------------------------------------------------------------------------------------------------------

test("text of others stays text", async () => {
  const page = await open();
  await state(page, "theme", "part");
  command("kill", "theme", "--author", MARKUP, "--reason", MARKUP);
  await state(page, "theme", "killed");
  assert.ok((await row(page, "theme").innerText()).includes(MARKUP));
  await toast(page, MARKUP);
  for (const parts of [["flag", "theme"], ["flag", MARKUP], ["history"]]) {
    await go(page, ...parts);
    await page.waitForSelector(".entry");
    assert.ok((await page.locator("#view").innerText()).includes(MARKUP));
    assert.equal(await page.locator("#view img").count(), 0);
  }
  assert.equal(await page.evaluate(() => globalThis.broken), undefined);
  // Even where a fault of the page let markup in, the policy would not.
  const refused = await page.evaluate(() => {
    try {
      document.body.innerHTML = "<b>markup</b>";
      return false;
    } catch (error) {
      return error instanceof TypeError;
    }
  });
  assert.ok(refused);
  complaints.splice(0, complaints.length, ...complaints.filter((text) => !/TrustedHTML/.test(text)));
  command("restore", "theme", "--author", "sam", "--reason", "Enough");
  await page.context().close();
});

// --- bad days -------------------------------------------------------------------------------------------------------

test("says that the connection is lost and since when, and comes back", async () => {
  const { port } = new URL(server.base);
  const page = await open();
  await state(page, "use_new_gateway", "part");
  await page.waitForSelector('#live[data-state="live"]');
  const ended = server.close();
  await ended;
  await page.waitForSelector('#live[data-state="lost"]');
  assert.match(
    await page.locator("#lost").innerText(),
    /last heard of at \d\d:\d\d:\d\d\. What you see is of \d\d:\d\d:\d\d/,
  );
  assert.ok(await row(page, "use_new_gateway").isVisible(), "what was seen last stays");
  assert.deepEqual(await violations(page), []);
  command("kill", "use_new_gateway", "--author", "sam", "--reason", "While nobody looked");
  const args = ["--tokens", "tokens.json", "--key", "key.jwk", "--public-evaluation", "--listen", `127.0.0.1:${port}`];
  server = await project.serve(...args);
  await state(page, "use_new_gateway", "killed");
  await page.waitForSelector('#live[data-state="live"]');
  assert.ok(await page.locator("#lost").isHidden());
  command("restore", "use_new_gateway", "--author", "sam", "--reason", "Enough");
  await state(page, "use_new_gateway", "part");
  await page.context().close();
});

test("goes on without a stream", async () => {
  const page = await open({ token: null });
  await page.route("**/stream", (route) =>
    route.fulfill({ status: 503, json: { status: 503, code: "too-many-streams", detail: "x" } }),
  );
  await signIn(page, operator);
  await page.waitForSelector('#live[data-state="polling"]');
  command("kill", "theme", "--author", "sam", "--reason", "Errors");
  await state(page, "theme", "killed");
  command("restore", "theme", "--author", "sam", "--reason", "Enough");
  await state(page, "theme", "part");
  await page.context().close();
});

test("a server without a key shows, and says why it changes nothing", async () => {
  const keyless = await project.serve("--tokens", "tokens.json");
  const page = await open({ base: keyless.base });
  await state(page, "theme", "part");
  assert.match(await page.locator("#read-only").innerText(), /without a key that may sign/);
  assert.ok(await page.getByRole("button", { name: "Kill by tag, or all …" }).isDisabled());
  await page.context().close();
  await keyless.close();
});

// --- for everyone ---------------------------------------------------------------------------------------------------

/** What axe finds fault with. */
async function violations(on) {
  // The page's policy forbids scripts of others, and the test is one.
  await on.evaluate(axe);
  const { violations } = await on.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join("\n")}`);
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1440, 360]) {
    test(`accessible and not too wide: ${colorScheme}, ${width} pixels`, async () => {
      command("kill", "--tag", "looks", "--author", "sam", "--reason", "x".repeat(300));
      const page = await open({
        token: null,
        colorScheme,
        viewport: { width, height: 740 },
        reducedMotion: "reduce",
      });
      const check = async (what) => {
        assert.deepEqual(await violations(page), [], what);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${what}: ${overflow} pixels too wide`);
      };
      await check("signing in");
      await signIn(page, operator);
      await state(page, "theme", "killed");
      await check("all flags");
      await flag(page, MARKUP);
      await flag(page);
      await page.getByLabel("User, the targetingKey").fill("user-42");
      await page.getByRole("button", { name: "Explain" }).click();
      await page.waitForSelector(".pipeline .decided");
      await check("a flag");
      await page.getByRole("button", { name: "Set the percent …" }).click();
      await check("setting a percent");
      await page.locator("#dialog-cancel").click();
      await page.getByRole("button", { name: "Kill …" }).click();
      await page.locator("#dialog-confirm").click();
      await check("killing");
      await page.locator("#dialog-cancel").click();
      await flag(page, "theme");
      await check("a killed flag");
      await go(page, "history");
      await page.waitForSelector(".entry");
      await check("the history");
      command("restore", "--tag", "looks", "--author", "sam", "--reason", "Enough");
      await page.context().close();
    });
  }
}

test("the keyboard alone finds a flag and kills it", async () => {
  const page = await open({ token: null });
  const tabTo = async (name) => {
    for (let presses = 0; presses < 40; presses++) {
      await page.keyboard.press("Tab");
      const [text, isShown] = await page.evaluate(() => {
        const on = document.activeElement;
        const shown = on.type === "radio" ? on.nextElementSibling : on;
        return [on.textContent || on.ariaLabel || on.id, getComputedStyle(shown).outlineStyle !== "none"];
      });
      assert.ok(isShown || text.length > 200, `${text} does not show that it has the focus`);
      if (text === name) return;
    }
    assert.fail(`${name} is not reached`);
  };
  await page.keyboard.type(operator);
  await page.keyboard.press("Enter");
  await state(page, "use_new_gateway", "part");
  await tabTo("use_new_gateway");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".flag-key");
  assert.equal(await page.evaluate(() => document.activeElement.className), "flag-key");
  await tabTo("Kill …");
  await page.keyboard.press("Enter");
  await page.keyboard.type("By keyboard");
  await tabTo("Kill it");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".flag-head .badge.killed");
  command("restore", "use_new_gateway", "--author", "sam", "--reason", "Enough");
  await page.waitForSelector(".flag-head .badge.part");
  await page.context().close();
});

test("nothing was complained about, and nobody else was asked", () => {
  assert.deepEqual(complaints, []);
  assert.deepEqual(elsewhere, []);
});
