// The tarball that users install, in fresh projects: bundled for browsers in several ways and not at all, in Node.js, in Jest, in
// TypeScript, in workerd.
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import * as esbuild from "esbuild";
import { Miniflare } from "miniflare";
import * as vite from "vite";
import webpack from "webpack";
import { FlagstoneClient } from "../../pkg/node.js";
import * as tools from "../../pkg/tools.js";
import { launch, serve } from "./support/browser.mjs";
import { entry, manifest, project, tarball } from "./support/package.mjs";
import { boolean, byKey, envelope, flags, keyPair, patterns, snapshot } from "./support/sign.mjs";

const production = keyPair();
const matched = boolean("off", {
  requires: ["matches"],
  rules: [{ id: "mail", when: { attribute: "mail", matches: ["@example\\.com$"] }, serve: "on" }],
});
const source = envelope(
  snapshot({ version: 7, patterns: patterns("@example\\.com$"), flags: { ...flags, matched } }),
  production,
);
const options = { environment: "production", keys: production.keys };
const context = { targetingKey: "user-42", mail: "a@example.com", groups: ["beta"] };

/** What every way of running it must answer. */
const expected = await (async () => {
  const client = await FlagstoneClient.start({ source, ...options });
  const all = client.all(context);
  await client.close();
  const { enabled, matched, targeted } = byKey(all);
  assert.deepEqual([enabled.value, matched.value, targeted.flagMetadata.rule], [true, true, "group"]);
  return JSON.parse(JSON.stringify({ version: 7, all }));
})();

/** What there is to import, but for assets. */
const subpaths = Object.keys(manifest.exports).filter((subpath) => !/\.\w+$/.test(subpath));

/** What the providers need of the application. */
const peers = Object.entries(manifest.peerDependencies).map(([name, range]) => `${name}@${range}`);

/** Evaluates in a project; `source` is a JavaScript expression. */
const use = (source) => `
  const answer = (async () => {
    const flags = await FlagstoneClient.start({ source: ${source}, ...${JSON.stringify(options)} });
    if (flags.error !== undefined) throw flags.error;
    const answer = JSON.stringify({ version: flags.version, all: flags.all(${JSON.stringify(context)}) });
    await flags.close();
    return answer;
  })();`;

const SHOW = "answer.then((text) => { globalThis.answer = text; }, (error) => { globalThis.answer = String(error); });";
const IMPORT = 'import { FlagstoneClient } from "flagstone";';
const page = (script) => `<!doctype html><link rel="icon" href="data:," />${script}`;

/** A web project: a page, the snapshot it fetches, its script and what else is given. */
const site = (files = {}) =>
  project({
    "index.html": page('<script type="module" src="/main.js"></script>'),
    "public/client.json": source,
    "main.js": IMPORT + use('"/client.json"') + SHOW,
    ...files,
  });

let browser;
before(async () => {
  browser = await launch("--host-resolver-rules=MAP flags.test 127.0.0.1");
});
after(() => browser?.close());

/** Opens a page, sees that it answers right and complains of nothing, and returns what it requested. */
async function open(url, prepare) {
  const tab = await browser.newPage();
  const complaints = [];
  const requests = [];
  tab.on("console", (message) => /error|warning/.test(message.type()) && complaints.push(message.text()));
  tab.on("pageerror", (error) => complaints.push(error.message));
  tab.on("request", (request) => requests.push(new URL(request.url()).pathname));
  await prepare?.(tab);
  await tab.goto(url);
  const answer = await tab.waitForFunction(() => globalThis.answer);
  const text = await answer.jsonValue();
  assert.deepEqual(complaints, []);
  assert.ok(text.startsWith("{"), text);
  assert.deepEqual(JSON.parse(text), expected);
  await tab.close();
  return requests;
}

/** The same for a folder that a bundler wrote. */
async function openBuilt(folder, { script, prepare } = {}) {
  const index = script && { "/index.html": page(script) };
  const server = await serve({ "/client.json": source, ...index, "/": folder });
  try {
    return await open(`${server.base}/index.html`, prepare);
  } finally {
    server.close();
  }
}

/** The engine; and its tools, for nobody has compiled the snapshot. */
const MODULES = 2;
const engines = (requests) => requests.filter((path) => path.endsWith(".wasm"));
const inlined = (requests) => requests.filter((path) => /inlined/.test(path));

