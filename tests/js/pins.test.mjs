// Pins for one browser, by a signed link and the cookie that remembers it, in Chromium.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, serve } from "./support/browser.mjs";
import { boolean, envelope, keyPair, snapshot } from "./support/sign.mjs";
import { entry, pkg } from "./support/package.mjs";

const production = keyPair();
const tester = keyPair("tester-1");
const source = envelope(snapshot({ flags: { gateway: boolean("off") } }), production);
const link = (pins, { expires = "2100-01-01T00:00:00Z", key = tester } = {}) => {
  const payload = { environment: "production", expires, pins };
  return Buffer.from(envelope(payload, key, "flagstone-pins+json")).toString("base64url");
};
const imported = entry(".", ["browser", "import"]).replace("./", "/pkg/");
const options = { source: "/client.json", environment: "production", keys: production.keys, storage: false };
const signedPins = { keys: tester.keys };

let browser, server;
before(async () => {
  server = await serve({
    "/pkg/": pkg,
    "/page.html": "<!doctype html><title>Flagstone</title>",
    "/client.json": source,
  });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.close();
});

/** What a client says on a page, opened in this browser with this in its address. */
async function visit(context, query, startOptions = { ...options, signedPins }) {
  const page = await context.newPage();
  await page.goto(`${server.base}/page.html${query}`);
  const answer = await page.evaluate(
    async ({ imported, startOptions }) => {
      const { FlagstoneClient } = await import(imported);
      const warnings = [];
      const flags = await FlagstoneClient.start({ ...startOptions, warn: (message) => warnings.push(message) });
      const { value, reason, flagMetadata } = flags.details("gateway", false, { targetingKey: "user-42" });
      await flags.close();
      return { value, reason, step: flagMetadata.step, warnings };
    },
    { imported, startOptions },
  );
  await page.close();
  return answer;
}

const pinned = { value: true, reason: "STATIC", step: "onPin", warnings: [] };
const plain = { value: false, reason: "STATIC", step: "default", warnings: [] };

test("a signed link pins flags for one browser, until it is told otherwise", async () => {
  const context = await browser.newContext();
  assert.deepEqual(await visit(context, ""), plain);
  assert.deepEqual(await visit(context, `?flagstone-pins=${link({ gateway: "on" })}`), pinned);
  assert.deepEqual(await visit(context, ""), pinned, "the cookie remembers");
  assert.deepEqual(await visit(await browser.newContext(), ""), plain, "nobody else's browser");
  assert.deepEqual(await visit(context, "?flagstone-pins=off"), plain);
  assert.deepEqual(await visit(context, ""), plain);
});

test("pins are off unless asked for", async () => {
  const context = await browser.newContext();
  assert.deepEqual(await visit(context, `?flagstone-pins=${link({ gateway: "on" })}`, options), plain);
  assert.deepEqual(await visit(context, ""), plain, "and nothing is remembered");
});

test("what nobody trusted signed pins nothing, with one warning", async () => {
  for (const [token, complaint] of [
    [
      link({ gateway: "on" }, { key: production }),
      /flagstone: pins are not taken: signed by "test-1", which is not among the trusted keys/,
    ],
    [
      link({ gateway: "on" }, { key: keyPair("tester-1") }),
      /flagstone: pins are not taken: the signature by "tester-1" does not verify/,
    ],
    [
      link({ gateway: "on" }, { expires: "2026-01-01T00:00:00Z" }),
      /flagstone: pins are not taken: they expired at 2026-01-01T00:00:00Z/,
    ],
    ["nonsense!", /flagstone: pins are not taken: they are no base64url/],
  ]) {
    const context = await browser.newContext();
    const { warnings, ...answer } = await visit(context, `?flagstone-pins=${token}`);
    assert.deepEqual({ ...answer, warnings: [] }, plain);
    assert.equal(warnings.length, 1, warnings.join("\n"));
    assert.match(warnings[0], complaint);
    assert.deepEqual(await visit(context, ""), plain, "and nothing is remembered");
    await context.addCookies([{ name: "flagstone-pins", value: token, url: server.base }]);
    assert.equal((await visit(context, "")).warnings.length, 1);
    assert.deepEqual(await visit(context, ""), plain, "a cookie that is no good is forgotten");
  }
});
