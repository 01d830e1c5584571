// Bad days of the place where a client runs: what it kept, its clock, the engine, those who listen, and how it ends.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { project } from "./support/package.mjs";
import { good, origin, stalled } from "./support/origin.mjs";
import { boolean, byKey, envelope, flags, keyPair, snapshot } from "./support/sign.mjs";
import { assertDefaults, assertTold, next, until, watched } from "./support/watch.mjs";

const folder = project();
after(() => rmSync(folder, { recursive: true }));
const installed = (file) => import(join(folder, "node_modules/flagstone", file));
const { FlagstoneClient, webStorage } = await installed("node.js");
const { fileStorage } = await installed("file-storage.js");
const { Engine } = await installed("engine.js");
const { exports } = await installed("instance.js");

const production = keyPair();
const retired = keyPair("retired");
const options = { environment: "production", keys: production.keys };
const signed = (content, key = production) => envelope(snapshot({ flags: { flag: boolean("on") }, ...content }), key);
const start = (rest) => watched(FlagstoneClient, { ...options, ...rest });
const NOON = Date.parse("2026-11-21T12:00:00Z");
const DAY = 86_400_000;
const WEEK = { created: "2026-11-21T12:00:00Z", expires: "2026-11-28T12:00:00Z" };

const source = await origin();
after(() => source.close());

/** Something with the interface of `localStorage`. */
function memoryStorage(text) {
  const items = new Map(text === undefined ? [] : [["flagstone", text]]);
  return {
    items,
    getItem: (name) => items.get(name) ?? null,
    setItem: (name, value) => items.set(name, value),
    removeItem: (name) => items.delete(name),
  };
}

const stored = (envelope, rest) => JSON.stringify({ envelope, version: 5, ...rest });
const good5 = signed({ version: 5 });

/** What may be kept that is no good: the error's code, what the warning says, and the text. */
const kept = {
  garbage: ["STORAGE", /something else is kept as `[^`]*flagstone[^`]*`/, "\u0000{{{ \ufffd"],
  nothing: ["STORAGE", /something else is kept as `[^`]*flagstone[^`]*`/, ""],
  null: ["STORAGE", /something else is kept as `[^`]*flagstone[^`]*`/, "null"],
  "another application's JSON": [
    "STORAGE",
    /something else is kept as `[^`]*flagstone[^`]*`/,
    '{"theme": "dark", "envelope": {}}',
  ],
  "an envelope that is none": ["ENVELOPE", /^flagstone: the snapshot kept from last time: /, stored("{}")],
  "an envelope that was changed": [
    "SIGNATURE",
    /^flagstone: the snapshot kept from last time: .*changed/,
    stored(good5.replace("salt-1", "salt-2")),
  ],
  "one signed by a key since retired": [
    "ENVELOPE",
    /^flagstone: the snapshot kept from last time: signed by "retired", which is not among the trusted keys/,
    stored(signed({}, retired)),
  ],
  "another environment's": [
    "SNAPSHOT",
    /^flagstone: the snapshot kept from last time: .*staging/,
    stored(signed({ version: 5, environment: "staging" })),
  ],
  "one that has expired": [
    "EXPIRED",
    /^flagstone: the snapshot kept from last time: .*expired/,
    stored(signed({ version: 5, expires: "2026-11-21T12:00:01Z" })),
  ],
};

for (const [name, [code, message, text]] of Object.entries(kept)) {
  test(`kept from last time: ${name}`, async () => {
    for (const [place, storage, read] of [
      (() => {
        const memory = memoryStorage(text);
        return ["webStorage", webStorage({ storage: memory }), () => memory.getItem("flagstone")];
      })(),
      (() => {
        const path = join(folder, `${Math.random()}.json`);
        writeFileSync(path, text);
        return ["fileStorage", fileStorage(path), () => readFileSync(path, "utf8")];
      })(),
    ]) {
      const client = await start({ storage });
      if (code === "STORAGE") {
        assert.deepEqual([client.state, client.boolean("flag", true)], ["NOT_READY", true], place);
        await assert.rejects(async () => storage.read(), /something else/);
      } else assertDefaults(client);
      // Told before anybody listened, where it is no reason for the defaults.
      if (code === "STORAGE") assert.match(client.warnings.join(), message);
      else assertTold(client, code, message);
      assert.equal(client.warnings.length, 1);
      assert.equal(await client.load(signed({ version: 6 })), true);
      assert.deepEqual([client.state, client.error, client.boolean("flag", false)], ["READY", undefined, true]);
      if (name === "another application's JSON") {
        assert.equal(read(), text, "it is not ours to replace");
        assert.equal(client.warnings.length, 1);
        await client.close();
        continue;
      }
      // Whatever else it was, it gives way to a good one.
      assert.equal(JSON.parse(read()).version, 6);
      await client.close();
      const again = await start({ storage });
      assert.deepEqual([again.version, again.warnings], [6, []]);
      await again.close();
    }
  });
}

