// What the package does in Node.js, installed in a project as its users have it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { boolean, envelope, flags, keyPair, patterns, snapshot } from "./support/sign.mjs";
import { pkg, project } from "./support/package.mjs";

const production = keyPair();
const source = envelope(
  snapshot({
    patterns: patterns("@example\\.com$"),
    flags: {
      ...flags,
      matched: boolean("off", {
        requires: ["matches"],
        rules: [{ id: "mail", when: { attribute: "mail", matches: ["@example\\.com$"] }, serve: "on" }],
      }),
    },
  }),
  production,
);
const options = JSON.stringify({ source, environment: "production", keys: production.keys });

const folder = project();

/** What a module prints as JSON, run in a project that has the package installed. */
function run(code) {
  const args = ["--input-type=module", "--no-warnings", "--eval", code];
  return JSON.parse(execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8" }));
}

const USE = `
  const flags = await FlagstoneClient.start(${options});
  const context = { targetingKey: "user-42", mail: "a@example.com" };
  const { matched, ...all } = Object.fromEntries(flags.all(context).map((details) => [details.flagKey, details]));
  console.log(JSON.stringify({ error: flags.error?.message, matched, all }));`;

const full = run(`import { FlagstoneClient } from "flagstone"; ${USE}`);

test("`flagstone` in Node.js", () => {
  assert.equal(full.error, undefined);
  assert.equal(full.all.enabled.value, true);
  assert.equal(full.matched.value, true);
});

test("`flagstone/slim` is the same without regular expressions", () => {
  const slim = run(`import { FlagstoneClient } from "flagstone/slim"; ${USE}`);
  assert.deepEqual(slim.all, full.all);
  assert.equal(slim.matched.errorCode, "GENERAL");
  const size = (file) => readFileSync(join(pkg, file)).length;
  assert.ok(size("slim/flagstone_bg.wasm") < size("flagstone_bg.wasm"));
});

test("`flagstone/slim` exports the client alone; what else `flagstone` exports has entry points for both", () => {
  const [all, slim, ...apart] = run(`
    const names = ["flagstone", "flagstone/slim", "flagstone/anonymous", "flagstone/storage"];
    const modules = await Promise.all(names.map((name) => import(name)));
    console.log(JSON.stringify(modules.map((module) => Object.keys(module))));`);
  assert.deepEqual(slim.sort(), ["FlagstoneClient", "LoadError", "Subject"]);
  assert.deepEqual(all.sort(), [...slim, ...apart.flat()].sort());
  assert.ok(apart.every((names) => names.length > 0));
});

test("`flagstone/module` takes the host's module, compiled or as bytes", () => {
  for (const variant of ["", "/slim"]) {
    const code = (module) => `
      import { readFileSync } from "node:fs";
      import { fileURLToPath } from "node:url";
      import { FlagstoneClient, init } from "flagstone${variant}/module";
      const early = await FlagstoneClient.start(${options});
      if (!/call init/.test(early.error.message)) throw early.error;
      const bytes = readFileSync(fileURLToPath(import.meta.resolve("flagstone${variant}/flagstone_bg.wasm")));
      await init(${module});
      ${USE}`;
    for (const module of ["bytes", "new WebAssembly.Module(bytes)", "WebAssembly.compile(bytes)"]) {
      assert.deepEqual(run(code(module)).all, full.all);
    }
  }
});

/** Has what imports this file of the package get `answer`, an expression of a promise. */
function instead(file, answer) {
  const load = `export const load = (url, context, next) => url.endsWith("/${file}") ? ${answer} : next(url, context);`;
  const loader = JSON.stringify(`data:text/javascript,${encodeURIComponent(load)}`);
  return `
    (await import("node:module")).register(${loader});
    const { FlagstoneClient } = await import("flagstone");`;
}

const GONE = 'Promise.reject(new Error("gone"))';

test("where the words for errors cannot be had, their kinds and numbers are told, and nothing hangs", () => {
  for (const answer of [GONE, "new Promise(() => {})"]) {
    const [option, envelope, value] = run(`
      ${instead("words.js", answer)}
      const told = ({ name, code, message }) => ({ name, code, message });
      const option = await FlagstoneClient.start({}).catch(told);
      const flags = await FlagstoneClient.start(${options});
      const envelope = await flags.load("{}").catch(told);
      console.log(JSON.stringify([option, envelope, flags.boolean("enabled", false)]));
      await flags.close();`);
    const rest = /\([\d, ]+\): what says more could not be loaded; see that words\.js of flagstone is served$/;
    assert.match(option.message, new RegExp(`^OPTIONS ${rest.source}`));
    assert.match(envelope.message, new RegExp(`^ENVELOPE ${rest.source}`));
    assert.deepEqual([option.name, envelope.name, envelope.code, value], ["TypeError", "LoadError", "ENVELOPE", true]);
  }
});

test("where what listens cannot be had, the source is asked all the same", () => {
  const [warning, value] = run(`
    ${instead("stream.js", GONE)}
    const { source, ...rest } = ${options};
    const server = (await import("node:http")).createServer((_, response) => response.end(source));
    await new Promise((listening) => server.listen(0, listening));
    const base = "http://127.0.0.1:" + server.address().port;
    let warn;
    const warned = new Promise((resolve) => (warn = resolve));
    const flags = await FlagstoneClient.start({ ...rest, source: base, stream: base + "/news?secret", warn });
    console.log(JSON.stringify([await warned, flags.boolean("enabled", false)]));
    await flags.close();
    server.close();`);
  assert.match(warning, /^flagstone: http:\/\/127\.0\.0\.1:\d+\/news gone; the source is asked now and then$/);
  assert.equal(value, true);
});

test("where WebCrypto lacks Ed25519, the library checks signatures", () => {
  const lacking = `
    import { FlagstoneClient } from "flagstone";
    const { importKey } = crypto.subtle;
    crypto.subtle.importKey = function (format, key, algorithm, ...rest) {
      if (algorithm === "Ed25519") throw new DOMException("Unrecognized name.", "NotSupportedError");
      return importKey.call(this, format, key, algorithm, ...rest);
    };`;
  assert.deepEqual(run(lacking + USE), full);
  const tampered = options.replace("salt-1", "salt-2");
  const refused = run(`${lacking} console.log(JSON.stringify((await FlagstoneClient.start(${tampered})).error.code))`);
  assert.equal(refused, "SIGNATURE");
});

test("where there is no WebCrypto at all, as on pages served over plain http, so does it", () => {
  const lacking = `
    import { FlagstoneClient } from "flagstone";
    Object.defineProperty(globalThis, "crypto", { value: undefined });`;
  assert.deepEqual(run(lacking + USE), full);
  const tampered = options.replace("salt-1", "salt-2");
  const refused = run(`${lacking} console.log(JSON.stringify((await FlagstoneClient.start(${tampered})).error.code))`);
  assert.equal(refused, "SIGNATURE");
});
