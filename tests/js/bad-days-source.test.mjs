// Bad days of the network and of the source: the caller has its default or the last good value, one warning and an event, and
// is none the worse when the day gets better.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { project } from "./support/package.mjs";
import { brotlied, gated, good, gzipped, origin, PORTAL, reset, stalled, status, tagged } from "./support/origin.mjs";
import { boolean, envelope, keyPair, snapshot } from "./support/sign.mjs";
import { assertDefaults, assertTold, next, until, watched } from "./support/watch.mjs";

const folder = project();
after(() => rmSync(folder, { recursive: true }));
const { FlagstoneClient } = await import(join(folder, "node_modules/flagstone/node.js"));

const production = keyPair();
const retired = keyPair("retired");
const options = { environment: "production", keys: production.keys };
const signed = (content, key = production) => envelope(snapshot({ flags: { flag: boolean("on") }, ...content }), key);
const start = (rest) => watched(FlagstoneClient, { ...options, ...rest });

const source = await origin();
after(() => source.close());
const portal = await origin(good(PORTAL, { "content-type": "text/html" }));
after(() => portal.close());

const PLACE = /127\.0\.0\.1:\d+\/client\.json/;
const good5 = signed({ version: 5 });
const MIB = 2 ** 20;

const expired = (version) => good(signed({ version, expires: "2026-11-21T12:00:01Z" }));

/** What can be wrong with an answer: the error's code, what the warning says, and the answer. */
const bad = {
  "a captive portal's page": ["FETCH", /a page instead of a snapshot.*captive portal/, good(PORTAL)],
  "a redirect to a captive portal": [
    "FETCH",
    /a page instead of a snapshot \(redirected to http:\/\/127\.0\.0\.1:\d+\/welcome\)/,
    (request, response) => response.writeHead(302, { location: `${portal.base}/welcome?token=s3cret` }).end(),
  ],
  "a redirect to nowhere": ["FETCH", /cannot be fetched/, status(302, { location: "http://127.0.0.1:1/" })],
  404: ["FETCH", /answered 404/, status(404, {}, "<h1>Not found</h1>")],
  500: ["FETCH", /answered 500/, status(500)],
  204: ["ENVELOPE", /client\.json: /, status(204)],
  "304 to a question without a condition": ["FETCH", /answered 304.*a cache on the way is broken/, status(304)],
  "an empty body": ["ENVELOPE", /client\.json: /, good("")],
  "other JSON": ["ENVELOPE", /client\.json: /, good('{"flags": {"flag": true}}')],
  "JSON cut off": ["ENVELOPE", /client\.json: /, good(good5.slice(0, -20))],
  "bytes that are no text": ["ENVELOPE", /client\.json: /, good(Buffer.from([0xff, 0xfe, 0, 0x80]))],
  "a connection reset half way": ["FETCH", /cannot be fetched/, reset(good5)],
  "a response that stalls half way": ["FETCH", /no whole answer within 0\.4 s/, stalled(good5)],
  "a response that never starts": ["FETCH", /no whole answer within 0\.4 s/, () => undefined],
  "an encoding that is not what it says": ["FETCH", /cannot be fetched/, good(good5, { "content-encoding": "gzip" })],
  "65 MiB": ["FETCH", /larger than 64 MiB/, good(Buffer.alloc(65 * MIB, " "))],
  "65 MiB in 65 KiB of gzip": ["FETCH", /larger than 64 MiB/, gzipped(Buffer.alloc(65 * MIB, " "))],
  "a changed envelope": ["SIGNATURE", /the envelope was changed/, good(good5.replace("salt-1", "salt-2"))],
  "a key that is not trusted": [
    "ENVELOPE",
    /"retired", which is not among the trusted keys/,
    good(signed({}, retired)),
  ],
  "another environment's": ["SNAPSHOT", /environment/, good(signed({ version: 5, environment: "staging" }))],
  "one that has expired": ["EXPIRED", /expired/, expired(4)],
};

