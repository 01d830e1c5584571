// The page of `make demo`, driven as a person would, on the server that `make demo` starts.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { launch } from "./support/browser.mjs";
import { demo } from "./support/demo.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const FLAGS = `flags:
  gateway: {client: true, salt: gateway-1, default: {ramp: {percent: 5, serve: on}}}
  waiting: {client: true, salt: waiting-1, default: {ramp: {percent: 0, serve: on}}}
  staff:
    client: true
    salt: staff-1
    rules: [{id: staff, when: {attribute: staff, equals: true}, serve: on}]
    default: {ramp: {percent: 50, serve: on}}
  everyone: {client: true, salt: everyone-1, default: on}
  inner: {salt: inner-1, default: {ramp: {percent: 30, serve: on}}}
  colour:
    client: true
    salt: colour-1
    variants: {red: "#f00", blue: "#00f"}
    off: red
    default: {split: [{variant: red, weight: 1}, {variant: blue, weight: 1}]}
`;

const WRONG = `flags:
  gateway:
    client: true
    salt: gateway-1
    description: "😀 ngày"
    default: {ramp: {percent: 12.34567, serve: on}}
  legacy:
    salt: legacy-1
    scheme: js31
    default: {ramp: {percent: 5, serve: on}}
`;

/** What browsers say on their own of requests that a test has fail. */
const EXPECTED = /net::ERR_|status of (4|5)\d\d/;

const complaints = [];
const elsewhere = [];
let browser, server, page;

/** A page of its own, watched for complaints and for requests to others. */
async function open(path = "/", options = {}) {
  const context = await browser.newContext({ permissions: ["clipboard-read", "clipboard-write"], ...options });
  const opened = await context.newPage();
  opened.on("console", (message) => {
    if (message.type() === "error" && !EXPECTED.test(message.text())) complaints.push(message.text());
  });
  opened.on("pageerror", (error) => complaints.push(error.message));
  opened.on("request", (request) => {
    if (!request.url().startsWith(`${server.base}/`) && !request.url().startsWith("data:"))
      elsewhere.push(request.url());
  });
  await opened.goto(server.base + path);
  return opened;
}

before(async () => {
  server = await demo();
  browser = await launch();
  page = await open();
  await state(page, "good");
});
after(async () => {
  await browser?.close();
  await server?.remove();
});

const state = (on, name) => on.waitForSelector(`#state[data-state="${name}"]`);
/** Until what is shown is what was asked for. */
const settled = (on) => on.waitForFunction(() => document.querySelector("#results").ariaBusy !== "true");

async function choose(on, flag) {
  await on.locator("#flag").selectOption(flag);
  await settled(on);
}

async function type(on, context) {
  await on.locator("#context").fill(context);
  await settled(on);
}

const verdict = (on, name) => on.waitForSelector(`#verdict[data-verdict="${name}"]`);

/** Opens definitions as files, and waits until they are the ones shown. */
async function define(on, text, name = "flags.yaml") {
  const files = typeof text === "string" ? { [name]: text } : text;
  const chosen = Object.entries(files).map(([name, text]) => ({ name, mimeType: "", buffer: Buffer.from(text) }));
  const linted = on.waitForResponse((response) => response.url().endsWith("/lint"));
  await on.locator("#picker").setInputFiles(chosen);
  await linted;
  const key = /^ {2}(\w+):/m.exec(Object.values(files)[0])[1];
  await on.waitForFunction((key) => [...document.querySelectorAll("#flag option")].some((o) => o.value === key), key);
  await state(on, "good");
}

/** Who is in, as the grid shows it. */
const shownIn = () => page.$$eval("#grid .stays, #grid .joins", (cells) => cells.map((cell) => cell.id));
const slide = (percent) => page.locator("#percent").fill(String(percent));
const caret = (on) =>
  on.$eval("#text", ({ value, selectionStart }) => {
    const lines = value.slice(0, selectionStart).split("\n");
    return [lines.length, [...lines.at(-1)].length + 1];
  });

// --- the demo's own -------------------------------------------------------------------------------------------------

