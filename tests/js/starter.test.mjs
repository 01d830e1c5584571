// The Worker starter in workerd: between browsers, two origin servers and a source of snapshots.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { FlagstoneClient } from "../../pkg/node.js";
import { envelope, keyPair, snapshot } from "./support/sign.mjs";
import { bundle, Origin, SnapshotServer, worker } from "./support/starter.mjs";

const production = keyPair();
const testers = keyPair("testers-1");
const idOf = (index) => createHash("md5").update(`user-${index}`).digest("hex");
const FORCED = Array.from({ length: 10 }, (_, index) => idOf(index)).sort();

/** A flag as a router wants it: half of the users in the new system, some never. */
const gateway = (rest = {}) => ({
  requires: ["xxh3"],
  type: "string",
  variants: { new: "new-system", old: "old-system" },
  off: "old",
  salt: "gateway-1",
  deny: { keys: FORCED },
  default: { ramp: { percent: 50000, serve: "new" } },
  ...rest,
});
const everyone = { deny: undefined, default: "new" };
const signed = (version, flag, rest, key = production) =>
  envelope(snapshot({ version, flags: { gateway: gateway(flag) }, ...rest }), key);

let folder;
let node;
let newSystem;
let oldSystem;
before(async () => {
  folder = await bundle();
  node = await FlagstoneClient.start({
    source: signed(1),
    environment: "production",
    keys: production.keys,
  });
});
after(() => node.close());

/** The starter beside fresh origins and a source, everything ended with the test. */
async function start(t, content, variables = {}, options = {}, starter = folder) {
  const source = await new SnapshotServer(content).start();
  newSystem = await new Origin("new-system").start();
  oldSystem = await new Origin("old-system").start();
  const servers = [source, newSystem, oldSystem];
  const bindings = {
    FLAG: "gateway",
    NEW_ORIGIN: newSystem.url,
    OLD_ORIGIN: oldSystem.url,
    ENVIRONMENT: "production",
    AUDIENCE: "client",
    KEYS: production.keys,
    SNAPSHOT_URL: source.url,
    REVALIDATE_SECONDS: 0,
    // A busy machine is no slow source.
    FIRST_LOAD_TIMEOUT: 30_000,
    DEBUG_HEADER: true,
    ...variables,
  };
  for (const name in bindings) if (bindings[name] === undefined) delete bindings[name];
  const miniflare = worker(starter, bindings, options);
  let stopped;
  const stop = () =>
    (stopped ??= miniflare.dispose().then(() => {
      for (const server of servers) server.stop();
    }));
  t.after(stop);
  await miniflare.ready;
  const ask = async (id, { path = "/", headers = {}, ...init } = {}) => {
    const all = { ...(id && { cookie: `flagstone_id=${id}` }), ...headers };
    const response = await miniflare.dispatchFetch(`https://shop.example${path}`, {
      redirect: "manual",
      ...init,
      headers: all,
    });
    return response;
  };
  /** Who answered, and why. */
  const route = async (id, init) => {
    const response = await ask(id, init);
    const why = response.headers.get("flagstone-system") ?? "";
    const [, reason] = /;reason=(\w+)/.exec(why) ?? [];
    const [, version] = /;version=(\d+)/.exec(why) ?? [];
    const [, fallback] = /;fallback=(\w+)/.exec(why) ?? [];
    const body = await response.text();
    return { status: response.status, system: response.headers.get("x-origin"), body, reason, version, fallback };
  };
  return { miniflare, source, ask, route, stop };
}

const expected = (id, client = node) => client.string("gateway", "none", { targetingKey: id, anonymousId: id });

/** Does work for each, a few at a time. */
async function each(items, atOnce, work) {
  const results = [];
  const left = [...items.entries()];
  const lane = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) results[next[0]] = await work(next[1]);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return results;
}

const users = (count, from = 0) => Array.from({ length: count }, (_, index) => idOf(from + index));

