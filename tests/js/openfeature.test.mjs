// OpenFeature's providers under its server SDK and its web SDK: what its specification demands of a provider.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { EventHook, SpanHook } from "@openfeature/open-telemetry-hooks";
import * as serverSdk from "@openfeature/server-sdk";
import * as webSdk from "@openfeature/web-sdk";
import { trace } from "@opentelemetry/api";
import { logs } from "@opentelemetry/api-logs";
import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import fc from "fast-check";
import { load, projectWith } from "./support/openfeature.mjs";
import { boolean, envelope, flags, keyPair, snapshot } from "./support/sign.mjs";

const production = keyPair();
const { keys } = production;
const signed = (content) => envelope(snapshot(content), production);
const user = { targetingKey: "user-42" };

const folder = projectWith("@openfeature");
const cleanUps = [];
after(() => rmSync(folder, { recursive: true }));
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

const { FlagstoneClient } = await load(folder, ".");
const { ExposureHook, FlagstoneWebProvider } = await load(folder, "./openfeature-web");
const { FlagstoneServerProvider } = await load(folder, "./openfeature-server");

async function start(options) {
  const client = await FlagstoneClient.start({ environment: "production", keys, warn() {}, ...options });
  cleanUps.push(() => client.close());
  return client;
}

/** Each SDK with its provider, in one form: the web SDK evaluates for one context, the server SDK is given it each time. */
const RUNTIMES = {
  server: {
    sdk: serverSdk,
    Provider: FlagstoneServerProvider,
    details: (api, type, flag, fallback, context, options) =>
      api.getClient()[`get${type}Details`](flag, fallback, context, options),
  },
  web: {
    sdk: webSdk,
    Provider: FlagstoneWebProvider,
    async details(api, type, flag, fallback, context, options) {
      await api.setContext(context ?? {});
      return api.getClient()[`get${type}Details`](flag, fallback, options);
    },
  },
};

/** An API of its own, whose events are kept, with a provider of this client. */
function open(runtime, ...provider) {
  const { sdk, Provider, details } = RUNTIMES[runtime];
  const api = new sdk.OpenFeatureAPI();
  cleanUps.push(() => api.close());
  const errors = [];
  api.setLogger({ error: (...message) => errors.push(message), warn() {}, info() {}, debug() {} });
  const events = [];
  const waiting = new Set();
  for (const event of Object.values(sdk.ProviderEvents)) {
    api.addHandler(event, (detail) => {
      events.push({ event, ...detail });
      for (const look of waiting) look();
    });
  }
  /** Resolves with the next event of this name that was not taken yet. */
  const next = (name) =>
    new Promise((resolve) => {
      const look = () => {
        const index = events.findIndex(({ event }) => event === name);
        if (index < 0) return;
        waiting.delete(look);
        resolve(events.splice(0, index + 1).at(-1));
      };
      waiting.add(look);
      look();
    });
  return {
    api,
    sdk,
    events,
    errors,
    next,
    provider: new Provider(...provider),
    details: (...call) => details(api, ...call),
    status: () => api.getClient().providerStatus,
  };
}

async function opened(runtime, ...provider) {
  const opened = open(runtime, ...provider);
  await opened.api.setProviderAndWait(opened.provider);
  return opened;
}