test("begins with the demo's definitions, on both engines", async () => {
  assert.equal(await page.locator("#tabs [role=tab]").count(), 11);
  assert.match(await page.locator("#state").innerText(), /^20 flags, 9 for clients\..*verified in this browser/);
  assert.equal(await page.locator("#flag option").count(), 20);
  await verdict(page, "same");
  assert.equal(await page.locator("#browser .result").innerText(), await page.locator("#server .result").innerText());
  // The editor shows the flag that is shown.
  const flag = await page.locator("#flag").inputValue();
  assert.match(await page.locator("#text").inputValue(), new RegExp(`^  ${flag}:`, "m"));
  assert.equal(await page.evaluate(() => location.hash), "");
});

test("every flag and every preset has the same result on both engines", async () => {
  for (const flag of await page.$$eval("#flag option", (options) => options.map(({ value }) => value))) {
    await choose(page, flag);
    await verdict(page, "same");
  }
  for (const preset of await page.$$eval("#preset option:enabled", (options) => options.map(({ value }) => value))) {
    await page.locator("#preset").selectOption(preset);
    await verdict(page, "same");
  }
});

// --- 1,000 users ----------------------------------------------------------------------------------------------------

test("raising the slider only lets users in", async () => {
  await define(page, FLAGS);
  await choose(page, "gateway");
  let before = new Set();
  for (const percent of [0, 0.1, 1, 5, 10, 25, 50, 75, 99.9, 100]) {
    await slide(percent);
    const now = new Set(await shownIn());
    for (const user of before) assert.ok(now.has(user), `${user} is moved out at ${percent} %`);
    // Four standard deviations of a binomial distribution.
    const spread = 4 * Math.sqrt((1000 * percent * (100 - percent)) / 10_000) + 1;
    assert.ok(Math.abs(now.size - 10 * percent) <= spread, `${now.size} users at ${percent} %`);
    assert.match(await page.locator("#summary").innerText(), new RegExp(`^${now.size} of 1,000 users are in`));
    before = now;
  }
  assert.equal(before.size, 1000);
});

test("what is defined shows, and the engine serves it", async () => {
  await page.locator("#published").click();
  assert.equal(await page.locator("#percent").inputValue(), "5");
  const users = await shownIn();
  assert.match(await page.locator("#check.good").innerText(), new RegExp(`exactly these ${users.length} users`));
  const served = await page.$$eval("#grid > div", (cells) =>
    cells.filter(({ title }) => title.endsWith("served on now")).map(({ id }) => id),
  );
  assert.deepEqual(served, users);
  await slide(2);
  assert.ok((await page.locator("#grid .leaves").count()) > 0);
  await slide(20);
  assert.ok((await page.locator("#grid .joins").count()) > 0);
});

test("a flag at 0 % shows who would be in", async () => {
  await choose(page, "waiting");
  assert.deepEqual(await shownIn(), []);
  await slide(30);
  assert.ok((await shownIn()).length > 240);
});

test("a flag that no percent decides says so", async () => {
  await choose(page, "everyone");
  assert.ok(await page.locator("#ramp").isHidden());
  assert.match(await page.locator("#summary").innerText(), /^No percent decides/);
  await choose(page, "colour");
  assert.match(await page.locator("#legend").innerText(), /^\d+ blue\s+\d+ red$/);
});

test("attributes count, for one user and for all", async () => {
  await choose(page, "staff");
  await type(page, '{"targetingKey": "user-42", "staff": true}');
  assert.match(await page.locator("#browser .result").innerText(), /true[^]*TARGETING_MATCH[^]*staff/);
  await verdict(page, "same");
  assert.equal(await page.locator("#grid .fixed").count(), 1000);
  await type(page, '{"staff": ');
  assert.match(await page.locator("#context-error").innerText(), /no JSON/);
  await type(page, "[]");
  assert.match(await page.locator("#context-error").innerText(), /object/);
  await type(page, '{"targetingKey": "user-42"}');
  assert.equal(await page.locator("#context-error").innerText(), "");
  assert.equal(await page.locator("#grid .fixed").count(), 0);
});

test("the keyboard reaches every user", async () => {
  await choose(page, "gateway");
  await page.locator("#grid").focus();
  await page.keyboard.press("Home");
  for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) await page.keyboard.press(key);
  await page.keyboard.press("Enter");
  await settled(page);
  assert.equal(await page.locator("#context").inputValue(), '{"targetingKey": "user-52"}');
  assert.equal(await page.locator("#grid").getAttribute("aria-activedescendant"), "user-52");
  const last = page.locator("#steps .decided").last();
  assert.match(await last.innerText(), /The default[^]*threshold 5 %/);
  await page.keyboard.press("End");
  assert.equal(await page.locator("#grid").getAttribute("aria-activedescendant"), "user-999");
});

