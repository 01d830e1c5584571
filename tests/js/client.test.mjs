// The client in Node.js, as the package that users get.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { FlagstoneClient, LoadError } from "../../pkg/node.js";
import * as tools from "../../pkg/tools.js";
import { boolean, byKey, envelope, flags, keyPair, snapshot } from "./support/sign.mjs";

const production = keyPair();
const { keys } = production;
const signed = (content) => envelope(snapshot(content), production);
const start = (source, options) =>
  FlagstoneClient.start({ source, environment: "production", keys, warn: () => undefined, ...options });
const user = { targetingKey: "user-42" };
/** As `publish` does. */
const complete = async (payload) => new TextDecoder().decode(await tools.complete(new TextEncoder().encode(payload)));

let client;
before(async () => {
  client = await start(signed({ version: 7, flags }));
});
after(() => client.close());

test("serves each type", () => {
  assert.equal(client.boolean("enabled", false, user), true);
  assert.equal(client.boolean("disabled", true, user), false);
  assert.ok(["#f00", "#00f", "#0f0"].includes(client.string("color", "none", user)));
  assert.equal(client.number("limit", 0, user), 1000);
  assert.deepEqual(client.json("layout", null, user), { columns: [1, 2], nested: { deep: ["x"] } });
  assert.equal(client.version, 7);
  assert.equal(client.created.toISOString(), "2026-11-21T12:00:00.000Z");
  assert.equal(client.expires.toISOString(), "2100-01-01T00:00:00.000Z");
  assert.deepEqual(client.flags.map(({ key }) => key).sort(), Object.keys(flags).sort());
  assert.deepEqual(
    client.flags.find(({ key }) => key === "limit"),
    { key: "limit", type: "number", variants: ["low", "high"] },
  );
});

test("a context may be left out", () => {
  assert.equal(client.boolean("enabled", false), true);
  assert.equal(client.boolean("enabled", false, null), true);
  assert.equal(client.details("ramped", true).flagMetadata.keyMissing, true);
  assert.equal(client.boolean("targeted", true), false);
});

test("details are OpenFeature's", () => {
  assert.deepEqual(client.details("enabled", false, user), {
    flagKey: "enabled",
    value: true,
    variant: "on",
    reason: "STATIC",
    flagMetadata: { version: 7, step: "default" },
  });
  const targeted = client.details("targeted", false, { ...user, account: { plan: "pro" } });
  assert.deepEqual([targeted.value, targeted.reason], [true, "TARGETING_MATCH"]);
  assert.deepEqual(targeted.flagMetadata, { version: 7, step: "rule", rule: "plan" });
  const color = client.details("color", "none", user);
  assert.deepEqual([color.reason, flags.color.variants[color.variant]], ["SPLIT", color.value]);
  assert.deepEqual(client.details("disabled", true, user).flagMetadata, { version: 7, step: "disabled" });
  assert.deepEqual(client.details("needsFlag", true, user).flagMetadata, { version: 7, step: "prerequisite" });
  const scheduled = client.details("scheduled", false, user);
  assert.deepEqual([scheduled.value, scheduled.flagMetadata.until], [false, 4000000000000]);
  assert.equal(client.details("layout", {}, user).variant, "plain");
});

test("a missing flag serves the default", async () => {
  for (const missing of ["nothing", "toString", "__proto__", "hasOwnProperty", ""]) {
    assert.equal(client.boolean(missing, true, user), true);
    assert.equal(client.string(missing, "mine", user), "mine");
    assert.equal(client.number(missing, 4, user), 4);
    const mine = { a: 1 };
    assert.equal(client.json(missing, mine, user), mine);
    const details = client.details(missing, 4, user);
    assert.deepEqual([details.value, details.reason, details.errorCode], [4, "ERROR", "FLAG_NOT_FOUND"]);
    assert.match(details.errorMessage, /holds no flag/);
    assert.deepEqual(details.flagMetadata, { version: 7 });
    assert.equal((await client.explain(missing, user)).details.errorCode, "FLAG_NOT_FOUND");
  }
  assert.equal(client.boolean("constructor", false, user), true, "a flag may be called so");
});

