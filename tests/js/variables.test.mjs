// Environment variables that pin flags: the vectors that Rust reads as well, in Node.js and in a Worker.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { FlagstoneClient } from "../../pkg/node.js";
import { variablePins } from "../../pkg/variables.js";
import { byKey, envelope, keyPair } from "./support/sign.mjs";

const json = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
const { payload, cases } = json("../vectors/variables.json");
const fivePlans = json("../rollouts/variables.json");
const key = keyPair();
const now = () => Date.parse("2026-11-21T12:00:00Z");

const start = (variables, source = payload) =>
  FlagstoneClient.start({
    source: envelope(source, key),
    environment: "production",
    audience: "server",
    keys: key.keys,
    storage: false,
    now,
    variables,
    warn: () => undefined,
  });

for (const { name, names = fivePlans, variables, refused, unfit, results = [] } of cases) {
  test(name, async () => {
    if (refused !== undefined) {
      assert.throws(() => variablePins(variables, names), new TypeError(refused));
      return;
    }
    const starting = start(variablePins(variables, names));
    if (unfit !== undefined) {
      await assert.rejects(starting, { name: "LoadError", code: "VARIABLES", message: unfit.join("; ") });
      return;
    }
    const flags = await starting;
    for (const { flag, key, ...expected } of results) {
      const context = key === "" ? {} : { targetingKey: key };
      const { variant, reason, flagMetadata } = (await flags.explain(flag, context)).details;
      const { pinnedBy } = flagMetadata;
      const found = pinnedBy === undefined ? { variant, reason } : { variant, reason, pinnedBy };
      assert.deepEqual(found, expected, `${flag} for ${key}`);
      assert.deepEqual(byKey(flags.all(context))[flag].flagMetadata, flagMetadata);
    }
    await flags.close();
  });
}

test("lists of names that are none", () => {
  const entry = { variable: "A", flag: "f", sets: "off" };
  for (const [name, message] of [
    [{ flag: "f", sets: "off" }, "names[0]: `variable` is missing"],
    [{ variable: "A", sets: "off" }, "names[0]: expected either `flag` or `flags`"],
    [{ ...entry, flags: ["g"] }, "names[0]: expected either `flag` or `flags`"],
    [
      { ...entry, vairant: "on" },
      "names[0]: `vairant`: expected one of `variable`, `flag`, `flags`, `sets`, `variant`",
    ],
    [
      { ...entry, sets: "kill" },
      "names[0]: `sets`: expected one of `variant`, `off`, `enabled`, `percent`, `ramp`, `mode`, `allow`, `deny`",
    ],
  ]) {
    assert.throws(() => variablePins({}, [name]), new TypeError(message));
  }
});

test("a Worker's bindings: variables may be JSON, all else pins nothing", async () => {
  const env = { OUTBOUND_CALLS_PERCENTAGE: 49, WEBSOCKET_LEGACY_FALLBACK: false, KV: { get() {} }, SERVICE: () => {} };
  const flags = await start(variablePins(env, fivePlans));
  assert.equal(flags.boolean("outboundCalls", false, { targetingKey: "polygenelubricants" }), true);
  assert.equal(flags.boolean("websocketLegacyFallback", true, { targetingKey: "u" }), false);
  await flags.close();
});

test("later snapshots are taken whatever is pinned", async () => {
  const flag = (variants) => ({ type: "string", variants, off: "a", salt: "s", default: "a" });
  const snapshot = (version, theme) => ({
    ...payload,
    version,
    requires: [],
    flags: { theme, other: flag({ a: "1" }) },
  });
  const flags = await start(variablePins({ FLAGSTONE_PIN_THEME: "b" }), snapshot(1, flag({ a: "1", b: "2" })));
  const details = (key) => {
    const { variant, reason, flagMetadata } = flags.details(key, "", {});
    return [variant, reason, flagMetadata.version, flagMetadata.pinnedBy];
  };
  assert.deepEqual(details("theme"), ["b", "STATIC", 1, "FLAGSTONE_PIN_THEME"]);
  await flags.load(envelope(snapshot(2, flag({ a: "1" })), key));
  assert.deepEqual(details("theme"), [undefined, "ERROR", 2, "FLAGSTONE_PIN_THEME"]);
  assert.deepEqual(details("other"), ["a", "STATIC", 2, undefined]);
  await flags.load(envelope(snapshot(3, { ...flag({ a: "1" }), killed: "flag" }), key));
  assert.deepEqual(details("theme"), ["a", "DISABLED", 3, "FLAGSTONE_PIN_THEME"]);
  await flags.close();
});

test("options that are none", async () => {
  await assert.rejects(start({ FLAGSTONE_PIN_THEME: "b" }), /variables: expected what `variablePins` of/);
});