test("a flag that no client receives is shown from the servers' snapshot", async () => {
  await choose(page, "inner");
  assert.match(await page.locator("#browser-source").innerText(), /no client receives this flag/);
  await verdict(page, "same");
  assert.ok((await shownIn()).length > 200);
});

test("the server's engine gives each of them the same", async () => {
  for (const flag of ["gateway", "staff", "colour", "inner"]) {
    await choose(page, flag);
    await page.waitForSelector("#comparison.good");
    assert.equal(await page.locator("#grid .differs").count(), 0);
  }
});

test("what a schedule decides changes when it is due", async () => {
  const due = new Date(Date.now() + 15_000).toISOString();
  const schedule = `{before: 0, steps: [{at: ${due}, percent: 100}]}`;
  await define(
    page,
    `flags:\n  later: {client: true, salt: later-1, default: {ramp: {schedule: ${schedule}, serve: on}}}\n`,
  );
  await type(page, '{"targetingKey": "user-1"}');
  const shows = (text) =>
    page.waitForFunction((text) => document.querySelector("#browser .value").textContent === text, text);
  await shows("false");
  await shows("true");
  await verdict(page, "same");
  assert.equal(await page.locator("#server .value").innerText(), "true");
  assert.equal(await page.locator("#percent").inputValue(), "100");
  await define(page, FLAGS);
});

// --- the explanation ------------------------------------------------------------------------------------------------

test("explains according to either engine", async () => {
  await choose(page, "staff");
  await type(page, '{"targetingKey": "user-1", "staff": "yes"}');
  await verdict(page, "same");
  const browsers = await page.locator("#steps").innerText();
  assert.match(browsers, /A rule\s*passed[^]*is unknown[^]*The default\s*decides/);
  await page.getByLabel("Server", { exact: true }).check();
  assert.equal(await page.locator("#steps").innerText(), browsers);
  await page.getByLabel("Browser", { exact: true }).check();
});

// --- problems in place ----------------------------------------------------------------------------------------------

test("shows problems where they are, and goes there", async () => {
  await choose(page, "gateway");
  const before = await page.locator("#browser .result").innerText();
  await page.locator("#text").fill(WRONG);
  await state(page, "errors");
  assert.equal(await page.locator("#counts").innerText(), "1 error, 1 warning");
  assert.equal(await page.locator("#text").getAttribute("aria-invalid"), "true");
  assert.match(await page.locator(".numbers .error").innerText(), /^6$/);
  assert.match(await page.locator(".numbers .warning").innerText(), /^9$/);
  assert.equal(await page.locator(".mark.error").innerText(), "12.34567");
  assert.equal(await page.locator(".mark.warning").innerText(), "js31");
  assert.match(await page.locator(".lens.error").innerText(), /not a percent/);
  assert.match(await page.locator("#tabs [aria-selected=true]").innerText(), /1/);

  // What was good before is still shown, and said to be.
  assert.match(await page.locator("#state").innerText(), /^1 error.*the last good definitions/);
  assert.equal(await page.locator("#browser .result").innerText(), before);

  await page.locator("#problems button.error").click();
  assert.deepEqual(await caret(page), [6, 31]);
  await page.keyboard.press("F8");
  assert.deepEqual(await caret(page), [9, 13]);
  await page.keyboard.press("F8");
  assert.deepEqual(await caret(page), [6, 31]);
  await page.keyboard.press("Shift+F8");
  assert.deepEqual(await caret(page), [9, 13]);
  await page.locator(".numbers .error").click();
  assert.deepEqual(await caret(page), [6, 31]);

  await page.locator("#text").fill(WRONG.replace("12.34567", "12.345"));
  await state(page, "good");
  assert.equal(await page.locator(".mark.error").count(), 0);
  assert.equal(await page.locator("#text").getAttribute("aria-invalid"), "false");
  assert.match(await page.locator("#percent-shown").innerText(), /12\.345 %/);
});