/** Asks again until the answer is as wanted. */
async function until(question, isWanted) {
  const end = Date.now() + 30_000;
  for (;;) {
    const answer = await question();
    if (isWanted(answer)) return answer;
    assert.ok(Date.now() < end, `still ${JSON.stringify(answer)}`);
    await wait(10);
  }
}

const LIMIT = { timeout: 60_000 };

test("passes strict type checks", LIMIT, () => {
  const tsc = fileURLToPath(new URL("../../pkg-templates/node_modules/typescript/bin/tsc", import.meta.url));
  try {
    execFileSync(process.execPath, [tsc, "--project", folder], { encoding: "utf8" });
  } catch (error) {
    assert.fail(error.stdout);
  }
});

test("routes each user as Node.js would", LIMIT, async (t) => {
  const { route } = await start(t, signed(1));
  const ids = users(300);
  const answers = await each(ids, 20, (id) => route(id));
  assert.deepEqual(
    answers.map(({ system, body }) => [system, body]),
    ids.map((id) => [expected(id), expected(id)]),
  );
  assert.ok(new Set(ids.map((id) => expected(id))).size === 2);
  // Those on the deny list among them, whom the ramp alone would send here and there.
  const ramp = await FlagstoneClient.start({
    source: signed(1, { deny: undefined }),
    environment: "production",
    keys: production.keys,
  });
  assert.ok(FORCED.some((id) => expected(id, ramp) === "new-system"));
  await ramp.close();
  for (const index of FORCED.keys()) assert.equal(answers[index].system, "old-system");
});

test("an anonymous user stays who they are", LIMIT, async (t) => {
  const { ask, miniflare } = await start(t, signed(1));
  const first = await ask(undefined);
  const [cookie, ...others] = first.headers.getSetCookie();
  assert.deepEqual(others, []);
  const [, id] =
    /^flagstone_id=([0-9a-f]{32}); Path=\/; Max-Age=\d+; SameSite=Lax; Secure$/.exec(cookie) ?? assert.fail(cookie);
  assert.equal(first.headers.get("x-origin"), expected(id));
  const second = await ask(id);
  assert.deepEqual(second.headers.getSetCookie(), []);
  assert.equal(second.headers.get("x-origin"), expected(id));
  // With a page it is written again, to be kept on. (`fetch` cannot say that it asks for a page.)
  const headers = { cookie: `flagstone_id=${id}`, "sec-fetch-mode": "navigate" };
  const [page] = await once(httpRequest(await miniflare.ready, { headers }).end(), "response");
  assert.deepEqual(page.resume().headers["set-cookie"], [cookie.replace("; Secure", "")]);
  // An id that cannot be one is replaced; the origin's own cookies stay.
  for (const system of [newSystem, oldSystem]) {
    system.answer = (_request, response) => response.setHeader("set-cookie", ["a=1", "b=2"]).end();
  }
  const invalid = await ask("42");
  assert.deepEqual(invalid.headers.getSetCookie().slice(0, 2), ["a=1", "b=2"]);
  assert.match(invalid.headers.getSetCookie()[2], /^flagstone_id=[0-9a-f]{32};/);
  // Where there is no TLS, as in `wrangler dev`, a browser keeps it too.
  const local = await miniflare.dispatchFetch("http://localhost/");
  assert.ok(!local.headers.getSetCookie()[2].includes("Secure"));
});

test("who is signed in is routed by their own id, where the application says who that is", LIMIT, async (t) => {
  const id = idOf(1);
  const forged = { headers: { "x-user": "user-1" } };
  const plain = await start(t, signed(1));
  assert.equal((await plain.route(id, forged)).system, expected(id));

  const own = await bundle(
    'if (_request.headers.has("x-broken")) throw new Error("no"); return _request.headers.get("x-user");',
  );
  const { route } = await start(t, signed(1), {}, {}, own);
  const accounts = Array.from({ length: 20 }, (_, index) => `user-${index}`);
  for (const account of accounts) {
    const { system } = await route(id, { headers: { "x-user": account } });
    assert.equal(system, expected(account));
  }
  assert.equal(new Set(accounts.map((account) => expected(account))).size, 2);
  assert.equal((await route(id)).system, expected(id));
  const { status, system, reason } = await route(id, { headers: { "x-broken": "1" } });
  assert.deepEqual([status, system, reason], [200, "old-system", "ERROR"]);
});

