// How a client comes by its snapshots, keeps them and tells of them; what goes wrong on the way stands in bad-days.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, test } from "node:test";
import { project } from "./support/package.mjs";
import { boolean, byKey, envelope, flags, keyPair, snapshot } from "./support/sign.mjs";

// With what the package depends on, for streams are read by a library.
const folder = project();
after(() => rmSync(folder, { recursive: true }));
const installed = (file) => import(join(folder, "node_modules/flagstone", file));
const { FlagstoneClient, inlineEnvelope, kvStorage, webStorage } = await installed("node.js");
const { fileStorage } = await installed("file-storage.js");

const production = keyPair();
const { keys } = production;
const signed = (content) => envelope(snapshot(content), production);
const on = (version, rest) => signed({ version, flags: { flag: boolean("on"), ...rest } });
const off = (version, rest) => signed({ version, flags: { flag: boolean("off"), ...rest } });
const clients = new Set();
after(() => Promise.all(Array.from(clients, (client) => client.close())));

/** A client that warns nobody and asks nobody unless told to. */
async function start(options) {
  const warnings = [];
  const warn = (message) => warnings.push(message);
  const client = await FlagstoneClient.start({ environment: "production", keys, poll: false, warn, ...options });
  clients.add(client);
  return Object.assign(client, { warnings });
}

/** The next event of this kind. */
const next = (client, event) =>
  new Promise((resolve) => {
    const stop = client.on(event, (detail) => {
      stop();
      resolve(detail);
    });
  });