test("a flag of another type serves the default", () => {
  assert.equal(client.boolean("color", true, user), true);
  assert.equal(client.string("enabled", "mine", user), "mine");
  assert.equal(client.number("layout", 4, user), 4);
  assert.equal(client.json("limit", "mine", user), "mine");
  for (const [flag, fallback] of [
    ["enabled", "mine"],
    ["color", false],
    ["limit", {}],
    ["layout", 4],
    ["enabled", null],
    ["enabled", undefined],
  ]) {
    const details = client.details(flag, fallback, user);
    assert.deepEqual([details.value, details.reason, details.errorCode], [fallback, "ERROR", "TYPE_MISMATCH"]);
  }
});

test("a flag that needs what this engine lacks serves the default", () => {
  assert.equal(client.boolean("fromTheFuture", true, user), true);
  const details = client.details("fromTheFuture", true, user);
  assert.deepEqual([details.value, details.reason, details.errorCode], [true, "ERROR", "GENERAL"]);
  assert.equal(details.variant, undefined);
  assert.equal(details.flagMetadata.step, "unsupported");
});

test("one shot, a subject and all flags at once agree", async () => {
  for (let index = 0; index < 500; index++) {
    const context = { targetingKey: `user-${index}`, account: { plan: index % 3 ? "free" : "pro" }, age: index % 50 };
    const subject = client.subject(context);
    const all = byKey(client.all(context));
    assert.deepEqual(Object.keys(all).sort(), Object.keys(flags).sort());
    assert.deepEqual(byKey(subject.all()), all);
    for (const { key } of client.flags) {
      const details = client.details(key, all[key].variant === undefined ? true : all[key].value, context);
      assert.deepEqual({ ...details, value: all[key].value }, all[key], key);
      assert.deepEqual((await subject.explain(key)).details, all[key], key);
    }
    assert.equal(subject.boolean("ramped", true), client.boolean("ramped", true, context));
    assert.equal(subject.string("color", ""), client.string("color", "", context));
    assert.equal(subject.number("limit", 0), 1000);
    assert.equal(subject.json("layout", null), client.json("layout", null, context));
    assert.deepEqual(subject.details("color", ""), client.details("color", "", context));
  }
});

test("subjects taking turns stay apart", () => {
  const subjects = Array.from({ length: 50 }, (_, index) => client.subject({ targetingKey: `user-${index}` }));
  const once = subjects.map((subject, index) => client.boolean("ramped", false, { targetingKey: `user-${index}` }));
  assert.deepEqual(
    subjects.map((subject) => subject.boolean("ramped", false)),
    once,
  );
  assert.ok(once.includes(true) && once.includes(false));
});

test("values are parsed once and frozen all the way down", () => {
  const layout = client.json("layout", null, user);
  assert.equal(client.json("layout", null, { targetingKey: "user-43" }), layout);
  for (const part of [layout, layout.columns, layout.nested, layout.nested.deep]) assert.ok(Object.isFrozen(part));
});

test("details that no clock changes are made once a result, and frozen", () => {
  const details = client.details("enabled", false, user);
  assert.ok(Object.isFrozen(details) && Object.isFrozen(details.flagMetadata));
  assert.equal(client.details("enabled", true, { targetingKey: "user-43" }), details);
  assert.equal(byKey(client.all(user)).enabled, details);
  assert.notEqual(client.details("there is none", false, user), client.details("there is none", false, user));
});

test("what a condition made of a value is not taken for what it makes of the next", async () => {
  const rule = { id: "pro", when: { attribute: "plan", equals: "pro" }, serve: "on" };
  const planned = boolean("off", { requires: ["equals"], rules: [rule] });
  const client = await start(signed({ version: 1, flags: { planned, ramped: flags.ramped } }));
  // More than is kept, so that each plan comes to stand where the one before stood.
  const targetingKey = "x".repeat(100_000);
  for (const plan of ["pro", "free", "pro"]) {
    assert.equal(client.boolean("planned", false, { plan }), plan === "pro", plan);
    client.boolean("ramped", false, { targetingKey });
  }
  await client.close();
});