test("what is kept and cannot be taken is forgotten, but not what has expired", async () => {
  for (const [name, [code, , text]] of Object.entries(kept)) {
    const memory = memoryStorage(text);
    await (await start({ storage: webStorage({ storage: memory }) })).close();
    assert.equal(memory.items.has("flagstone"), code === "EXPIRED" || code === "STORAGE", name);
  }
});

test("a storage that is full, blocked, broken or slow", async () => {
  const quota = new DOMException("The quota has been exceeded.", "QuotaExceededError");
  const denied = new DOMException("Access is denied for this document.", "SecurityError");
  const refuse = (error) => () => {
    throw error;
  };
  const full = webStorage({ storage: { ...memoryStorage(), setItem: refuse(quota) } });
  for (const [storage, message] of [
    [full, /cannot be written: The quota has been exceeded/],
    [{ read: refuse(denied), write: refuse(denied), remove: refuse(denied) }, /cannot be read: Access is denied/],
    [{ read: () => null, write: () => Promise.reject(quota), remove: () => undefined }, /cannot be written: The quota/],
    [{ read: () => Promise.reject("no"), write: () => undefined, remove: () => undefined }, /cannot be read: no;/],
    [fileStorage(folder), /cannot be read: EISDIR/],
    [fileStorage(join(folder, "package.json", "x.json")), /cannot be (read|written): E(NOTDIR|NOENT|EXIST)/],
  ]) {
    writeFileSync(join(folder, "package.json"), "{}");
    source.answer = good(good5);
    const client = await start({ source: source.url, storage });
    assert.equal(client.warnings.length, 1, client.warnings.join("\n"));
    assert.match(client.warnings[0], message);
    assert.match(client.warnings[0], /; nothing is kept for a start without the source$/);
    assert.deepEqual([client.state, client.error, client.boolean("flag", false)], ["READY", undefined, true]);
    source.answer = good(signed({ version: 6 }));
    assert.equal(await client.refresh(), true, "it goes on without");
    assert.equal(client.warnings.length, 1, "and says so once");
    await client.close();
  }
  // One that never answers holds up nobody.
  const client = await start({
    source: source.url,
    startTimeout: 50,
    storage: { read: () => new Promise(() => undefined), write: () => undefined, remove: () => undefined },
  });
  assertDefaults(client);
  assert.equal(client.warnings.length, 1);
  assert.equal(await client.load(good5), true);
  assert.equal(client.boolean("flag", false), true);
});

test("a file is written by one after another, so that the newest stays", async () => {
  const path = join(folder, "queue", "flags.json");
  const storage = fileStorage(path);
  const versions = [3, 9, 4, 8, 1, 7];
  await Promise.all(versions.map((version) => storage.write({ envelope: "{}", version })));
  assert.equal((await storage.read()).version, 9);
  assert.deepEqual(readdirSync(join(folder, "queue")), ["flags.json"]);
  // One that could not be written stops none after it.
  mkdirSync(join(folder, "taken"));
  const blocked = fileStorage(join(folder, "taken"));
  await assert.rejects(blocked.write({ envelope: "{}", version: 1 }));
  rmSync(join(folder, "taken"), { recursive: true });
  await blocked.write({ envelope: "{}", version: 2 });
  assert.equal((await blocked.read()).version, 2);
});

/** What a process of its own prints as JSON, which ends by itself; `now` is its clock. */
async function inProcess(code, env = {}) {
  const file = join(folder, `${Math.random()}.mjs`);
  const prelude = `
    import { FlagstoneClient } from "flagstone";
    import { fileStorage } from ${JSON.stringify(join(folder, "node_modules/flagstone/file-storage.js"))};
    const options = ${JSON.stringify(options)};
    const warnings = [];
    options.warn = (message) => warnings.push(message);
    const print = (value) => console.log(JSON.stringify(value));
    process.on("unhandledRejection", (error) => { console.error(error); process.exit(3); });
  `;
  writeFileSync(file, prelude + code);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], {
    cwd: folder,
    timeout: 60_000,
    env: { ...process.env, ...env },
  });
  assert.equal(stderr, "");
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