test("counts a problem's column in characters, wherever they come from", async () => {
  await page.locator("#text").fill('flags:\n  a: {salt: "😀ngày", bogus: 3}\n');
  await state(page, "errors");
  assert.equal(await page.locator(".mark.error").innerText(), "bogus");
  await page.locator("#problems button").click();
  assert.deepEqual(await caret(page), [2, 22]);
});

test("goes to a problem in another file, and far down", async () => {
  const filler = Array.from({ length: 400 }, (_, index) => `  f${index}: {salt: f${index}, default: on}`).join("\n");
  await define(page, { "one.yaml": FLAGS, "two.yaml": `flags:\n${filler}\n` });
  await page.getByRole("tab", { name: "two.yaml" }).click();
  await page.locator("#text").fill(`flags:\n${filler}\n  last: {salt: last, default: onn}\n`);
  await page.getByRole("tab", { name: "one.yaml" }).click();
  await state(page, "errors");
  await page.locator("#text").focus();
  await page.keyboard.press("F8");
  assert.equal(await page.getByRole("tab", { selected: true }).getAttribute("id"), "tab-1");
  assert.deepEqual((await caret(page))[0], 402);
  assert.ok(await page.locator(".mark.error").isVisible());
  // Of hundreds of lines only those in sight are drawn.
  assert.ok((await page.locator(".layer .line").count()) < 100);
});

test("takes JSON, pasted", async () => {
  await define(page, FLAGS);
  const json = { flags: { pasted: { client: true, salt: "pasted-1", default: "on" } } };
  await page.evaluate((text) => navigator.clipboard.writeText(text), JSON.stringify(json, null, 2));
  await page.locator("#text").focus();
  await page.keyboard.press("Control+A");
  await page.keyboard.press("Control+V");
  await page.waitForSelector('#flag option[value="pasted"]', { state: "attached" });
  await verdict(page, "same");
  assert.equal(await page.locator("#browser .value").innerText(), "true");
});

test("a new line begins as deep as the one before, and undo takes it back", async () => {
  await page.locator("#text").fill("");
  await page.locator("#text").pressSequentially("flags:\n  a:\nsalt: x");
  assert.equal(await page.locator("#text").inputValue(), "flags:\n  a:\n  salt: x");
  for (let index = 0; index < 30; index++) await page.keyboard.press("Control+Z");
  assert.notEqual(await page.locator("#text").inputValue(), "flags:\n  a:\n  salt: x");
});

// --- files ----------------------------------------------------------------------------------------------------------

test("opens files that are dropped, and takes that back", async () => {
  await define(page, FLAGS);
  const files = await page.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["flags: {dropped: {salt: dropped-1, default: on}}"], "dropped.yml"));
    transfer.items.add(new File(["segments: {}"], "dropped/../x.txt"));
    return transfer;
  });
  await page.dispatchEvent("body", "dragenter", { dataTransfer: files });
  assert.ok(await page.locator("#drop").isVisible());
  await page.dispatchEvent("body", "drop", { dataTransfer: files });
  assert.ok(await page.locator("#drop").isHidden());
  await page.waitForSelector('#flag option[value="dropped"]', { state: "attached" });
  assert.equal(await page.getByRole("tab").count(), 2);
  await page.locator("#undo").click();
  await page.waitForSelector('#flag option[value="gateway"]', { state: "attached" });
  assert.equal(await page.locator("#text").inputValue(), FLAGS);
});

test("refuses what is too large, and keeps what is there", async () => {
  const buffer = Buffer.alloc(2 ** 20 + 1, "#");
  await page.locator("#picker").setInputFiles([{ name: "big.yaml", mimeType: "", buffer }]);
  await page.waitForFunction(() => /one MiB/.test(document.querySelector("#notice-text").textContent));
  assert.equal(await page.locator("#text").inputValue(), FLAGS);
  // What is typed or pasted, the server refuses.
  await page.route("**/lint", (route) => route.fulfill({ status: 413, json: { error: "the body is too long" } }));
  await page.locator("#text").fill(WRONG);
  await state(page, "errors");
  assert.equal(await page.locator("#counts").innerText(), "Not checked: the body is too long");
  await page.unroute("**/lint");
  await page.locator("#text").fill(FLAGS);
  await state(page, "good");
});

