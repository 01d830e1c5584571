// Flagstone and others in JavaScript, in Node.js and in Chromium, in turn: what a flag costs, and what loading flags costs. Writes
// tables, and JSON, Markdown and a chart into target/bench. BENCH_ROUNDS is how often each gets its turn (5), BENCH_MILLISECONDS
// how long each figure is taken for (150).
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startChromium } from "./chromium.mjs";
import { CONTESTANTS, FLOOR, version } from "./contestants.mjs";
import { count, goalsTable, report } from "./report.mjs";
import { faster, inTurns, machine, progress, ratio, summary, within } from "./rounds.mjs";

const rounds = Number(process.env.BENCH_ROUNDS ?? 5);
const milliseconds = Number(process.env.BENCH_MILLISECONDS ?? 150);
/** How long a turn may take, in milliseconds. */
const LIMIT = 300_000;

const WORKLOADS = [
  { key: "w1", name: "W1", unit: "ns", what: "a quarter of the users" },
  { key: "w2", name: "W2", unit: "ns", what: "four rules, then a split" },
  { key: "w3", name: "W3", unit: "µs", what: "100 flags for one user" },
  { key: "w4", name: "W4", unit: "ms", what: "loading 1,000 flags", floor: "JSON.parse" },
  {
    key: "w4 first",
    name: "W4, first",
    unit: "ms",
    what: "loading 1,000 flags for the first time",
    floor: "JSON.parse",
  },
];
const PREPARED = [
  { key: "w1 prepared", name: "W1", unit: "ns", what: "a quarter of the users, user prepared", floor: "empty call" },
  { key: "w2 prepared", name: "W2", unit: "ns", what: "four rules, then a split, user prepared", floor: "empty call" },
  { key: "w3 prepared", name: "W3", unit: "µs", what: "100 flags for one user, prepared" },
];

/** The ways to have 100 flags of one user, of which the fastest counts. */
const WAYS = {
  w3: { "w3 one by one": "one by one", "w3 all": "all at once", "w3 prepared on the way": "user prepared, one by one" },
  "w3 prepared": { "w3 prepared one by one": "one by one", "w3 prepared all": "all at once" },
};

const nodeProcess = promisify(execFile);
const script = fileURLToPath(new URL("contestant.mjs", import.meta.url));
const node = {
  name: "Node.js",
  version: process.versions.node,
  async run(what, { id }) {
    const { stdout } = await nodeProcess(process.execPath, [script, what, id, milliseconds], { timeout: LIMIT });
    // Loggers that write on their own come before.
    return JSON.parse(stdout.trimEnd().split("\n").at(-1));
  },
};

const all = [...CONTESTANTS, FLOOR];
const inPages = all.filter(({ page }) => page);
const browser = await startChromium(inPages);
const chromium = {
  name: "Chromium",
  version: browser.version,
  run: (what, contestant) => browser.run(what, contestant, milliseconds),
};
const turns = [
  ...all.map((contestant) => ({ platform: node, contestant, rounds: [] })),
  ...inPages.map((contestant) => ({ platform: chromium, contestant, rounds: [] })),
];
try {
  const told = progress(turns.length * (rounds + 1));
  const run = async (what, { platform, contestant }) => {
    told(`${what} ${contestant.name}, ${platform.name}`);
    try {
      return await platform.run(what, contestant);
    } catch (error) {
      throw new Error(`${contestant.name} in ${platform.name}: ${error.stderr || error.message}`, { cause: error });
    }
  };
  for (const turn of turns) await run("check", turn);
  await inTurns(turns, rounds, (turn) => run("measure", turn));
} finally {
  await browser.close();
}

/** Every figure over the rounds, in the unit of its workload. */
function figures(rounds) {
  const names = Object.keys(rounds[0]);
  const found = Object.fromEntries(names.map((name) => [name, summary(rounds.map((round) => round[name]))]));
  for (const [name, ways] of Object.entries(WAYS)) {
    const known = names.filter((way) => way in ways);
    if (known.length === 0) continue;
    const way = known.reduce((best, way) => (found[way].median < found[best].median ? way : best));
    found[name] = { way: ways[way], ...summary(found[way].rounds.map((nanoseconds) => nanoseconds / 1000)) };
  }
  return found;
}

