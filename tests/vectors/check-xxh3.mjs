// Checks xxh3.json against a second implementation, hash-wasm's XXH3 with seed 0. Run by hand, after make.py:
//
//     npm install hash-wasm                        (in a folder of its own)
//     node …/tests/vectors/check-xxh3.mjs          (from the folder with hash-wasm)
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { xxhash3 } = createRequire(`${process.cwd()}/`)("hash-wasm");
const cases = JSON.parse(readFileSync(new URL("xxh3.json", import.meta.url), "utf8"));
for (const { salt, use, key, hash, position } of cases) {
  const found = `0x${await xxhash3(Buffer.concat([Buffer.from(salt), Buffer.of(use), Buffer.from(key)]))}`;
  const foundPosition = Number(((BigInt(found) >> 32n) * 100_000n) >> 32n);
  if (found !== hash || foundPosition !== position) {
    throw new Error(`${JSON.stringify({ salt, use, key })}: ${hash} at ${position}, but hash-wasm says ${found} at ${foundPosition}`);
  }
}
console.log(`${cases.length} hashes and positions agree`);