async function viteBuild(root) {
  // Vite goes by it where it is set, and sets it where it is not: what ran before would decide.
  process.env.NODE_ENV = "production";
  await vite.build({ root, configFile: false, logLevel: "warn", build: { outDir: "dist" } });
  return join(root, "dist");
}

function webpackBuild(folder, { entry = "./main.js", mode = "production" } = {}) {
  // Chunks get names that tell what is in them.
  const output = { path: join(folder, "dist"), chunkFilename: "[id].js" };
  const optimization = { chunkIds: "named" };
  return new Promise((resolve, reject) => {
    webpack({ context: folder, entry, mode, output, optimization }, (error, stats) => {
      if (error) return reject(error);
      const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
      if (errors.length + warnings.length > 0) return reject(new Error(JSON.stringify([...errors, ...warnings])));
      resolve(output.path);
    });
  });
}

async function esbuildBuild(folder, rest) {
  const common = { absWorkingDir: folder, entryPoints: ["main.js"], outdir: "dist", bundle: true, logLevel: "silent" };
  const { warnings } = await esbuild.build({ ...common, ...rest });
  assert.deepEqual(warnings, []);
  return join(folder, "dist");
}

test("Vite, built: the engine is an asset", async () => {
  const requests = await openBuilt(await viteBuild(site()));
  assert.equal(engines(requests).length, MODULES);
  assert.deepEqual(inlined(requests), []);
});

test("a page whose snapshot was compiled at publish loads no tools", async () => {
  const folder = await viteBuild(site());
  const completed = await tools.complete(new TextEncoder().encode(JSON.parse(source).payload));
  const published = envelope(new TextDecoder().decode(completed), production);
  const server = await serve({ "/client.json": published, "/": folder });
  try {
    const requests = await open(`${server.base}/index.html`);
    assert.deepEqual(engines(requests).map((path) => /flagstone_[a-z]+/.exec(path)[0]), ["flagstone_bg"]);
    assert.deepEqual(inlined(requests), []);
  } finally {
    server.close();
  }
});

test("Vite's development server, with dependencies bundled before", async () => {
  const root = site();
  process.env.NODE_ENV = "development";
  const server = createServer((request, response) => development.middlewares(request, response));
  const development = await vite.createServer({
    root,
    configFile: false,
    logLevel: "warn",
    server: { middlewareMode: true, hmr: { server } },
  });
  try {
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const requests = await open(`http://127.0.0.1:${server.address().port}/`);
    assert.ok(requests.includes("/node_modules/.vite/deps/flagstone.js"));
    assert.equal(inlined(requests).length, MODULES);
  } finally {
    server.close();
    await development.close();
  }
});

test("webpack: the engine is an asset", async () => {
  const built = await webpackBuild(site());
  const requests = await openBuilt(built, { script: '<script src="main.js"></script>' });
  assert.equal(engines(requests).length, MODULES);
  assert.deepEqual(inlined(requests), []);
});

test("webpack, in development and from CommonJS", async () => {
  const main = 'const { FlagstoneClient } = require("flagstone");' + use('"/client.json"') + SHOW;
  const built = await webpackBuild(site({ "main.cjs": main }), { entry: "./main.cjs", mode: "development" });
  const requests = await openBuilt(built, { script: '<script src="main.js"></script>' });
  assert.equal(inlined(requests).length, MODULES);
});

test("esbuild, told nothing", async () => {
  const folder = site();
  const built = await esbuildBuild(folder, { format: "iife", minify: true });
  await openBuilt(built, { script: '<script src="main.js"></script>' });
  const script = '<script type="module" src="main.js"></script>';
  await esbuildBuild(folder, { format: "esm", splitting: true, outdir: "split" });
  assert.equal(inlined(await openBuilt(join(folder, "split"), { script })).length, MODULES);
});

test("in a web worker", async () => {
  const main =
    IMPORT +
    use('location.origin + "/client.json"') +
    "answer.then(postMessage, (error) => postMessage(String(error)));";
  const built = await esbuildBuild(site({ "main.js": main }), { format: "iife" });
  const script = `<script>new Worker("main.js").onmessage = ({ data }) => { globalThis.answer = data; };</script>`;
  await openBuilt(built, { script });
});