test("requests that come at once to a cold start are all right", LIMIT, async (t) => {
  const { source, route, miniflare } = await start(t, signed(1), {}, { kvNamespaces: ["KEPT"] });
  const gate = withResolvers();
  source.gate = gate.promise;
  const ids = users(10);
  const answers = [...ids, ...ids].map((id) => route(id));
  await until(
    () => source.asked,
    (asked) => asked === 20,
  );
  gate.resolve();
  for (const [index, answer] of (await Promise.all(answers)).entries()) {
    const { status, system, version, reason } = answer;
    assert.deepEqual([status, system, version], [200, expected(ids[index % 10]), "1"], reason);
  }
  const kept = await (await miniflare.getKVNamespace("KEPT")).get("production/current/client.json", "json");
  assert.equal(kept.version, 1);
});

test("a source that is too slow holds nobody up for long, and is used once it answers", LIMIT, async (t) => {
  const { source, route } = await start(t, signed(1, everyone), { FIRST_LOAD_TIMEOUT: 200 });
  const gate = withResolvers();
  source.gate = gate.promise;
  const answers = await Promise.all(users(5).map((id) => route(id)));
  for (const { status, system, reason } of answers)
    assert.deepEqual([status, system, reason], [200, "old-system", "ERROR"]);
  gate.resolve();
  // The load that nobody waited for any more was not in vain: the source needs to answer nobody else.
  source.status = 503;
  source.gate = Promise.resolve();
  const { version } = await until(
    () => route(idOf(1)),
    ({ system }) => system === "new-system",
  );
  assert.equal(version, "1");
});

test("a first load that failed is tried again by the next request", LIMIT, async (t) => {
  const { source, route } = await start(t, signed(1, everyone), { REVALIDATE_SECONDS: 3600 });
  source.status = 500;
  assert.equal((await route(idOf(1))).system, "old-system");
  source.status = 200;
  assert.equal((await route(idOf(1))).system, "new-system");
});

for (const [name, options] of Object.entries({
  "Workers KV": (folder) => ({ kvNamespaces: ["KEPT"], kvPersist: folder }),
  "the Cache API": (folder) => ({ cachePersist: folder }),
})) {
  test(`starts without its source from what is kept in ${name}`, LIMIT, async (t) => {
    const persist = mkdtempSync(join(tmpdir(), "flagstone-kept-"));
    const first = await start(t, signed(3, everyone), {}, options(persist));
    assert.equal((await first.route(idOf(1))).version, "3");
    await first.stop();
    const second = await start(t, signed(2), {}, options(persist));
    t.after(() => rmSync(persist, { recursive: true }));
    second.source.status = 500;
    const { system, version } = await second.route(idOf(1));
    assert.deepEqual([system, version], ["new-system", "3"]);
    // A source that is back with an older one is not believed.
    second.source.status = 200;
    await until(
      () => second.route(idOf(1)),
      () => second.source.answered.includes(200),
    );
    assert.equal((await second.route(idOf(1))).version, "3");
  });
}

test("reads the bucket that is published to", LIMIT, async (t) => {
  const options = { r2Buckets: ["SNAPSHOTS"] };
  const { miniflare, route } = await start(t, signed(1), { SNAPSHOT_URL: undefined }, options);
  const bucket = await miniflare.getR2Bucket("SNAPSHOTS");
  assert.deepEqual((await route(idOf(1))).reason, "ERROR");
  await bucket.put("production/current/client.json", signed(1, everyone));
  assert.equal((await route(idOf(1))).system, "new-system");
  await bucket.put("production/current/client.json", signed(2, { ...everyone, killed: "flag" }));
  const { system } = await until(
    () => route(idOf(1)),
    ({ version }) => version === "2",
  );
  assert.equal(system, "old-system");
  await bucket.delete("production/current/client.json");
  for (let asked = 0; asked < 5; asked++) assert.equal((await route(idOf(1))).version, "2");
});

