// The client in Chromium: the package as it stands, loaded as modules without a bundler.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { FlagstoneClient } from "../../pkg/node.js";
import { launch, serve } from "./support/browser.mjs";
import { envelope, flags, keyPair, snapshot } from "./support/sign.mjs";
import { entry, pkg } from "./support/package.mjs";

const production = keyPair();
const source = envelope(snapshot({ version: 7, flags }), production);
const options = { environment: "production", keys: production.keys };
const imported = entry(".", ["browser", "production", "import"]).replace("./", "/pkg/");

let browser, server, page;
before(async () => {
  server = await serve({
    "/pkg/": pkg,
    "/page.html": "<!doctype html><title>Flagstone</title>",
    "/client.json": source,
    "/tampered.json": source.replace("salt-1", "salt-2"),
  });
  browser = await launch();
  page = await browser.newPage();
  await page.goto(`${server.base}/page.html`);
});
after(async () => {
  await browser?.close();
  server?.close();
});

test("fetches a snapshot and evaluates as Node.js does", async () => {
  const contexts = Array.from({ length: 200 }, (_, index) => ({
    targetingKey: `user-${index}`,
    age: index % 50,
    groups: ["beta"],
  }));
  const answer = await page.evaluate(
    async ({ imported, options, contexts }) => {
      const { FlagstoneClient } = await import(imported);
      const flags = await FlagstoneClient.start({ source: "/client.json", storage: false, ...options });
      const all = contexts.map((context) => flags.all(context));
      return { error: flags.error?.message, id: flags.anonymousId(), all: JSON.stringify(all) };
    },
    { imported, options, contexts },
  );
  assert.equal(answer.error, undefined);
  assert.match(answer.id, /^[0-9a-f]{32}$/);
  const client = await FlagstoneClient.start({ source, ...options });
  assert.equal(answer.all, JSON.stringify(contexts.map((context) => client.all(context))));
});

test("checks signatures", async () => {
  const code = await page.evaluate(
    async ({ imported, options }) => {
      const { FlagstoneClient } = await import(imported);
      return (await FlagstoneClient.start({ source: "/tampered.json", storage: false, ...options })).error.code;
    },
    { imported, options },
  );
  assert.equal(code, "SIGNATURE");
});

test("dates of another frame are dates", async () => {
  const rule = await page.evaluate(
    async ({ imported, options }) => {
      const { FlagstoneClient } = await import(imported);
      const flags = await FlagstoneClient.start({ source: "/client.json", storage: false, ...options });
      const frame = document.body.appendChild(document.createElement("iframe"));
      const signedUp = new frame.contentWindow.Date(1700000000001);
      return flags.details("targeted", false, { signedUp }).flagMetadata.rule;
    },
    { imported, options },
  );
  assert.equal(rule, "new");
});

test("survives a trap", async () => {
  const values = await page.evaluate(
    async ({ imported, options }) => {
      const { FlagstoneClient } = await import(imported);
      const { exports } = await import("/pkg/instance.js");
      const flags = await FlagstoneClient.start({ source: "/client.json", storage: false, ...options });
      new Uint8Array(exports().memory.buffer).fill(0xff);
      return [flags.boolean("enabled", false), flags.version];
    },
    { imported, options },
  );
  assert.deepEqual(values, [true, 7]);
});