/** A source that serves `body`, with an ETag, and takes notes; `streams` are those who listen to it. */
async function serve(body) {
  const source = { body, requests: [], streams: new Set(), closed: Promise.resolve() };
  const server = createServer((request, response) => {
    if (request.url === "/stream") {
      response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      source.streams.add(response);
      response.on("close", () => source.streams.delete(response));
      source.listened?.();
      return;
    }
    const etag = `"${Buffer.from(source.body).toString("base64url").slice(-40)}"`;
    const status = request.headers["if-none-match"] === etag ? 304 : 200;
    source.requests.push({ status, asked: request.headers["if-none-match"] });
    response.writeHead(status, { etag }).end(status === 200 ? source.body : undefined);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const base = `http://127.0.0.1:${server.address().port}`;
  source.url = `${base}/client.json`;
  source.streamUrl = `${base}/stream`;
  source.close = () => {
    server.closeAllConnections();
    server.close();
  };
  after(source.close);
  return source;
}

test("a refresh asks with the entity tag, and takes what is new", async () => {
  const source = await serve(off(1));
  const client = await start({ source: source.url });
  assert.deepEqual([client.version, client.state, client.boolean("flag", true)], [1, "READY", false]);
  const asked = client.refreshed;
  assert.ok(asked instanceof Date);
  assert.equal(await client.refresh(), false);
  assert.deepEqual(
    source.requests.map(({ status }) => status),
    [200, 304],
  );
  source.body = on(2);
  const change = next(client, "change");
  assert.equal(await client.refresh(), true);
  assert.deepEqual(await change, { version: 2, changed: ["flag"] });
  assert.equal(client.boolean("flag", false), true);
  // One question at a time, whoever asks.
  const before = source.requests.length;
  assert.deepEqual(await Promise.all([client.refresh(), client.refresh()]), [false, false]);
  assert.equal(source.requests.length, before + 1);
});

test("a source is asked by the `fetch` that is given", async () => {
  const asked = [];
  const fetch = async (url, { headers }) => {
    asked.push([url, headers?.["if-none-match"]]);
    return headers === undefined
      ? new Response(on(1), { headers: { etag: '"1"' } })
      : new Response(null, { status: 304 });
  };
  const client = await start({ source: "https://bucket.invalid/client.json", fetch });
  assert.deepEqual([client.version, await client.refresh(), client.state], [1, false, "READY"]);
  assert.deepEqual(asked, [
    ["https://bucket.invalid/client.json", undefined],
    ["https://bucket.invalid/client.json", '"1"'],
  ]);
});

test("what Workers KV holds already is not written again", async () => {
  const held = new Map();
  let writes = 0;
  const storage = kvStorage({
    get: async (key) => held.get(key) ?? null,
    async put(key, value) {
      writes++;
      held.set(key, value);
    },
    delete: async (key) => void held.delete(key),
  });
  for (const version of [2, 2, 1, 3, 3]) await storage.write({ envelope: on(version), version });
  assert.equal(writes, 2);
  assert.equal((await storage.read()).version, 3);
});

test("a client without a source has nothing to refresh", async () => {
  const client = await start({ source: on(1) });
  assert.equal(await client.refresh(), false);
});

test("polls, and a poll that finds nothing new says nothing", async (context) => {
  const source = await serve(off(1));
  context.mock.method(Math, "random", () => 0.5);
  const client = await start({ source: source.url, poll: 1000 });
  const events = [];
  for (const event of ["ready", "change", "stale", "error"]) client.on(event, () => events.push(event));
  source.body = off(2);
  await new Promise((resolve) => {
    const timer = setInterval(() => {
      if (client.version === 2) resolve(clearInterval(timer));
    }, 20);
  });
  source.body = on(3);
  const { changed } = await next(client, "change");
  assert.deepEqual(changed, ["flag"]);
  // Version 2 changed no flag; `ready` is told to whoever asks late.
  assert.deepEqual(events, ["ready", "change"]);
  await client.close();
});

test("a stream tells of news", async () => {
  const source = await serve(off(1));
  const listened = new Promise((resolve) => (source.listened = resolve));
  const client = await start({ source: source.url, stream: source.streamUrl });
  await listened;
  const tell = (data) => source.streams.forEach((stream) => stream.write(`event: snapshot\ndata: ${data}\n\n`));
  const asked = source.requests.length;
  tell('{"version":1}');
  source.body = on(2);
  tell('{"version":2}');
  assert.deepEqual(await next(client, "change"), { version: 2, changed: ["flag"] });
  assert.equal(source.requests.length, asked + 1, "the version held is no news");
  source.body = off(3);
  tell("anything");
  await next(client, "change");
  assert.equal(client.version, 3);
  // A stream that breaks off is listened to again, and what was missed is asked for.
  const again = new Promise((resolve) => (source.listened = resolve));
  source.streams.forEach((stream) => stream.destroy());
  source.body = on(4);
  await again;
  await next(client, "change");
  assert.equal(client.version, 4);
  await client.close();
  assert.deepEqual(
    client.warnings.filter((message) => !message.includes("stream")),
    [],
  );
});

test("a change names what has another definition, and only that", async () => {
  const segments = (staff) => ({ segments: { staff: { include: [staff] } } });
  const named = boolean("off", {
    requires: ["segments"],
    rules: [{ id: "staff", when: { segment: "staff" }, serve: "on" }],
  });
  const content = (version, staff, rest) =>
    signed({ version, ...segments(staff), flags: { ...flags, named, ...rest } });
  const client = await start({ source: content(1, "a") });
  const changes = [];
  client.on("change", ({ changed }) => changes.push(changed));
  await client.load(content(2, "a"));
  await client.load(content(3, "b"));
  await client.load(content(4, "b", { color: { ...flags.color, off: "blue" }, added: boolean("on") }));
  const { enabled: _, needsFlag, ...rest } = flags;
  const needing = { ...needsFlag, prerequisites: [] };
  await client.load(
    signed({
      version: 5,
      ...segments("b"),
      flags: { ...rest, needsFlag: needing, named, color: { ...flags.color, off: "blue" } },
    }),
  );
  assert.deepEqual(
    changes.map((changed) => [...changed].sort()),
    [
      ["named"],
      ["added", "color"],
      // What is gone has changed.
      ["added", "enabled", "needsFlag"],
    ],
  );
});

test("a result that the clock changes is told of when it is due", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.parse("2026-11-21T12:00:00Z") });
  const at = Date.now() + 40 * 86_400_000;
  const schedule = { ramp: { schedule: { before: 0, points: [[at, 100000]] }, serve: "on" } };
  const client = await start({
    source: signed({ flags: { later: boolean(schedule, { requires: ["xxh3", "schedule"] }), never: boolean("on") } }),
  });
  const changes = [];
  client.on("change", (change) => changes.push(change));
  const user = { targetingKey: "user-42" };
  assert.equal(client.boolean("later", true, user), false);
  assert.equal(client.boolean("never", false, user), true);
  assert.equal(client.details("later", true, user).flagMetadata.until, at);
  // Further away than timers reach.
  context.mock.timers.tick(30 * 86_400_000);
  context.mock.timers.tick(10 * 86_400_000 - 1);
  assert.deepEqual(changes, []);
  context.mock.timers.tick(1000);
  assert.deepEqual(changes, [{ version: 1, changed: ["later"] }]);
  assert.equal(client.boolean("later", false, user), true);
  context.mock.timers.tick(86_400_000);
  assert.equal(changes.length, 1);
});