for (const [name, [code, message, answer]] of Object.entries(bad)) {
  test(`${name}: at the start`, async () => {
    source.answer = answer;
    const client = await start({ source: source.url, timeout: /stalls|never/.test(name) ? 400 : undefined });
    assertDefaults(client);
    assertTold(client, code, message);
    assert.match(client.warnings[0], PLACE);
    assert.match(client.warnings[0], /; defaults are served$/);
    assert.deepEqual(
      client.events.map(([kind]) => kind),
      ["error"],
    );
    // Said once, however often it happens.
    await assert.rejects(client.refresh(), { name: "LoadError", code });
    assert.equal(client.warnings.length, 1);

    source.answer = good(good5);
    assert.equal(await client.refresh(), true);
    assert.deepEqual([client.state, client.error, client.boolean("flag", false)], ["READY", undefined, true]);
    assert.deepEqual(client.events.slice(2), [["ready", { version: 5 }]]);
    await client.close();
  });

  test(`${name}: while one is held`, async () => {
    source.answer = good(good5);
    const client = await start({ source: source.url, timeout: /stalls|never/.test(name) ? 400 : undefined });
    assert.deepEqual([client.state, client.warnings], ["READY", []]);
    source.answer = answer;
    if (name.includes("expired")) source.answer = expired(6);
    for (let time = 0; time < 2; time++) {
      await assert.rejects(client.refresh(), { name: "LoadError", code });
      assert.deepEqual([client.state, client.version, client.error.code], ["STALE", 5, code]);
      const details = client.details("flag", false);
      assert.deepEqual([details.value, details.reason, details.errorCode], [true, "STATIC", undefined]);
    }
    assertTold(client, code, message);
    assert.match(client.warnings[0], /; version 5 is served on$/);
    assert.deepEqual(
      client.events.map(([kind]) => kind),
      ["ready", "error", "stale", "error"],
    );

    // The good day's answer makes it current again, though nothing is new.
    source.answer = good(good5);
    if (!name.includes("expired")) {
      assert.equal(await client.refresh(), false);
      assert.deepEqual([client.state, client.error, client.events.at(-1)[0]], ["READY", undefined, "ready"]);
    }
    source.answer = good(signed({ version: 7 }));
    assert.equal(await client.refresh(), true);
    assert.deepEqual([client.state, client.error, client.version], ["READY", undefined, 7]);
    source.answer = name.includes("expired") ? expired(8) : answer;
    await assert.rejects(client.refresh(), { code });
    assert.equal(client.warnings.length, 2, "another bad day is another warning");
    await client.close();
  });
}

test("an older snapshot, and another one of the same version", async () => {
  source.answer = good(good5);
  const client = await start({ source: source.url });
  for (const [answer, message] of [
    [signed({ version: 4 }), /version 4 is older than version 5/],
    [signed({ version: 5, flags: {} }), /another version 5/],
  ]) {
    source.answer = good(answer);
    await assert.rejects(client.refresh(), { code: "REPLAY", message });
    assert.deepEqual([client.state, client.version, client.boolean("flag", false)], ["STALE", 5, true]);
  }
  assertTold(client, "REPLAY", /client\.json: version 4 is older.*; version 5 is served on$/);
  source.answer = good(good5);
  assert.equal(await client.refresh(), false);
  assert.deepEqual([client.state, client.error], ["READY", undefined]);
});

test("compressed answers", async () => {
  for (const compressed of [gzipped, brotlied]) {
    source.answer = compressed(good5);
    const client = await start({ source: source.url });
    assert.deepEqual([client.version, client.warnings], [5, []]);
    await client.close();
  }
});

