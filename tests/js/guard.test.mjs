// `guard` and `shadow`: in Node.js, in Chromium, in workerd.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { text } from "node:stream/consumers";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Miniflare } from "miniflare";
import ts from "../../pkg-templates/node_modules/typescript/lib/typescript.js";
import { launch, serve } from "./support/browser.mjs";
import { entry, pkg, project } from "./support/package.mjs";
import { boolean, envelope, flags, keyPair, snapshot } from "./support/sign.mjs";

// Installed, for comparing takes a library.
const installed = project();
const [{ FlagstoneClient }, { Guards }] = await Promise.all(
  ["node", "guard"].map((name) => import(pathToFileURL(join(installed, `node_modules/flagstone/${name}.js`)))),
);
after(() => rmSync(installed, { recursive: true }));

const production = keyPair();
const targeted = boolean("off", {
  requires: ["equals"],
  rules: [{ id: "staff", when: { attribute: "staff", equals: true }, serve: "on" }],
});
const options = {
  source: envelope(snapshot({ version: 7, flags: { ...flags, targeted } }), production),
  environment: "production",
  keys: production.keys,
};
const user = { targetingKey: "user-42" };

let client, guards, warnings;
beforeEach(async (context) => {
  warnings = [];
  context.mock.method(console, "warn", (message) => warnings.push(message));
  client = await FlagstoneClient.start(options);
  guards = new Guards(client);
});
afterEach(() => client.close());

/** What was counted and is not zero: `{ guard_calls: { "enabled new success": 1 } }`. */
function counted(metrics = guards.metrics()) {
  const counts = {};
  for (const [, name, labels, value] of metrics.matchAll(/^flagstone_(\w+)_total\{(.*)\} (\d+)$/gm)) {
    const key = Array.from(labels.matchAll(/="([^"]*)"/g), ([, value]) => value).join(" ");
    if (value !== "0") (counts[name] ??= {})[key] = Number(value);
  }
  return counts;
}