test("files are added and removed; without any text there is a way to begin", async () => {
  await page.locator("#add").click();
  assert.equal(await page.getByRole("tab", { selected: true }).innerText(), "untitled.yaml");
  await page.keyboard.press("Shift+Tab");
  await page.locator("#tab-1").press("ArrowRight");
  assert.equal(await page.getByRole("tab", { selected: true }).innerText(), "flags.yaml");
  for (let count = 2; count > 0; count--) await page.locator("#remove").click();
  await page.waitForSelector("#empty:not([hidden])");
  await page.waitForSelector("#nothing:not([hidden])");
  assert.match(await page.locator("#nothing").innerText(), /no flag yet/);
  assert.ok(await page.locator("#results").isHidden());
  await page.locator("#begin-small").click();
  await state(page, "good");
  await verdict(page, "same");
  await page.locator("#text").fill("");
  await page.locator("#begin-demo").click();
  await page.waitForSelector('#flag option[value="use_new_gateway"]', { state: "attached" });
  assert.equal(await page.getByRole("tab").count(), 11);
});

// --- engines that differ or fail ------------------------------------------------------------------------------------

test("shows loudly where the engines differ", async () => {
  await define(page, FLAGS);
  await choose(page, "gateway");
  await page.route("**/evaluate", async (route) => {
    const answer = await (await route.fetch()).json();
    const { targetingKey } = route.request().postDataJSON().context;
    if (targetingKey === "user-7") Object.assign(answer.evaluation, { value: true, variant: "on" });
    await route.fulfill({ json: answer });
  });
  // Two users change places, so that the counts of all stay the same.
  await type(page, '{"targetingKey": "user-6"}');
  const on = await page.locator("#grid .stays").first().getAttribute("id");
  await page.route("**/simulate", async (route) => {
    const answer = await (await route.fetch()).json();
    const keys = route
      .request()
      .postDataJSON()
      .contexts.map(({ targetingKey }) => targetingKey);
    const more = Number(keys.includes("user-7")) - Number(keys.includes(on));
    for (const variant of answer.variants) variant.users += variant.name === "on" ? more : -more;
    await route.fulfill({ json: answer });
  });
  await type(page, '{"targetingKey": "user-7"}');
  await verdict(page, "differ");
  assert.match(await page.locator("#verdict").innerText(), /differ in value and variant/);
  assert.equal(await page.locator("#server .differs").count(), 2);
  assert.equal(await page.locator("#browser .differs").count(), 2);
  await page.waitForSelector("#comparison.bad");
  assert.match(await page.locator("#comparison").innerText(), /differ for 2 users/);
  const marked = await page.$$eval("#grid .differs", (cells) => cells.map(({ id }) => id));
  assert.deepEqual(marked.sort(), [on, "user-7"].sort());
  await page.unroute("**/evaluate");
  await page.unroute("**/simulate");
  await type(page, '{"targetingKey": "user-8"}');
  await verdict(page, "same");
  await page.waitForSelector("#comparison.good");
  assert.equal(await page.locator("#grid .differs").count(), 0);
});

test("a snapshot that is refused changes nothing", async () => {
  const before = await page.locator("#browser .result").innerText();
  await page.route("**/compile", async (route) => {
    const answer = await (await route.fetch()).json();
    answer.client = answer.client.replace('\\"percent\\":', '\\"percent\\":1');
    await route.fulfill({ json: answer });
  });
  await page.locator("#text").fill(FLAGS.replace("percent: 5", "percent: 6"));
  await state(page, "refused");
  assert.match(await page.locator("#state").innerText(), /refused[^]*signature[^]*the last good definitions/i);
  assert.equal(await page.locator("#browser .result").innerText(), before);
  assert.equal(await page.locator("#percent").inputValue(), "5");
  await page.unroute("**/compile");
  await page.locator("#text").fill(FLAGS.replace("percent: 5", "percent: 7"));
  await state(page, "good");
  assert.equal(await page.locator("#percent").inputValue(), "7");
});