test("takes up another snapshot and a kill in the background, and serves on without its source", LIMIT, async (t) => {
  const { source, route } = await start(t, signed(1));
  const ids = users(40);
  const versionIs = (wanted) =>
    until(
      () => route(ids[0]),
      ({ version }) => version === wanted,
    );
  await versionIs("1");
  await until(
    () => route(ids[0]),
    () => source.answered.includes(304),
  );

  source.envelope = signed(2, { default: { ramp: { percent: 90000, serve: "new" } } });
  await versionIs("2");
  const wider = await FlagstoneClient.start({
    source: source.envelope,
    environment: "production",
    keys: production.keys,
  });
  const answers = await each(ids, 10, (id) => route(id));
  assert.deepEqual(
    answers.map(({ system }) => system),
    ids.map((id) => expected(id, wider)),
  );
  await wider.close();

  // Neither an older one nor one that somebody else signed.
  for (const other of [signed(1), signed(3, everyone, {}, keyPair())]) {
    source.envelope = other;
    const before = source.answered.length;
    await until(
      () => route(ids[0]),
      () => source.answered.length > before + 2,
    );
    assert.equal((await route(ids[0])).version, "2");
  }

  source.envelope = signed(4, { killed: "flag" });
  await versionIs("4");
  for (const { system, reason } of await each(ids, 10, (id) => route(id))) {
    assert.deepEqual([system, reason], ["old-system", "DISABLED"]);
  }

  source.envelope = signed(5);
  await versionIs("5");
  source.stop();
  for (const [index, { system, version }] of (await each(ids, 10, (id) => route(id))).entries()) {
    assert.deepEqual([system, version], [expected(ids[index]), "5"]);
  }
});

test("a snapshot that expires while it is held is served on", LIMIT, async (t) => {
  const { route, source } = await start(t, "");
  // Once it runs, so that the time that is left is the snapshot's alone.
  assert.deepEqual((await route(idOf(1))).system, "old-system");
  // What is allowed for clocks that are off, and a little.
  const expires = new Date(Date.now() - 300_000 + 3000).toISOString();
  source.envelope = signed(1, everyone, { expires });
  assert.deepEqual((await route(idOf(1))).system, "new-system");
  const { system } = await until(
    () => route(idOf(1)),
    ({ reason }) => reason === "STALE",
  );
  assert.equal(system, "new-system");
});

for (const [name, content, variables] of [
  ["is signed by nobody trusted", signed(1, everyone, {}, keyPair()), {}],
  ["was changed", signed(1, everyone).replace("gateway-1", "gateway-2"), {}],
  ["had expired", signed(1, everyone, { expires: "2020-01-01T00:00:00Z" }), {}],
  ["is for another environment", signed(1, everyone), { ENVIRONMENT: "staging" }],
  ["has no such flag", signed(1, everyone), { FLAG: "gatewya" }],
  [
    "holds a flag of another type",
    envelope(
      snapshot({
        flags: {
          gateway: gateway({ type: "boolean", variants: { new: true, old: false }, default: "new", deny: undefined }),
        },
      }),
      production,
    ),
    {},
  ],
  ["is no snapshot", "<html>", {}],
  ["cannot be checked, for there are no keys", signed(1, everyone), { KEYS: undefined }],
  ["cannot be asked for", "", { SNAPSHOT_URL: "nowhere" }],
]) {
  test(`everyone goes to the old system where the snapshot ${name}`, LIMIT, async (t) => {
    const { route } = await start(t, content, variables);
    const { status, system, reason } = await route(idOf(1));
    assert.deepEqual([status, system, reason], [200, "old-system", "ERROR"]);
    assert.equal((await route(idOf(1), { method: "POST", body: "x" })).system, "old-system");
  });
}