test("replays are refused across restarts of the process, even of what has expired meanwhile", async () => {
  const path = join(folder, "restarts.json");
  const run = (now) =>
    inProcess(`
      const flags = await FlagstoneClient.start({
        ...options, source: ${JSON.stringify(source.url)}, poll: false, storage: fileStorage(${JSON.stringify(path)}), now: () => ${now},
      });
      await flags.refresh().catch(() => undefined);
      print([flags.version ?? null, flags.state, flags.error?.code ?? null, flags.boolean("flag", false)]);
      await flags.close();
    `);
  source.answer = good(signed({ version: 5, ...WEEK }));
  assert.deepEqual(await run(NOON), [5, "READY", null, true]);
  source.answer = good(signed({ version: 4, ...WEEK, flags: { flag: boolean("off") } }));
  assert.deepEqual(await run(NOON + DAY), [5, "STALE", "REPLAY", true]);
  source.answer = good(signed({ version: 4, expires: "2027-11-28T12:00:00Z" }));
  assert.deepEqual(await run(NOON + 30 * DAY), [null, "ERROR", "REPLAY", false]);
  source.answer = good(signed({ version: 6, expires: "2027-11-28T12:00:00Z" }));
  assert.deepEqual(await run(NOON + 30 * DAY), [6, "READY", null, true]);
});

for (const [name, offset, isGood] of [
  ["a day fast", DAY, true],
  ["a day slow", -DAY, true],
  ["a year fast", 365 * DAY, false],
  ["a year slow", -365 * DAY, true],
]) {
  test(`a clock ${name}, and put right`, async () => {
    let now = NOON + offset;
    source.answer = good(signed({ version: 5, ...WEEK }));
    const client = await start({ source: source.url, now: () => now });
    if (isGood) {
      assert.deepEqual([client.state, client.boolean("flag", false), client.warnings], ["READY", true, []]);
    } else {
      assertDefaults(client);
      assertTold(client, "EXPIRED", /expired.*clock.*; defaults are served$/);
    }
    now = NOON;
    await client.refresh();
    assert.deepEqual([client.state, client.error, client.version], ["READY", undefined, 5]);
    assert.deepEqual([client.details("flag", false).value, client.details("flag", false).reason], [true, "STATIC"]);
    // While one is held, it changes no more than what is said of it.
    now = NOON + offset;
    await client.refresh();
    assert.deepEqual([client.state, client.boolean("flag", false)], [isGood ? "READY" : "STALE", true]);
    assert.equal(client.details("flag", false).reason, isGood ? "STATIC" : "STALE");
    now = NOON;
    await client.refresh();
    assert.deepEqual([client.state, client.details("flag", false).reason], ["READY", "STATIC"]);
    await client.close();
  });
}

test("a clock that throws or tells no time costs nothing but the evaluations that need it", async () => {
  for (const broken of [
    () => {
      throw new Error("the clock stopped");
    },
    () => NaN,
    () => undefined,
    () => Infinity,
  ]) {
    source.answer = good(good5);
    const client = await start({ source: source.url, now: broken, poll: 1000 });
    assert.deepEqual([client.state, client.version, client.warnings], ["READY", 5, []]);
    source.answer = good(signed({ version: 6 }));
    assert.equal(await client.refresh(), true);
    assert.equal(typeof client.boolean("flag", false), "boolean");
    await client.close();
  }
});

test("an expired snapshot while held: stale, and its values go on", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOON });
  // Further away than timers reach.
  const client = await start({ source: signed({ version: 5, expires: "2026-12-31T12:00:00Z" }) });
  context.mock.timers.tick(30 * DAY);
  assert.equal(client.state, "READY");
  context.mock.timers.tick(11 * DAY);
  assert.deepEqual(
    client.events.map(([kind]) => kind),
    ["ready", "stale"],
  );
  const { value, reason, errorCode } = client.details("flag", false);
  assert.deepEqual([client.state, value, reason, errorCode], ["STALE", true, "STALE", undefined]);
  assert.equal(await client.load(signed({ version: 6 })), true);
  assert.deepEqual([client.state, client.events.at(-1)], ["READY", ["ready", { version: 6 }]]);
  await client.close();
});