test("goes on with the server's engine where the browser has none", async () => {
  const poor = await open("/keys.json");
  await poor.addInitScript(() => delete globalThis.WebAssembly);
  await poor.goto(server.base);
  await state(poor, "refused");
  assert.match(await poor.locator("#state").innerText(), /In this browser the engine cannot be loaded/);
  await poor.waitForSelector("#server .value");
  assert.match(await poor.locator("#browser .result").innerText(), /engine cannot be loaded/);
  assert.ok(await poor.locator("#grid").isHidden());
  assert.ok((await poor.locator("#steps .decided").count()) > 0, "the server's explanation is shown in its place");
  assert.equal(await poor.locator("#flag option").count(), 20);
  await poor.context().close();
});

test("a late answer never takes the place of a newer one", async () => {
  await define(page, FLAGS);
  let letGo;
  const held = new Promise((resolve) => (letGo = resolve));
  let asked = 0;
  const first = new Promise((resolve) => {
    void page.route("**/lint", async (route) => {
      if (++asked > 1) return route.continue();
      resolve();
      const response = await route.fetch();
      await held;
      // The page may have given it up, which is what this is about.
      return route.fulfill({ response }).catch(() => {});
    });
  });
  await page.locator("#text").fill(WRONG);
  await first;
  await page.locator("#text").fill(FLAGS.replace("percent: 5", "percent: 9"));
  await page.waitForFunction(() => document.querySelector("#percent").value === "9");
  letGo();
  await page.unrouteAll({ behavior: "wait" });
  // A round trip later, so that what was let go has arrived.
  await page.evaluate(() => fetch("keys.json").then((response) => response.json()));
  assert.equal(await page.locator("#counts").innerText(), "No problems");
  assert.equal(await page.locator("#state").getAttribute("data-state"), "good");
});

test("shows that it works where that takes long", async () => {
  assert.ok(await page.locator("#progress").isHidden());
  let letGo;
  const held = new Promise((resolve) => (letGo = resolve));
  await page.route("**/compile", async (route) => {
    await held;
    await route.continue();
  });
  await page.locator("#text").fill(FLAGS.replace("percent: 5", "percent: 11"));
  await page.waitForSelector("#progress", { state: "visible" });
  letGo();
  await page.waitForSelector("#progress", { state: "hidden" });
  await page.waitForFunction(() => document.querySelector("#percent").value === "11");
  await page.unroute("**/compile");
});

// --- the link -------------------------------------------------------------------------------------------------------

test("a link shows somebody else the same", async () => {
  await define(page, { "first.yaml": FLAGS, "ngày.yaml": "flags: {second: {salt: second-1, default: on}}\n" });
  await choose(page, "staff");
  await type(page, '{"targetingKey": "ngày", "staff": true}');
  await page.locator("#share").click();
  await page.waitForFunction(() => /link is copied/.test(document.querySelector("#notice-text").textContent));
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(link.startsWith(`${server.base}/#v1=`));

  const other = await open(link.slice(server.base.length));
  await state(other, "good");
  await verdict(other, "same");
  assert.deepEqual(await other.$$eval("[role=tab]", (tabs) => tabs.map((tab) => tab.textContent)), [
    "first.yaml",
    "ngày.yaml",
  ]);
  assert.equal(await other.locator("#text").inputValue(), FLAGS);
  assert.equal(await other.locator("#flag").inputValue(), "staff");
  assert.equal(await other.locator("#context").inputValue(), '{"targetingKey": "ngày", "staff": true}');
  assert.match(await other.locator("#browser .result").innerText(), /TARGETING_MATCH/);
  // A reload brings back what was changed since.
  await choose(other, "second");
  await other.waitForFunction((link) => location.href !== link, link);
  await other.reload();
  await state(other, "good");
  assert.equal(await other.locator("#flag").inputValue(), "second");

  // So does a link that is pasted over, which can be taken back.
  await other.evaluate((hash) => (location.hash = hash), new URL(link).hash);
  await other.waitForFunction(() => document.querySelector("#flag").value === "staff");
  await other.locator("#undo").click();
  await state(other, "good");

  for (const hash of ["#v1=AAAA", "#v1=%%%", `${link.slice(link.indexOf("#"), -20)}`]) {
    const damaged = await open(`/${hash}`);
    await state(damaged, "good");
    assert.match(await damaged.locator("#notice-text").innerText(), /damaged/);
    assert.equal(await damaged.getByRole("tab").count(), 11);
    await damaged.context().close();
  }
  await other.context().close();
});

