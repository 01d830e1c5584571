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

/** Gives each its turn, round by round, and keeps what came of it; each round begins elsewhere, so that nobody goes first, or last, in all. */
export async function inTurns(turns, rounds, measure) {
  for (let round = 0; round < rounds; round++) {
    const start = Math.floor((round * turns.length) / rounds);
    for (const turn of [...turns.slice(start), ...turns.slice(0, start)]) turn.rounds.push(await measure(turn));
  }
}

/** What is aimed for: how many times as fast as the fastest of others. */
export function faster(key, figures, others, of, wanted) {
  const fastest = others.reduce((best, other) => (other.figures[key].median < best.figures[key].median ? other : best));
  const what = `${key.toUpperCase()}: times as fast as the fastest of ${of}, ${fastest.name}`;
  const found = ratio(fastest.figures[key], figures[key]);
  return { what, wanted: `≥ ${wanted}`, found, isMet: found.median >= wanted };
}

/** What is aimed for: at most how many times something else. */
export function within(what, figure, of, wanted) {
  const found = ratio(figure, of);
  return { what, wanted: `≤ ${wanted}`, found, isMet: found.median <= wanted };
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
