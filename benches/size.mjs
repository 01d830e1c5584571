// What a browser downloads to decide flags, or to have them decided elsewhere: each one's usual entry point, bundled and minified by
// esbuild, and its WebAssembly, in bytes of brotli 11; and where the bytes of Flagstone's are. Writes tables, and JSON, Markdown and
// a chart into target/bench.
import { build } from "esbuild";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotli, bytesByGroup, bytesByModule } from "./bytes.mjs";
import { version } from "./contestants.mjs";
import { report } from "./report.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const pkg = fileURLToPath(new URL("../pkg/", import.meta.url));

/** Decide in the page. `wasm` is what is loaded beside the JavaScript. */
const DECIDE = [
  { name: "Flagstone", package: "flagstone", imports: "FlagstoneClient", wasm: "../pkg/flagstone_bg.wasm" },
  {
    name: "Flagstone, slim",
    package: "flagstone",
    from: "flagstone/slim",
    imports: "FlagstoneClient",
    wasm: "../pkg/slim/flagstone_bg.wasm",
  },
  { name: "GrowthBook", package: "@growthbook/growthbook", imports: "GrowthBook" },
  { name: "ConfigCat", package: "configcat-js", imports: "getClient, User" },
  { name: "Statsig", package: "@statsig/js-on-device-eval-client", imports: "StatsigOnDeviceEvalClient" },
  { name: "flagd", package: "@openfeature/flagd-core", imports: "FlagdCore" },
  { name: "Split", package: "@splitsoftware/splitio-browserjs", imports: "SplitFactory" },
  {
    name: "Flipt, slim",
    package: "@flipt-io/flipt-client-js",
    from: "@flipt-io/flipt-client-js/slim",
    imports: "FliptClient",
    wasm: "node_modules/@flipt-io/flipt-client-js/dist/flipt_engine_wasm_js_bg.wasm",
  },
  { name: "Flipt", package: "@flipt-io/flipt-client-js", imports: "FliptClient" },
];

/** Have a server decide. */
const ASK = [
  { name: "OpenFeature alone", package: "@openfeature/web-sdk", imports: "OpenFeature" },
  { name: "LaunchDarkly 3", package: "launchdarkly-js-client-sdk", imports: "initialize" },
  { name: "LaunchDarkly 4", package: "@launchdarkly/js-client-sdk", imports: "createClient" },
  { name: "flagd", package: "@openfeature/flagd-web-provider", imports: "FlagdWebProvider", isProvider: true },
  { name: "DevCycle", package: "@devcycle/js-client-sdk", imports: "initializeDevCycle" },
  { name: "PostHog", package: "posthog-js", imports: "default" },
];

/** What is imported when it is needed, is loaded then: bundlers leave in one piece what a page loads before anything happens. */
const needed = {
  name: "what is imported when it is needed",
  setup: ({ onResolve }) =>
    onResolve({ filter: /./ }, ({ kind, path }) => (kind === "dynamic-import" ? { path, external: true } : undefined)),
};

/** What a page loads before anything happens. */
async function bundle({ from, imports, isProvider }) {
  const provided = isProvider ? `export { OpenFeature } from "@openfeature/web-sdk";` : "";
  const { outputFiles } = await build({
    stdin: { contents: `export { ${imports} } from ${JSON.stringify(from)}; ${provided}`, resolveDir: here },
    absWorkingDir: here,
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    legalComments: "none",
    define: { "process.env.NODE_ENV": '"production"' },
    // What its manifest says for browsers.
    alias: { "flagstone/slim": `${pkg}slim/browser.js`, flagstone: `${pkg}browser.js` },
    plugins: [needed],
    logLevel: "silent",
  });
  const [{ contents }] = outputFiles;
  return { raw: contents.length, brotli: brotli(contents) };
}

async function weigh(entry) {
  const { name, package: of, from = of, imports, wasm, isProvider = false } = entry;
  const javascript = await bundle({ from, imports, isProvider });
  const module = wasm === undefined ? undefined : readFileSync(new URL(wasm, import.meta.url));
  return {
    name,
    package: of,
    version: version(of),
    entry: `${imports} of ${from}${isProvider ? ", OpenFeature of @openfeature/web-sdk" : ""}`,
    javascript,
    wasm: module && { raw: module.length, brotli: brotli(module) },
    brotli: javascript.brotli + (module === undefined ? 0 : brotli(module)),
  };
}

const sections = [
  { title: "Decide in the page", entries: await Promise.all(DECIDE.map(weigh)) },
  { title: "Ask a server, which decides", entries: await Promise.all(ASK.map(weigh)) },
];
const parts = [
  { title: "Flagstone's client, by module", ...bytesByModule() },
  { title: "Flagstone's engine, by what it does", ...bytesByGroup("full") },
  { title: "Flagstone's engine, slim", ...bytesByGroup("slim") },
];
const [ours] = sections[0].entries;
const bytes = (size) => (size === undefined ? "–" : size.brotli.toLocaleString("en"));

report("size", {
  title: "What a browser downloads",
  about: "What is imported from the entry point, bundled and minified by esbuild, and the WebAssembly beside it.",
  note: "Bytes of brotli 11; what is loaded only when it is needed is not among them. Alone: what brotli would save without it, so parts add up to less than the whole.",
  conditions: { esbuild: version("esbuild") },
  results: { sections, parts },
  tables: [
    ...sections.map(({ title, entries }) => ({
      title,
      columns: ["", "entry point", "JavaScript", "WebAssembly", "together", "×"],
      rows: entries.map(({ name, version, entry, javascript, wasm, brotli }) => [
        `${name} ${version}`,
        entry,
        bytes(javascript),
        bytes(wasm),
        bytes({ brotli }),
        (brotli / ours.brotli).toFixed(2),
      ]),
    })),
    ...parts.map(({ title, rows, raw, brotli }) => ({
      title: `${title}: ${brotli.toLocaleString("en")} bytes of brotli, ${raw.toLocaleString("en")} as they are`,
      columns: ["", "functions", "bytes", "brotli alone"],
      rows: rows.map(({ name, functions, raw, brotli }) => [
        name,
        functions === undefined ? "–" : functions.toLocaleString("en"),
        raw.toLocaleString("en"),
        brotli.toLocaleString("en"),
      ]),
    })),
  ],
  panels: sections.map(({ title, entries }) => ({
    title,
    unit: "KB",
    rows: entries.map(({ name, brotli }) => {
      const kilobytes = brotli / 1000;
      const figure = { median: kilobytes, min: kilobytes, max: kilobytes };
      return { name, isOurs: name.startsWith("Flagstone"), marks: [{ series: "brotli", figure }] };
    }),
  })),
});