test("an expired snapshot is served on, and stale", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.parse("2026-11-21T12:00:00Z") });
  const client = await start({ source: signed({ flags, expires: "2026-11-28T12:00:00Z" }) });
  const events = [];
  client.on("stale", (event) => events.push(event));
  context.mock.timers.tick(7 * 86_400_000 + 300_000);
  assert.equal(client.state, "READY", "clocks may be off by five minutes");
  context.mock.timers.tick(2);
  assert.deepEqual([client.state, events], ["STALE", [{ version: 1 }]]);
  const details = client.details("enabled", false, {});
  assert.deepEqual([details.value, details.reason], [true, "STALE"]);
  const ready = next(client, "ready");
  assert.equal(await client.load(signed({ version: 2, flags, expires: "2100-01-01T00:00:00Z" })), true);
  assert.deepEqual([await ready, client.state], [{ version: 2 }, "READY"]);
  const late = [];
  client.on("stale", () => late.push("stale"));
  await Promise.resolve();
  assert.deepEqual(late, []);
});

/** Something with the interface of `localStorage`. */
function memoryStorage(items = new Map()) {
  return {
    getItem: (name) => items.get(name) ?? null,
    setItem: (name, value) => items.set(name, value),
    removeItem: (name) => items.delete(name),
  };
}

const storages = {
  webStorage() {
    const storage = memoryStorage();
    return () => webStorage({ storage });
  },
  fileStorage() {
    const path = join(folder, "deep", "er", `${Math.random()}.json`);
    return () => fileStorage(path);
  },
};

for (const [name, make] of Object.entries(storages)) {
  test(`${name} keeps the last good snapshot for a start without a network`, async () => {
    const storage = make();
    const source = await serve(on(5));
    const first = await start({ source: source.url, storage: storage() });
    await first.close();
    const { requests } = source;
    source.requests = [];
    assert.deepEqual(
      requests.map(({ status }) => status),
      [200],
    );

    // The entity tag is kept as well.
    const second = await start({ source: source.url, storage: storage() });
    assert.deepEqual([second.version, second.boolean("flag", false)], [5, true]);
    await second.refresh();
    assert.ok(source.requests.length > 0);
    for (const { status } of source.requests) assert.equal(status, 304);
    await second.close();

    source.close();
    const offline = await start({ source: source.url, storage: storage() });
    assert.deepEqual([offline.version, offline.boolean("flag", false)], [5, true]);
    await assert.rejects(offline.refresh(), { code: "FETCH" });
    assert.equal(offline.state, "STALE");
    assert.equal(offline.warnings.length, 1);
    // Replays are refused across restarts.
    await assert.rejects(offline.load(on(4)), { code: "REPLAY" });
    assert.equal(await offline.load(off(6)), true);
    await offline.close();
    assert.equal((await storage().read()).version, 6);
    // What another writer kept meanwhile stays, if it is newer.
    await storage().write({ envelope: on(4), version: 4 });
    assert.equal((await storage().read()).version, 6);
    await storage().remove();
    assert.equal(await storage().read(), undefined);
    await storage().remove();
  });
}

