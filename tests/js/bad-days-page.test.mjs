// Bad days in a page: Chromium with what browsers forbid, lose, forget and put to sleep.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, beforeEach, test } from "node:test";
import { FlagstoneClient } from "../../pkg/node.js";
import * as tools from "../../pkg/tools.js";
import { launch, serve } from "./support/browser.mjs";
import { gated, good, PORTAL, status, tagged } from "./support/origin.mjs";
import { boolean, envelope, flags, keyPair, snapshot } from "./support/sign.mjs";
import { entry, pkg } from "./support/package.mjs";

const production = keyPair();
const options = { environment: "production", keys: production.keys };
const signed = (content) => envelope(snapshot({ flags: { ...flags, flag: boolean("on") }, ...content }), production);
const good5 = signed({ version: 5 });
const imported = entry(".", ["browser", "production", "import"]).replace("./", "/pkg/");
/** Known once the server is: it names the source. */
let KEPT;
const HTML = { "content-type": "text/html" };

// As a bundler would have resolved them.
const IMPORTS = JSON.stringify({
  imports: {
    "@noble/ed25519": "/modules/@noble/ed25519/index.js",
    "@noble/hashes/": "/modules/@noble/hashes/",
    "eventsource-parser/stream": "/modules/eventsource-parser/dist/stream.js",
  },
});
const PAGE = `<!doctype html><title>Flagstone</title><script type="importmap">${IMPORTS}</script>`;

const requests = [];
const content = {
  "/pkg/": pkg,
  "/modules/": fileURLToPath(new URL("../../pkg-templates/node_modules/", import.meta.url)),
  "/page.html": PAGE,
};
let answer, browser, server;
content["/client.json"] = (request, response) => {
  requests.push(request);
  answer(request, response);
};
const policy = (csp) => (request, response) =>
  response.writeHead(200, { ...HTML, "content-security-policy": csp }).end(PAGE);
content["/strict.html"] = policy("script-src 'self'");
content["/allowed.html"] = policy("default-src 'self'; script-src 'self' 'wasm-unsafe-eval'");
content["/sandboxed.html"] = policy("sandbox allow-scripts");

before(async () => {
  server = await serve(content);
  KEPT = `flagstone:production:client:${server.base}/client.json`;
  browser = await launch("--host-resolver-rules=MAP flags.test 127.0.0.1");
});
after(async () => {
  await browser?.close();
  server?.close();
});
beforeEach(() => {
  answer = good(good5, { "access-control-allow-origin": "*", "cache-control": "no-cache" });
  requests.length = 0;
});

/** A page in a profile of its own, or in one that is given; `prepare` runs in it before anything else. */
async function open(test, { path = "/page.html", base = server.base, prepare, context } = {}) {
  const own = context ?? (await browser.newContext());
  if (context === undefined) test.after(() => own.close());
  const page = await own.newPage();
  page.uncaught = [];
  page.on("pageerror", (error) => page.uncaught.push(error.message));
  if (prepare !== undefined) await page.addInitScript(prepare);
  await page.goto(base + path);
  return page;
}

/** Starts a client in the page; `offset` is how wrong its clock is, in milliseconds. */
async function begin(page, rest = {}) {
  await page.evaluate(
    async ({ imported, options, offset }) => {
      const { FlagstoneClient } = await import(imported);
      Object.assign(window, { warnings: [], events: [] });
      const warn = (message) => window.warnings.push(message);
      const now = offset === undefined ? undefined : () => Date.now() + offset;
      window.flags = await FlagstoneClient.start({ poll: false, warn, now, ...options });
      for (const kind of ["ready", "change", "stale", "error"]) {
        window.flags.on(kind, (detail) => window.events.push([kind, detail.code ?? detail.version]));
      }
    },
    { imported, offset: rest.offset, options: { source: "/client.json?token=s3cret", ...options, ...rest } },
  );
}

/** What the page's client has to say. */
const look = (page) =>
  page.evaluate(() => {
    const { value, reason, errorCode = null } = window.flags.details("flag", false);
    const { state, version = null, error } = window.flags;
    const { warnings, events } = window;
    return { state, version, value, reason, errorCode, code: error?.code ?? null, warnings, events };
  });

const has = (page, state) => page.waitForFunction((state) => window.flags.state === state, state);
const refresh = (page) => page.evaluate(() => window.flags.refresh().catch((error) => error.code));