// --- the server is gone ---------------------------------------------------------------------------------------------

test("says that the server is gone, goes on with what it has, and recovers", async () => {
  await define(page, FLAGS);
  await choose(page, "gateway");
  await verdict(page, "same");
  await server.stop();
  try {
    await type(page, '{"targetingKey": "user-9"}');
    await page.waitForSelector("#gone:not([hidden])");
    assert.match(await page.locator("#server .result").innerText(), /does not answer/);
    assert.equal(await page.locator("#browser .value").innerText(), "false");
    await page.locator("#text").fill(WRONG);
    await state(page, "gone");
    assert.match(await page.locator("#counts").innerText(), /^Not checked/);
    assert.match(await page.locator("#state").innerText(), /last good definitions/);
    // The engine in the browser needs nobody.
    await choose(page, "everyone");
    assert.equal(await page.locator("#browser .value").innerText(), "true");
    assert.deepEqual(await violations(page), []);
  } finally {
    await server.start();
  }
  await page.locator("#retry").click();
  await page.waitForSelector("#gone", { state: "hidden" });
  await state(page, "errors");
  await page.locator("#text").fill(FLAGS);
  await state(page, "good");
  await verdict(page, "same");
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
      const shown = await open("/", { colorScheme, viewport: { width, height: 740 }, reducedMotion: "reduce" });
      const check = async (what) => {
        assert.deepEqual(await violations(shown), [], what);
        const overflow = await shown.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${what}: ${overflow} pixels too wide`);
      };
      await state(shown, "good");
      await verdict(shown, "same");
      await shown.waitForSelector("#comparison.good");
      await check("the demo's definitions");

      await shown.route("**/evaluate", async (route) => {
        const answer = await (await route.fetch()).json();
        answer.evaluation.variant = "x".repeat(100);
        await route.fulfill({ json: answer });
      });
      await shown.locator("#context").fill('{"targetingKey": 22}');
      await verdict(shown, "differ");
      await check("engines that differ");

      await shown.locator("#text").fill(`${WRONG}  ${"long".repeat(100)}: {salt: x, nonsense: 1}\n`);
      await state(shown, "errors");
      await shown.locator("#context").fill("{");
      await check("errors");

      for (let files = 11; files > 0; files--) await shown.locator("#remove").click();
      await shown.waitForSelector("#nothing:not([hidden])");
      await check("nothing");

      const moving = await shown.evaluate(
        () =>
          [...document.querySelectorAll("*")].filter((one) => getComputedStyle(one).transitionDuration !== "0s").length,
      );
      assert.equal(moving, 0);
      await shown.context().close();
    });
  }
}

test("everything is reached by keyboard, and shows where it is", async () => {
  const reader = await open("/");
  await state(reader, "good");
  const reached = new Set();
  for (let presses = 0; presses < 60; presses++) {
    await reader.keyboard.press("Tab");
    const [name, isShown] = await reader.evaluate(() => {
      const on = document.activeElement;
      const shown = on.type === "radio" ? on.nextElementSibling : on;
      const { outlineStyle } = getComputedStyle(shown);
      const frame = on.id === "text" ? getComputedStyle(on.parentElement, "::after").borderTopStyle : "none";
      return [on.id || on.name || on.role || on.localName, outlineStyle !== "none" || frame !== "none"];
    });
    if (name === "body") break;
    assert.ok(isShown, `${name} does not show that it has the focus`);
    reached.add(name);
  }
  for (const name of ["open", "restore", "share", "add", "remove", "text", "flag", "go-to-flag", "preset", "context"])
    assert.ok(reached.has(name), `${name} is not reached`);
  for (const name of ["steps-of", "percent", "published", "grid"])
    assert.ok(reached.has(name), `${name} is not reached`);
  await reader.locator("#go-to-flag").press("Enter");
  assert.equal(await reader.evaluate(() => document.activeElement.id), "text");
  const [line] = await caret(reader);
  const text = await reader.locator("#text").inputValue();
  assert.match(text.split("\n")[line - 1], new RegExp(`^  ${await reader.locator("#flag").inputValue()}:`));
  await reader.context().close();
});

test("nothing was complained about, and nobody else was asked", () => {
  assert.deepEqual(complaints, []);
  assert.deepEqual(elsewhere, []);
});
