// Bad days in workerd, where nothing runs between requests: each request is answered with the default or the last good value.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { Miniflare } from "miniflare";
import { gated, good, origin, PORTAL, reset, status, tagged } from "./support/origin.mjs";
import { boolean, envelope, keyPair, snapshot } from "./support/sign.mjs";
import { entry, pkg } from "./support/package.mjs";

const production = keyPair();
const signed = (content) => envelope(snapshot({ flags: { flag: boolean("on") }, ...content }), production);
const good5 = signed({ version: 5 });

// One client for all requests of an isolate, and one for each request.
const worker = `
  import { cacheStorage, FlagstoneClient, kvStorage } from ${JSON.stringify(entry(".", ["workerd", "worker", "browser"]))};
  let common;
  const warnings = [];
  export default {
    async fetch(request, { KV }) {
      const { options, isCommon, keep, read } = await request.json();
      const blocked = { get: () => Promise.reject(new Error("KV is down")), put: () => Promise.reject(new Error("KV is down")) };
      const storage = { kv: kvStorage(KV), cache: cacheStorage(), blocked: kvStorage(blocked) }[keep] ?? false;
      const own = [];
      const warn = (message) => own.push(message);
      const start = () => FlagstoneClient.start({ ...options, storage, warn });
      const flags = isCommon ? (common ??= await start()) : await start();
      if (read) await flags.refresh().catch(() => undefined);
      const { value, reason, errorCode } = flags.details("flag", false, { targetingKey: "user-42" });
      const { version, state, error } = flags;
      if (!isCommon) await flags.close();
      return Response.json({ value, reason, errorCode, version, state, code: error?.code, warnings: own });
    },
  };`;

let miniflare, source;
before(async () => {
  source = await origin();
  const files = readdirSync(pkg).filter((file) => /\.(js|wasm)$/.test(file));
  miniflare = new Miniflare({
    cf: false,
    compatibilityDate: "2026-01-01",
    kvNamespaces: ["KV"],
    modulesRoot: pkg,
    modules: [
      { type: "ESModule", path: join(pkg, "worker.js"), contents: worker },
      ...files.map((file) => ({ type: file.endsWith(".js") ? "ESModule" : "CompiledWasm", path: join(pkg, file) })),
    ],
  });
});
after(async () => {
  source.close();
  await miniflare.dispose();
});
beforeEach(() => {
  source.answer = good(good5);
});

async function ask(body = {}) {
  const options = {
    environment: "production",
    keys: production.keys,
    source: source.url,
    timeout: 2000,
    ...body.options,
  };
  const request = { method: "POST", body: JSON.stringify({ ...body, options }) };
  return (await miniflare.dispatchFetch("http://localhost/", request)).json();
}

function assertDefault(answer, code, message) {
  assert.deepEqual([answer.value, answer.reason, answer.errorCode], [false, "ERROR", "PROVIDER_NOT_READY"]);
  assert.deepEqual([answer.state, answer.code, answer.warnings.length], ["ERROR", code, 1], answer.warnings.join("\n"));
  assert.match(answer.warnings[0], message);
  assert.doesNotMatch(answer.warnings[0], /s3cret|user-42/);
}

test("a request is answered with the default, and the next one with the value", async () => {
  for (const [answer, code, message] of [
    [status(500), "FETCH", /answered 500/],
    [good(PORTAL), "FETCH", /a page instead of a snapshot/],
    [status(304), "FETCH", /answered 304.*a cache on the way is broken/],
    [reset(good5), "FETCH", /cannot be fetched/],
    [() => undefined, "FETCH", /no whole answer within 2 s/],
    [good(good5.replace("salt-1", "salt-2")), "SIGNATURE", /changed/],
    [good(signed({ expires: "2026-11-21T12:00:01Z" })), "EXPIRED", /expired/],
  ]) {
    source.answer = answer;
    assertDefault(await ask(), code, message);
    source.answer = good(good5);
    const { value, state, warnings } = await ask();
    assert.deepEqual([value, state, warnings], [true, "READY", []]);
  }
});

test("a request does not wait for a source that takes its time", async () => {
  const gate = gated(good(good5));
  source.answer = gate;
  const answer = await ask({ options: { startTimeout: 100 } });
  assertDefault(
    answer,
    "FETCH",
    /client\.json is not there after 0\.1 s, and is still waited for; defaults are served$/,
  );
  gate.release();
});

test("a client of all requests goes on with what it has", async () => {
  source.answer = tagged(good5, '"five"');
  assert.equal((await ask({ isCommon: true })).value, true);
  source.answer = status(503);
  const stale = await ask({ isCommon: true, read: true });
  assert.deepEqual([stale.value, stale.state, stale.code, stale.version], [true, "STALE", "FETCH", 5]);
  // Many at once, some of whom never hear of the others.
  source.answer = good(signed({ version: 6 }));
  const answers = await Promise.all(Array.from({ length: 10 }, () => ask({ isCommon: true, read: true })));
  for (const { value, state, version } of answers) assert.deepEqual([value, state, version], [true, "READY", 6]);
});

test("storages that hold garbage or cannot be had, and a start without a source", async () => {
  const kv = await miniflare.getKVNamespace("KV");
  await kv.put("flagstone", "{{{");
  const garbage = await ask({ keep: "kv" });
  assert.deepEqual([garbage.value, garbage.state, garbage.warnings.length], [true, "READY", 1]);
  assert.match(garbage.warnings[0], /something else is kept as `flagstone`/);
  assert.equal(JSON.parse(await kv.get("flagstone")).version, 5);

  const blocked = await ask({ keep: "blocked" });
  assert.deepEqual([blocked.value, blocked.state, blocked.warnings.length], [true, "READY", 1]);
  assert.match(blocked.warnings[0], /cannot be read: KV is down; nothing is kept for a start without the source$/);

  await ask({ keep: "cache" });
  source.answer = status(500);
  for (const keep of ["kv", "cache"]) {
    const { value, version, state, warnings } = await ask({ keep });
    assert.deepEqual([value, version, state, warnings], [true, 5, "READY", []], keep);
    const refused = await ask({ keep, read: true });
    assert.deepEqual([refused.value, refused.state, refused.code], [true, "STALE", "FETCH"], keep);
  }
  source.answer = good(signed({ version: 4 }));
  for (const keep of ["kv", "cache"]) {
    const { value, version, code } = await ask({ keep, read: true });
    assert.deepEqual([value, version, code], [true, 5, "REPLAY"], keep);
  }
});