/** A source at a URL, with a stream of events at `/events`. */
async function origin(envelope) {
  let requests = 0;
  let connected;
  const opened = new Promise((resolve) => (connected = resolve));
  const server = createServer((request, response) => {
    if (request.url === "/events") {
      response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      connected({ closed: once(response, "close") });
      return;
    }
    requests++;
    if (envelope === undefined) response.writeHead(503).end();
    else response.end(envelope);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  cleanUps.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${server.address().port}/client.json`,
    requests: () => requests,
    answer: (next) => (envelope = next),
    opened,
  };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 20));

for (const runtime of Object.keys(RUNTIMES)) {
  describe(`${runtime} SDK`, () => {
    test("says its name and where it runs", async () => {
      const { api, provider } = await opened(runtime, await start({ source: signed({ flags }) }));
      assert.equal(api.providerMetadata.name, "flagstone");
      assert.equal(provider.runsOn, runtime === "web" ? "client" : "server");
      const other = new RUNTIMES[runtime === "web" ? "server" : "web"].sdk.OpenFeatureAPI();
      await assert.rejects(other.setProviderAndWait(provider), /intended for use on the/);
    });

    test("serves each type, with variant, reason and metadata", async () => {
      const { details } = await opened(runtime, await start({ source: signed({ version: 7, flags }) }));
      assert.deepEqual(await details("Boolean", "enabled", false, user), {
        flagKey: "enabled",
        value: true,
        variant: "on",
        reason: "STATIC",
        flagMetadata: { version: "7", flagSetId: "production", contextId: "user-42", step: "default" },
      });
      assert.equal((await details("Number", "limit", 3, user)).value, 1000);
      const color = await details("String", "color", "none", user);
      assert.deepEqual([color.reason, flags.color.variants[color.variant]], ["SPLIT", color.value]);
      const layout = await details("Object", "layout", {}, user);
      assert.deepEqual(layout.value, { columns: [1, 2], nested: { deep: ["x"] } });
      assert.ok(Object.isFrozen(layout.value.nested));
      assert.equal(layout.variant, "plain");
      // A default may be any JSON, whatever the flag's type.
      assert.deepEqual((await details("Object", "layout", "plain", user)).value, layout.value);
      assert.deepEqual((await details("Object", "layout", null, user)).value, layout.value);
    });

    test("null is a value of an object flag", async () => {
      const nothing = { type: "json", variants: { none: null }, off: "none", salt: "nothing-1", default: "none" };
      const { details } = await opened(runtime, await start({ source: signed({ flags: { nothing } }) }));
      const { value, variant, errorCode } = await details("Object", "nothing", { mine: true }, user);
      assert.deepEqual([value, variant, errorCode], [null, "none", undefined]);
    });

    test("each reason is OpenFeature's", async () => {
      let now = Date.parse("2026-11-22T00:00:00Z");
      const source = signed({ flags, expires: "2026-12-01T00:00:00Z" });
      const { details } = await opened(runtime, await start({ source, now: () => now }));
      const reason = async (flag, context) => (await details("Boolean", flag, true, context)).reason;
      assert.equal(await reason("enabled", user), "STATIC");
      assert.equal(await reason("disabled", user), "DISABLED");
      assert.equal(await reason("targeted", { ...user, staff: true }), "TARGETING_MATCH");
      assert.equal((await details("String", "color", "", user)).reason, "SPLIT");
      const keyless = await details("Boolean", "ramped", true, {});
      assert.deepEqual([keyless.reason, keyless.flagMetadata.keyMissing, keyless.value], ["DEFAULT", true, false]);
      assert.equal(keyless.errorCode, undefined);
      assert.equal(await reason("nothing", user), "ERROR");
      now = Date.parse("2026-12-02T00:00:00Z");
      assert.equal(await reason("enabled", user), "STALE");
    });

    test("metadata holds booleans, strings and numbers alone", async () => {
      const { details } = await opened(runtime, await start({ source: signed({ version: 7, flags }) }));
      for (const flag of ["enabled", "targeted", "scheduled", "fromTheFuture", "nothing"]) {
        const { flagMetadata } = await details("Boolean", flag, true, { ...user, staff: true });
        assert.equal(flagMetadata.version, "7");
        for (const value of Object.values(flagMetadata)) assert.match(typeof value, /^(boolean|string|number)$/);
      }
      const { flagMetadata } = await details("Boolean", "targeted", true, { staff: true });
      assert.deepEqual(flagMetadata, { version: "7", flagSetId: "production", step: "rule", rule: "staff" });
      assert.equal((await details("Boolean", "scheduled", true, user)).flagMetadata.until, 4000000000000);
    });

    test("an error serves the caller's own default", async () => {
      const { details } = await opened(runtime, await start({ source: signed({ flags }) }));
      const mine = { mine: [1] };
      const expected = async (type, flag, fallback, code) => {
        const found = await details(type, flag, fallback, user);
        assert.equal(found.value, fallback, `${type} ${flag}`);
        assert.deepEqual([found.reason, found.errorCode, found.variant], ["ERROR", code, undefined], `${type} ${flag}`);
        assert.ok(found.errorMessage);
      };
      for (const [type, fallback] of [
        ["Boolean", true],
        ["String", "mine"],
        ["Number", 4],
        ["Object", mine],
        ["Object", "mine"],
        ["Object", null],
      ]) {
        await expected(type, "nothing", fallback, "FLAG_NOT_FOUND");
        await expected(type, "__proto__", fallback, "FLAG_NOT_FOUND");
        for (const [flag, own] of [
          ["enabled", "Boolean"],
          ["color", "String"],
          ["limit", "Number"],
          ["layout", "Object"],
        ]) {
          if (own !== type) await expected(type, flag, fallback, "TYPE_MISMATCH");
        }
      }
      await expected("Boolean", "fromTheFuture", true, "GENERAL");
    });

    test("starts a client of its own, and closes it", async () => {
      const { url: source, requests } = await origin(signed({ version: 3, flags }));
      const options = { source, environment: "production", keys, poll: false };
      const { api, provider, next, status, details } = open(runtime, options);
      assert.equal(requests(), 0);
      const ready = api.setProviderAndWait(provider);
      assert.equal(status(), "NOT_READY");
      const early = await details("Boolean", "enabled", false, user);
      assert.deepEqual([early.value, early.errorCode], [false, "PROVIDER_NOT_READY"]);
      await ready;
      assert.deepEqual([(await next("PROVIDER_READY")).providerName, status(), requests()], ["flagstone", "READY", 1]);
      assert.equal((await details("Boolean", "enabled", false, user)).value, true);

      await provider.onClose();
      await provider.onClose();
      const closed = await details("Boolean", "enabled", false, user);
      assert.deepEqual([closed.value, closed.errorCode], [false, "PROVIDER_NOT_READY"]);
      await provider.initialize();
      assert.equal((await details("Boolean", "enabled", false, user)).value, true);
      await api.close();
    });

    test("closes the client that it started, with its connections", { timeout: 60_000 }, async () => {
      const { url, opened: connected } = await origin(signed({ flags }));
      const stream = new URL("/events", url);
      const { api } = await opened(runtime, { source: url, stream, environment: "production", keys });
      const { closed } = await connected;
      await api.close();
      await closed;
    });

    test("closed while it starts, it does not start", async () => {
      const { provider } = open(runtime, { source: signed({ flags }), environment: "production", keys });
      const starting = provider.initialize();
      await provider.onClose();
      await assert.rejects(starting, { code: "PROVIDER_NOT_READY", message: /closed while it started/ });
    });

    test("leaves an app's client to the app", async () => {
      const client = await start({ source: signed({ flags }) });
      const { api, events } = await opened(runtime, client);
      await api.close();
      events.length = 0;
      assert.equal(client.boolean("enabled", false), true);
      await client.load(signed({ version: 2, flags }));
      await turn();
      assert.deepEqual(events, [], "a closed provider says nothing");
    });

    test("without a usable snapshot it is in error, and ready once it has one", async () => {
      const client = await start({ source: '{"payload":1}' });
      const { api, provider, next, status, details } = open(runtime, client);
      await assert.rejects(api.setProviderAndWait(provider), {
        code: "PROVIDER_NOT_READY",
        message: /no usable snapshot was loaded/,
      });
      assert.match((await next("PROVIDER_ERROR")).message, /no usable snapshot was loaded/);
      assert.equal(status(), "ERROR");
      const found = await details("Boolean", "enabled", false, user);
      assert.deepEqual([found.value, found.reason, found.errorCode], [false, "ERROR", "PROVIDER_NOT_READY"]);
      await client.load(signed({ flags }));
      await next("PROVIDER_READY");
      assert.equal(status(), "READY");
      assert.equal((await details("Boolean", "enabled", false, user)).value, true);
    });

    test("a client that was given nothing yet is not waited for", async () => {
      const client = await start({});
      const { api, provider, next, status } = open(runtime, client);
      await assert.rejects(api.setProviderAndWait(provider), { code: "PROVIDER_NOT_READY" });
      assert.equal(status(), "ERROR");
      await client.load(signed({ flags }));
      await next("PROVIDER_READY");
      assert.equal(status(), "READY");
    });

    test("where it can never work, that is fatal", async () => {
      const options = { source: signed({ flags }), environment: "production", keys: { keys: [{ kty: "RSA" }] } };
      const { api, provider, next, status, details } = open(runtime, options);
      await assert.rejects(api.setProviderAndWait(provider), { code: "PROVIDER_FATAL" });
      await next("PROVIDER_ERROR");
      assert.equal(status(), "FATAL");
      const found = await details("Boolean", "enabled", true, user);
      assert.equal(found.value, true);
    });

    test("where the engine cannot run, that is fatal", () => {
      const { Provider } = RUNTIMES[runtime];
      const options = { source: signed({ flags }), environment: "production", keys };
      const code = `
        delete globalThis.WebAssembly;
        import { OpenFeature } from "@openfeature/${runtime}-sdk";
        import { ${Provider.name} } from "flagstone/openfeature-${runtime}";
        const provider = new ${Provider.name}(${JSON.stringify(options)});
        const { code } = await OpenFeature.setProviderAndWait(provider).catch((error) => error);
        const client = OpenFeature.getClient();
        await OpenFeature.setContext({ targetingKey: "user-42" });
        await new Promise((resolve) => setTimeout(resolve));
        const { value, errorCode } = await client.getBooleanDetails("enabled", false);
        console.log(JSON.stringify([code, client.providerStatus, value, errorCode]));`;
      const args = ["--input-type=module", "--no-warnings", "--eval", code];
      const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
      assert.match(stderr, /flagstone: the engine cannot be loaded/);
      assert.deepEqual(JSON.parse(stdout), ["PROVIDER_FATAL", "FATAL", false, "PROVIDER_FATAL"]);
    });

    test("a snapshot that expires is stale, and still served", async () => {
      const expires = "2026-12-01T00:00:00Z";
      let now = Date.parse(expires);
      const client = await start({ source: signed({ flags, expires }), now: () => now });
      const { api, sdk, next, status, details } = await opened(runtime, client);
      await next("PROVIDER_READY");
      now += 600_000;
      await assert.rejects(client.load("{}"));
      assert.ok((await next("PROVIDER_STALE")).message);
      assert.equal(status(), "STALE");
      const found = await details("Boolean", "enabled", false, user);
      assert.deepEqual([found.value, found.reason, found.errorCode], [true, "STALE", undefined]);

      // The SDK takes whoever was given another context for ready, and whoever is set.
      await api.setContext({ targetingKey: "user-43" });
      if (runtime === "web") await next("PROVIDER_STALE");
      assert.equal(status(), "STALE");
      const late = open(runtime, client);
      await late.api.setProviderAndWait(late.provider);
      await late.next("PROVIDER_STALE");
      assert.equal(late.status(), sdk.ProviderStatus.STALE);

      await client.load(signed({ version: 2, flags }));
      await next("PROVIDER_READY");
      assert.equal(status(), "READY");
      assert.equal((await details("Boolean", "enabled", false, user)).reason, "STATIC");
    });

    test("a source that stops answering makes it stale", async () => {
      const { url, answer } = await origin(signed({ flags }));
      const client = await start({ source: url, poll: false });
      const { next, status, details } = await opened(runtime, client);
      await next("PROVIDER_READY");
      answer(undefined);
      await assert.rejects(client.refresh(), { code: "FETCH" });
      assert.match((await next("PROVIDER_STALE")).message, /503/);
      assert.equal((await details("Boolean", "enabled", false, user)).value, true);
      answer(signed({ version: 2, flags }));
      await client.refresh();
      await next("PROVIDER_READY");
      assert.equal(status(), "READY");
    });

    test("a refused snapshot changes nothing while one is held", async () => {
      const client = await start({ source: signed({ version: 2, flags }) });
      const { events, next, status, details } = await opened(runtime, client);
      await next("PROVIDER_READY");
      await assert.rejects(client.load(signed({ version: 1, flags })), { code: "REPLAY" });
      await turn();
      assert.deepEqual(events, []);
      assert.equal(status(), "READY");
      assert.equal((await details("Boolean", "enabled", false, user)).value, true);
    });

    test("a change names the flags that changed", async () => {
      const client = await start({ source: signed({ flags }) });
      const { next, status, details } = await opened(runtime, client);
      const { enabled, ...rest } = flags;
      assert.equal((await details("Boolean", "enabled", false, user)).value, true);
      await client.load(signed({ version: 2, flags: { enabled: { ...enabled, default: "off" }, ...rest } }));
      const { flagsChanged, providerName } = await next("PROVIDER_CONFIGURATION_CHANGED");
      assert.deepEqual(flagsChanged, ["enabled", "needsFlag"]);
      assert.equal(providerName, "flagstone");
      assert.equal(status(), "READY");
      const found = await details("Boolean", "enabled", true, user);
      assert.deepEqual([found.value, found.flagMetadata.version], [false, "2"]);
    });

    test("reads dates, lists and nested attributes", async () => {
      const { details } = await opened(runtime, await start({ source: signed({ flags }) }));
      const rule = async (context) => (await details("Boolean", "targeted", false, context)).flagMetadata.rule;
      assert.equal(await rule({ account: { plan: "pro" } }), "plan");
      assert.equal(await rule({ age: -1.5 }), "age");
      assert.equal(await rule({ groups: [null, "alpha", 7] }), "group");
      assert.equal(await rule({ signedUp: new Date(1700000000001) }), "new");
      assert.equal(await rule({ signedUp: new Date(1700000000000) }), undefined);
      assert.equal(await rule({ staff: null, account: null }), undefined);
    });

    test("the SDK runs hooks around it", async () => {
      const { api, provider, details } = await opened(runtime, await start({ source: signed({ flags }) }));
      const seen = [];
      const hook = {
        before: ({ providerMetadata }) => void seen.push(["before", providerMetadata.name]),
        after: (_, { value }) => void seen.push(["after", value]),
        error: (_, { code }) => void seen.push(["error", code]),
        finally: (_, { errorCode }) => void seen.push(["finally", errorCode]),
      };
      api.addHooks(hook);
      await details("Boolean", "enabled", false, user);
      await details("String", "enabled", "mine", user);
      assert.deepEqual(seen, [
        ["before", provider.metadata.name],
        ["after", true],
        ["finally", undefined],
        ["before", provider.metadata.name],
        ["error", "TYPE_MISMATCH"],
        ["finally", "TYPE_MISMATCH"],
      ]);
    });

    test("hands tracking events on, and survives what becomes of them", async (context) => {
      const warn = context.mock.method(console, "warn", () => undefined);
      const tracked = [];
      let fails = () => undefined;
      const track = (...event) => {
        tracked.push(event);
        return fails();
      };
      const { api } = await opened(runtime, await start({ source: signed({ flags }) }), { track });
      await api.setContext({ targetingKey: "user-42", plan: "pro" });
      const call = (...event) =>
        runtime === "web"
          ? api.getClient().track(...event)
          : api.getClient().track(event[0], { plan: "free" }, event[1]);
      const merged = { targetingKey: "user-42", plan: runtime === "web" ? "pro" : "free" };
      call("checkout", { value: 99.9, currency: "EUR" });
      assert.deepEqual(tracked.pop(), ["checkout", merged, { value: 99.9, currency: "EUR" }]);
      fails = () => {
        throw new Error("thrown");
      };
      call("checkout", {});
      fails = () => Promise.reject(new Error("rejected"));
      call("checkout", {});
      await turn();
      assert.equal(tracked.length, 2);
      assert.deepEqual(
        warn.mock.calls.map(({ arguments: [message, { message: why }] }) => [/`track`/.test(message), why]),
        [
          [true, "thrown"],
          [true, "rejected"],
        ],
      );
      const silent = await opened(runtime, await start({ source: signed({ flags }) }));
      silent.provider.track("checkout", {}, {});
    });

    test("one of several providers", async () => {
      const { sdk, Provider } = RUNTIMES[runtime];
      const several = new sdk.MultiProvider([
        {
          provider: new Provider(await start({ source: signed({ flags: { enabled: flags.enabled } }) })),
          name: "ours",
        },
        { provider: new sdk.InMemoryProvider({ other: { variants: { on: true }, defaultVariant: "on" } }) },
      ]);
      const api = new sdk.OpenFeatureAPI();
      await api.setProviderAndWait(several);
      assert.equal(await api.getClient().getBooleanValue("enabled", false), true);
      assert.equal(await api.getClient().getBooleanValue("other", false), true);
      await api.close();
    });
  });
}

test("the server SDK merges contexts: API, transaction, client, call, hooks", async () => {
  const { api } = await opened("server", await start({ source: signed({ flags }) }));
  const { AsyncLocalStorageTransactionContextPropagator } = serverSdk;
  api.setTransactionContextPropagator(new AsyncLocalStorageTransactionContextPropagator());
  const rule = async (client, context) =>
    (await client.getBooleanDetails("targeted", false, context)).flagMetadata.rule;
  api.setContext({ age: 41 });
  const client = api.getClient({ groups: ["beta"] });
  assert.equal(await rule(api.getClient()), "age");
  assert.equal(await rule(api.getClient(), { age: 40 }), undefined);
  assert.equal(await rule(client, { age: 40 }), "group");
  await new Promise((resolve, reject) =>
    api.setTransactionContext({ staff: true, groups: [] }, () => {
      Promise.all([rule(api.getClient()), rule(client, { staff: false, age: 0 })])
        .then((rules) => assert.deepEqual(rules, ["staff", "group"]))
        .then(resolve, reject);
    }),
  );
  client.addHooks({ before: () => ({ staff: true, targetingKey: "hooked" }) });
  const { flagMetadata } = await client.getBooleanDetails("targeted", false, { staff: false, ...user });
  assert.deepEqual([flagMetadata.rule, flagMetadata.contextId], ["staff", "hooked"]);
});

test("the web SDK's static context: set, changed, by domain", async () => {
  const { api, provider, next } = open("web", await start({ source: signed({ flags }) }));
  await api.setContext({ staff: true });
  for (const domain of ["search", "checkout"]) await api.setProviderAndWait(domain, provider);
  const rules = () =>
    ["search", "checkout"].map(
      (domain) => api.getClient(domain).getBooleanDetails("targeted", false).flagMetadata.rule,
    );
  assert.deepEqual(rules(), ["staff", "staff"]);
  await next("PROVIDER_READY");
  await api.setContext({ age: -1.5 });
  await next("PROVIDER_CONTEXT_CHANGED");
  assert.deepEqual(rules(), ["age", "age"]);
  await api.setContext("checkout", { groups: ["beta"] });
  assert.equal((await next("PROVIDER_CONTEXT_CHANGED")).domain, "search");
  assert.equal((await next("PROVIDER_CONTEXT_CHANGED")).domain, "checkout");
  assert.deepEqual(rules(), ["age", "group"]);
  await api.clearContexts();
  assert.deepEqual(rules(), [undefined, undefined]);
});

test("a new context makes no provider ready that is not", async () => {
  const client = await start({ source: '{"payload":1}' });
  const { api, provider, next, status } = open("web", client);
  await assert.rejects(api.setProviderAndWait(provider));
  await next("PROVIDER_ERROR");
  await api.setContext(user);
  assert.match((await next("PROVIDER_ERROR")).message, /no usable snapshot/);
  assert.equal(status(), "ERROR");
  await client.load(signed({ flags }));
  await next("PROVIDER_READY");
  assert.equal(status(), "READY");
});

describe("exposures", () => {
  /** A hook that keeps what it sees. */
  const recorder = () => {
    const seen = [];
    return {
      seen,
      before: () => void seen.push("before"),
      after: (_, { flagKey, variant }) => void seen.push(`after ${flagKey} ${variant}`),
      error: (_, { code }) => void seen.push(`error ${code}`),
      finally: (_, { flagKey }) => void seen.push(`finally ${flagKey}`),
    };
  };

  test("are seen once, until user, variant or snapshot is another", async () => {
    const client = await start({ source: signed({ flags }) });
    const { api, details } = await opened("web", client);
    const inner = recorder();
    api.addHooks(new ExposureHook(inner));
    const count = async (flag, context) => {
      inner.seen.length = 0;
      for (let index = 0; index < 3; index++) await details("Boolean", flag, false, context);
      return inner.seen;
    };
    const once = ["before", "after enabled on", "finally enabled"];
    assert.deepEqual(await count("enabled", user), once);
    assert.deepEqual(await count("enabled", user), []);
    assert.deepEqual(await count("enabled", { targetingKey: "user-43" }), once);
    assert.deepEqual(await count("enabled", {}), once);
    assert.deepEqual(await count("targeted", user), ["before", "after targeted off", "finally targeted"]);
    assert.deepEqual(await count("targeted", { ...user, staff: true }), [
      "before",
      "after targeted on",
      "finally targeted",
    ]);
    await client.load(signed({ version: 2, flags }));
    assert.deepEqual(await count("enabled", user), once);
  });

  test("errors are seen every time", async () => {
    const { api, details } = await opened("server", await start({ source: signed({ flags }) }));
    const inner = recorder();
    api.addHooks(new ExposureHook(inner));
    for (let index = 0; index < 2; index++) await details("Boolean", "nothing", false, user);
    const error = ["before", "error FLAG_NOT_FOUND", "finally nothing"];
    assert.deepEqual(inner.seen, [...error, ...error]);
  });

  test("an evaluation that another hook fails is no exposure", async () => {
    const { api, details } = await opened("server", await start({ source: signed({ flags }) }));
    const inner = recorder();
    api.addHooks({
      after: () => {
        throw new Error("no");
      },
    });
    api.addHooks(new ExposureHook(inner));
    const found = await details("Boolean", "enabled", false, user);
    assert.equal(found.value, false);
    assert.deepEqual(inner.seen, ["before", "error undefined", "finally enabled"]);
  });

  test("a hook's stages run in order, though they take time", async () => {
    const { api, details } = await opened("server", await start({ source: signed({ flags }) }));
    const inner = recorder();
    const slow = Object.fromEntries(
      ["before", "after", "error", "finally"].map((stage) => [
        stage,
        async (...rest) => {
          await turn();
          inner[stage](...rest);
        },
      ]),
    );
    api.addHooks(new ExposureHook(slow));
    await details("Boolean", "enabled", false, user);
    assert.deepEqual(inner.seen, ["before", "after enabled on", "finally enabled"]);
  });

  test("the longest unused is forgotten first", async () => {
    const { api, details } = await opened("web", await start({ source: signed({ flags }) }));
    const inner = { seen: [], after: ({ context }) => void inner.seen.push(context.targetingKey) };
    api.addHooks(new ExposureHook(inner, { capacity: 2 }));
    for (const targetingKey of ["a", "b", "a", "c", "a", "b", "b"]) {
      await details("Boolean", "enabled", false, { targetingKey });
    }
    assert.deepEqual(inner.seen, ["a", "b", "c", "b"]);
    for (const capacity of [0, -1, 1.5, NaN]) assert.throws(() => new ExposureHook({}, { capacity }), RangeError);
  });
});

describe("OpenTelemetry's standard hooks", () => {
  const records = new InMemoryLogRecordExporter();
  const spans = new InMemorySpanExporter();
  logs.setGlobalLoggerProvider(new LoggerProvider({ processors: [new SimpleLogRecordProcessor(records)] }));
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }));
  after(() => {
    logs.disable();
    trace.disable();
  });
  afterEach(() => {
    records.reset();
    spans.reset();
  });

  const expected = {
    "feature_flag.key": "enabled",
    "feature_flag.provider.name": "flagstone",
    "feature_flag.result.reason": "static",
    "feature_flag.result.variant": "on",
    "feature_flag.result.value": true,
    "feature_flag.context.id": "user-42",
    "feature_flag.set.id": "production",
    "feature_flag.version": "7",
  };

  for (const runtime of Object.keys(RUNTIMES)) {
    test(`an event a flag, each exposure once: ${runtime}`, async () => {
      const { api, details } = await opened(runtime, await start({ source: signed({ version: 7, flags }) }));
      api.addHooks(new ExposureHook(new EventHook()));
      for (let index = 0; index < 3; index++) await details("Boolean", "enabled", false, user);
      assert.deepEqual(
        records.getFinishedLogRecords().map(({ eventName, attributes }) => [eventName, attributes]),
        [["feature_flag.evaluation", expected]],
      );
      records.reset();
      await details("Boolean", "nothing", false, user);
      const [exception, evaluation] = records.getFinishedLogRecords();
      assert.equal(exception.eventName, "exception");
      assert.equal(evaluation.attributes["feature_flag.result.reason"], "error");
      assert.equal(evaluation.attributes["error.type"], "flag_not_found");
      assert.equal(evaluation.attributes["feature_flag.set.id"], "production");
    });

    test(`a span a flag, each exposure once: ${runtime}`, async () => {
      const { api, details } = await opened(runtime, await start({ source: signed({ version: 7, flags }) }));
      api.addHooks(new ExposureHook(new SpanHook()));
      for (let index = 0; index < 3; index++) await details("Boolean", "enabled", false, user);
      assert.deepEqual(
        spans.getFinishedSpans().map(({ name, attributes }) => [name, attributes]),
        [["feature_flag.evaluation", expected]],
      );
    });
  }
});

describe("OpenFeature, the client and the native engine agree", () => {
  const binary = fileURLToPath(new URL("../../target/debug/flagstone", import.meta.url));
  const files = mkdtempSync(join(tmpdir(), "flagstone-native-"));
  after(() => rmSync(files, { recursive: true }));
  const now = "2026-11-22T00:00:00Z";
  const source = signed({ version: 7, flags });
  writeFileSync(join(files, "snapshot.json"), source);
  writeFileSync(join(files, "keys.json"), JSON.stringify(keys));

  function native(flag, context) {
    if (!existsSync(binary)) throw new Error(`${binary} is missing: run 'cargo build --features control'`);
    const [snapshot, jwks] = ["snapshot.json", "keys.json"].map((name) => join(files, name));
    const args = ["eval", "--snapshot", snapshot, "--keys", jwks, "--flag", flag, "--context", "-", "--now", now];
    const { status, stdout, stderr } = spawnSync(binary, args, { input: JSON.stringify(context), encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  }

  const KINDS = { boolean: "Boolean", string: "String", number: "Number", json: "Object" };
  const FALLBACKS = {
    Boolean: fc.boolean(),
    String: fc.string(),
    Number: fc.double({ noNaN: true }),
    Object: fc.jsonValue(),
  };

  /** Now and then one of these, and otherwise anything. */
  const mostly = (common, rare) => fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...common) }, rare);
  const context = fc.record(
    {
      targetingKey: fc.oneof(
        fc.string({ unit: "binary" }),
        fc.integer(),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.constantFrom(null, "", -0, 1.5, 2 ** 53 - 1, 2 ** 53, true, [], {}),
      ),
      staff: mostly([true, false], fc.jsonValue()),
      age: mostly([41, 40, -1.5], fc.jsonValue()),
      account: mostly([{ plan: "pro" }, { plan: "ngày" }, { plan: "😀" }, {}, null], fc.jsonValue()),
      groups: mostly([["beta"], [7], [true], ["alpha", null], []], fc.jsonValue()),
      signedUp: mostly(
        [1700000000000, 1700000000001, "2023-11-14T22:13:20Z", "2023-11-14T22:13:21+00:00", "yesterday"],
        fc.jsonValue(),
      ),
    },
    { requiredKeys: [] },
  );

  test("on value, variant, reason and error code, for any flag, type and context", async () => {
    const client = await start({ source, now: () => Date.parse(now) });
    const web = await opened("web", client);
    const server = await opened("server", client);
    const flag = fc.constantFrom(...Object.keys(flags), "nothing", "__proto__", "");
    const asked = fc
      .constantFrom(...Object.values(KINDS))
      .chain((type) => fc.tuple(fc.constant(type), FALLBACKS[type]));
    const right = fc.boolean();
    await fc.assert(
      fc.asyncProperty(flag, right, asked, context, async (flag, right, [anyType, anyFallback], context) => {
        // Half of the time the type that the flag has, or all would be mismatches.
        const own = right && Object.hasOwn(flags, flag) ? KINDS[flags[flag].type] : anyType;
        const fallback = own === anyType ? anyFallback : { Boolean: true, String: "mine", Number: 4, Object: {} }[own];
        const { value, variant, reason, errorCode, rule } = native(flag, context);
        // The command asks for no type.
        const isMismatch = Object.hasOwn(flags, flag) && KINDS[flags[flag].type] !== own;
        const error = isMismatch ? "TYPE_MISMATCH" : errorCode;
        const expected =
          error === undefined
            ? { value, variant, reason, errorCode: undefined }
            : { value: fallback, variant: undefined, reason: "ERROR", errorCode: error };
        const picked = ({ value, variant, reason, errorCode }) => ({ value, variant, reason, errorCode });
        const found = [
          ["web", await web.details(own, flag, fallback, context)],
          ["server", await server.details(own, flag, fallback, context)],
        ];
        // The client goes by the default's type, and can ask for JSON by an object alone.
        if (own !== "Object" || typeof fallback === "object")
          found.push(["client", client.details(flag, fallback, context)]);
        for (const [where, details] of found) {
          assert.deepEqual(picked(details), expected, where);
          if (!isMismatch) assert.equal(details.flagMetadata.rule, rule, where);
        }
        const method = own === "Object" ? "json" : own.toLowerCase();
        assert.deepEqual(client[method](flag, fallback, context), expected.value);
      }),
      { numRuns: 300 },
    );
  });

  test("a date is what its RFC 3339 text is", async () => {
    const client = await start({ source, now: () => Date.parse(now) });
    const { details } = await opened("server", client);
    const instant = fc.oneof(
      fc.date({ noInvalidDate: true, min: new Date(0), max: new Date("9999-12-31T23:59:59.999Z") }),
      fc.constantFrom(new Date(1700000000000), new Date(1700000000001)),
    );
    await fc.assert(
      fc.asyncProperty(instant, async (signedUp) => {
        const { value, rule } = native("targeted", { signedUp });
        const found = await details("Boolean", "targeted", !value, { signedUp });
        assert.deepEqual([found.value, found.flagMetadata.rule], [value, rule]);
      }),
      { numRuns: 50 },
    );
  });
});
