// A trap inside the module must not end the client: the module is made anew from what was held.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { FlagstoneClient } from "../../pkg/node.js";
import { Engine } from "../../pkg/engine.js";
import { exports } from "../../pkg/instance.js";
import { boolean, byKey, envelope, flags, keyPair, snapshot } from "./support/sign.mjs";

const production = keyPair();
const signed = (content) => envelope(snapshot(content), production);
const start = (content, options) =>
  FlagstoneClient.start({ source: signed(content), environment: "production", keys: production.keys, ...options });
const user = { targetingKey: "user-42", account: { plan: "pro" } };

let one, other, expected;
before(async () => {
  one = await start({ version: 3, flags });
  other = await start({ version: 8, flags: { flag: boolean("on") } }, { pins: { flag: "off" } });
  expected = one.all(user);
});

/** The module's memory as it is now. */
const memory = () => exports().memory;

const breaks = {
  "memory scribbled over": () => new Uint8Array(memory().buffer).fill(0xff),
  "memory wiped after the stack": () => new Uint8Array(memory().buffer).fill(0x55, 64 * 1024),
  "a wild pointer": (context) => {
    const { evaluate } = Engine.prototype;
    const wild = context.mock.method(Engine.prototype, "evaluate", function (...all) {
      wild.mock.restore();
      return evaluate.apply({ __proto__: this, at: 0x7fff_fff0 }, all);
    });
  },
};

for (const [name, breakIt] of Object.entries(breaks)) {
  test(`survives ${name}`, async (context) => {
    const subject = one.subject(user);
    assert.equal(subject.boolean("targeted", false), true);
    const before = memory();
    breakIt(context);
    assert.equal(one.boolean("targeted", false, user), true, "the evaluation that met it is tried again");
    assert.notEqual(memory(), before, "in a new instance");
    assert.deepEqual(one.all(user), expected);
    assert.equal(subject.boolean("targeted", false), true);
    assert.deepEqual((await one.explain("ramped", user)).details, byKey(expected).ramped);
    assert.equal(one.version, 3);
    assert.deepEqual(other.details("flag", true).flagMetadata, { version: 8, step: "onPin" }, "so do others");
  });
}

test("goes on loading, and remembers what it saw", async () => {
  new Uint8Array(memory().buffer).fill(0xff);
  one.boolean("enabled", false, user);
  await assert.rejects(one.load(signed({ version: 2, flags })), { code: "REPLAY" });
  assert.equal(await one.load(signed({ version: 4, flags })), true);
  assert.equal(one.version, 4);
});

test("an instance that breaks while a signature is checked costs nothing", async () => {
  const loading = one.load(signed({ version: 5, flags }));
  await Promise.resolve();
  new Uint8Array(memory().buffer).fill(0xff);
  assert.equal(one.boolean("enabled", false, user), true);
  assert.equal(await loading, true);
  assert.equal(one.version, 5);
});

test("what was held is made anew though its key is gone and it has expired", async () => {
  let now = Date.parse("2026-11-22T00:00:00Z");
  const aging = await start({ flags, expires: "2026-11-23T00:00:00Z" }, { now: () => now });
  await aging.setKeys(keyPair("new").keys);
  now = Date.parse("2026-12-24T00:00:00Z");
  new Uint8Array(memory().buffer).fill(0xff);
  const details = aging.details("enabled", false, user);
  assert.deepEqual([details.value, details.reason], [true, "STALE"]);
  await assert.rejects(aging.load(signed({ version: 2, flags })), { code: "ENVELOPE" });
});

test("an evaluation that always traps serves the default", (context) => {
  const trapping = context.mock.method(Engine.prototype, "evaluate", () => {
    throw new WebAssembly.RuntimeError("unreachable");
  });
  assert.equal(one.boolean("disabled", true, user), true);
  assert.equal(trapping.mock.callCount(), 2, "tried twice");
  const details = one.details("enabled", false, user);
  assert.deepEqual([details.value, details.errorCode, details.errorMessage], [false, "GENERAL", "unreachable"]);
  trapping.mock.restore();
  assert.equal(one.boolean("enabled", false, user), true);
});

test("closing after a trap frees nothing of the new instance", async () => {
  const closing = await start({ flags });
  new Uint8Array(memory().buffer).fill(0xff);
  assert.equal(one.boolean("enabled", false, user), true);
  await closing.close();
  assert.deepEqual(byKey(one.all(user)).enabled.value, true);
});

test("running out of stack inside an evaluation costs nothing", () => {
  const deep = (depth) => {
    const here = one.boolean("enabled", false, user);
    try {
      return deep(depth + 1);
    } catch {
      return here;
    }
  };
  deep(0);
  assert.equal(one.boolean("enabled", false, user), true);
  assert.equal(one.details("targeted", false, user).flagMetadata.rule, "plan");
});
