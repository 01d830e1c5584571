// OpenFeature's React SDK with the web provider, bundled as an app's page is and run in Chromium.
import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { build } from "esbuild";
import { launch, serve } from "./support/browser.mjs";
import { projectWith } from "./support/openfeature.mjs";
import { boolean, envelope, flags, keyPair, snapshot } from "./support/sign.mjs";

const PAGE = `
  import { EventHook } from "@openfeature/open-telemetry-hooks";
  import { OpenFeature, OpenFeatureProvider, useBooleanFlagValue, useFlag, useTrack } from "@openfeature/react-sdk";
  import { logs } from "@opentelemetry/api-logs";
  import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs";
  import { ExposureHook, FlagstoneWebProvider } from "flagstone/openfeature-web";
  import { StrictMode } from "react";
  import { createRoot } from "react-dom/client";

  const records = new InMemoryLogRecordExporter();
  logs.setGlobalLoggerProvider(new LoggerProvider({ processors: [new SimpleLogRecordProcessor(records)] }));
  const evaluations = { banner: 0, gateway: 0 };
  OpenFeature.addHooks({ finally: ({ flagKey }) => void evaluations[flagKey]++ }, new ExposureHook(new EventHook()));

  const tracked = [];

  function Gateway() {
    return <p id="gateway">{useBooleanFlagValue("gateway", false) ? "new" : "old"}</p>;
  }

  function Banner() {
    const { value, variant, reason, flagMetadata } = useFlag("banner", "none");
    const { track } = useTrack();
    return <button id="banner" onClick={() => track("clicked", { value: 1 })}>{[value, variant, reason, flagMetadata.version].join(" ")}</button>;
  }

  const root = createRoot(document.querySelector("main"));
  const render = () =>
    root.render(
      <StrictMode>
        <OpenFeatureProvider>
          <Gateway />
          <Banner />
        </OpenFeatureProvider>
      </StrictMode>,
    );
  const track = (...event) => tracked.push(event);
  Object.assign(window, { FlagstoneWebProvider, OpenFeature, evaluations, records, render, track, tracked });
`;

const production = keyPair();
const { keys } = production;
const banner = (serve) => ({
  type: "string",
  variants: { calm: "Hello", loud: "HELLO" },
  off: "calm",
  salt: "banner-1",
  requires: ["equals"],
  rules: [{ id: "loud", when: { attribute: "mood", equals: "loud" }, serve: "loud" }],
  default: serve,
});
const signed = (version, gateway, serve = "calm") =>
  envelope(snapshot({ version, flags: { gateway: boolean(gateway), banner: banner(serve), ...flags } }), production);

const folder = projectWith("@openfeature", "@opentelemetry", "react", "react-dom");
const content = {
  "/page.html":
    "<!doctype html><title>test</title><link rel=icon href=data:,><main></main><script type=module src=/page.js></script>",
};
const complaints = [];
let browser, server, page;
before(async () => {
  const { outputFiles } = await build({
    stdin: { contents: PAGE, loader: "jsx", resolveDir: folder, sourcefile: "page.jsx" },
    bundle: true,
    format: "esm",
    splitting: true,
    outdir: "/",
    entryNames: "page",
    jsx: "automatic",
    jsxDev: true,
    write: false,
    logLevel: "error",
  });
  for (const { path, text } of outputFiles) content[path] = text;
  // The engine is an asset beside what imports it.
  content["/flagstone_bg.wasm"] = readFileSync(join(folder, "node_modules/flagstone/flagstone_bg.wasm"));
  server = await serve(content);
  browser = await launch();
  page = await browser.newPage();
  page.on(
    "console",
    (message) => message.type() === "error" && complaints.push(`${message.text()} (${message.location().url})`),
  );
  page.on("pageerror", (error) => complaints.push(error.message));
});
after(async () => {
  await browser?.close();
  server?.close();
  rmSync(folder, { recursive: true });
});
afterEach(() => assert.deepEqual(complaints.splice(0), []));