test("explains step by step", async () => {
  const { details, steps } = await client.explain("ramped", user);
  const last = steps.at(-1);
  assert.deepEqual([last.step, last.decided, last.flag, last.depth], ["default", true, "ramped", 0]);
  const [threshold] = last.findings;
  assert.deepEqual([threshold.kind, threshold.percent], ["threshold", 25000]);
  assert.equal(threshold.membership, details.value ? "in" : "out");
  assert.equal(threshold.position < threshold.percent, details.value);
  const targeted = (await client.explain("targeted", { staff: "yes" })).steps.find(({ step }) => step === "rule");
  assert.deepEqual(targeted.findings[0], {
    kind: "condition",
    json: '{"attribute":"staff","equals":true}',
    truth: "unknown",
  });
});

// What each attribute makes of the flag `targeted`: the rule that matches.
const rule = (context) => client.details("targeted", false, { ...context }).flagMetadata.rule;

test("reads each type of attribute", () => {
  assert.equal(rule({ staff: true }), "staff");
  assert.equal(rule({ staff: "true" }), undefined);
  assert.equal(rule({ account: { plan: "pro" } }), "plan");
  assert.equal(rule({ account: { plan: "ngày" } }), "plan");
  assert.equal(rule({ account: { plan: "😀" } }), "plan");
  assert.equal(rule({ "account.plan": "pro" }), undefined);
  assert.equal(rule({ account: ["pro"] }), undefined);
  assert.equal(rule({ account: "pro" }), undefined);
  assert.equal(rule({ age: 41 }), "age");
  assert.equal(rule({ age: -1.5 }), "age");
  assert.equal(rule({ age: 41n }), "age");
  assert.equal(rule({ age: NaN }), undefined);
  assert.equal(rule({ groups: ["alpha", "beta"] }), "group");
  assert.equal(rule({ groups: [null, undefined, {}, [7], 7] }), "group");
  assert.equal(rule({ groups: [7n] }), "group");
  assert.equal(rule({ groups: [null, undefined, {}, [7], Symbol("beta"), new Date(7), "\ud800"] }), undefined);
  assert.equal(rule({ groups: [true] }), "group");
  assert.equal(rule({ groups: "beta" }), undefined);
  assert.equal(rule({ groups: new Array(3) }), undefined);
  assert.equal(rule({ signedUp: new Date(1700000000001) }), "new");
  assert.equal(rule({ signedUp: new Date(1700000000000) }), undefined);
  assert.equal(rule({ signedUp: 1700000000001 }), "new");
  assert.equal(rule({ signedUp: "2025-01-01T00:00:00Z" }), "new");
  assert.equal(rule({ signedUp: new Date(NaN) }), undefined);
  for (const nothing of [null, undefined, () => true, Symbol("staff"), Infinity]) {
    assert.equal(rule({ staff: nothing, age: nothing, signedUp: nothing, account: nothing }), undefined);
  }
});

test("long and ill-formed strings", async () => {
  for (const long of ["x".repeat(65), "ngày".repeat(50), "😀".repeat(100_000)]) {
    const position = async (targetingKey) => {
      const { steps } = await client.explain("ramped", { targetingKey });
      return steps.at(-1).findings[0].position;
    };
    assert.equal(typeof (await position(long)), "number");
    assert.notEqual(await position(long), await position(`${long}.`));
  }
  for (const broken of ["\ud800", "user-\udc00", `${"x".repeat(100)}\ud83d`, "\ude00\ud83d"]) {
    assert.equal(client.details("ramped", true, { targetingKey: broken }).flagMetadata.keyMissing, true);
  }
  // The same key: a whole number and its decimal digits.
  const color = (targetingKey) => client.string("color", "", { targetingKey });
  assert.equal(color(42), color("42"));
  assert.equal(color(42n), color("42"));
  assert.equal(color(-0), color("0"));
  assert.equal(client.details("ramped", true, { targetingKey: 0.5 }).flagMetadata.keyMissing, true);
  assert.equal(client.details("ramped", true, { targetingKey: 2n ** 53n }).flagMetadata.keyMissing, true);
});

