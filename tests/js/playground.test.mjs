// The page of `make demo`, driven as a person would.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, serve } from "./support/browser.mjs";
import { boolean, envelope, keyPair, snapshot } from "./support/sign.mjs";
import { pkg } from "./support/package.mjs";

const production = keyPair();
const ramp = (percent, rest) => boolean({ ramp: { percent, serve: "on" } }, { requires: ["xxh3"], ...rest });
const signed = (version, percent) =>
  envelope(
    snapshot({
      version,
      flags: {
        gateway: ramp(percent),
        waiting: ramp(0),
        staff: ramp(50000, {
          requires: ["equals", "xxh3"],
          rules: [{ id: "staff", when: { attribute: "staff", equals: true }, serve: "on" }],
        }),
        everyone: boolean("on"),
      },
    }),
    production,
  );

const content = {
  "/pkg/": pkg,
  "/client.json": signed(1, 5000),
  "/keys.json": JSON.stringify(production.keys),
  "/": fileURLToPath(new URL("../../www/", import.meta.url)),
};
const complaints = [];
let browser, server, page;
before(async () => {
  server = await serve(content);
  browser = await launch();
  page = await browser.newPage();
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(`${server.base}/index.html`);
  await page.waitForSelector("main:not([hidden])");
});
after(async () => {
  await browser?.close();
  server?.close();
});

/** Who is in, as the grid shows it. */
const shownIn = () => page.$$eval("#grid .stays, #grid .joins", (cells) => cells.map((cell) => cell.id));
const slide = (percent) => page.locator("#percent").fill(String(percent));

test("raising the slider only lets users in", async () => {
  await page.locator("#flag").selectOption("gateway");
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

test("what is published shows, and the engine serves it", async () => {
  await page.locator("#published").click();
  assert.equal(await page.locator("#percent").inputValue(), "5");
  const users = await shownIn();
  assert.match(await page.locator("#check").innerText(), new RegExp(`^✓ .*exactly these ${users.length} users`));
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
  await page.locator("#flag").selectOption("waiting");
  assert.deepEqual(await shownIn(), []);
  await slide(30);
  assert.ok((await shownIn()).length > 240);
});

test("a flag that no percent decides says so", async () => {
  await page.locator("#flag").selectOption("everyone");
  assert.ok(await page.locator("#ramp").isHidden());
  assert.match(await page.locator("#summary").innerText(), /^No percent decides/);
});

test("attributes count, for one user and for all", async () => {
  await page.locator("#flag").selectOption("staff");
  await page.locator("#attributes").fill('{"staff": true}');
  assert.match(await page.locator("#result").innerText(), /true[^]*TARGETING_MATCH[^]*staff/);
  assert.equal(await page.locator("#grid .fixed").count(), 1000);
  await page.locator("#attributes").fill('{"staff": ');
  assert.match(await page.locator("#attributes-error").innerText(), /no JSON/);
  await page.locator("#attributes").fill("[]");
  assert.match(await page.locator("#attributes-error").innerText(), /object/);
  await page.locator("#attributes").fill("{}");
  assert.equal(await page.locator("#grid .fixed").count(), 0);
});

test("the keyboard reaches every user", async () => {
  await page.locator("#flag").selectOption("gateway");
  await page.locator("#grid").focus();
  await page.keyboard.press("Home");
  for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) await page.keyboard.press(key);
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#key").inputValue(), "user-42");
  assert.equal(await page.locator("#grid").getAttribute("aria-activedescendant"), "user-42");
  const last = page.locator("#steps .decided").last();
  assert.match(await last.innerText(), /The default[^]*threshold 5 %/);
  await page.keyboard.press("End");
  assert.equal(await page.locator("#grid").getAttribute("aria-activedescendant"), "user-999");
});

test("takes a newer snapshot and refuses an older one", async () => {
  await slide(5);
  const five = await shownIn();
  content["/client.json"] = signed(2, 40000);
  await page.locator("#reload").click();
  await page.waitForFunction(() => document.querySelector("#snapshot").textContent.startsWith("Version 2"));
  assert.equal(await page.locator("#percent").inputValue(), "40");
  const forty = new Set(await shownIn());
  assert.ok(five.every((user) => forty.has(user)));
  content["/client.json"] = signed(1, 0);
  await page.locator("#reload").click();
  await page.waitForFunction(() => /refused/.test(document.querySelector("#snapshot").textContent));
  assert.match(await page.locator("#snapshot").innerText(), /older than version 2/);
});

test("a phone shows it all without scrolling sideways", async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);
});

test("nothing was complained about", () => {
  assert.deepEqual(complaints, []);
});