test("a retired key", async () => {
  const rotated = keyPair("test-2");
  source.answer = good(good5);
  const client = await start({ source: source.url });
  await client.setKeys(rotated.keys);
  source.answer = good(signed({ version: 6 }));
  await assert.rejects(client.refresh(), { code: "ENVELOPE" });
  assertTold(client, "ENVELOPE", /"test-1", which is not among the trusted keys.*; version 5 is served on$/);
  assert.deepEqual([client.state, client.boolean("flag", false)], ["STALE", true]);
  source.answer = good(signed({ version: 6 }, rotated));
  assert.equal(await client.refresh(), true);
  assert.deepEqual([client.state, client.error], ["READY", undefined]);
});

test("what is inlined: garbage, older and newer than what is kept", async () => {
  const circular = {};
  circular.payload = circular;
  const used = new Response(good5);
  await used.text();
  source.answer = good(signed({ version: 7 }));
  for (const [bootstrap, code] of [
    ["<html>", "ENVELOPE"],
    ["", "ENVELOPE"],
    [null, "ENVELOPE"],
    [42, "ENVELOPE"],
    [good5.replace("salt-1", "salt-2"), "SIGNATURE"],
    [circular, "FETCH"],
    [used, "FETCH"],
    [new Response("", { status: 500 }), "FETCH"],
  ]) {
    const alone = await start({ bootstrap });
    assertDefaults(alone);
    assertTold(alone, code, /; defaults are served$/);
    await alone.close();
    const client = await start({ bootstrap, source: source.url });
    assert.deepEqual([client.version, client.state, client.warnings.length], [7, "READY", 1]);
    await client.close();
  }
  for (const [version, served] of [
    [4, 5],
    [5, 5],
    [6, 6],
  ]) {
    const storage = webStorage({ storage: memoryStorage(stored(good5)) });
    const client = await start({ bootstrap: version === 5 ? good5 : signed({ version }), storage });
    assert.deepEqual([client.version, client.state, client.warnings], [served, "READY", []]);
    await client.close();
  }
});

test("what is given to load and cannot be read", async () => {
  const client = await start({ source: good5 });
  const used = new Response(good5);
  await used.text();
  for (const wrong of [
    undefined,
    null,
    42,
    used,
    10n,
    Symbol("x"),
    () => good5,
    [],
    new Response("", { status: 404 }),
  ]) {
    await assert.rejects(client.load(wrong), { name: "LoadError" });
    assert.deepEqual([client.version, client.boolean("flag", false)], [5, true]);
  }
});

test("contexts that throw, and proxies that lie", async () => {
  const client = await start({ source: signed({ version: 5, flags }) });
  const thrower = new Proxy(
    {},
    Object.fromEntries(
      Object.getOwnPropertyNames(Reflect).map((trap) => [
        trap,
        () => {
          throw new Error(`no ${trap} today`);
        },
      ]),
    ),
  );
  const endless = new Proxy(
    {},
    { getOwnPropertyDescriptor: () => ({ value: 1, configurable: true }), get: () => endless },
  );
  for (const context of [
    thrower,
    endless,
    { targetingKey: thrower, account: thrower, groups: thrower, signedUp: thrower },
    { account: { plan: thrower }, groups: [thrower, endless] },
    { groups: new Proxy([], { get: (target, name) => (name === "length" ? 1000 : thrower) }) },
    null,
    undefined,
    42,
    "user-42",
    Symbol("user"),
    () => undefined,
    [],
    new Map(),
  ]) {
    assert.equal(client.boolean("enabled", false, context), true);
    assert.equal(typeof client.boolean("targeted", false, context), "boolean");
    assert.equal(client.boolean("nothing", true, context), true);
    assert.equal(client.details("enabled", false, context).value, true);
    assert.ok(byKey(client.all(context)).enabled);
    assert.equal(client.subject(context).boolean("enabled", false), true);
    assert.equal((await client.explain("enabled", context)).details.value, true);
  }
  // Once, however many contexts are none.
  assert.equal(client.warnings.length, 1);
  assert.match(client.warnings[0], /a context is a \w+, not an object/);
});