test("a server that has lost the engine's file sends its page instead: the engine comes inlined", async () => {
  const lose = (tab) => tab.route("**/*.wasm", (route) => route.fulfill({ contentType: "text/html", body: page("") }));
  const requests = await openBuilt(await viteBuild(site()), { prepare: lose });
  assert.equal(engines(requests).length, MODULES);
  assert.equal(inlined(requests).length, MODULES);
});

// The ways that the README tells to those who serve the engine themselves.
const BRING = 'import { FlagstoneClient, init } from "flagstone/module"; await init(new URL(engine, location.href));';

test("`flagstone/module` with an address from Vite", async () => {
  const main = 'import engine from "flagstone/flagstone_bg.wasm?url";' + BRING + use('"/client.json"') + SHOW;
  assert.equal(engines(await openBuilt(await viteBuild(site({ "main.js": main })))).length, 1);
});

test("`flagstone/module` with an address from esbuild", async () => {
  const main = 'import engine from "flagstone/flagstone_bg.wasm";' + BRING + use('"/client.json"') + SHOW;
  const loader = { ".wasm": "file" };
  const built = await esbuildBuild(site({ "main.js": main }), { format: "esm", loader });
  assert.equal(engines(await openBuilt(built, { script: '<script type="module" src="main.js"></script>' })).length, 1);
});

// As the README tells to those who have no bundler.
const IMPORT_MAP = {
  imports: {
    flagstone: "/node_modules/flagstone/browser.js",
    "flagstone/guard": "/node_modules/flagstone/guard.js",
    "@noble/ed25519": "/node_modules/@noble/ed25519/index.js",
    "@noble/hashes/": "/node_modules/@noble/hashes/",
    dequal: "/node_modules/dequal/dist/index.mjs",
    "eventsource-parser/stream": "/node_modules/eventsource-parser/dist/stream.js",
  },
};

test("no bundler, but an import map: plain http, a stream, shadows", async () => {
  const folder = project();
  const newer = envelope(snapshot({ version: 8, flags: { ...flags, enabled: boolean("off") } }), production);
  let served = source;
  const server = await serve({
    "/node_modules/": join(folder, "node_modules"),
    "/index.html": page(`<script type="importmap">${JSON.stringify(IMPORT_MAP)}</script>`),
    "/client.json": (_, response) => response.end(served),
    "/stream": (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      served = newer;
      response.write('data: {"version": 8}\n\n');
    },
  });
  try {
    const tab = await browser.newPage();
    const complaints = [];
    tab.on("console", (message) => /error|warning/.test(message.type()) && complaints.push(message.text()));
    tab.on("pageerror", (error) => complaints.push(error.message));
    await tab.goto(`${server.base.replace("127.0.0.1", "flags.test")}/index.html`);
    const answer = await tab.evaluate(
      async ({ options, context }) => {
        const { FlagstoneClient } = await import("flagstone");
        const { Guards } = await import("flagstone/guard");
        const client = await FlagstoneClient.start({ source: "/client.json", ...options });
        const guards = new Guards(client);
        const answer = JSON.stringify({ version: client.version, all: client.all(context) });
        await new Promise((compared) => {
          const path = () => ({ price: 5 });
          guards.shadow("enabled", context, path, path, { waitUntil: (done) => void done.then(compared) });
        });
        const shadows = guards.metrics().match(/^flagstone_shadow_calls_total.* [1-9]\d*$/gm);
        await client.close();
        const listening = await FlagstoneClient.start({ source: "/client.json", stream: "/stream", ...options });
        while (listening.version < 8) await new Promise((changed) => listening.on("change", changed));
        const enabled = listening.boolean("enabled", true);
        await listening.close();
        return { isSecureContext, answer, enabled, shadows };
      },
      { options, context },
    );
    assert.deepEqual(complaints, []);
    assert.equal(answer.isSecureContext, false, "so there is no WebCrypto");
    assert.deepEqual(JSON.parse(answer.answer), expected);
    assert.equal(answer.enabled, false, "as the stream hinted");
    assert.deepEqual(answer.shadows, ['flagstone_shadow_calls_total{flag="enabled",outcome="match"} 1']);
    await tab.close();
  } finally {
    server.close();
  }
});

