// Many evaluations and reloads, for seeing whether memory stays flat.
import assert from "node:assert/strict";
import { FlagstoneClient } from "../../../pkg/node.js";
import { exports } from "../../../pkg/instance.js";
import { boolean, envelope, flags, keyPair, snapshot } from "./sign.mjs";

const MIB = 2 ** 20;

/** Memory now, in MiB, after a collection: the module's, and the JavaScript heap with what stands outside it. */
function memory() {
  globalThis.gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  const wasm = exports().memory.buffer.byteLength;
  return { wasm: wasm / MIB, heap: (heapUsed + arrayBuffers - wasm) / MIB };
}

/**
 * Evaluates and reloads in rounds, with contexts of many sizes and snapshots that differ, and returns memory after each
 * round. The first rounds reach every size there is, so what comes after must be flat.
 */
export async function churn({ evaluations, reloads, rounds }) {
  const production = keyPair();
  const { keys } = production;
  const extra = Array.from({ length: 200 }, (_, index) => [
    `extra-${index}`,
    boolean("on", { salt: `extra-${index}` }),
  ]);
  const envelopes = (version) =>
    envelope(snapshot({ version, flags: { ...flags, ...Object.fromEntries(extra.slice(version % 100)) } }), production);
  const client = await FlagstoneClient.start({ source: envelopes(1), environment: "production", keys });
  const samples = [];
  let version = 1;
  for (let round = 0; round < rounds; round++) {
    const perReload = Math.round(evaluations / reloads);
    for (let reload = 0; reload < reloads / rounds; reload++) {
      assert.equal(await client.load(envelopes(++version)), true);
      await assert.rejects(client.load(envelopes(version - 1)), { code: "REPLAY" });
      for (let index = 0; index < perReload;) {
        const context = {
          targetingKey: `user-${index}`,
          age: index % 90,
          account: { plan: "ü".repeat(index % 300) },
          groups: ["a", index],
        };
        const subject = client.subject(context);
        client.boolean("targeted", false, context);
        client.details("ramped", false, context);
        subject.boolean("ramped", false);
        subject.string("color", "");
        index += 4;
        if (index % 400 === 0) {
          client.all(context);
          client.explain("targeted", context);
        }
      }
    }
    samples.push(memory());
  }
  await client.close();
  return samples;
}