test("loses no request when the new system goes away half way", LIMIT, async (t) => {
  const { source, route } = await start(t, signed(1));
  // Slow enough that some are under way at any time, bodies read whole.
  const received = [];
  for (const system of [newSystem, oldSystem]) {
    system.answer = async (request, response) => {
      let body = "";
      for await (const chunk of request) body += chunk;
      if (request.method === "POST") received.push(body);
      await wait(20);
      response.end(system.name);
    };
  }
  let answered = 0;
  const gone = withResolvers();
  const ask = (index) => async () => {
    const isPost = index % 4 === 3;
    const wasGone = newSystem.isGone;
    const answer = await route(idOf(index), isPost ? { method: "POST", body: `order ${index}` } : {});
    if (++answered === 200) {
      newSystem.isGone = true;
      newSystem.stop();
      gone.resolve();
    }
    return { ...answer, wasGone, isPost };
  };
  const answers = await each(
    Array.from({ length: 400 }, (_, index) => ask(index)),
    20,
    (ask) => ask(),
  );
  await gone.promise;
  const of = (wanted) => answers.map((answer, index) => ({ ...answer, index })).filter(wanted);

  for (const { index, status, system, wasGone } of of(({ isPost }) => !isPost)) {
    assert.equal(status, 200, `request ${index}`);
    if (wasGone) assert.equal(system, "old-system");
  }
  const after = of(({ isPost, wasGone }) => !isPost && wasGone);
  for (const { index, fallback } of after) {
    assert.equal(fallback, expected(idOf(index)) === "new-system" ? "unreachable" : undefined);
  }
  assert.ok(after.some(({ fallback }) => fallback !== undefined));

  // What changes something is sent once: it is answered, or refused and for its sender to decide, and never in both systems.
  assert.equal(new Set(received).size, received.length);
  const posts = of(({ isPost }) => isPost);
  for (const { index, status, system, wasGone } of posts) {
    const isNew = expected(idOf(index)) === "new-system";
    if (status === 200) assert.equal(system, expected(idOf(index)));
    else assert.deepEqual([status, isNew], [502, true], `request ${index}`);
    if (wasGone) assert.equal(status, isNew ? 502 : 200);
    if (status === 200 || !isNew) assert.ok(received.includes(`order ${index}`));
  }
  assert.ok(posts.some(({ status }) => status === 502));

  // Until the flag is killed.
  source.envelope = signed(2, { killed: "flag" });
  await until(
    () => route(idOf(3)),
    ({ version }) => version === "2",
  );
  for (const { index } of posts) {
    const { status, system } = await route(idOf(index), { method: "POST", body: "again" });
    assert.deepEqual([status, system], [200, "old-system"]);
  }
});

test("asks the old system where the new one fails", LIMIT, async (t) => {
  const { route, ask } = await start(t, signed(1, everyone), { NEW_ORIGIN_TIMEOUT: 1000 });
  const id = idOf(1);
  newSystem.answer = (_request, response) => response.writeHead(503).end("not now");
  for (const method of ["GET", "OPTIONS"]) {
    const { status, system, fallback } = await route(id, { method });
    assert.deepEqual([method, status, system, fallback], [method, 200, "old-system", "503"]);
  }
  assert.match(
    (await ask(id)).headers.get("server-timing"),
    /^flags;desc="new-system";dur=\d+(\.\d+)?, fallback;desc="503"$/,
  );
  const head = await ask(id, { method: "HEAD" });
  assert.deepEqual([head.status, head.headers.get("x-origin")], [200, "old-system"]);
  const before = oldSystem.requests.length;
  for (const init of [
    ...["POST", "PUT", "DELETE", "PATCH"].flatMap((method) => [{ method }, { method, body: "x" }]),
    { method: "OPTIONS", body: "x" },
  ]) {
    const { status, system, body } = await route(id, init);
    assert.deepEqual([init, status, system, body], [init, 503, "new-system", "not now"]);
  }
  assert.equal(oldSystem.requests.length, before);

  newSystem.answer = () => undefined;
  const late = await route(id);
  assert.deepEqual([late.status, late.system, late.fallback], [200, "old-system", "timeout"]);
  // What began in time may take longer.
  newSystem.answer = async (_request, response) => {
    response.write("begun, ");
    await wait(1300);
    response.end("ended");
  };
  assert.equal((await route(id)).body, "begun, ended");
  // Neither is what changes something hurried.
  newSystem.answer = async (_request, response) => {
    await wait(1300);
    response.end("done");
  };
  assert.equal((await route(id, { method: "POST", body: "x" })).body, "done");
  newSystem.answer = (_request, response) => response.writeHead(404).end();
  assert.deepEqual([(await route(id)).status, (await route(id)).system], [404, "new-system"]);
  newSystem.stop();
  oldSystem.stop();
  assert.equal((await route(id)).status, 502);
});