/** Runs a file of a project with Node.js and returns what it prints. */
const node = (folder, file) => JSON.parse(execFileSync(process.execPath, [file], { cwd: folder, encoding: "utf8" }));
const PRINT = "answer.then(console.log);";
const inNode = use(JSON.stringify(source)) + PRINT;

test("Node.js, as a module", () => {
  assert.deepEqual(node(project({ "main.mjs": IMPORT + inNode }), "main.mjs"), expected);
});

test("Node.js, as CommonJS", () => {
  const files = {
    "main.cjs": 'const { FlagstoneClient } = require("flagstone");' + inNode,
    "others.cjs": `
      const subpaths = ${JSON.stringify(subpaths)};
      console.log(JSON.stringify(subpaths.map((subpath) => Object.keys(require(subpath.replace(".", "flagstone"))).length > 0)));`,
    "module.cjs": `
      const { FlagstoneClient, init } = require("flagstone/module");
      const ready = init(require("node:fs").readFileSync(require.resolve("flagstone/flagstone_bg.wasm")));
      ready.then(() => { ${inNode} });`,
    "inline.cjs": 'const { FlagstoneClient } = require("flagstone/inline");' + inNode,
  };
  const folder = project(files, peers);
  for (const file of ["main.cjs", "module.cjs", "inline.cjs"]) assert.deepEqual(node(folder, file), expected, file);
  assert.ok(node(folder, "others.cjs").every(Boolean));
});

test("Node.js, bundled into one file that leaves the engine's behind", async () => {
  const folder = project({
    "main.mjs": IMPORT + inNode,
    "main.cjs": 'const { FlagstoneClient } = require("flagstone");' + inNode,
  });
  for (const [file, format, name] of [
    ["main.mjs", "esm", "out.mjs"],
    ["main.cjs", "cjs", "out.cjs"],
  ]) {
    await esbuildBuild(folder, {
      platform: "node",
      entryPoints: [file],
      format,
      outdir: undefined,
      outfile: `alone/${name}`,
    });
    assert.deepEqual(node(folder, `alone/${name}`), expected, name);
  }
  assert.deepEqual(readdirSync(join(folder, "alone")).sort(), ["out.cjs", "out.mjs"]);
});

test("Jest, in Node.js and in its page, jsdom", async () => {
  const application = `
    const { FlagstoneClient } = require("flagstone");
    const { Guards } = require("flagstone/guard");
    const { testClient } = require("flagstone/testing");

    test("flags that the test sets", async () => {
      const warn = jest.fn();
      const flags = await testClient({ enabled: true, theme: "größer", limits: { upload: 5 } }, { warn });
      const changes = [];
      flags.on("change", ({ changed }) => changes.push(...changed));
      expect(flags.state).toBe("READY");
      expect(flags.boolean("enabled", false)).toBe(true);
      expect(flags.string("theme", "", { targetingKey: "é".repeat(100) })).toBe("größer");
      expect(flags.json("limits", {})).toEqual({ upload: 5 });
      const guards = new Guards(flags);
      const shadowed = new Promise((waitUntil) =>
        guards.shadow("enabled", {}, () => ({ a: 1 }), () => ({ a: 1 }), { waitUntil }));
      await (await shadowed);
      expect(guards.metrics()).toContain('flagstone_shadow_calls_total{flag="enabled",outcome="match"} 1');
      await flags.set({ enabled: false });
      expect(flags.boolean("enabled", true)).toBe(false);
      expect(changes).toEqual(["enabled"]);
      await flags.close();
      expect(warn).not.toHaveBeenCalled();
    });

    test.each(["flagstone", "flagstone/inline"])("a snapshot, by %s", async (name) => {
      jest.resetModules();
      const { FlagstoneClient } = require(name);
      ${use(JSON.stringify(source))}
      expect(JSON.parse(await answer)).toEqual(${JSON.stringify(expected)});
    });

    test.each(${JSON.stringify(subpaths.map((subpath) => subpath.replace(".", "flagstone")))})("%s loads", (name) => {
      expect(Object.keys(require(name))).not.toEqual([]);
    });`;
  const files = { "package.json": '{ "private": true }', "application.test.js": application };
  const folder = project({ ...files, "jest.config.js": "module.exports = {};" }, peers);
  for (const environment of ["node", "jsdom"]) {
    await tool("jest", ["--env", environment, "--runInBand", "--no-watchman", "--cacheDirectory", ".jest"], folder);
  }
});