test("inherited properties are no attributes", () => {
  assert.equal(rule({}), undefined);
  assert.equal(client.details("targeted", false, { a: {} }).flagMetadata.rule, undefined);
  assert.equal(client.details("targeted", false, Object.create({ staff: true })).flagMetadata.rule, undefined);
  class User {
    get staff() {
      return true;
    }
  }
  assert.equal(client.details("targeted", false, new User()).flagMetadata.rule, undefined);
  assert.equal(rule({ constructor: 1 }), "inherited");
  assert.equal(client.details("targeted", false, JSON.parse('{"__proto__": 1}')).flagMetadata.rule, "prototype");
  assert.equal(rule({ a: { toString: 1 } }), "deep");
  assert.equal(
    client.details("targeted", false, Object.assign(Object.create(null), { staff: true })).flagMetadata.rule,
    "staff",
  );
});

test("a getter that throws counts as missing", () => {
  const context = {
    targetingKey: "user-1",
    get staff() {
      throw new Error("not today");
    },
    age: 41,
  };
  assert.equal(client.details("targeted", false, context).flagMetadata.rule, "age");
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  assert.equal(client.boolean("enabled", false, proxy), true);
  assert.equal(client.boolean("targeted", true, proxy), false);
  assert.equal(client.details("targeted", false, { groups: proxy, age: 41 }).flagMetadata.rule, "age");
  const liar = { [Symbol.toStringTag]: "Date" };
  assert.equal(client.details("targeted", false, { signedUp: liar }).flagMetadata.rule, undefined);
});

test("a getter may evaluate flags itself", () => {
  const context = {
    targetingKey: "user-1",
    get staff() {
      client.string("color", "", { targetingKey: "someone else with a long key" });
      return client.boolean("disabled", true, { staff: false });
    },
    get account() {
      return { plan: client.boolean("enabled", false) ? "pro" : "free" };
    },
  };
  assert.equal(client.details("targeted", false, context).flagMetadata.rule, "plan");
});

test("a context whose own code makes the module's memory grow", async () => {
  const other = await start(signed({ version: 8, flags }));
  for (const megabytes of [4, 16, 48]) {
    const context = {
      ...user,
      get staff() {
        other.boolean("targeted", false, { groups: ["x".repeat(megabytes << 20)] });
        return true;
      },
    };
    assert.equal(client.boolean("targeted", false, context), true);
  }
  await other.close();
});

test("a context that is too large serves the default", () => {
  const context = { targetingKey: "user-1", groups: new Array(2 ** 27) };
  const details = client.details("targeted", true, context);
  assert.deepEqual([details.value, details.errorCode], [true, "GENERAL"]);
  assert.match(details.errorMessage, /64 MiB/);
  assert.equal(client.boolean("targeted", true, context), true);
  assert.equal(byKey(client.all(context)).targeted.errorCode, "GENERAL");
  assert.equal(client.boolean("enabled", false, user), true);
});

test("names that are numbers, wherever they stand", async () => {
  const variants = '{"z": "z", "10": "10", "01": "01", "4294967295": "4294967295", "2": "2", "4294967294": "4294967294"}';
  const names = Object.keys(JSON.parse(variants));
  // Each serves the variant of its own name, and asks for an attribute of its own.
  const flag = (name) => {
    const rules = `[{"id": "r", "when": {"attribute": "a${name}", "equals": true}, "serve": ${JSON.stringify(name)}}]`;
    return `"${name}": {"type": "string", "off": "z", "salt": "s", "variants": ${variants}, "rules": ${rules}, "default": "z"}`;
  };
  const disordered = ["z", "10", "01", "4294967295", "2", "4294967294"].map(flag).join();
  const payload = JSON.stringify(snapshot({ flags: {} })).replace('"flags":{}', `"flags":{${disordered}}`);
  for (const text of [payload, await complete(payload)]) {
    const numbered = await start(envelope(text, production));
    const context = Object.fromEntries(names.map((name) => [`a${name}`, true]));
    const all = byKey(numbered.all(context));
    for (const name of names) {
      assert.equal(numbered.string(name, "", context), name);
      assert.deepEqual([all[name].value, all[name].variant], [name, name]);
      assert.equal(numbered.string(name, "", {}), "z");
      assert.equal((await numbered.explain(name, context)).steps.at(-1).flag, name);
    }
    await numbered.close();
  }
});

