// What several rounds say together.
import { availableParallelism, cpus, loadavg } from "node:os";
import { median } from "./measure.mjs";

/** Median and extremes of what the rounds gave, in their order. */
export function summary(rounds) {
  return { median: median(rounds), min: Math.min(...rounds), max: Math.max(...rounds), rounds };
}

/** How many times the one takes of the other, round by round: both ran under the same load. */
export function ratio(of, to) {
  return summary(of.rounds.map((value, round) => value / to.rounds[round]));
}

/** What the figures were taken on. */
export function machine() {
  const load = loadavg()
    .map((load) => load.toFixed(1))
    .join("/");
  return { processor: cpus()[0]?.model ?? "unknown", cores: availableParallelism(), load };
}

/** Says how far it is: on a terminal in one line, elsewhere in a line each. */
export function progress(total) {
  let done = 0;
  return (what) => {
    const line = `[${++done}/${total}] ${what}`;
    if (!process.stderr.isTTY) console.error(line);
    else process.stderr.write(`\r\x1b[K${done === total ? "" : line}`);
  };
}