test("workerd, bundled with its conditions: the engine comes compiled", async () => {
  const folder = project({
    "main.js": `
      import { FlagstoneClient } from "flagstone";
      export default {
        async fetch() {
          ${use(JSON.stringify(source))}
          return new Response(await answer);
        },
      };`,
  });
  const built = await esbuildBuild(folder, {
    format: "esm",
    conditions: ["workerd", "worker", "browser"],
    loader: { ".wasm": "copy" },
  });
  const files = readdirSync(built);
  assert.equal(files.length, 1 + MODULES, "a script and the modules");
  const miniflare = new Miniflare({
    cf: false,
    compatibilityDate: "2026-01-01",
    modulesRoot: built,
    modules: files
      .sort((a, b) => a.endsWith(".wasm") - b.endsWith(".wasm"))
      .map((file) => ({ type: file.endsWith(".wasm") ? "CompiledWasm" : "ESModule", path: join(built, file) })),
  });
  try {
    const response = await miniflare.dispatchFetch("http://localhost/");
    assert.deepEqual(JSON.parse(await response.text()), expected);
  } finally {
    await miniflare.dispose();
  }
});

/** Runs a tool of these tests. */
async function tool(name, args, cwd) {
  const command = fileURLToPath(new URL(`node_modules/.bin/${name}`, import.meta.url));
  await promisify(execFile)(command, args, { cwd }).catch(({ message, stdout }) =>
    assert.fail(`${message}\n${stdout}`),
  );
}

test("TypeScript, by each way to resolve modules", async () => {
  const consumer = (subpaths) => `
    import { FlagstoneClient, LoadError, type Envelope, type EvaluationContext, type KeySet } from "flagstone";
    import { init } from "flagstone/module";
    ${subpaths.map((subpath, index) => `import * as entry${index} from "${subpath.replace(".", "flagstone")}";`).join("\n")}
    export const entries: object[] = [${subpaths.map((_, index) => `entry${index}`)}];
    export async function start(source: Envelope, keys: KeySet, context: EvaluationContext): Promise<boolean> {
      await init(new Uint8Array());
      const flags = await FlagstoneClient.start({ source, environment: "production", keys });
      if (flags.error instanceof LoadError) throw flags.error;
      // @ts-expect-error: a number is no default for a boolean flag.
      flags.boolean("enabled", 1, context);
      return flags.subject(context).boolean("enabled", false);
    }`;
  const required = `
    import flagstone = require("flagstone");
    export const start: typeof flagstone.FlagstoneClient.start = flagstone.FlagstoneClient.start;`;
  // The declarations of OpenFeature's server SDK do not pass with those of a newer Node.js: there they are left unchecked.
  const own = consumer(subpaths.filter((subpath) => subpath !== "./openfeature-server"));
  const all = consumer(subpaths);
  const files = {
    "esm.mts": own,
    "cjs.cts": own,
    "plain.ts": own,
    "require.cts": required,
    "all.mts": all,
    "all.cts": all,
  };
  const folder = project(files, peers);
  const types = fileURLToPath(new URL("node_modules/@types", import.meta.url));
  const both = ["esm.mts", "plain.ts", "cjs.cts", "require.cts"];
  // As TypeScript does it unless told otherwise, declarations of dependencies are checked too.
  const projects = [
    [both, { module: "node16", types: ["node"] }],
    [both, { module: "nodenext", types: ["node"] }],
    [["all.mts", "all.cts"], { module: "nodenext", types: ["node"], lib: ["ES2022"], skipLibCheck: true }],
    [["esm.mts", "plain.ts"], { module: "esnext", moduleResolution: "bundler", types: [] }],
  ];
  const always = { target: "es2022", strict: true, exactOptionalPropertyTypes: true, noEmit: true, typeRoots: [types] };
  const checks = projects.map(([files, options], index) => {
    const config = join(folder, `tsconfig.${index}.json`);
    writeFileSync(config, JSON.stringify({ files, compilerOptions: { ...always, ...options } }));
    return tool("tsc", ["--project", config]);
  });
  await Promise.all(checks);
});