test("what was compiled at publish is evaluated, unless the document is another one", async () => {
  const read = async (payload) => {
    const reader = await start(envelope(payload, production));
    const answer = JSON.parse(JSON.stringify([reader.error?.message ?? null, reader.all(user)]));
    await reader.close();
    return answer;
  };
  const content = snapshot({ version: 7, flags });
  const payload = await complete(JSON.stringify(content));
  const [, expected] = await read(JSON.stringify(content));
  assert.equal(byKey(expected).enabled.value, true);
  assert.deepEqual(await read(payload), [null, expected]);
  // Somebody edited a flag, or the tables.
  const edited = payload.replace('"enabled":{"type":"boolean"', '"enabled":{"killed":"flag","type":"boolean"');
  assert.equal(byKey((await read(edited))[1]).enabled.value, false);
  for (const tables of ["", "AQ", "B", "A!"]) {
    const other = payload.replace(/"tables":"[^"]*"/, `"tables":"${tables}"`);
    assert.deepEqual(await read(other), [null, expected], tables);
  }
  const { compiled, ...rest } = JSON.parse(payload);
  assert.deepEqual(await read(JSON.stringify({ compiled, ...rest })), [null, expected], "not the last member");
  assert.match((await read('{"schema": 2}'))[0], /the payload is no snapshot: schema: expected 1, found 2/);
});

test("pins", async () => {
  const pinned = await start(signed({ flags }), { pins: { enabled: null, color: "green", ramped: "sideways" } });
  assert.deepEqual(pinned.details("enabled", true, user), {
    flagKey: "enabled",
    value: false,
    variant: "off",
    reason: "STATIC",
    flagMetadata: { version: 1, step: "offPin" },
  });
  assert.equal(pinned.string("color", "", user), "#0f0");
  assert.equal(pinned.details("ramped", true, user).errorCode, "GENERAL");
  await pinned.close();
});

test("without a snapshot the defaults are served", async () => {
  const empty = await start(undefined);
  assert.equal(empty.version, undefined);
  assert.deepEqual(empty.flags, []);
  assert.equal(empty.boolean("enabled", true, user), true);
  assert.deepEqual(empty.details("enabled", "mine", user), {
    flagKey: "enabled",
    value: "mine",
    reason: "ERROR",
    errorCode: "PROVIDER_NOT_READY",
    errorMessage: "no usable snapshot was loaded: none was given",
    flagMetadata: {},
  });
  assert.deepEqual(empty.all(user), []);
  assert.deepEqual((await empty.explain("enabled", user)).steps, []);
  const ready = [];
  empty.on("ready", (event) => ready.push(event));
  assert.equal(await empty.load(signed({ version: 3, flags })), true);
  assert.deepEqual(ready, [{ version: 3 }]);
  assert.equal(empty.boolean("enabled", false, user), true);
  await empty.close();
});

test("what is refused is told before what comes next is taken", async () => {
  const waiting = await start(undefined);
  const events = [];
  waiting.on("error", ({ code }) => events.push(code));
  waiting.on("ready", () => events.push("ready"));
  const loads = await Promise.allSettled([waiting.load("{}"), waiting.load(signed({ flags }))]);
  assert.deepEqual([loads.map(({ status }) => status), events], [["rejected", "fulfilled"], ["ENVELOPE", "ready"]]);
  assert.equal(waiting.error, undefined);
  await waiting.close();
});

test("takes newer snapshots and refuses replays", async () => {
  const on = signed({ version: 5, flags: { flag: boolean("on") } });
  const changing = await start(on);
  const events = [];
  changing.on("change", (event) => events.push(["change", event]));
  changing.on("error", (error) => events.push(["error", error.code]));
  const stop = changing.on("change", () => assert.fail("unsubscribed"));
  stop();
  const subject = changing.subject(user);
  assert.equal(subject.boolean("flag", false), true);

  assert.equal(await changing.load(on), false, "the same one");
  const off = signed({ version: 6, flags: { other: boolean("on"), flag: boolean("off") } });
  assert.equal(await changing.load(off), true);
  assert.equal(subject.boolean("flag", true), false);
  assert.equal(subject.boolean("other", false), true);
  await assert.rejects(changing.load(on), { name: "LoadError", code: "REPLAY", message: /older than version 6/ });
  await assert.rejects(changing.load(signed({ version: 6, flags: {} })), {
    code: "REPLAY",
    message: /another version 6/,
  });
  assert.equal(changing.version, 6);
  assert.equal(changing.error.code, "REPLAY");
  assert.deepEqual(events, [
    ["change", { version: 6, changed: ["other", "flag"] }],
    ["error", "REPLAY"],
    ["error", "REPLAY"],
  ]);
  // Given at once, they are taken one after another.
  const loads = [9, 8, 10].map((version) => changing.load(signed({ version, flags })));
  const outcomes = (await Promise.allSettled(loads)).map(({ value, reason }) => value ?? reason.code);
  assert.deepEqual(outcomes, [true, "REPLAY", true]);
  assert.equal(changing.version, 10);
  await changing.close();
});