test("falls back on the statuses it is told", LIMIT, async (t) => {
  const { route } = await start(t, signed(1, everyone), { FALLBACK_STATUSES: [404] });
  newSystem.answer = (_request, response) => response.writeHead(500).end();
  assert.deepEqual([(await route(idOf(1))).status, (await route(idOf(1))).system], [500, "new-system"]);
  newSystem.answer = (_request, response) => response.writeHead(404).end();
  assert.equal((await route(idOf(1))).system, "old-system");
});

test("hands requests and responses on as they are", LIMIT, async (t) => {
  const { ask, miniflare } = await start(t, signed(1, everyone));
  const id = idOf(1);
  const headers = { "x-own": "1", authorization: "Bearer 2", "accept-language": "vi" };
  await ask(id, { path: "//elsewhere.example/a%20b/../c?d=e&d=%2F", method: "PATCH", headers, body: "x" });
  const { method, url, headers: received } = newSystem.requests.at(-1);
  assert.deepEqual([method, url], ["PATCH", "//elsewhere.example/c?d=e&d=%2F"]);
  for (const name in headers) assert.equal(received[name], headers[name]);
  assert.equal(received.cookie, `flagstone_id=${id}`);
  assert.equal(received["x-forwarded-host"], "shop.example");

  newSystem.answer = (_request, response) => response.writeHead(302, { location: "/login" }).end();
  const redirect = await ask(id);
  assert.deepEqual([redirect.status, redirect.headers.get("location")], [302, "/login"]);
  newSystem.answer = (_request, response) => response.writeHead(304, { etag: '"1"' }).end();
  assert.equal((await ask(id)).status, 304);

  const compressed = gzipSync("whole");
  newSystem.answer = (_request, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(compressed);
  const packed = await ask(id, { headers: { "accept-encoding": "gzip" } });
  assert.equal(await packed.text(), "whole");

  // Bodies stream: what was sent arrives before the rest is.
  newSystem.answer = async (request, response) => {
    const hash = createHash("sha256");
    for await (const chunk of request) {
      hash.update(chunk);
      response.write(chunk);
    }
    response.end(hash.digest("hex"));
  };
  const content = randomBytes(4_000_000);
  const upload = httpRequest(await miniflare.ready, { method: "POST", headers: { cookie: `flagstone_id=${id}` } });
  upload.write(content.subarray(0, 1000));
  const [echo] = await once(upload, "response");
  const chunks = [];
  for await (const chunk of echo) {
    chunks.push(chunk);
    if (!upload.writableEnded) upload.end(content.subarray(1000));
  }
  const whole = Buffer.concat(chunks);
  assert.ok(content.equals(whole.subarray(0, content.length)));
  assert.equal(whole.subarray(content.length).toString(), createHash("sha256").update(content).digest("hex"));
});

test("hands WebSockets on", LIMIT, async (t) => {
  const { ask } = await start(t, signed(1, everyone));
  newSystem.server.on("upgrade", (request, socket) => {
    const accept = createHash("sha1").update(
      `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`,
    );
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: ${accept.digest("base64")}\r\n\r\n`,
    );
    socket.write(Buffer.from([0x81, 5, ...Buffer.from("hello")]));
    t.after(() => socket.destroy());
  });
  const response = await ask(idOf(1), { headers: { upgrade: "websocket" } });
  assert.equal(response.status, 101);
  const message = new Promise((received) =>
    response.webSocket.addEventListener("message", ({ data }) => received(data)),
  );
  response.webSocket.accept();
  assert.equal(await message, "hello");
  response.webSocket.close();
});

test("lets only browsers keep what differs between cohorts", LIMIT, async (t) => {
  const { ask } = await start(t, signed(1, everyone));
  let own = {};
  newSystem.answer = (_request, response) => response.writeHead(200, own).end();
  for (const [before, after] of [
    [undefined, "private"],
    ["public, max-age=60, s-maxage=3600", "private, max-age=60"],
    ["no-store", "private, no-store"],
    ['Private="set-cookie, x", no-cache="a, b"', 'private, no-cache="a, b"'],
  ]) {
    own = { ...(before && { "cache-control": before }), "cdn-cache-control": "max-age=60", vary: "Accept" };
    const { headers } = await ask(idOf(1));
    assert.equal(headers.get("cache-control"), after);
    assert.equal(headers.get("cdn-cache-control"), null);
    assert.equal(headers.get("vary"), "Accept");
  }
});

test("says which system it was, and why only to those who debug", LIMIT, async (t) => {
  const { ask } = await start(t, signed(1), { DEBUG_HEADER: undefined });
  for (const id of users(20)) {
    const { headers } = await ask(id);
    assert.match(headers.get("server-timing"), new RegExp(`^flags;desc="${expected(id)}";dur=\\d+(\\.\\d+)?$`));
    assert.equal(headers.get("flagstone-system"), null);
  }
  const { ask: debug } = await start(t, signed(1));
  const { headers } = await debug(idOf(50));
  assert.equal(headers.get("flagstone-system"), `${expected(idOf(50))};reason=SPLIT;version=1`);
});

/** Pins as a link carries them. */
const pins = (variant, key = testers, expires = "2100-01-01T00:00:00Z") =>
  Buffer.from(
    envelope({ environment: "production", expires, pins: { gateway: variant } }, key, "flagstone-pins+json"),
  ).toString("base64url");

test("a tester's signed link pins the flag for that browser", LIMIT, async (t) => {
  const { ask, route } = await start(t, signed(1, { deny: undefined, default: "old" }), { PIN_KEYS: testers.keys });
  const id = idOf(1);
  const token = pins("new");
  const linked = await ask(id, { path: `/?flagstone-pins=${token}` });
  assert.match(linked.headers.get("flagstone-system"), /^new-system;reason=STATIC;/);
  assert.equal(linked.headers.get("x-origin"), "new-system");
  const [cookie] = linked.headers.getSetCookie();
  assert.equal(cookie, `flagstone-pins=${token}; Path=/; SameSite=Lax; Secure`);
  const kept = { headers: { cookie: `a=b; ${cookie.split(";")[0]}; flagstone_id=${id}` } };
  assert.equal((await route(undefined, kept)).system, "new-system");
  // For that browser and no other.
  assert.equal((await route(id)).system, "old-system");
  const off = await ask(undefined, { ...kept, path: "/?flagstone-pins=off" });
  assert.equal(off.headers.get("x-origin"), "old-system");
  assert.deepEqual(off.headers.getSetCookie(), ["flagstone-pins=; Max-Age=0; Path=/; SameSite=Lax; Secure"]);
  for (const other of [
    pins("new", keyPair()),
    pins("new", production),
    pins("new", testers, "2020-01-01T00:00:00Z"),
    "x",
    "%0A",
  ]) {
    const refused = await ask(id, { path: `/?flagstone-pins=${other}` });
    assert.deepEqual([refused.headers.get("x-origin"), refused.headers.getSetCookie()], ["old-system", []]);
  }
});

test("pins are not taken unless their keys are configured", LIMIT, async (t) => {
  const { route } = await start(t, signed(1, { deny: undefined, default: "old" }));
  assert.equal((await route(idOf(1), { path: `/?flagstone-pins=${pins("new", production)}` })).system, "old-system");
});

function withResolvers() {
  let resolve;
  const promise = new Promise((resolved) => (resolve = resolved));
  return { promise, resolve };
}