test("a file is always whole, and nothing is left beside it", async () => {
  const path = join(folder, "whole", "flags.json");
  const versions = Array.from({ length: 30 }, (_, version) => version + 1);
  const storage = fileStorage(path);
  const shuffled = versions.map((_, index) => versions[(index * 7) % versions.length]);
  await Promise.all(shuffled.map((version) => storage.write({ envelope: on(version), version })));
  assert.equal((await storage.read()).version, versions.length);
  assert.deepEqual(readdirSync(join(folder, "whole")), ["flags.json"]);
  writeFileSync(path, "{ cut off");
  await assert.rejects(fileStorage(path).read(), /something else/);
  writeFileSync(path, '{"envelope": 1, "version": 2}');
  await assert.rejects(fileStorage(path).read(), /something else/);
});

test("an inlined snapshot serves before the source answers; the newest wins", async () => {
  const source = await serve(on(5));
  const client = await start({ source: source.url, bootstrap: off(4) });
  assert.deepEqual([client.version, client.state, client.boolean("flag", true)], [4, "READY", false]);
  assert.deepEqual(await next(client, "change"), { version: 5, changed: ["flag"] });

  // Rendered, or cached, before what this browser has seen.
  const storage = webStorage({ storage: memoryStorage() });
  storage.write({ envelope: on(7), version: 7 });
  const late = await start({ bootstrap: off(4), storage });
  assert.deepEqual([late.version, late.state, late.error, late.warnings], [7, "READY", undefined, []]);
});

test("an inlined envelope survives being inlined", async () => {
  const evil = { type: "string", variants: { a: "</script><script>alert(1)</script><!--\u2028" }, off: "a", salt: "s" };
  const text = signed({ flags: { evil: { ...evil, default: "a" } } });
  const inlined = inlineEnvelope(text);
  assert.doesNotMatch(inlined, /<|\u2028/);
  const client = await start({ bootstrap: inlined });
  assert.equal(client.string("evil", ""), evil.variants.a);
});

test("pins that are none are refused, and a flag that is given nothing is not pinned", async () => {
  const start1 = (pins) => start({ source: on(1), pins });
  for (const pins of [{ flag: true }, { flag: 5 }, ["flag"], "flag", { flag: { variant: "on" } }]) {
    await assert.rejects(start1(pins), { name: "TypeError", message: /^pins/ });
  }
  const client = await start1({ flag: undefined });
  assert.equal(client.details("flag", false).flagMetadata.step, "default");
  assert.throws(() => client.subject({}, { pins: { flag: true } }), { name: "TypeError", message: /^pins: `flag`/ });
  assert.equal(client.boolean("flag", false), true);
});

test("a key that was replaced signs no pins any more", async () => {
  const [first, second] = [keyPair("first"), keyPair("second")];
  const options = { environment: "production", keys: first.keys, poll: false, signedPins: {} };
  const client = await FlagstoneClient.start({ ...options, source: envelope(snapshot({ flags }), first) });
  clients.add(client);
  await client.setKeys(second.keys);
  await assert.rejects(client.readPins(pinned({ enabled: null }, { key: first })), { code: "ENVELOPE" });
  assert.deepEqual(await client.readPins(pinned({ enabled: null }, { key: second })), { enabled: null });
  await client.close();
  for (const late of [client.readPins("x"), client.refresh(), client.load(on(9))]) await assert.rejects(late, /closed/);
  await assert.rejects(client.setKeys(keys), /closed/);
});

test("a request's pins come from its link or its cookie, and are remembered or forgotten", async () => {
  const tester = keyPair("tester-1");
  const warnings = [];
  const client = await start({ source: on(1), signedPins: { keys: tester.keys }, warn: (text) => warnings.push(text) });
  const token = pinned({ flag: null }, { key: tester });
  const ask = (query, cookie) =>
    client.requestPins(new Request(`https://app.example/${query}`, { headers: cookie ? { cookie } : {} }));
  assert.deepEqual(await ask(""), {});
  const remember = `flagstone-pins=${token}; Path=/; SameSite=Lax; Secure`;
  assert.deepEqual(await ask(`?flagstone-pins=${token}`), { pins: { flag: null }, cookie: remember });
  assert.deepEqual(await ask("", `a=b; flagstone-pins=${token}; c=d`), { pins: { flag: null } });
  const forget = "flagstone-pins=; Max-Age=0; Path=/; SameSite=Lax; Secure";
  assert.deepEqual(await ask("?flagstone-pins=off", `flagstone-pins=${token}`), { cookie: forget });
  assert.deepEqual(warnings, []);
  // What a mail program broke, or somebody made up: nothing of it comes into a header.
  assert.deepEqual(await ask(`?flagstone-pins=${token.slice(0, 9)}%0A${token.slice(9)}`), {});
  assert.deepEqual(await ask("", "flagstone-pins=no%20pins"), { cookie: forget });
  const five = pinned({ flag: 5 }, { key: tester });
  assert.deepEqual(await ask(`?flagstone-pins=${five}`), {});
  assert.equal(warnings.length, 1);
});

