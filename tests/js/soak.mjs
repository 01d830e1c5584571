// A million evaluations and a thousand reloads leave memory flat: `node --expose-gc tests/js/soak.mjs`.
import { churn } from "./support/churn.mjs";

if (!globalThis.gc) {
  console.error("The collector must be at hand: node --expose-gc tests/js/soak.mjs");
  process.exit(2);
}
const rounds = 10;
const samples = await churn({ evaluations: 1_000_000, reloads: 1000, rounds });
console.log("after evaluations   reloads   module MiB   heap MiB");
samples.forEach(({ wasm, heap }, index) => {
  const done = (total) => ((total / rounds) * (index + 1)).toLocaleString("en");
  console.log(
    `${done(1_000_000).padStart(17)} ${done(1000).padStart(9)} ${wasm.toFixed(2).padStart(12)} ${heap.toFixed(2).padStart(10)}`,
  );
});
// After a tenth every size has been met.
const [settled, last] = [samples[0], samples.at(-1)];
const flat = last.wasm === settled.wasm && last.heap - settled.heap < 1;
console.log(flat ? "Memory is flat." : "Memory grew.");
process.exit(flat ? 0 : 1);