function assertDefaults(seen, state, code, message) {
  const errorCode = state === "FATAL" ? "PROVIDER_FATAL" : "PROVIDER_NOT_READY";
  assert.deepEqual(
    [seen.state, seen.version, seen.value, seen.reason, seen.errorCode, seen.code],
    [state, null, false, "ERROR", errorCode, code],
    seen.warnings.join("\n"),
  );
  assertTold(seen, code, message);
  assert.match(seen.warnings[0], /; defaults are served$/);
}

function assertTold(seen, code, message) {
  assert.equal(seen.warnings.length, 1, seen.warnings.join("\n"));
  assert.match(seen.warnings[0], message);
  assert.doesNotMatch(seen.warnings[0], /s3cret/);
  assert.ok(seen.events.some(([kind, told]) => kind === "error" && told === code));
}

function assertGood(seen, version = 5) {
  assert.deepEqual(
    [seen.state, seen.version, seen.value, seen.reason, seen.errorCode, seen.code],
    ["READY", version, true, "STATIC", null, null],
    seen.warnings.join("\n"),
  );
}

/** Fails where the page lands another cohort than Node.js does. */
async function assertSameCohorts(page) {
  const keys = Array.from({ length: 1000 }, (_, index) => `user-${index}`);
  const ask = (client, keys) =>
    keys.map((targetingKey) => [
      client.boolean("ramped", false, { targetingKey }),
      client.string("color", "", { targetingKey }),
    ]);
  const here = await FlagstoneClient.start({ source: good5, ...options });
  const there = await page.evaluate(`(${ask})(window.flags, ${JSON.stringify(keys)})`);
  assert.deepEqual(there, ask(here, keys));
  assert.ok(there.some(([ramped]) => ramped) && there.some(([ramped]) => !ramped));
  await here.close();
}

test("no WebAssembly", async (test) => {
  const page = await open(test, { prepare: "delete globalThis.WebAssembly" });
  await begin(page, { poll: 1000 });
  assertDefaults(
    await look(page),
    "FATAL",
    "ENGINE",
    /the engine cannot be loaded \(flagstone_bg\.wasm\): there is no WebAssembly here/,
  );
  const asked = requests.length;
  assert.equal(await refresh(page), "ENGINE");
  await page.evaluate(() => dispatchEvent(new Event("online")));
  assert.match(await page.evaluate(() => window.flags.anonymousId()), /^[0-9a-f]{32}$/);
  const seen = await look(page);
  assert.deepEqual([seen.warnings.length, seen.events], [1, [["error", "ENGINE"]]]);
  assert.equal(requests.length, asked, "what cannot be taken is not asked for");
  assert.deepEqual(page.uncaught, []);
});