const memory = () => exports().memory;
const scribble = () => new Uint8Array(memory().buffer).fill(0xff);

/** Has a method of the engine's trap, the next time that it is called. */
function trapOnce(context, method) {
  const original = Engine.prototype[method];
  const trapping = context.mock.method(Engine.prototype, method, function (...all) {
    trapping.mock.restore();
    return original.apply({ __proto__: this, at: 0x7fff_fff0 }, all);
  });
}

test("a trap while loading is tried again in a new engine, and is nobody's fault", async (context) => {
  const client = await start({ source: good5 });
  const before = memory();
  trapOnce(context, "take");
  assert.equal(await client.load(signed({ version: 6 })), true);
  assert.notEqual(memory(), before, "a new instance");
  assert.deepEqual([client.version, client.boolean("flag", false), client.warnings], [6, true, []]);
  await assert.rejects(client.load(good5), { code: "REPLAY" });
  trapOnce(context, "pin");
  const another = await start({ source: signed({ version: 3 }) });
  assert.deepEqual([another.version, another.warnings], [3, []], "a client made by an engine that breaks");
  trapOnce(context, "free");
  await another.close();
  assert.equal(client.boolean("flag", false), true);
});

test("a snapshot on which the engine always breaks", async (context) => {
  const storage = memoryStorage();
  const client = await start({ source: good5, storage: webStorage({ storage }) });
  const { take } = Engine.prototype;
  context.mock.method(Engine.prototype, "take", function (payload, now) {
    if (!new TextDecoder().decode(payload).includes('"version":6')) return take.call(this, payload, now);
    throw new WebAssembly.RuntimeError("unreachable");
  });
  await assert.rejects(client.load(signed({ version: 6 })), { code: "SNAPSHOT" });
  assertTold(client, "SNAPSHOT", /the engine broke while reading it: unreachable; version 5 is served on$/);
  assert.equal(client.boolean("flag", false), true);
  assert.equal(await client.load(signed({ version: 7 })), true);
  assert.deepEqual(
    [client.state, client.error, JSON.parse(storage.getItem("flagstone")).version],
    ["READY", undefined, 7],
  );
});

test("a trap in evaluations while a refresh is under way", async () => {
  source.answer = good(good5);
  const client = await start({ source: source.url });
  const requests = source.requests.length;
  let respond;
  source.answer = (request, response) => {
    respond = () => response.end(signed({ version: 6 }));
  };
  const refreshing = client.refresh();
  await source.asked(requests + 1);
  scribble();
  assert.equal(client.boolean("flag", false), true);
  respond();
  assert.equal(await refreshing, true);
  scribble();
  assert.equal(client.details("flag", false).value, true);
  assert.deepEqual([client.version, client.state, client.warnings], [6, "READY", []]);
});

test("an engine that is not there yet", async () => {
  const own = project();
  after(() => rmSync(own, { recursive: true }));
  const wasm = join(own, "node_modules/flagstone/flagstone_bg.wasm");
  const bytes = readFileSync(wasm);
  const { FlagstoneClient } = await import(join(own, "node_modules/flagstone/node.js"));
  const memory = memoryStorage(stored(good5));
  renameSync(wasm, `${wasm}.away`);
  rmSync(join(own, "node_modules/flagstone/flagstone_inlined.js"));
  source.answer = good(signed({ version: 4 }));
  const late = await watched(FlagstoneClient, {
    ...options,
    source: source.url,
    storage: webStorage({ storage: memory }),
  });
  assertDefaults(late);
  assertTold(
    late,
    "ENGINE",
    /the engine cannot be loaded \(flagstone_bg\.wasm\): .*flagstone_inlined.*; defaults are served$/,
  );
  assert.match(late.anonymousId(), /^[0-9a-f]{32}$/);
  // Cut off, as by an installation that is under way.
  writeFileSync(wasm, bytes.subarray(0, bytes.length / 2));
  const cut = await watched(FlagstoneClient, { ...options, bootstrap: good5 });
  assertDefaults(cut);
  assertTold(cut, "ENGINE", /the engine cannot be loaded \(flagstone_bg\.wasm\): WebAssembly.*; defaults are served$/);
  writeFileSync(wasm, bytes);
  await Promise.all([next(late, "ready"), next(cut, "ready")]);
  assert.deepEqual([cut.version, cut.error, cut.boolean("flag", false)], [5, undefined, true]);
  // What was kept is taken first, so the source's older one is still a replay.
  await late.refresh().catch(() => undefined);
  assert.deepEqual([late.version, late.error.code, late.boolean("flag", false)], [5, "REPLAY", true]);
});