test("nobody at the address, and no such name", async () => {
  const gone = await origin();
  gone.close();
  for (const url of [gone.url, "http://flags.invalid/client.json?token=s3cret"]) {
    const client = await start({ source: url });
    assertDefaults(client);
    assertTold(client, "FETCH", /client\.json cannot be fetched: fetch failed \(.*(ECONNREFUSED|ENOTFOUND|EAI_AGAIN)/);
    await client.close();
  }
});

test("secrets in URLs reach no message", async () => {
  for (const url of ["http://user:s3cret@127.0.0.1:1/client.json", "http://127.0.0.1:1/client.json?key=s3cret"]) {
    const client = await start({ source: url, stream: url });
    await until(() => client.warnings.length === 2);
    assert.doesNotMatch(client.warnings.join() + client.error.message, /s3cret/);
    await client.close();
  }
  for (const wrong of [{ source: "client.json?key=s3cret" }, { source: source.url, stream: "stream?key=s3cret" }]) {
    await assert.rejects(start(wrong), ({ name, message }) => {
      assert.equal(name, "TypeError");
      assert.match(message, /^(source|stream): expected a URL.*found `(client\.json|stream)`$/);
      return true;
    });
  }
});

test("an answer that comes late", async () => {
  const gate = gated(good(good5));
  source.answer = gate;
  const client = await start({ source: source.url, startTimeout: 50 });
  assertDefaults(client);
  assertTold(client, "FETCH", /client\.json is not there after 0\.05 s, and is still waited for; defaults are served$/);
  gate.release();
  assert.deepEqual(await next(client, "ready"), { version: 5 });
  assert.deepEqual([client.state, client.error, client.boolean("flag", false)], ["READY", undefined, true]);
  assert.equal(client.warnings.length, 1);
});

test("waits without an end", async () => {
  source.answer = good(good5);
  const client = await start({ source: source.url, startTimeout: Infinity, timeout: Infinity });
  assert.deepEqual([client.version, client.warnings], [5, []]);
});

test("304 forever: once it has expired, the source is asked without a condition", async () => {
  let now = Date.parse("2026-11-21T13:00:00Z");
  source.answer = tagged(signed({ version: 5, expires: "2026-11-28T12:00:00Z" }), '"five"');
  const client = await start({ source: source.url, now: () => now });
  const renewed = signed({ version: 6, expires: "2026-12-28T12:00:00Z" });
  // A cache that compares nothing.
  source.answer = (request, response) =>
    request.headers["if-none-match"] === undefined ? response.end(renewed) : response.writeHead(304).end();
  assert.equal(await client.refresh(), false);
  assert.deepEqual([client.version, client.state], [5, "READY"]);
  now = Date.parse("2026-11-29T12:00:00Z");
  assert.equal(client.details("flag", false).reason, "STALE");
  assert.equal(client.boolean("flag", false), true);
  assert.equal(await client.refresh(), true);
  assert.deepEqual([client.version, client.state, client.warnings], [6, "READY", []]);
});

/** A client whose network is `answer`, a function of how often it was asked, and whose timers are the test's. */
async function ticking(context, answer, rest) {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.parse("2026-11-21T13:00:00Z") });
  const asked = [];
  context.mock.method(globalThis, "fetch", async () => {
    asked.push(Date.now());
    const answered = answer(asked.length);
    if (answered instanceof Error) throw answered;
    return answered;
  });
  const client = await start({ source: "https://flags.example/client.json", poll: 10_000, ...rest });
  context.after(() => client.close());
  /** Lets the clock run until the source was asked for the `count`th time, and says how long that took. */
  const wait = async (count) => {
    // What follows an answer is over when nothing is left to do at once.
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    const before = Date.now();
    while (asked.length < count) {
      assert.ok(Date.now() - before < 5_000_000, `the source is asked no more after ${asked.length} times`);
      context.mock.timers.tick(500);
      await new Promise(setImmediate);
    }
    return Date.now() - before;
  };
  return { client, asked, wait };
}