const fail = (error) => () => {
  throw error;
};
/** A promise and what settles it. */
function deferred() {
  let resolve, reject;
  const promise = new Promise((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
}

test("guard: the flag chooses the path", () => {
  const run = (flag, context) =>
    guards.guard(
      flag,
      context,
      () => "new",
      () => "legacy",
    );
  assert.equal(run("enabled", user), "new");
  assert.equal(run("disabled", user), "legacy");
  assert.equal(run("targeted", { staff: true }), "new");
  assert.equal(run("targeted", client.subject({ staff: true })), "new");
  assert.equal(run("targeted", client.subject({ staff: false })), "legacy");
  assert.equal(run("targeted"), "legacy");
  for (const other of ["there is none", "color", "fromTheFuture"]) assert.equal(run(other, user), "legacy");
  assert.deepEqual(counted(), {
    guard_calls: {
      "enabled new success": 1,
      "disabled legacy success": 1,
      "targeted new success": 2,
      "targeted legacy success": 2,
      "there is none legacy success": 1,
      "color legacy success": 1,
      "fromTheFuture legacy success": 1,
    },
  });
});

test("guard: a closed client runs the legacy path", async () => {
  await client.close();
  const path = guards.guard("enabled", user, fail(new Error("new")), () => "legacy");
  assert.equal(path, "legacy");
});

test("guard: a new path that throws or rejects is followed by the legacy one, and by its errors", async () => {
  const legacyError = new Error("legacy");
  const legacy = () => "legacy";
  const rejecting = async () => Promise.reject(new Error("new"));
  assert.equal(guards.guard("enabled", user, fail(new Error("new")), legacy), "legacy");
  assert.equal(guards.guard("enabled", user, fail(undefined), legacy), "legacy");
  assert.equal(guards.guard("enabled", user, undefined, legacy), "legacy");
  assert.equal(await guards.guard("enabled", user, rejecting, legacy), "legacy");
  assert.equal(await guards.guard("enabled", user, fail(new Error("new")), async () => "legacy"), "legacy");
  const isLegacy = (error) => error === legacyError;
  assert.throws(() => guards.guard("enabled", user, fail(new Error("new")), fail(legacyError)), isLegacy);
  await assert.rejects(guards.guard("enabled", user, rejecting, fail(legacyError)), isLegacy);
  await assert.rejects(
    guards.guard("enabled", user, rejecting, async () => Promise.reject(legacyError)),
    isLegacy,
  );
  assert.throws(() => guards.guard("disabled", user, fail(new Error("new")), fail(legacyError)), isLegacy);
  await assert.rejects(
    guards.guard("disabled", user, rejecting, async () => Promise.reject(legacyError)),
    isLegacy,
  );
  assert.deepEqual(counted(), {
    guard_calls: { "enabled new error": 8, "disabled legacy error": 2 },
    guard_fallbacks: { "enabled success": 5, "enabled error": 3 },
  });
});

test("guard: synchronous paths give results, asynchronous ones promises, and a thenable runs once", async () => {
  let runs = 0;
  const query = () => ({ then: (resolve) => resolve(++runs) });
  for (const flag of ["enabled", "disabled"]) {
    const value = guards.guard(flag, user, query, query);
    assert.ok(value instanceof Promise);
    assert.equal(await value, runs);
  }
  assert.equal(runs, 2);
  const hostile = {
    get then() {
      throw new Error("no");
    },
  };
  for (const flag of ["enabled", "disabled"]) {
    assert.equal(
      guards.guard(
        flag,
        user,
        () => hostile,
        () => hostile,
      ),
      hostile,
    );
  }
});

test("guard: a new path that takes too long is aborted, and its late result discarded and counted", async () => {
  for (const end of ["resolve", "reject"]) {
    const slow = deferred();
    let signal;
    const path = (given) => {
      signal = given;
      return slow.promise;
    };
    assert.equal(await guards.guard("enabled", user, path, () => "legacy", { timeout: 1 }), "legacy");
    assert.equal(signal.reason.name, "TimeoutError");
    assert.equal(counted().guard_late_results?.[`enabled ${end === "resolve" ? "success" : "error"}`], undefined);
    slow[end](new Error("late"));
    await setImmediate();
  }
  const legacyError = new Error("legacy");
  const never = () => new Promise(() => undefined);
  await assert.rejects(
    guards.guard("enabled", user, never, fail(legacyError), { timeout: 1 }),
    (error) => error === legacyError,
  );
  assert.deepEqual(counted(), {
    guard_calls: { "enabled new timeout": 3 },
    guard_fallbacks: { "enabled success": 2, "enabled error": 1 },
    guard_late_results: { "enabled success": 1, "enabled error": 1 },
  });
});

test("guard: a new path that ends in time is not aborted, and leaves no timer", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const signals = [];
  const path = (end) => async (signal) => {
    signals.push(signal);
    return end();
  };
  const run = (end) => guards.guard("enabled", user, path(end), () => "legacy", { timeout: 1000 });
  assert.equal(await run(() => "new"), "new");
  assert.equal(await run(fail(new Error("new"))), "legacy");
  context.mock.timers.tick(5000);
  assert.deepEqual(
    signals.map(({ aborted }) => aborted),
    [false, false],
  );
  assert.deepEqual(counted(), {
    guard_calls: { "enabled new success": 1, "enabled new error": 1 },
    guard_fallbacks: { "enabled success": 1 },
  });
});

test("guard: a guard inside a guard is a call of its own; each is counted once", async () => {
  const inner = async () =>
    guards.guard(
      "constructor",
      user,
      async () => Promise.reject(new Error("new")),
      () => "inner",
    );
  assert.equal(await guards.guard("enabled", user, inner, () => "outer"), "inner");
  assert.deepEqual(counted(), {
    guard_calls: { "enabled new success": 1, "constructor new error": 1 },
    guard_fallbacks: { "constructor success": 1 },
  });
});

test("guard: a bad timeout counts for nothing and is warned of once", async () => {
  for (const timeout of [0, -1, NaN, 2 ** 31, Infinity, "soon", null]) {
    for (let times = 0; times < 2; times++) {
      const path = async () => setImmediate("new");
      assert.equal(await guards.guard("enabled", user, path, () => "legacy", { timeout }), "new");
    }
  }
  assert.equal(
    await guards.guard(
      "enabled",
      user,
      async () => "new",
      () => "legacy",
      null,
    ),
    "new",
  );
  assert.deepEqual(warnings, [
    "flagstone: guard of `enabled`: timeout must be milliseconds above 0 and below 2^31; there is none",
  ]);
});

test("shadow: gives what the legacy path gives and compares once both are there", async () => {
  const mismatches = [];
  const run = async (newPath, legacyPath, rest) => {
    const done = deferred();
    const result = guards.shadow("enabled", user, newPath, legacyPath, {
      mismatch: (found) => mismatches.push(found),
      waitUntil: done.resolve,
      ...rest,
    });
    const settled = await Promise.allSettled([result]);
    assert.equal(await await done.promise, undefined);
    return settled[0].value ?? settled[0].reason;
  };
  const tree = () => ({
    list: [1, { deep: NaN }],
    when: new Date(0),
    set: new Set(["a"]),
    map: new Map([[1, { b: 2 }]]),
  });
  const legacy = tree();
  assert.equal(await run(tree, () => legacy), legacy);
  assert.equal(
    await run(
      async () => tree(),
      () => legacy,
    ),
    legacy,
  );
  assert.equal(await run(tree, async () => legacy), legacy);
  const other = { ...tree(), when: new Date(1) };
  assert.equal(
    await run(
      () => other,
      async () => legacy,
    ),
    legacy,
  );
  assert.deepEqual(mismatches, [{ flag: "enabled", legacy, new: other }]);
  assert.equal(mismatches[0].new, other);
  assert.equal(
    await run(
      () => 1.001,
      () => 1,
      { equal: (one, two) => Math.abs(one - two) < 0.01 },
    ),
    1,
  );
  assert.deepEqual(counted(), { shadow_calls: { "enabled match": 4, "enabled mismatch": 1 } });

  assert.equal(await run(fail(new Error("new")), () => "legacy"), "legacy");
  assert.equal(
    await run(
      async () => Promise.reject(new Error("new")),
      async () => "legacy",
    ),
    "legacy",
  );
  const legacyError = new Error("legacy");
  assert.equal(
    await run(
      () => 1,
      async () => Promise.reject(legacyError),
    ),
    legacyError,
  );
  assert.throws(
    () => guards.shadow("enabled", user, () => 1, fail(legacyError)),
    (error) => error === legacyError,
  );
  assert.equal(
    await run(
      () => new Promise(() => undefined),
      () => "legacy",
      { timeout: 1 },
    ),
    "legacy",
  );
  assert.equal(mismatches.length, 1);
  assert.deepEqual(counted().shadow_calls, {
    "enabled match": 4,
    "enabled mismatch": 1,
    "enabled error": 2,
    "enabled timeout": 1,
    "enabled legacy_error": 2,
  });
});

test("shadow: the new path starts after the caller has gone on", async () => {
  const order = [];
  const done = deferred();
  const result = guards.shadow(
    "enabled",
    user,
    () => order.push("new"),
    () => order.push("legacy"),
    {
      equal: () => true,
      waitUntil: done.resolve,
    },
  );
  assert.equal(result, 1);
  order.push("caller");
  await Promise.resolve().then(() => order.push("caller's microtask"));
  await await done.promise;
  assert.deepEqual(order, ["legacy", "caller", "caller's microtask", "new"]);
});

test("shadow: whoever forgets the legacy path's rejection hears of it as ever, and of the new path's never", () => {
  const code = `
    import { FlagstoneClient } from "flagstone";
    import { Guards } from "flagstone/guard";
    process.on("unhandledRejection", (error) => console.log(error.message));
    const flags = await FlagstoneClient.start(${JSON.stringify(options)});
    const [newPath, legacyPath] = ["new", "legacy"].map((path) => async () => Promise.reject(new Error(path)));
    await new Promise((waitUntil) => void new Guards(flags).shadow("enabled", {}, newPath, legacyPath, { waitUntil }));`;
  const args = ["--input-type=module", "--eval", code];
  assert.equal(execFileSync(process.execPath, args, { cwd: installed, encoding: "utf8" }), "legacy\n");
});

test("shadow: only where the flag is true, and for the fraction of calls that is sampled", async (context) => {
  const started = [];
  const ended = [];
  const run = (flag, sample) =>
    guards.shadow(
      flag,
      user,
      () => started.push(flag),
      () => "legacy",
      {
        sample,
        equal: () => true,
        waitUntil: (done) => ended.push(done),
      },
    );
  const random = context.mock.method(Math, "random", () => 0.25);
  assert.equal(run("disabled", 1), "legacy");
  for (const sample of [0, 0.25, 0.2500001, 1, undefined]) assert.equal(run("enabled", sample), "legacy");
  random.mock.mockImplementation(() => 0.999999999);
  assert.equal(run("enabled", 1), "legacy");
  random.mock.mockImplementation(() => 0);
  assert.equal(run("enabled", 0), "legacy");
  for (const sample of [-0.1, 1.1, NaN, "half", null, 5]) assert.equal(run("enabled", sample), "legacy");
  await Promise.all(ended);
  assert.equal(started.length, 4);
  assert.deepEqual(counted(), { shadow_calls: { "enabled match": 4 } });
  assert.deepEqual(warnings, [
    "flagstone: shadow of `enabled`: sample must be a number from 0 to 1; nothing is shadowed",
  ]);
});

test("shadow: what the callbacks throw is contained, and warned of once without what it says", async () => {
  const ended = [];
  const secret = new TypeError("user-42");
  const run = (rest) =>
    guards.shadow(
      "enabled",
      user,
      () => 1,
      () => 2,
      { waitUntil: (done) => ended.push(done), ...rest },
    );
  for (let times = 0; times < 2; times++) {
    run({ mismatch: fail(secret) });
    run({ mismatch: async () => Promise.reject(secret) });
    run({ equal: fail(secret) });
    run({ equal: async () => true });
    run({ waitUntil: fail(secret) });
    const cyclic = {};
    cyclic.self = cyclic;
    const twin = {};
    twin.self = twin;
    guards.shadow(
      "enabled",
      user,
      () => cyclic,
      () => twin,
      { waitUntil: (done) => ended.push(done) },
    );
  }
  await Promise.all(ended);
  await new Promise((resolve) => setTimeout(resolve));
  const { mismatch, incomparable } = Object.fromEntries(
    Object.entries(counted().shadow_calls).map(([key, count]) => [key.split(" ")[1], count]),
  );
  assert.deepEqual([mismatch, incomparable], [6, 6]);
  assert.deepEqual(warnings.sort(), [
    "flagstone: `enabled`: the callback `mismatch` failed (TypeError)",
    "flagstone: `enabled`: the callback `waitUntil` failed (TypeError)",
    "flagstone: shadow of `enabled`: the results cannot be compared (RangeError); see its option `equal`",
    "flagstone: shadow of `enabled`: the results cannot be compared (TypeError); see its option `equal`",
  ]);
});

test("shadow: no more than 16 at once", async () => {
  const gate = deferred();
  const ended = [];
  const run = () =>
    guards.shadow(
      "enabled",
      user,
      () => gate.promise,
      () => 1,
      { waitUntil: (done) => ended.push(done) },
    );
  for (let index = 0; index < 20; index++) assert.equal(run(), 1);
  assert.deepEqual(counted().shadow_calls, { "enabled dropped": 4 });
  gate.resolve(1);
  await Promise.all(ended);
  run();
  await Promise.all(ended);
  assert.deepEqual(counted().shadow_calls, { "enabled dropped": 4, "enabled match": 17 });
});

test("shadow: closing ends them, their timers and what has not started", async (context) => {
  const set = context.mock.method(globalThis, "setTimeout");
  const clear = context.mock.method(globalThis, "clearTimeout");
  const signals = [];
  const ended = [];
  const run = () =>
    guards.shadow(
      "enabled",
      user,
      (signal) => {
        signals.push(signal);
        return new Promise(() => undefined);
      },
      () => 1,
      { waitUntil: (done) => ended.push(done) },
    );
  run();
  await new Promise((resolve) => setTimeout(resolve, 1));
  run();
  assert.deepEqual([signals.length, signals[0].aborted], [1, false]);
  await client.close();
  await Promise.all(ended);
  await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual([signals.length, signals[0].aborted, signals[0].reason.name], [1, true, "AbortError"]);
  const cleared = clear.mock.calls.map(({ arguments: [timer] }) => timer);
  const timers = set.mock.calls.filter(({ arguments: [, delay] }) => delay === 10_000).map(({ result }) => result);
  assert.equal(timers.length, 2);
  for (const timer of timers) assert.ok(cleared.includes(timer));
  assert.equal(run(), 1);
  assert.equal(ended.length, 2);
  assert.deepEqual(counted(), {});
});

/** What Prometheus' own parser and linter say. */
function promtool(metrics) {
  try {
    return execFileSync("promtool", ["check", "metrics"], { input: metrics, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    if (error.code === "ENOENT") throw new Error("promtool is missing: run '.ci/install prometheus'", { cause: error });
    throw new Error(`${error.stdout}${error.stderr}`, { cause: error });
  }
}

test("metrics: are Prometheus' text format", async () => {
  assert.equal(guards.metrics(), "");
  const awkward = 'a "quoted" flag\\with\na new line, ünïcode {and} = more';
  guards.guard(
    awkward,
    user,
    () => 1,
    () => 2,
  );
  guards.guard("enabled", user, fail(new Error("user-42")), () => 2);
  const done = deferred();
  guards.shadow(
    "enabled",
    user,
    () => 1,
    () => 1,
    { waitUntil: done.resolve },
  );
  await await done.promise;
  const metrics = guards.metrics();
  assert.equal(promtool(metrics), "");
  assert.throws(() => promtool(`${metrics}flagstone{flag="a"b"} 1\n`), /error while linting/, "the check can fail");
  assert.match(metrics, /^flagstone_guard_calls_total\{flag="enabled",path="new",outcome="error"\} 1$/m);
  assert.match(metrics, /^flagstone_shadow_calls_total\{flag="enabled",outcome="match"\} 1$/m);
  // Each series is there from the start, so that a first error is seen to rise.
  assert.match(metrics, /^flagstone_guard_calls_total\{flag="enabled",path="new",outcome="timeout"\} 0$/m);
  assert.ok(metrics.includes('{flag="a \\"quoted\\" flag\\\\with\\na new line, ünïcode {and} = more",'));
  assert.ok(!metrics.includes("user-42"));
});

test("metrics: a program that makes up names does not fill the memory", () => {
  for (let index = 0; index < 1500; index++) {
    assert.equal(
      guards.guard(
        `flag-${index}`,
        user,
        () => 1,
        () => 2,
      ),
      2,
    );
  }
  guards.guard(
    "flag-999",
    user,
    () => 1,
    () => 2,
  );
  const { guard_calls } = counted();
  assert.deepEqual([Object.keys(guard_calls).length, guard_calls["flag-999 legacy success"]], [1000, 2]);
  assert.deepEqual(warnings, ["flagstone: more than 1000 flags are guarded or shadowed: the others are not counted"]);
});

/** A server that keeps what it is sent. */
async function collector() {
  const received = [];
  const collect = async (request, response) => {
    received.push({ type: request.headers["content-type"], report: JSON.parse(await text(request)) });
    response.writeHead(collect.status).end();
    waiting?.();
  };
  let waiting;
  collect.status = 204;
  collect.received = received;
  /** Resolves once there are so many. */
  collect.has = async (count) => {
    while (received.length < count) await new Promise((resolve) => (waiting = resolve));
    return received.slice(count - 1);
  };
  return collect;
}

const guardCalls = (rest) => ({
  type: "application/json",
  report: { flagstone_guard_calls_total: rest.map(([flag, path, outcome, count]) => ({ flag, path, outcome, count })) },
});

test("sendMetrics: what was counted since, by fetch where there are no beacons; what is refused goes with the next", async () => {
  const collect = await collector();
  const server = await serve({ "/metrics": collect });
  const call = () =>
    guards.guard(
      "enabled",
      user,
      () => 1,
      () => 2,
    );
  try {
    const url = new URL("/metrics", server.base);
    assert.equal(await guards.sendMetrics(url), true);
    assert.equal(collect.received.length, 0, "nothing was counted");
    call();
    call();
    guards.guard(
      "disabled",
      user,
      () => 1,
      () => 2,
    );
    const both = [guards.sendMetrics(url), guards.sendMetrics(url)];
    assert.deepEqual(await Promise.all(both), [true, true]);
    const all = [
      ["enabled", "new", "success", 2],
      ["disabled", "legacy", "success", 1],
    ];
    assert.deepEqual(collect.received, [guardCalls(all)]);
    collect.status = 503;
    call();
    assert.equal(await guards.sendMetrics(String(url)), false);
    assert.equal(await guards.sendMetrics("http://127.0.0.1:1/"), false);
    assert.equal(await guards.sendMetrics("no URL"), false);
    collect.status = 204;
    call();
    assert.equal(await guards.sendMetrics(url), true);
    assert.deepEqual(collect.received.at(-1), guardCalls([["enabled", "new", "success", 2]]));
    assert.equal(counted().guard_calls["enabled new success"], 4, "what Prometheus reads only grows");
  } finally {
    server.close();
  }
});

test("sendMetrics: many flags go in reports that browsers take", async () => {
  const collect = await collector();
  const server = await serve({ "/metrics": collect });
  try {
    for (let index = 0; index < 900; index++)
      guards.guard(
        `flag-${index}`,
        user,
        () => 1,
        () => 2,
      );
    assert.equal(await guards.sendMetrics(`${server.base}/metrics`), true);
    const reports = collect.received.map(({ report }) => report);
    assert.equal(reports.flatMap(({ flagstone_guard_calls_total }) => flagstone_guard_calls_total).length, 900);
    for (const report of reports) assert.ok(JSON.stringify(report).length < 64 * 1024);
  } finally {
    server.close();
  }
});

test("reportMetrics: does nothing outside of pages", () => {
  assert.equal(guards.reportMetrics("/metrics")(), undefined);
});

test("what the types say", () => {
  const fixtures = ["guard", "client"].map((name) =>
    fileURLToPath(new URL(`support/${name}.types.ts`, import.meta.url)),
  );
  const program = ts.createProgram(fixtures, {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
    types: [],
    skipLibCheck: true,
    paths: { flagstone: [`${pkg}client.d.ts`], "flagstone/guard": [`${pkg}guard.d.ts`], "flagstone/testing": [`${pkg}testing.d.ts`] },
  });
  const host = { getCanonicalFileName: String, getCurrentDirectory: () => process.cwd(), getNewLine: () => "\n" };
  assert.equal(ts.formatDiagnostics(ts.getPreEmitDiagnostics(program), host), "");
});

let browser, server, collect;
const imported = entry(".", ["browser", "import"]).replace("./", "/pkg/");
before(async () => {
  collect = await collector();
  const importMap = JSON.stringify({ imports: { dequal: "/dequal/index.mjs" } });
  server = await serve({
    "/pkg/": pkg,
    "/dequal/": fileURLToPath(new URL("../../pkg-templates/node_modules/dequal/dist/", import.meta.url)),
    "/page.html": `<!doctype html><title>Flagstone</title><script type="importmap">${importMap}</script>`,
    "/elsewhere.html": "<!doctype html><title>Elsewhere</title>",
    "/client.json": options.source,
    "/metrics": collect,
  });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.close();
});

/** A page with a client, as `flags`, and `guards`. */
async function open() {
  const page = await browser.newPage();
  await page.goto(`${server.base}/page.html`);
  await page.evaluate(
    async ({ imported, options }) => {
      const [{ FlagstoneClient }, { Guards }] = await Promise.all([import(imported), import("/pkg/guard.js")]);
      globalThis.flags = await FlagstoneClient.start({ ...options, source: "/client.json" });
      globalThis.guards = new Guards(globalThis.flags);
    },
    { imported, options },
  );
  return page;
}

test("in Chromium: guards, compares, and sends a beacon", async () => {
  collect.received.length = 0;
  const page = await open();
  const answer = await page.evaluate(async () => {
    const { guards } = globalThis;
    const legacy = guards.guard(
      "enabled",
      {},
      () => {
        throw new Error("new");
      },
      () => "legacy",
    );
    const timeout = await guards.guard(
      "enabled",
      {},
      () => new Promise(() => {}),
      async () => "in time",
      { timeout: 1 },
    );
    const shadow = await new Promise((resolve) => {
      const legacy = () => ({ a: [1] });
      guards.shadow("enabled", {}, async () => ({ a: [1] }), legacy, { waitUntil: resolve });
    });
    const { sendBeacon } = navigator;
    navigator.sendBeacon = () => false;
    const refused = await guards.sendMetrics("/metrics");
    navigator.sendBeacon = sendBeacon;
    globalThis.fetch = undefined;
    return { legacy, timeout, shadow, refused, sent: await guards.sendMetrics("/metrics"), metrics: guards.metrics() };
  });
  const { metrics, ...rest } = answer;
  assert.deepEqual(rest, { shadow: undefined, legacy: "legacy", timeout: "in time", refused: false, sent: true });
  assert.deepEqual(counted(metrics).shadow_calls, { "enabled match": 1 });
  const [{ type, report }] = await collect.has(1);
  assert.equal(type, "application/json");
  assert.deepEqual(report, {
    flagstone_guard_calls_total: [
      { flag: "enabled", path: "new", outcome: "error", count: 1 },
      { flag: "enabled", path: "new", outcome: "timeout", count: 1 },
    ],
    flagstone_guard_fallbacks_total: [{ flag: "enabled", outcome: "success", count: 2 }],
    flagstone_shadow_calls_total: [{ flag: "enabled", outcome: "match", count: 1 }],
  });
  await page.close();
});

test("in Chromium: a page that is left reports what it counted, once, and not once it was stopped or closed", async () => {
  collect.received.length = 0;
  const once = guardCalls([["enabled", "new", "success", 1]]);
  const leave = async (report) => {
    const page = await open();
    await page.evaluate(report);
    await page.evaluate(() =>
      globalThis.guards.guard(
        "enabled",
        {},
        () => 1,
        () => 2,
      ),
    );
    await page.goto(`${server.base}/elsewhere.html`);
    return page;
  };
  const silent = [
    await leave(() => globalThis.guards.reportMetrics("/metrics")()),
    await leave(async () => {
      globalThis.guards.reportMetrics("/metrics");
      await globalThis.flags.close();
    }),
    await leave(async () => {
      await globalThis.flags.close();
      globalThis.guards.reportMetrics("/metrics");
    }),
  ];
  const page = await leave(() => void globalThis.guards.reportMetrics("/metrics"));
  await collect.has(1);
  // Whatever the pages had sent before would have come by now: one more is asked for, and is the second.
  const last = await leave(() => void globalThis.guards.reportMetrics("/metrics"));
  await collect.has(2);
  assert.deepEqual(collect.received, [once, once]);
  for (const opened of [...silent, page, last]) await opened.close();
});

test("in Chromium: a hidden page reports, and goes on counting", async () => {
  collect.received.length = 0;
  const page = await open();
  const hide = (state) =>
    page.evaluate((state) => {
      globalThis.guards.guard(
        "enabled",
        {},
        () => 1,
        () => 2,
      );
      Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, state);
  await page.evaluate(() => void globalThis.guards.reportMetrics("/metrics"));
  await hide("hidden");
  await collect.has(1);
  await hide("visible");
  await hide("hidden");
  await collect.has(2);
  assert.deepEqual(collect.received, [
    guardCalls([["enabled", "new", "success", 1]]),
    guardCalls([["enabled", "new", "success", 2]]),
  ]);
  await page.close();
});

test("in workerd: a shadow ends after the response, and counts are sent by fetch", async () => {
  const collect = await collector();
  const server = await serve({ "/metrics": collect });
  const worker = `
    import { FlagstoneClient } from ${JSON.stringify(entry(".", ["workerd", "worker", "browser"]))};
    import { Guards } from "./guard.js";
    let flags, guards;
    export default {
      async fetch(request, env, context) {
        const { options, url } = await request.json();
        flags ??= await FlagstoneClient.start(options);
        guards ??= new Guards(flags);
        const path = await guards.guard("enabled", {}, () => new Promise(() => {}), async () => "legacy", { timeout: 1 });
        guards.shadow("enabled", {}, async () => 1, () => 1, {
          equal: (one, two) => one === two,
          waitUntil: (done) => context.waitUntil(done.then(() => guards.sendMetrics(url))),
        });
        return new Response(path);
      },
    };`;
  const files = readdirSync(pkg).filter((file) => /\.(js|wasm)$/.test(file));
  const miniflare = new Miniflare({
    cf: false,
    compatibilityDate: "2026-01-01",
    modulesRoot: pkg,
    modules: [
      { type: "ESModule", path: join(pkg, "worker.js"), contents: worker },
      ...files.map((file) => ({ type: file.endsWith(".js") ? "ESModule" : "CompiledWasm", path: join(pkg, file) })),
    ],
  });
  try {
    const body = JSON.stringify({ options, url: `${server.base}/metrics` });
    const response = await miniflare.dispatchFetch("http://localhost/", { method: "POST", body });
    assert.equal(await response.text(), "legacy");
    const [{ report }] = await collect.has(1);
    assert.deepEqual(report.flagstone_guard_calls_total, [
      { flag: "enabled", path: "new", outcome: "timeout", count: 1 },
    ]);
    assert.deepEqual(report.flagstone_shadow_calls_total, [{ flag: "enabled", outcome: "match", count: 1 }]);
  } finally {
    await miniflare.dispose();
    server.close();
  }
});