test("refuses what nobody trusted signed", async () => {
  const good = signed({ flags });
  const stranger = keyPair("test-1");
  const refused = {
    SIGNATURE: [good.replace("salt-1", "salt-2"), envelope(snapshot({ flags }), stranger)],
    ENVELOPE: [
      "{",
      "{}",
      good.slice(0, -1),
      envelope(snapshot({ flags }), keyPair("unknown")),
      envelope(snapshot({ flags }), production, "flagstone-entry+json"),
      new Uint8Array([0xff, 0xfe]),
    ],
    SNAPSHOT: [
      signed({ flags, environment: "staging" }),
      signed({ flags, audience: "server" }),
      signed({ flags, schema: 2 }),
      envelope("[]", production),
    ],
    EXPIRED: [signed({ flags, expires: "2026-11-21T12:00:01Z" })],
  };
  const better = signed({ version: 2, flags });
  for (const [code, envelopes] of Object.entries(refused)) {
    for (const source of envelopes) {
      const refusing = await start(source, { now: () => Date.parse("2026-11-22T00:00:00Z") });
      const details = refusing.details("enabled", false, user);
      assert.equal(refusing.error?.code, code, refusing.error?.message);
      assert.ok(refusing.error instanceof LoadError);
      assert.deepEqual([details.value, details.errorCode], [false, "PROVIDER_NOT_READY"]);
      assert.ok(details.errorMessage.endsWith(refusing.error.message));
      const told = await new Promise((resolve) => refusing.on("error", resolve));
      assert.equal(told, refusing.error);
      await assert.rejects(refusing.load(source), { code });
      assert.equal(await refusing.load(better), true);
      await assert.rejects(refusing.load(source), { code: code === "EXPIRED" ? "REPLAY" : code });
      assert.equal(refusing.boolean("enabled", false, user), true, "what was held is held on");
      await refusing.close();
    }
  }
});

test("says what is wrong with how it is started", async () => {
  const good = signed({ flags });
  await assert.rejects(FlagstoneClient.start({ source: good, environment: "production", keys: {} }), /keys/);
  await assert.rejects(start(good, { audience: "everyone" }), /`server` or `client`, found `everyone`/);
  await assert.rejects(start(good, { keys: { keys: [{ ...production.jwk, environments: [] }] } }), /environment/);
});