test("failures make questions rarer, up to a bound, and success makes them frequent again", async (context) => {
  let isDown = true;
  context.mock.method(Math, "random", () => 0.5);
  const { client, wait } = await ticking(context, () => (isDown ? new Error("ECONNRESET") : new Response(good5)));
  assertDefaults(client);
  const waits = [];
  for (let count = 2; count <= 8; count++) waits.push(await wait(count));
  assert.deepEqual(waits, [20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]);
  assert.equal(client.warnings.length, 1);
  isDown = false;
  await wait(9);
  await next(client, "ready");
  assert.equal(await wait(10), 10_000);
});

test("many clients do not ask at the same moment", async (context) => {
  const waits = [];
  for (const random of [0, 0.999]) {
    context.mock.method(Math, "random", () => random);
    const { client, wait } = await ticking(context, () => new Response(good5));
    waits.push(await wait(2));
    await client.close();
    context.mock.reset();
  }
  assert.deepEqual(waits, [8000, 12_000]);
});

for (const [name, header, expected] of [
  ["in seconds", "120", 120_000],
  ["as a date", "Sat, 21 Nov 2026 13:02:00 GMT", 120_000],
  ["as a date, by the source's clock", "Fri, 20 Nov 2026 13:02:00 GMT", 120_000, "Fri, 20 Nov 2026 13:00:00 GMT"],
  ["for longer than is sane", "99999999999", 3_600_000],
  ["shorter than the back-off", "1", 20_000],
  ["that makes no sense", "soon", 20_000],
]) {
  test(`Retry-After ${name}`, async (context) => {
    const date = name.includes("clock") ? { date: "Fri, 20 Nov 2026 13:00:00 GMT" } : {};
    for (const code of [429, 503]) {
      context.mock.method(Math, "random", () => 0.5);
      const unavailable = () => new Response("", { status: code, headers: { "retry-after": header, ...date } });
      const { client, wait } = await ticking(context, (count) => (count === 1 ? unavailable() : new Response(good5)));
      assertTold(client, "FETCH", new RegExp(`answered ${code}`));
      const waited = await wait(2);
      // A fifth more at most, for many were told the same.
      assert.ok(waited >= expected && waited <= expected * 1.2, `asked again after ${waited} ms`);
      await next(client, "ready");
      await client.close();
      context.mock.reset();
    }
  });
}

/** A stream that tells `tell(data)`; `opened(n)` waits for the nth that listens. */
async function streaming(rest) {
  const stream = await origin();
  const listeners = [];
  stream.answer = (request, response) => {
    listeners.push(response.writeHead(200, { "content-type": "text/event-stream" }));
    response.flushHeaders();
  };
  after(() => stream.close());
  source.answer = good(good5);
  const client = await start({ source: source.url, stream: `${stream.base}/stream?token=s3cret`, ...rest });
  await until(() => listeners.length === 1);
  return { client, stream, tell: (text) => listeners.at(-1).write(text), last: () => listeners.at(-1) };
}

test("a stream that breaks off: the source is asked when it is back", async () => {
  const { client, stream, last, tell } = await streaming();
  tell(": hello\n\n");
  last().socket.resetAndDestroy();
  await until(() => client.warnings.length === 1);
  assertTold(client, "STREAM", /127\.0\.0\.1:\d+\/stream .*; the source is asked now and then$/);
  assert.deepEqual([client.state, client.error, client.boolean("flag", false)], ["READY", undefined, true]);
  source.answer = good(signed({ version: 6, flags: { flag: boolean("off") } }));
  await stream.asked(2);
  assert.deepEqual(await next(client, "change"), { version: 6, changed: ["flag"] });
  await client.close();
});

test("a stream that answers a page, and one that is not there", async () => {
  const { client, stream } = await streaming();
  for (const answer of [good(PORTAL, { "content-type": "text/html" }), status(404)]) {
    stream.answer = answer;
    const broken = await watched(FlagstoneClient, {
      ...options,
      source: source.url,
      stream: `${stream.base}/stream?token=s3cret`,
    });
    // Listened to again after a second, in vain.
    await next(broken, "error");
    assertTold(broken, "STREAM", /\/stream answered (200 text\/html|404 ) ?instead of a stream of events/);
    assert.deepEqual([broken.state, broken.error, broken.boolean("flag", false)], ["READY", undefined, true]);
    await broken.close();
  }
  await client.close();
});