test("a Content-Security-Policy that forbids WebAssembly, and the one that the documentation names", async (test) => {
  const strict = await open(test, { path: "/strict.html" });
  await begin(strict);
  const seen = await look(strict);
  assertDefaults(seen, "FATAL", "ENGINE", /allow `'wasm-unsafe-eval'` in the Content-Security-Policy's `script-src`/);
  assert.deepEqual(strict.uncaught, []);
  const allowed = await open(test, { path: "/allowed.html" });
  await begin(allowed);
  assertGood(await look(allowed));
});

test("WebCrypto without Ed25519", async (test) => {
  const prepare = `
    const { importKey } = SubtleCrypto.prototype;
    SubtleCrypto.prototype.importKey = function (format, key, algorithm, ...rest) {
      if (algorithm === "Ed25519") return Promise.reject(new DOMException("Unrecognized name.", "NotSupportedError"));
      return importKey.call(this, format, key, algorithm, ...rest);
    };`;
  const page = await open(test, { prepare });
  await begin(page);
  const seen = await look(page);
  assertGood(seen);
  assert.deepEqual(seen.warnings, []);
  await assertSameCohorts(page);
  answer = good(signed({ version: 6 }).replace("salt-1", "salt-2"));
  assert.equal(await refresh(page), "SIGNATURE");
  assertTold(await look(page), "SIGNATURE", /client\.json: .*changed; version 5 is served on$/);
});

test("an origin without https", async (test) => {
  const page = await open(test, { base: server.base.replace("127.0.0.1", "flags.test") });
  assert.deepEqual(await page.evaluate(() => [isSecureContext, typeof crypto.subtle]), [false, "undefined"]);
  await begin(page);
  const seen = await look(page);
  assertGood(seen);
  assert.deepEqual(seen.warnings, []);
  await assertSameCohorts(page);
  assert.match(await page.evaluate(() => window.flags.anonymousId()), /^[0-9a-f]{32}$/);
  answer = good(signed({ version: 6 }).replace("salt-1", "salt-2"));
  assert.equal(await refresh(page), "SIGNATURE");
});

/** Serves files of the package otherwise, and as they are again when it is called. */
function serveOtherwise(test, files) {
  const right = () => {
    for (const file of Object.keys(files)) delete content[`/pkg/${file}`];
  };
  for (const [file, answer] of Object.entries(files)) content[`/pkg/${file}`] = answer;
  test.after(right);
  return right;
}

test("the engine's file is missing, or of another type: its copy in JavaScript is taken", async (test) => {
  const wasm = readFileSync(join(pkg, "flagstone_bg.wasm"));
  for (const answer of [
    status(404, HTML, "<h1>Not found</h1>"),
    good(PORTAL, HTML),
    good(wasm, { "content-type": "application/octet-stream" }),
  ]) {
    const right = serveOtherwise(test, { "flagstone_bg.wasm": answer });
    const page = await open(test);
    await begin(page);
    const seen = await look(page);
    assertGood(seen);
    assert.deepEqual(seen.warnings, []);
    right();
  }
});

test("no copy of the engine can be had, until it can", async (test) => {
  const wasm = readFileSync(join(pkg, "flagstone_bg.wasm"));
  const type = { "content-type": "application/wasm" };
  for (const [name, answer, copy] of [
    ["missing", status(404), status(404)],
    ["a captive portal's page", good(PORTAL, HTML), good(PORTAL, HTML)],
    ["cut off", good(wasm.subarray(0, 20_000), { ...type, "cache-control": "max-age=3600" }), status(404)],
    ["none", good("", type), status(404)],
  ]) {
    const right = serveOtherwise(test, { "flagstone_bg.wasm": answer, "flagstone_inlined.js": copy });
    const page = await open(test);
    await begin(page, { bootstrap: good5 });
    assertDefaults(await look(page), "ERROR", "ENGINE", /the engine cannot be loaded \(flagstone_bg\.wasm\): /);
    right();
    await has(page, "READY");
    const seen = await look(page);
    assertGood(seen);
    assert.equal(seen.warnings.length, 1, name);
    assert.deepEqual(page.uncaught, []);
    await page.close();
  }
});

test("what compiles cannot be had: what comes compiled is served", async (test) => {
  const { payload } = JSON.parse(signed({ version: 7 }));
  const compiled = new TextDecoder().decode(await tools.complete(new TextEncoder().encode(payload)));
  const right = serveOtherwise(test, {
    "flagstone_tools.wasm": status(404),
    "flagstone_tools_inlined.js": status(404),
  });
  const page = await open(test);
  await begin(page);
  assertDefaults(await look(page), "ERROR", "TOOLS", /comes uncompiled, and what compiles it \(flagstone_tools\.wasm\)/);
  answer = good(envelope(compiled, production));
  const other = await open(test);
  await begin(other, { bootstrap: good5 });
  await has(other, "READY");
  const seen = await look(other);
  assert.deepEqual([seen.version, seen.value], [7, true]);
  assert.deepEqual(await other.evaluate(async () => (await window.flags.explain("flag", {})).steps), []);
  right();
  const steps = await other.evaluate(async () => (await window.flags.explain("flag", {})).steps);
  assert.equal(steps.at(-1).step, "default");
  assert.deepEqual(other.uncaught, []);
});

test("an engine that takes its time holds up no page", async (test) => {
  const gate = gated((request, response) =>
    response.writeHead(200, { "content-type": "application/wasm" }).end(readFileSync(join(pkg, "flagstone_bg.wasm"))),
  );
  serveOtherwise(test, { "flagstone_bg.wasm": gate });
  const page = await open(test);
  await begin(page, { startTimeout: 100 });
  assertDefaults(await look(page), "ERROR", "FETCH", /the engine is not there after 0\.1 s, and is still waited for/);
  gate.release();
  await has(page, "READY");
  assertGood(await look(page));
});

test("localStorage that is full", async (test) => {
  const page = await open(test);
  await page.evaluate(() => {
    let text = "x".repeat(2 ** 22);
    for (let key = 0; text.length > 0; key++) {
      try {
        localStorage.setItem(`other-${key}`, text);
      } catch {
        text = text.slice(0, text.length / 2);
      }
    }
  });
  await begin(page);
  let seen = await look(page);
  assertGood(seen);
  assert.equal(seen.warnings.length, 1);
  assert.match(seen.warnings[0], /cannot be written: .*quota.*; nothing is kept for a start without the source$/);
  answer = good(signed({ version: 6 }));
  assert.equal(await refresh(page), true);
  seen = await look(page);
  assertGood(seen, 6);
  assertTold(seen, "STORAGE", /cannot be written/);
  await page.evaluate(() => localStorage.clear());
  answer = good(signed({ version: 7 }));
  assert.equal(await refresh(page), true);
  assert.equal(await page.evaluate((key) => JSON.parse(localStorage[key]).version, KEPT), 7);
});

test("localStorage that is blocked: by the user, and in a sandboxed frame", async (test) => {
  const prepare = `Object.defineProperty(window, "localStorage", {
    get() { throw new DOMException("Access is denied for this document.", "SecurityError"); },
  });`;
  for (const place of [{ prepare }, { path: "/sandboxed.html" }]) {
    const page = await open(test, place);
    await begin(page, { source: `${server.base}/client.json?token=s3cret` });
    const seen = await look(page);
    assertGood(seen);
    assert.equal(seen.warnings.length, 1);
    assert.match(
      seen.warnings[0],
      /cannot be read: .*(denied|sandboxed).*; nothing is kept for a start without the source$/s,
    );
    answer = good(signed({ version: 6 }), { "access-control-allow-origin": "*" });
    assert.equal(await refresh(page), true);
    assert.equal((await look(page)).warnings.length, 1);
    answer = good(good5, { "access-control-allow-origin": "*" });
  }
});

test("something else is kept in our place", async (test) => {
  const page = await open(test);
  for (const text of ["{{{", '{"theme":"dark"}']) {
    await page.evaluate(([key, text]) => localStorage.setItem(key, text), [KEPT, text]);
    await begin(page);
    const seen = await look(page);
    assertGood(seen);
    assert.equal(seen.warnings.length, 1);
    assert.ok(seen.warnings[0].includes(`something else is kept as \`${KEPT}\``));
    const left = await page.evaluate((key) => localStorage[key], KEPT);
    // What may be another program's is not ours to replace.
    if (text.startsWith('{"')) assert.equal(left, text);
    else assert.equal(JSON.parse(left).version, 5);
  }
});

test("replays are refused when the page is opened again, even of what has expired meanwhile", async (test) => {
  const week = { expires: new Date(Date.now() + 7 * 86_400_000).toISOString() };
  const page = await open(test);
  answer = good(signed({ version: 5, ...week }));
  await begin(page);
  assertGood(await look(page));
  answer = good(signed({ version: 4 }));
  await page.reload();
  await begin(page);
  await has(page, "STALE");
  let seen = await look(page);
  assert.deepEqual([seen.version, seen.value, seen.code], [5, true, "REPLAY"]);
  assertTold(seen, "REPLAY", /client\.json: version 4 is older than version 5.*; version 5 is served on$/);
  await page.reload();
  await begin(page, { offset: 30 * 86_400_000 });
  seen = await look(page);
  assert.deepEqual([seen.state, seen.version, seen.value, seen.code], ["ERROR", null, false, "REPLAY"]);
  assert.equal(seen.warnings.length, 2);
  answer = good(signed({ version: 6 }));
  assert.equal(await refresh(page), true);
  assertGood(await look(page), 6);
});

test("offline: what is kept is served, and the network's return is noticed", async (test) => {
  const page = await open(test);
  await begin(page);
  assertGood(await look(page));
  // Not offline altogether, for the page is to be loaded again.
  answer = (request, response) => response.socket.destroy();
  await page.reload();
  await begin(page);
  await has(page, "STALE");
  const seen = await look(page);
  assert.deepEqual([seen.version, seen.value, seen.reason, seen.code], [5, true, "STATIC", "FETCH"]);
  assertTold(seen, "FETCH", /client\.json cannot be fetched: .*; version 5 is served on$/);
  answer = good(signed({ version: 6 }));
  // What was answered less than a second ago is fresh.
  do {
    await page.context().setOffline(true);
    await page.context().setOffline(false);
  } while ((await look(page)).state === "STALE");
  assertGood(await look(page), 6);
});

test("a captive portal, by a page and by a redirect to another host", async (test) => {
  const elsewhere = server.base.replace("127.0.0.1", "flags.test");
  content["/portal.html"] = good(PORTAL, HTML);
  for (const [bad, message] of [
    [good(PORTAL, HTML), /client\.json answered with a page instead of a snapshot; a captive portal/],
    [
      status(302, { location: `${elsewhere}/portal.html?token=s3cret` }),
      /client\.json cannot be fetched: Failed to fetch/,
    ],
  ]) {
    answer = bad;
    const page = await open(test);
    await begin(page);
    assertDefaults(await look(page), "ERROR", "FETCH", message);
    answer = good(good5);
    assert.equal(await refresh(page), true);
    assertGood(await look(page));
    answer = bad;
    assert.equal(await refresh(page), "FETCH");
    const seen = await look(page);
    assert.deepEqual([seen.state, seen.value, seen.warnings.length], ["STALE", true, 2]);
  }
});

test("304 with an empty cache, and 304 forever", async (test) => {
  const page = await open(test);
  answer = status(304);
  await begin(page);
  assertDefaults(await look(page), "ERROR", "FETCH", /answered 304 \(not modified\).*a cache on the way is broken/);
  answer = tagged(good5, '"five"');
  assert.equal(await refresh(page), true);
  assert.equal(await refresh(page), false);
  assert.equal(requests.at(-1).headers["if-none-match"], '"five"', "the browser's own cache knows it");
  assertGood(await look(page));
  // Kept here, but the browser's cache is gone.
  const kept = await page.evaluate((key) => localStorage[key], KEPT);
  assert.equal(JSON.parse(kept).version, 5);
  const other = await open(test);
  await other.evaluate(([key, kept]) => localStorage.setItem(key, kept), [KEPT, kept]);
  answer = status(304);
  await begin(other);
  await has(other, "STALE");
  const seen = await look(other);
  assert.deepEqual([seen.value, seen.code], [true, "FETCH"]);
  assertTold(seen, "FETCH", /answered 304/);
});

test("two tabs: the newer snapshot stays, whoever writes last", async (test) => {
  const one = await open(test);
  const other = await open(test, { context: one.context() });
  const slow = gated(good(good5));
  answer = slow;
  // Of its own address, for one that is being asked for is waited for.
  await begin(other, { startTimeout: 10, source: "/client.json?tab=other" });
  while (requests.length === 0) await new Promise((later) => setTimeout(later, 5));
  answer = good(signed({ version: 6 }));
  await begin(one);
  slow.release();
  await has(other, "READY");
  assertGood(await look(other), 5);
  assertGood(await look(one), 6);
  const keptVersion = () => one.evaluate((key) => JSON.parse(localStorage[key]).version, KEPT);
  assert.equal(await keptVersion(), 6);
  answer = good(signed({ version: 7 }));
  await Promise.all([refresh(one), refresh(other)]);
  assertGood(await look(other), 7);
  assert.equal(await keptVersion(), 7);
});

test("a tab that slept for a week", async (test) => {
  const page = await open(test);
  await page.clock.install();
  answer = good(signed({ version: 5, expires: new Date(Date.now() + 7 * 86_400_000).toISOString() }));
  await begin(page, { poll: 30_000 });
  assertGood(await look(page));
  const gate = gated(good(signed({ version: 6, flags: { flag: boolean("on"), added: boolean("on") } })));
  answer = gate;
  // The clock has gone on, and no timer has.
  await page.clock.setSystemTime(Date.now() + 8 * 86_400_000);
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  const asleep = await look(page);
  assert.deepEqual(
    [asleep.state, asleep.version, asleep.value, asleep.reason, asleep.errorCode],
    ["STALE", 5, true, "STALE", null],
  );
  assert.deepEqual(asleep.events, [
    ["ready", 5],
    ["stale", 5],
  ]);
  gate.release();
  await has(page, "READY");
  const awake = await look(page);
  assertGood(awake, 6);
  assert.deepEqual(awake.events.slice(2).sort(), [
    ["change", 6],
    ["ready", 6],
  ]);
  assert.deepEqual(awake.warnings, []);
});

test("a closed client asks and listens no more", async (test) => {
  const page = await open(test);
  await begin(page, { poll: 1000, stream: "/client.json" });
  assertGood(await look(page));
  await page.evaluate(() => window.flags.close());
  const asked = requests.length;
  await page.evaluate(() => {
    for (const event of ["online", "pageshow"]) dispatchEvent(new Event(event));
    document.dispatchEvent(new Event("visibilitychange"));
  });
  assert.equal(
    await page.evaluate(() => window.flags.refresh().catch((error) => error.message)),
    "the client was closed",
  );
  assert.equal(requests.length, asked);
  const { state, value } = await look(page);
  assert.deepEqual([state, value], ["NOT_READY", false]);
  assert.deepEqual(page.uncaught, []);
});