test("a listener or a `warn` that throws", async (context) => {
  const surfaced = [];
  const { queueMicrotask } = globalThis;
  context.mock.method(globalThis, "queueMicrotask", (callback) =>
    queueMicrotask(() => {
      try {
        callback();
      } catch (error) {
        surfaced.push(error.message);
      }
    }),
  );
  source.answer = good("garbage");
  const refuse = () => {
    throw new Error("not today");
  };
  const client = await start({ source: source.url, stream: `${source.base}/stream`, warn: refuse });
  assertDefaults(client);
  const told = [];
  let streams = 0;
  for (const kind of ["ready", "change", "stale", "error"]) {
    client.on(kind, refuse);
    // The stream is tried now and then.
    client.on(kind, ({ code }) => (code === "STREAM" ? streams++ : told.push(kind)));
  }
  await assert.rejects(client.refresh(), { code: "ENVELOPE" });
  source.answer = good(good5);
  assert.equal(await client.refresh(), true);
  source.answer = good(signed({ version: 6, flags: {} }));
  assert.equal(await client.refresh(), true);
  source.answer = good("garbage");
  await assert.rejects(client.refresh(), { code: "ENVELOPE" });
  assert.deepEqual(told, ["error", "error", "ready", "change", "error", "stale"]);
  await until(() => streams > 0);
  assert.deepEqual(surfaced, Array(6 + streams).fill("not today"), "a listener's error is the listener's");
  assert.equal(client.version, 6);
  await client.close();
});

/** What keeps this process from ending. */
const WATCH = `
  const held = () => process.getActiveResourcesInfo().filter((name) => !/^(TTYWrap|PipeWrap|FSReqPromise)$/.test(name));
`;

test("a client that is closed, whatever it was doing, leaves nothing behind", async () => {
  const stream = await origin((request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
  });
  after(() => stream.close());
  source.answer = stalled(good5);
  const when = {
    "during a start": `startTimeout: 50`,
    "during a refresh": `bootstrap: ${JSON.stringify(good5)}`,
    "during a stream": `bootstrap: ${JSON.stringify(good5)}, stream: ${JSON.stringify(stream.url)}`,
    "while a failed source is left alone": `source: "http://127.0.0.1:1/", bootstrap: ${JSON.stringify(good5)}`,
    "while it is written": `source: ${JSON.stringify(good5)}, storage: fileStorage(${JSON.stringify(join(folder, "closing.json"))})`,
  };
  await Promise.all(
    Object.entries(when).map(async ([name, options]) => {
      const [state, value, left] = await inProcess(`${WATCH}
        const flags = await FlagstoneClient.start({ ...options, source: ${JSON.stringify(source.url)}, ${options} });
        const asked = flags.refresh().catch((error) => error.name);
        const loaded = flags.load(${JSON.stringify(signed({ version: 8 }))}).catch((error) => error.name);
        await Promise.all([flags.close(), flags.close()]);
        await Promise.all([asked, loaded]);
        const refused = await flags.refresh().catch((error) => error.message);
        if (refused !== "the client was closed") throw new Error(refused);
        await new Promise((resolve) => setTimeout(resolve, 50));
        print([flags.state, flags.boolean("flag", false), held().filter((name) => name === "Timeout")]);
      `);
      assert.deepEqual([state, value, left], ["NOT_READY", false, []], name);
    }),
  );
});

test("a client that is not closed keeps no process alive but by its stream", async () => {
  source.answer = good(good5);
  const [version] = await inProcess(`
    const flags = await FlagstoneClient.start({ ...options, source: ${JSON.stringify(source.url)} });
    print([flags.version]);
  `);
  assert.equal(version, 5);
});

test("closing while what was kept is read forgets nothing", async () => {
  const memory = memoryStorage(stored(good5));
  let answer;
  const slow = { ...webStorage({ storage: memory }), read: () => new Promise((resolve) => (answer = resolve)) };
  const client = await start({ storage: slow, startTimeout: 20 });
  answer(JSON.parse(stored(good5)));
  await client.close();
  await until(() => client.state === "NOT_READY");
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  assert.ok(memory.items.has("flagstone"));
});