test("TypeScript for Node.js, without the DOM's types, with the oldest of its own", async () => {
  // What belongs to pages alone is left out.
  const names = subpaths.filter((subpath) => subpath !== "./openfeature-web");
  const main = `
    import { webStorage } from "flagstone";
    import { init } from "flagstone/module";
    ${names.map((subpath, index) => `import * as entry${index} from "${subpath.replace(".", "flagstone")}";`).join("\n")}
    export const entries: object[] = [${names.map((_, index) => `entry${index}`)}];
    export const ready: Promise<void> = init(new Uint8Array());
    const kept = new Map<string, string>();
    export const storage = webStorage({
      storage: {
        getItem: (key) => kept.get(key) ?? null,
        setItem: (key, value) => void kept.set(key, value),
        removeItem: (key) => void kept.delete(key),
      },
    });`;
  const compilerOptions = {
    target: "es2022",
    lib: ["ES2022"],
    module: "nodenext",
    types: ["node"],
    strict: true,
    skipLibCheck: false,
    noEmit: true,
  };
  const files = ["main.mts", "main.cts"];
  const tsconfig = JSON.stringify({ files, compilerOptions });
  const folder = project({ "main.mts": main, "main.cts": main, "tsconfig.json": tsconfig }, [
    ...peers,
    "@types/node@20",
  ]);
  await tool("tsc", ["--project", folder]);
});

test("are the types wrong? They are not", async () => {
  // Assets have no types: what importing one gives is for the bundler to say.
  const assets = Object.keys(manifest.exports).filter((subpath) => subpath.endsWith(".wasm"));
  await tool("attw", [tarball().path, "--exclude-entrypoints", ...assets.map((path) => path.slice(2))]);
});

test("publint finds nothing", async () => {
  await tool("publint", ["--strict", tarball().path]);
});

test("each condition has its file", () => {
  for (const [subpath, folder] of [
    [".", "./"],
    ["./slim", "./slim/"],
  ]) {
    for (const [file, ...conditions] of [
      ["node.js", "node", "import"],
      ["cjs/node.js", "node", "require"],
      ["workerd.js", "workerd", "worker", "browser", "import"],
      ["browser.js", "browser", "production", "import"],
      ["browser.js", "browser", "production", "require"],
      ["inline.js", "browser", "development", "import"],
      ["inline.js", "browser", "module", "import"],
      ["inline.js", "import"],
      ["cjs/inline.js", "browser", "require"],
      ["cjs/inline.js", "require"],
    ]) {
      assert.equal(entry(subpath, conditions), folder + file, `${subpath}: ${conditions}`);
    }
  }
});

test("what is inlined is the engine and its tools", async () => {
  const folder = project();
  for (const variant of ["", "slim/"]) {
    const place = join(folder, "node_modules/flagstone", variant);
    for (const [inlined, wasm] of [
      ["flagstone_inlined.js", "flagstone_bg.wasm"],
      ["flagstone_tools_inlined.js", "flagstone_tools.wasm"],
    ]) {
      const { default: text } = await import(join(place, inlined));
      assert.deepEqual(gunzipSync(Buffer.from(text, "base64")), readFileSync(join(place, wasm)));
    }
  }
});

test("the tarball holds what a user needs and nothing else", () => {
  const names = tarball().files.map(({ path }) => path);
  const targets = (target) => (typeof target === "string" ? [target] : Object.values(target).flatMap(targets));
  const named = targets(manifest.exports).map((path) => path.slice(2));
  for (const wanted of [...named, "package.json", "README.md", "LICENSE-MIT", "LICENSE-APACHE"]) {
    assert.ok(names.includes(wanted), wanted);
  }
  for (const name of names) {
    assert.match(
      name,
      /^(slim\/)?(cjs\/)?[\w-]+\.(js|d\.ts)$|^(slim\/)?(cjs\/package\.json|flagstone_(bg|tools)\.wasm)$|^(package\.json|README\.md|LICENSE-\w+)$/,
    );
  }
  for (const member of ["private", "scripts", "devDependencies"]) assert.equal(manifest[member], undefined);
});