test("pins of a subject are its own", async () => {
  const client = await start({ source: on(1, { color: flags.color }), pins: { color: "green" } });
  const user = { targetingKey: "user-42" };
  const tester = client.subject(user, { pins: { flag: null } });
  for (let round = 0; round < 3; round++) {
    assert.equal(client.boolean("flag", false, user), true);
    const { value, reason, flagMetadata } = tester.details("flag", true);
    assert.deepEqual([value, reason, flagMetadata.step], [false, "STATIC", "offPin"]);
    assert.equal(client.string("color", "", user), "#0f0");
    assert.equal(client.details("color", "", user).flagMetadata.step, "onPin");
    assert.notEqual(tester.details("color", "").flagMetadata.step, "onPin");
    assert.equal(byKey(tester.all()).flag.value, false);
    assert.equal((await tester.explain("flag")).steps.at(-1).step, "offPin");
  }
});

/** Pins as `flagstone pin` signs them. */
function pinned(pins, { environment = "production", expires = "2100-01-01T00:00:00Z", key = production, typ } = {}) {
  const payload = { environment, expires, pins };
  return Buffer.from(envelope(payload, key, typ ?? "flagstone-pins+json")).toString("base64url");
}

test("signed pins are read, and others refused", async () => {
  const tester = keyPair("tester-1");
  const client = await start({ source: on(1), signedPins: { keys: tester.keys } });
  const pins = await client.readPins(pinned({ flag: null }, { key: tester }));
  assert.deepEqual(pins, { flag: null });
  assert.equal(client.subject({}, { pins }).boolean("flag", true), false);
  for (const [code, token] of Object.entries({
    ENVELOPE: pinned({ flag: null }),
    SNAPSHOT: pinned({ flag: null }, { key: tester, environment: "staging" }),
    EXPIRED: pinned({ flag: null }, { key: tester, expires: "2026-01-01T00:00:00Z" }),
  })) {
    await assert.rejects(client.readPins(token), { name: "LoadError", code });
  }
  await assert.rejects(client.readPins(pinned({}, { key: tester, typ: "flagstone-snapshot+json" })), /typ/);
  await assert.rejects(client.readPins("%%%"), { code: "ENVELOPE" });
  await assert.rejects(client.readPins(pinned({ flag: null }, { key: { ...keyPair("tester-1") } })), {
    code: "SIGNATURE",
  });
  // A tester's key signs no snapshot.
  await assert.rejects(client.load(envelope(snapshot({ version: 2, flags }), tester)), { code: "ENVELOPE" });
  await assert.rejects((await start({ source: on(1) })).readPins(pinned({ flag: null })), /signedPins/);
});

test("says what is wrong with how it is started", async () => {
  const options = { environment: "production", keys, source: on(1) };
  for (const [wrong, message] of [
    [{ environment: "" }, /^environment: /],
    [{ environment: undefined }, /^environment: /],
    [{ keys: undefined }, /^keys: expected a JWK set/],
    [{ keys: { keys: 1 } }, /^keys: expected a JWK set/],
    [{ poll: 0 }, /^poll: expected milliseconds, at least 1000, or false, found 0/],
    [{ poll: NaN }, /^poll: /],
    [{ source: "not a URL" }, /^source: expected a URL or an envelope, found `not a URL`/],
  ]) {
    await assert.rejects(FlagstoneClient.start({ ...options, ...wrong }), { name: "TypeError", message });
  }
});
