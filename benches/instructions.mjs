// How many instructions evaluations and a load take, counted by callgrind, against those kept in instructions.json: a change of
// more than 5 % fails, and so does a cost that grows with what it must not grow with. `--accept` keeps the new counts;
// `--profile NAME` shows instead where those of one count are.
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { arch, devNull } from "node:os";
import { join } from "node:path";
import { build, target } from "./native-build.mjs";
import { showTable } from "./report.mjs";

const TOLERANCE = 0.05;
const file = new URL("instructions.json", import.meta.url);
const { instructions } = build(["instructions"]);

function counted(name, times, file = devNull) {
  const callgrind = ["--tool=callgrind", `--callgrind-out-file=${file}`, "--collect-atstart=no"];
  const args = [...callgrind, "--toggle-collect=instructions::counted", instructions, name];
  const { error, status, stderr } = spawnSync("valgrind", args, { encoding: "utf8" });
  if (error?.code === "ENOENT") throw new Error("valgrind is missing; `.ci/install valgrind` gets it");
  const collected = Number(stderr?.match(/Collected : (\d+)/)?.[1]);
  if (status !== 0 || !(collected > 0)) throw new Error(`valgrind counted nothing of ${name}: ${error ?? stderr}`);
  return Math.round(collected / times);
}

const [option, profiled] = process.argv.slice(2);
if (option === "--profile") {
  const profile = join(target, "callgrind.out");
  counted(profiled, 1, profile);
  process.stdout.write(execFileSync("callgrind_annotate", ["--auto=no", profile]));
  process.exit();
}

const all = JSON.parse(readFileSync(file, "utf8"));
const kept = all[arch()] ?? {};
const found = {};
for (const [name, times] of Object.entries(JSON.parse(execFileSync(instructions)))) found[name] = counted(name, times);

const names = [...new Set([...Object.keys(found), ...Object.keys(kept)])];
const change = (name) => found[name] / kept[name] - 1;
const isKept = (name) => Math.abs(change(name)) <= TOLERANCE;
const whole = (count) => count?.toLocaleString("en");
showTable({
  title: `Instructions of an evaluation (W3: of 100, W4: of loading 1,000 flags), on ${arch()}`,
  columns: ["", "kept", "now", "change", ""],
  rows: names.map((name) => [
    name,
    whole(kept[name]),
    whole(found[name]),
    name in kept && name in found ? `${(100 * change(name)).toFixed(1)} %` : undefined,
    isKept(name) ? "" : "changed",
  ]),
});

const failures = [];
for (const workload of ["W1", "W1 by handle", "W2"]) {
  const [few, many] = [10, 10_000].map((flags) => found[`${workload}, ${flags} flags`]);
  if (many > 1.1 * few)
    failures.push(
      `${workload} takes ${few} instructions of 10 flags and ${many} of 10,000, but must not depend on how many there are`,
    );
}
const [ten, thousand, most] = [10, 1000, 100_000].map((entries) => found[`a list, ${entries} entries`]);
if (most - thousand > 1.25 * (thousand - ten)) {
  failures.push(
    `a list takes ${ten}, ${thousand} and ${most} instructions of 10, 1,000 and 100,000 entries: worse than logarithmic`,
  );
}
if (option === "--accept") {
  writeFileSync(file, `${JSON.stringify({ ...all, [arch()]: found }, undefined, 2)}\n`);
  console.log("\nKept in benches/instructions.json");
} else if (!names.every(isKept)) {
  failures.push(
    "Counts changed by more than 5 %. If that is meant, keep the new ones with `node benches/instructions.mjs --accept` and commit them with what changed them.",
  );
}
for (const failure of failures) console.error(`\n${failure}`);
process.exitCode = failures.length === 0 ? 0 : 1;