test("garbage on a stream is reason to ask, but not for each piece of it", async () => {
  const { client, tell } = await streaming();
  source.requests.length = 0;
  for (let piece = 0; piece < 500; piece++) tell(`data: {"vers${piece}\nid\n: ~\nretry: soon\n\n\u0000\ufffd: x\n\n`);
  await source.asked(1);
  tell('data: {"version": "6"}\n\ndata: null\n\ndata: {"version": 1e400}\n\n');
  source.answer = good(signed({ version: 6, flags: { flag: boolean("off") } }));
  tell('data: {"version": 6}\n\n');
  await next(client, "change");
  assert.equal(client.version, 6);
  assert.ok(source.requests.length <= 3, `asked ${source.requests.length} times`);
  assert.deepEqual(client.warnings, []);
  await client.close();
});

test("a line on a stream that never ends is not read to its end", async () => {
  const { client, tell } = await streaming();
  for (let piece = 0; piece < 3; piece++) tell(`data: ${"x".repeat(MIB)}`);
  await until(() => client.warnings.length === 1);
  assertTold(client, "STREAM", /\/stream .*buffer/);
  assert.equal(client.state, "READY");
  await client.close();
});

test("a version that a stream tells of and that never comes", async (context) => {
  context.mock.method(Math, "random", () => 0.5);
  const encoder = new TextEncoder();
  const events = new ReadableStream({
    start: (controller) => controller.enqueue(encoder.encode('data: {"version": 999}\n\n')),
  });
  const stream = new Response(events, { headers: { "content-type": "text/event-stream" } });
  const asked = [];
  context.mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.parse("2026-11-21T13:00:00Z") });
  context.mock.method(globalThis, "fetch", async (url) => {
    if (url.endsWith("/stream")) return stream;
    asked.push(Date.now());
    return new Response(good5);
  });
  const client = await start({
    source: "https://flags.example/client.json",
    stream: "https://flags.example/stream",
    poll: 10_000,
  });
  while (asked.length < 9) {
    context.mock.timers.tick(500);
    do await new Promise(setImmediate);
    while (client.refreshed.getTime() < asked.at(-1));
  }
  // Again soon, then more rarely, then as often as without a stream.
  const waits = asked.slice(1).map((at, index) => at - asked[index]);
  for (const [index, wait] of waits.entries()) if (index > 1) assert.ok(wait >= waits[index - 1], waits.join());
  assert.equal(waits.at(-1), 10_000, waits.join());
  assert.deepEqual([client.state, client.version, client.warnings], ["READY", 5, []]);
  await client.close();
});

test("a stream that ends as soon as it begins is not asked for without pause", async (context) => {
  context.mock.method(Math, "random", () => 0.5);
  const asked = { "/stream": [], "/client.json": [] };
  context.mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.parse("2026-11-21T13:00:00Z") });
  context.mock.method(globalThis, "fetch", async (url) => {
    const { pathname } = new URL(url);
    asked[pathname].push(Date.now());
    return pathname === "/stream"
      ? new Response("", { headers: { "content-type": "text/event-stream" } })
      : new Response(good5);
  });
  const client = await start({
    source: "https://flags.example/client.json",
    stream: "https://flags.example/stream",
  });
  while (asked["/stream"].length < 7) {
    context.mock.timers.tick(500);
    do await new Promise(setImmediate);
    while (client.refreshed.getTime() < asked["/client.json"].at(-1));
  }
  const waits = asked["/stream"].slice(1).map((at, index) => at - asked["/stream"][index]);
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 32_000]);
  assert.ok(asked["/client.json"].length <= 8);
  await client.close();
});
