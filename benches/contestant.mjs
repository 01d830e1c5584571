// One contestant in a process of its own: `node contestant.mjs check|measure ID [MILLISECONDS]` prints what came of it as JSON.
import { check } from "./check.mjs";
import { measure } from "./measure.mjs";

const [what, id, milliseconds] = process.argv.slice(2);
const print = (result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit());
// Some talk.
for (const method of ["debug", "error", "info", "log", "warn"]) console[method] = () => undefined;

if (id === "floor") {
  const floor = await import("./floor.mjs");
  print(what === "check" ? {} : await floor.measure(Number(milliseconds)));
} else {
  const peer = await import(`./peers/${id}.mjs`);
  print(what === "check" ? ((await check(peer)) ?? {}) : await measure(peer, Number(milliseconds)));
}
