// Flagstone and others in Rust, in turn: what a flag costs, and what loading flags costs; and how Flagstone's costs grow. Writes
// tables, and JSON, Markdown and a chart into target/bench. BENCH_ROUNDS is how often each gets its turn (5), BENCH_MILLISECONDS
// how long each figure is taken for (100).
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { build } from "./native-build.mjs";
import { count, goalsTable, report } from "./report.mjs";
import { faster, inTurns, machine, progress, ratio, summary, within } from "./rounds.mjs";

const rounds = Number(process.env.BENCH_ROUNDS ?? 5);
const milliseconds = Number(process.env.BENCH_MILLISECONDS ?? 100);

const CONTESTANTS = [
  { id: "flagstone", name: "Flagstone" },
  { id: "unleash-yggdrasil", name: "Unleash" },
  { id: "feature-flag", name: "feature-flag" },
  { id: "eppo_core", name: "Eppo" },
  { id: "launchdarkly-server-sdk-evaluation", name: "LaunchDarkly" },
  { id: "flagd-evaluation-engine", name: "flagd" },
  { id: "growthbook-rust", name: "GrowthBook" },
];
/** What only Flagstone is asked: by handle, beside a bare hash; by how much there is; by threads. */
const OWN = [{ id: "handles" }, { id: "growth" }, { id: "threads" }];

const WORKLOADS = [
  { key: "w1", name: "W1", unit: "ns", what: "a quarter of the users" },
  { key: "w2", name: "W2", unit: "ns", what: "four rules, then a split" },
  { key: "w4", name: "W4", unit: "ms", what: "loading 1,000 flags" },
];

const lock = readFileSync(new URL("native/Cargo.lock", import.meta.url), "utf8");
const version = (crate) => lock.match(new RegExp(`name = "${crate}"\nversion = "(.*)"`))[1];

const { contestant, memory } = build(["contestant", "memory"], ["--features", "peers"]);
const run = (binary, ...args) => {
  const answer = execFileSync(binary, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  // Loggers that write on their own come before.
  return JSON.parse(answer.trimEnd().split("\n").at(-1));
};

const turns = [...CONTESTANTS, ...OWN].map(({ id, name = id }) => ({ id, name, rounds: [] }));
const told = progress(turns.length * (rounds + 1));
const take = (what, { id, name }) => {
  told(`${what} ${name}`);
  return run(contestant, what, id, String(milliseconds));
};
for (const turn of turns) take("check", turn);
await inTurns(turns, rounds, (turn) => take("measure", turn));
const memoryTaken = run(memory);

/** Every figure over the rounds, at whatever depth it stands. */
function figures(rounds) {
  if (typeof rounds[0] === "number") return summary(rounds);
  return Object.fromEntries(Object.keys(rounds[0]).map((key) => [key, figures(rounds.map((round) => round[key]))]));
}

const [handles, growth, threads] = turns.splice(-OWN.length).map(({ rounds }) => figures(rounds));
const contestants = turns.map(({ id, name, rounds }) => ({ id, name, version: version(id), figures: figures(rounds) }));
const [flagstone, ...others] = contestants;
const exact = (value) => summary([value]);
const memoryFigures = Object.fromEntries(
  Object.entries(memoryTaken).map(([what, bytes]) => [what, exact(bytes / 1e6)]),
);

const fasterThanAll = (key, wanted) => faster(key, flagstone.figures, others, "all", wanted);
const goals = [
  within("W1, by handle: in bare hashes of the same key", handles.w1, handles.hash, 3),
  fasterThanAll("w1", 5),
  fasterThanAll("w2", 5),
  fasterThanAll("w4", 2),
  within("memory for 10,000 flags: times the JSON's size", memoryFigures.loaded, memoryFigures.json, 3),
];

const whole = (number) => Number(number).toLocaleString("en");
const grown = (title, series) => {
  const columns = Object.keys(series);
  const sizes = Object.keys(series[columns[0]]);
  return {
    title,
    columns: ["", ...columns],
    rows: sizes.map((size) => [whole(size), ...columns.map((column) => series[column][size])]),
  };
};
const [one] = Object.values(threads);

const tables = [
  {
    title: "Every user another, flags by key",
    columns: ["", ...WORKLOADS.flatMap(({ name, unit }) => [`${name}, ${unit}`, "×"])],
    rows: contestants.map(({ id, name, version, figures }) => [
      `${name} (${id} ${version})`,
      ...WORKLOADS.flatMap(({ key }) => [figures[key], count(ratio(figures[key], flagstone.figures[key]).median)]),
    ]),
  },
  {
    title: "Flags by handle",
    columns: ["", "ns", "in hashes"],
    rows: [
      ["a bare xxh3_64 of the key of W1", handles.hash, "1"],
      ["W1", handles.w1, ratio(handles.w1, handles.hash)],
      ["W2", handles.w2, ratio(handles.w2, handles.hash)],
    ],
  },
  grown("W1 by number of flags, every flag in turn, ns", {
    "by key": growth["flags by key"],
    "by handle": growth["flags by handle"],
  }),
  grown("A split after so many rules that match nobody, ns", { "": growth.rules }),
  grown("A list of so many people, half of the users among them, ns", { "": growth.entries }),
  {
    title: "W1 by threads that share a snapshot",
    columns: ["", "evaluations/µs", "of one thread's"],
    rows: Object.entries(threads).map(([threads, rate]) => [threads, rate, ratio(rate, one)]),
  },
  {
    title: "Memory for 10,000 flags, MB",
    columns: ["", "MB", "of the JSON's"],
    rows: Object.entries({ json: "JSON", loaded: "loaded", loading: "at most, while loading" }).map(([key, name]) => [
      name,
      memoryFigures[key],
      ratio(memoryFigures[key], memoryFigures.json),
    ]),
  },
  goalsTable("What is aimed for", goals),
];

const row = (name, figure, isOurs = true) => ({ name, isOurs, marks: [{ series: "Rust", figure }] });
const rising = (title, series, unit = "ns") => ({
  title,
  unit,
  rows: Object.entries(series).map(([size, figure]) => row(whole(size), figure)),
});
const panels = [
  ...WORKLOADS.map(({ key, name, unit, what }) => ({
    title: `${name}: ${what}`,
    unit,
    rows: [
      ...contestants.map(({ id, name, figures }) => row(name, figures[key], id === "flagstone")),
      ...(key in handles ? [row("by handle", handles[key]), row("a bare hash", handles.hash, false)] : []),
    ],
  })),
  rising("W1 by number of flags, every flag in turn", growth["flags by key"]),
  rising("W1 by number of flags, by handle", growth["flags by handle"]),
  rising("A split after so many rules", growth.rules),
  rising("A list of so many people", growth.entries),
  rising("W1 by threads, evaluations a microsecond", threads, "/µs"),
];

report("native", {
  title: "Flags in Rust",
  about: WORKLOADS.map(({ name, what }) => `${name}: ${what}.`).join(" "),
  note: `Medians of ${rounds} rounds in turn, each the least of many samples in a process of its own, and how far the rounds are from them.`,
  conditions: { ...machine(), rounds, "milliseconds a figure": milliseconds },
  results: { contestants, handles, growth, threads, memory: memoryTaken, goals },
  tables,
  panels,
});
