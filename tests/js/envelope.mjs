// What the package says about envelopes: one request a line on standard input, one answer a line on standard output.
// tests/envelope.rs asks, of every envelope that it asks the native engine about.
import { createInterface } from "node:readline";
import { candidates, openEnvelope, readKeys } from "../../pkg/envelope.js";
import { wordsOf } from "../../pkg/errors.js";
import { verified } from "../../pkg/verify.js";

async function answer({ envelope, keys, environment, typ }) {
  try {
    const trusted = readKeys(JSON.parse(keys));
    if (envelope === undefined) return { kids: trusted.map(({ kid }) => kid) };
    const bytes = Buffer.from(envelope, "base64");
    const found = await verified(candidates(openEnvelope(bytes), trusted, environment, typ));
    if (found === undefined) throw new Error("no signature verifies");
    return { payload: new TextDecoder("utf-8", { ignoreBOM: true }).decode(found.payload), kid: found.kid };
  } catch (error) {
    return { error: await wordsOf(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}
