// The client that applications use in their own tests.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { project } from "./support/package.mjs";

const folder = project();
after(() => rmSync(folder, { recursive: true }));
const { testClient } = await import(join(folder, "node_modules/flagstone/testing.js"));
const { FlagstoneClient } = await import(join(folder, "node_modules/flagstone/node.js"));

test("serves what the test says, to everyone", async () => {
  const values = { gateway: true, theme: "dark", limit: 2.5, layout: { columns: [1, null] }, nothing: null, list: [1] };
  const flags = await testClient(values);
  assert.ok(flags instanceof FlagstoneClient);
  for (const context of [undefined, {}, { targetingKey: "user-42" }]) {
    for (const [key, value] of Object.entries(values))
      assert.deepEqual(flags.details(key, value, context).value, value);
  }
  assert.equal(flags.boolean("gateway", false), true);
  assert.equal(flags.string("gateway", "another type"), "another type");
  assert.equal(flags.details("missing", false).errorCode, "FLAG_NOT_FOUND");
  assert.equal(flags.state, "READY");
  await flags.close();
});

test("tells of what the test changes, as when a snapshot changes", async () => {
  const flags = await testClient({ gateway: true, theme: "dark" });
  const changes = [];
  flags.on("change", ({ changed }) => changes.push([...changed].sort()));
  await flags.set({ gateway: false });
  assert.deepEqual([flags.boolean("gateway", true), flags.string("theme", "")], [false, "dark"]);
  await flags.set({ theme: undefined, added: 1 });
  assert.equal(flags.string("theme", "gone"), "gone");
  assert.deepEqual(changes, [["gateway"], ["added", "theme"]]);
  await flags.close();
});

test("pins and subjects work as ever", async () => {
  const flags = await testClient({ theme: "dark" }, { audience: "server" });
  const pinned = flags.subject({}, { pins: { theme: null } });
  assert.equal(pinned.details("theme", "").flagMetadata.step, "offPin");
  await flags.close();
});