/** Opens the page and sets a provider. */
async function open() {
  await page.goto(`${server.base}/page.html`);
  await page.waitForFunction(() => "render" in window);
  await page.evaluate(
    async (options) => {
      await OpenFeature.setContext({ targetingKey: "user-42" });
      render();
      OpenFeature.setProvider(new FlagstoneWebProvider(options, { track }));
    },
    { source: "/client.json", environment: "production", keys, poll: 1000, storage: false },
  );
}

const shows = (selector, text) =>
  page.waitForFunction(([selector, text]) => document.querySelector(selector)?.textContent === text, [selector, text]);

test("renders defaults at once, and the flags once it has them", async () => {
  let answer;
  const asked = new Promise((resolve) => (answer = resolve));
  content["/client.json"] = signed(1, "on");
  await page.route(
    "**/client.json",
    async (route) => {
      await asked;
      await route.continue();
    },
    { times: 1 },
  );
  await open();
  await shows("#gateway", "old");
  assert.match(await page.locator("#banner").innerText(), /^none ERROR/);
  answer();
  await shows("#gateway", "new");
  await shows("#banner", "Hello calm DEFAULT 1");
});

test("renders again when a flag changes, and only what shows it", async () => {
  content["/client.json"] = signed(1, "off");
  await open();
  await shows("#gateway", "old");
  await shows("#banner", "Hello calm DEFAULT 1");
  const before = await page.evaluate(() => evaluations.banner);
  content["/client.json"] = signed(2, "on");
  await shows("#gateway", "new");
  assert.equal(await page.evaluate(() => evaluations.banner), before);
  content["/client.json"] = signed(3, "on", "loud");
  await shows("#banner", "HELLO loud DEFAULT 3");
});

test("renders again when the context changes", async () => {
  content["/client.json"] = signed(1, "on");
  await open();
  await shows("#banner", "Hello calm DEFAULT 1");
  await page.evaluate(() => OpenFeature.setContext({ targetingKey: "user-42", mood: "loud" }));
  await shows("#banner", "HELLO loud TARGETING_MATCH 1");
  await page.evaluate(() => OpenFeature.clearContext());
  await shows("#banner", "Hello calm DEFAULT 1");
});

test("each exposure is one OpenTelemetry event, however often it is evaluated", async () => {
  content["/client.json"] = signed(5, "on");
  await open();
  await shows("#gateway", "new");
  await shows("#banner", "Hello calm DEFAULT 5");
  const before = await page.evaluate(() => evaluations.gateway);
  await page.evaluate(() => OpenFeature.setContext({ targetingKey: "user-42", changed: true }));
  await page.waitForFunction((before) => evaluations.gateway > before, before);
  const events = await page.evaluate(() =>
    records
      .getFinishedLogRecords()
      .filter(({ eventName }) => eventName === "feature_flag.evaluation")
      .map(({ attributes }) => attributes)
      .filter((attributes) => attributes["feature_flag.result.reason"] !== "error"),
  );
  const common = {
    "feature_flag.provider.name": "flagstone",
    "feature_flag.context.id": "user-42",
    "feature_flag.set.id": "production",
    "feature_flag.version": "5",
  };
  const byKey = (one, other) => (one["feature_flag.key"] < other["feature_flag.key"] ? -1 : 1);
  assert.deepEqual(events.sort(byKey), [
    {
      ...common,
      "feature_flag.key": "banner",
      "feature_flag.result.variant": "calm",
      "feature_flag.result.value": "Hello",
      "feature_flag.result.reason": "default",
    },
    {
      ...common,
      "feature_flag.key": "gateway",
      "feature_flag.result.variant": "on",
      "feature_flag.result.value": true,
      "feature_flag.result.reason": "static",
    },
  ]);
});

test("hands what users do to the app", async () => {
  content["/client.json"] = signed(1, "on");
  await open();
  await shows("#banner", "Hello calm DEFAULT 1");
  await page.locator("#banner").click();
  assert.deepEqual(await page.evaluate(() => tracked), [["clicked", { targetingKey: "user-42" }, { value: 1 }]]);
});