test("a removed key counts from the next load on", async () => {
  const rotated = keyPair("test-2");
  const rotating = await start(signed({ version: 1, flags }));
  await rotating.setKeys(rotated.keys);
  assert.equal(rotating.boolean("enabled", false, user), true);
  await assert.rejects(rotating.load(signed({ version: 2, flags })), { code: "ENVELOPE" });
  assert.equal(await rotating.load(envelope(snapshot({ version: 2, flags }), rotated)), true);
  for (const keys of [{ d: "…", x: "…" }, { keys: [{ d: "…" }] }]) {
    await assert.rejects(rotating.setKeys(keys), { name: "TypeError", message: /^keys: one of them is a private key/ });
  }
  await assert.rejects(rotating.setKeys({ keys: "none" }), { name: "TypeError", message: /^keys: expected a JWK set/ });
  await assert.rejects(rotating.setKeys({ keys: [{ ...rotated.jwk, alg: "RS256" }] }), /this key \("[^"]+"\) has no `alg` "Ed25519"/);

  await rotating.close();
});

test("goes by the clock that it is given", async () => {
  let now = Date.parse("2026-11-22T00:00:00Z");
  const aging = await start(signed({ flags, expires: "2026-11-23T00:00:00Z" }), { now: () => now });
  assert.equal(aging.details("enabled", false, user).reason, "STATIC");
  assert.equal(aging.details("scheduled", false, user).value, false);
  now = Date.parse("2026-11-23T00:10:00Z");
  assert.equal(aging.details("enabled", false, user).reason, "STALE");
  assert.equal(aging.boolean("enabled", false, user), true, "served on");
  assert.equal(byKey(aging.all(user)).enabled.reason, "STALE");
  now = 4000000000000;
  assert.equal(aging.details("scheduled", false, user).value, true);
  await aging.close();
});

test("a clock that throws serves the default where the clock has a part in it", async () => {
  let works = true;
  const clock = () => {
    if (works) return Date.now();
    throw new Error("the clock stopped");
  };
  const schedule = { before: 0, points: [[Date.parse("2026-01-01T00:00:00Z"), 100_000]] };
  const scheduled = boolean({ ramp: { schedule, serve: "on" } }, { requires: ["schedule", "xxh3"] });
  const stopped = await start(signed({ flags: { ...flags, scheduled } }), { now: clock });
  works = false;
  assert.equal(stopped.boolean("enabled", false, user), true);
  assert.equal(stopped.boolean("scheduled", false, user), false);
  assert.deepEqual(stopped.details("enabled", false, user).errorMessage, "the clock stopped");
  assert.equal(byKey(stopped.all(user)).enabled.errorCode, "GENERAL");
  works = true;
  assert.equal(stopped.details("enabled", false, user).value, true);
  assert.equal(stopped.boolean("scheduled", false, user), true);
  await stopped.close();
});

test("fetches its source", async () => {
  const body = signed({ version: 4, flags });
  const server = createServer((request, response) => {
    response.writeHead(request.url === "/client.json" ? 200 : 404).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${server.address().port}`;
  const fetched = await start(`${base}/client.json`);
  assert.equal(fetched.version, 4);
  assert.equal((await start(new URL(`${base}/client.json`))).version, 4);
  assert.equal((await start(await fetch(`${base}/client.json`))).version, 4);
  assert.match((await start(`${base}/other.json`)).error.message, /answered 404/);
  server.close();
  server.closeAllConnections();
  const unreachable = await start(`${base}/client.json`);
  assert.equal(unreachable.error.code, "FETCH");
  assert.equal(unreachable.boolean("enabled", true, user), true);
  await fetched.close();
});

test("takes bytes and parsed envelopes", async () => {
  const text = signed({ version: 4, flags });
  assert.equal((await start(new TextEncoder().encode(text))).version, 4);
  assert.equal((await start(JSON.parse(text))).version, 4);
});

test("anonymous ids are random", () => {
  const ids = new Set(Array.from({ length: 100 }, () => client.anonymousId()));
  assert.equal(ids.size, 100);
  for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/);
});

test("a closed client serves defaults", async () => {
  const closing = await start(signed({ flags }));
  const subject = closing.subject(user);
  const loading = closing.load(signed({ version: 2, flags }));
  await Promise.all([closing.close(), closing.close()]);
  await loading.catch(() => undefined);
  assert.equal(closing.boolean("enabled", false, user), false);
  assert.equal(subject.boolean("enabled", false), false);
  assert.equal(closing.details("enabled", false, user).errorCode, "PROVIDER_NOT_READY");
  assert.deepEqual(closing.all(user), []);
  await assert.rejects(closing.load(signed({ version: 3, flags })), /closed/);
  assert.equal(client.boolean("enabled", false, user), true, "others are none the worse");
});

test("a listener that throws stops nobody", async (context) => {
  const told = [];
  const surfaced = context.mock.method(globalThis, "queueMicrotask", () => undefined);
  const telling = await start(signed({ version: 1, flags }));
  const own = new Error("a listener's own");
  telling.on("change", () => {
    throw own;
  });
  telling.on("change", ({ version }) => told.push(version));
  surfaced.mock.resetCalls();
  assert.equal(await telling.load(signed({ version: 2, flags: { enabled: boolean("off") } })), true);
  assert.deepEqual(told, [2]);
  assert.throws(surfaced.mock.calls[0].arguments[0], own);
  await telling.close();
});
