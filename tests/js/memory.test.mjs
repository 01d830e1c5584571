// Memory stays flat. `make soak` does the same at length (soak.mjs).
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { churn } from "./support/churn.mjs";

setFlagsFromString("--expose-gc");
globalThis.gc = runInNewContext("gc");

test("20,000 evaluations and 200 reloads leave memory flat", async () => {
  const samples = await churn({ evaluations: 20_000, reloads: 200, rounds: 4 });
  const [settled, last] = [samples[1], samples.at(-1)];
  assert.equal(last.wasm, settled.wasm, "the module's memory");
  assert.ok(last.heap - settled.heap < 1, `the heap grew from ${settled.heap} to ${last.heap} MiB`);
});