const platforms = [node, chromium].map((platform) => {
  const contestants = turns
    .filter((turn) => turn.platform === platform)
    .map(({ contestant: { id, name, engine, package: inNode, page }, rounds }) => {
      const used = platform === chromium && typeof page === "string" ? page : (inNode ?? "flagstone");
      return { id, name, engine, package: used, version: version(used), figures: figures(rounds) };
    });
  const floor = contestants.pop().figures;
  const flagstone = contestants.find(({ id }) => id === "flagstone").figures;
  // The signature apart, for others check none.
  const apart = flagstone.w4.rounds.map((loading, round) => loading - floor.signature.rounds[round]);
  flagstone["w4 without signature"] = summary(apart);
  return { name: platform.name, version: platform.version, floor, contestants };
});

/** What is aimed for: how many times as fast as the fastest of others, and how many times what the platform takes itself. */
function goals({ floor, contestants }) {
  const flagstone = contestants.find(({ id }) => id === "flagstone").figures;
  const others = (of) =>
    contestants.filter(({ id, engine }) => id !== "flagstone" && (of === undefined || engine === of));
  const fasterThan = (key, wanted, of) => faster(key, flagstone, others(of), of ?? "all", wanted);
  const call = "in empty calls into WebAssembly";
  const parse = "W4, the signature apart: in `JSON.parse` of the payload";
  return [
    fasterThan("w1", 3, "JavaScript"),
    fasterThan("w2", 3, "JavaScript"),
    fasterThan("w1", 30, "WebAssembly"),
    fasterThan("w2", 30, "WebAssembly"),
    fasterThan("w3", 10),
    within(`W1, user prepared: ${call}`, flagstone["w1 prepared"], floor["empty call"], 5),
    within(`W2, user prepared: ${call}`, flagstone["w2 prepared"], floor["empty call"], 5),
    within(parse, flagstone["w4 without signature"], floor["JSON.parse"], 3),
  ];
}

for (const platform of platforms) platform.goals = goals(platform);

const tables = platforms.flatMap(({ name, version, floor, contestants, goals }) => {
  const of = `${name} ${version}`;
  const flagstone = contestants.find(({ id }) => id === "flagstone").figures;
  const table = (title, workloads) => ({
    title: `${of}: ${title}`,
    columns: ["", ...workloads.flatMap(({ name, unit }) => [`${name}, ${unit}`, "×"])],
    rows: contestants.map(({ name, package: of, version, figures }) => [
      `${name} (${of} ${version})`,
      ...workloads.flatMap(({ key }) => [figures[key], count(ratio(figures[key], flagstone[key]).median)]),
    ]),
  });
  return [
    table("every user another, a new plain object", WORKLOADS),
    table("one user, what can be made once a user made before", PREPARED),
    {
      title: `${of}: what the platform takes itself`,
      columns: ["", "takes"],
      rows: [
        ["empty call into WebAssembly, ns", floor["empty call"]],
        ["`JSON.parse` of the payload of 1,000 flags, ms", floor["JSON.parse"]],
        ["checking its signature, ms", floor.signature],
        ["Flagstone's W4 without that, ms", flagstone["w4 without signature"]],
      ],
    },
    goalsTable(`${of}: what is aimed for`, goals),
  ];
});

const panels = [...WORKLOADS, ...PREPARED].map(({ key, name, unit, what, floor }) => {
  const row = (name, isOurs, figureOf) => ({
    name,
    isOurs,
    marks: platforms.map((platform) => ({ series: platform.name, figure: figureOf(platform) })),
  });
  const rows = CONTESTANTS.map(({ id, name }) =>
    row(name, id === "flagstone", ({ contestants }) => contestants.find((other) => other.id === id)?.figures[key]),
  );
  if (floor !== undefined) rows.push(row(floor, false, (platform) => platform.floor[floor]));
  return { title: `${name}: ${what}`, unit, rows };
});

report("javascript", {
  title: "Flags in JavaScript",
  about: WORKLOADS.map(({ name, what }) => `${name}: ${what}.`).join(" "),
  note: `Medians of ${rounds} rounds in turn, each in a process or a page of its own, and how far the rounds are from them.`,
  conditions: { ...machine(), rounds, "milliseconds a figure": milliseconds },
  results: { platforms },
  tables,
  panels,
});
