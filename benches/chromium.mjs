// Contestants in pages of Chromium.
import { build } from "esbuild";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const EXECUTABLE = "/usr/bin/chromium";
const here = fileURLToPath(new URL(".", import.meta.url));
/** The engine, and what completes snapshots. */
const MODULES = ["flagstone_bg.wasm", "flagstone_tools.wasm"];

/** Pages get what a bundler takes for browsers. */
const flagstone = {
  name: "flagstone",
  setup({ onResolve }) {
    const path = fileURLToPath(new URL("../pkg/browser.js", import.meta.url));
    onResolve({ filter: /\/pkg\/node\.js$/ }, () => ({ path }));
  },
};

/** One contestant as a script that a page loads. */
async function bundle({ id, package: name, page }) {
  const contents =
    id === "floor"
      ? `import { measure } from "./floor.mjs"; globalThis.run = { check() {}, measure };`
      : `import { check } from "./check.mjs"; import { measure } from "./measure.mjs"; import * as peer from "./peers/${id}.mjs";
         globalThis.run = { check: () => check(peer), measure: (milliseconds) => measure(peer, milliseconds) };`;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: here },
    absWorkingDir: here,
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    alias: page === true ? {} : { [name]: page },
    define: { "process.env": '{ "NODE_ENV": "production" }' },
    // What the package loads when it is needed is installed where it is built.
    nodePaths: [fileURLToPath(new URL("../pkg-templates/node_modules", import.meta.url))],
    logLevel: "silent",
    plugins: [flagstone],
  });
  return outputFiles[0].text;
}

/** Chromium with a page for each contestant, as they are asked for. */
export async function startChromium(contestants) {
  if (!existsSync(EXECUTABLE)) throw new Error(`${EXECUTABLE} is missing: run \`.ci/install chromium\``);
  const files = new Map(
    MODULES.map((name) => [`/${name}`, ["application/wasm", readFileSync(new URL(`../pkg/${name}`, import.meta.url))]]),
  );
  for (const contestant of contestants) {
    files.set(`/${contestant.id}.js`, ["text/javascript", await bundle(contestant)]);
    const page = `<!doctype html><script type="module" src="/${contestant.id}.js"></script>`;
    files.set(`/${contestant.id}`, ["text/html", page]);
  }
  // A page of its own, and with this a finer clock.
  const isolated = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
  const server = createServer(({ url }, response) => {
    const [type, body] = files.get(url) ?? [];
    if (body === undefined) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": type, ...isolated }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await chromium.launch({
    executablePath: EXECUTABLE,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
    ],
  });
  return {
    version: browser.version(),
    /** What came of `run.check()` or `run.measure(milliseconds)` in a renderer of its own. */
    async run(what, { id }, milliseconds) {
      const context = await browser.newContext();
      try {
        const page = await context.newPage();
        const failed = new Promise((_, reject) => page.once("pageerror", reject));
        failed.catch(() => undefined);
        await page.goto(`http://127.0.0.1:${server.address().port}/${id}`);
        const ran = page.evaluate(([what, milliseconds]) => globalThis.run[what](milliseconds), [what, milliseconds]);
        return await Promise.race([ran, failed]);
      } finally {
        await context.close();
      }
    },
    async close() {
      await browser.close();
      server.closeAllConnections();
      server.close();
    },
  };
}
