// The page of a simulation: one file, opened from the disk as whoever is sent it would, of the plans that the repository holds.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { launch } from "./support/browser.mjs";
import { binary } from "./support/server.mjs";

const axe = readFileSync(
  createRequire(import.meta.url).resolve("axe-core/axe.min.js"),
  "utf8",
);
const plans = fileURLToPath(new URL("../rollouts/", import.meta.url));

let folder;
let browser;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "flagstone-simulation-"));
  browser = await launch();
});

after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Simulates a plan with its history, and opens the page in a browser that is offline; what it gives `--json`, too. */
async function open(rollout, options) {
  const file = join(folder, `${rollout}.html`);
  const script = join(plans, "histories", `${rollout}.yaml`);
  const args = [
    "rollout",
    "simulate",
    rollout,
    join(plans, "definitions"),
    "--script",
    script,
    "--html",
    file,
    "--json",
  ];
  let json;
  try {
    json = execFileSync(binary, args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
  } catch (error) {
    // What is turned back.
    assert.equal(error.status, 4);
    json = error.stdout;
  }
  const context = await browser.newContext({
    offline: true,
    reducedMotion: "reduce",
    ...options,
  });
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on(
    "console",
    (message) => message.type() === "error" && wrong.push(message.text()),
  );
  page.on(
    "request",
    (request) => request.url().startsWith("file:") || wrong.push(request.url()),
  );
  await page.goto(pathToFileURL(file).href);
  return { page, simulation: JSON.parse(json), wrong };
}

test("shows each decision and where it is read out by keyboard, and asks nobody for anything", async () => {
  const { page, simulation, wrong } = await open("chat");
  assert.equal(simulation.outcome, "rolledBack");
  const back = simulation.moments.find(({ what }) => what === "rolledBack");
  assert.match(await page.locator(".badge").innerText(), /is turned back/i);
  const items = await page.locator("ol.decisions > li").allInnerTexts();
  const told = items.find((text) => text.startsWith("Rolled back"));
  assert.ok(told.includes(back.reason), told);
  // A decision is pointed to on the timeline, with one place in the list for it.
  const marks = await page
    .locator("a.mark")
    .evaluateAll((marks) => marks.map((mark) => mark.hash));
  assert.ok(marks.length > 4 && marks.every((hash) => /^#d\d+$/.test(hash)));
  for (const hash of marks) assert.equal(await page.locator(hash).count(), 1);

  const [scrub, reader] = [page.locator(".scrub"), page.locator(".reader")];
  await scrub.focus();
  await scrub.press("Home");
  assert.match(await reader.innerText(), /0 %/);
  // From one thing that happened to the next, until the last.
  const seen = [];
  for (const { at } of simulation.moments) {
    if (seen.length > 0 && at === seen.at(-1).at) continue;
    await scrub.press("ArrowRight");
    seen.push({ at, text: await reader.innerText() });
  }
  const turned = seen.find(({ text }) => text.includes("Rolled back"));
  assert.ok(turned?.text.includes(back.reason), seen.map(({ text }) => text).join("\n\n"));
  assert.deepEqual(wrong, []);
  await page.context().close();
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1440, 360]) {
    test(`accessible and not too wide: ${colorScheme}, ${width} pixels`, async () => {
      for (const rollout of ["chat", "calling", "gateway"]) {
        const { page, wrong } = await open(rollout, {
          colorScheme,
          viewport: { width, height: 740 },
        });
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() =>
          globalThis.axe.run({ resultTypes: ["violations"] }),
        );
        const found = violations.map(
          ({ id, nodes }) =>
            `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join("\n")}`,
        );
        assert.deepEqual(found, [], rollout);
        const overflow = await page.evaluate(
          () => document.documentElement.scrollWidth - innerWidth,
        );
        assert.ok(overflow <= 0, `${rollout}: ${overflow} pixels too wide`);
        assert.deepEqual(wrong, []);
        await page.context().close();
      }
    });
  }
}
