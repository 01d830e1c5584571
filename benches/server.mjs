// `flagstone serve`, built for release, under load on the loopback interface: what wrk counts, as a table and in
// target/bench/server.json. BENCH_SECONDS is how long each run takes (10). Load and server share the machine's cores.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const binary = join(target, "release/flagstone");
const seconds = Number(process.env.BENCH_SECONDS ?? 10);
const connections = 64;
const folder = mkdtempSync(join(tmpdir(), "flagstone-bench-"));

function run(command, ...args) {
  const { error, status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
  if (error !== undefined) {
    throw new Error(`${command}: ${error.message}; run \`make bench\`, which gets and builds what is needed`);
  }
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}:\n${stdout}${stderr}`);
  return stdout;
}

/** Asks for so long, and says how it went; an answer other than the one wanted is a failure. */
function load(url, { method = "GET", headers, body }, duration) {
  const script = join(folder, "load.lua");
  const lua = (text) => JSON.stringify(text).replaceAll("\\u", "\\\\u");
  const lines = Object.entries(headers).map(([name, value]) => `wrk.headers[${lua(name)}] = ${lua(value)}`);
  if (body !== undefined) lines.push(`wrk.body = ${lua(body)}`);
  writeFileSync(
    script,
    `wrk.method = "${method}"
${lines.join("\n")}
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\\n{"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"max":%d,"bytes":%d,"errors":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max, summary.bytes,
    e.connect + e.read + e.write + e.status + e.timeout))
end
`,
  );
  const out = run("wrk", "-t1", `-c${connections}`, `-d${duration}s`, "-s", script, url);
  const found = JSON.parse(out.trim().split("\n").at(-1));
  if (found.errors > 0) throw new Error(`${method} ${url}: ${found.errors} of ${found.requests} failed`);
  return found;
}

let server;
try {
  run(binary, "init", "--example", "five-plans");
  const key = "keys/production.private.jwk";
  run(binary, "publish", "--environment", "production", "--store", "published", "--key", key, "--reason", "A start");
  const token = run(binary, "token", "--name", "bench", "--role", "reader", "--file", "tokens.json").trim();
  const limits = ["--max-rate", "4000000", "--log", "error"];
  const serve = ["serve", "--store", "published", "--keys", "keys/production.jwks", "--tokens", "tokens.json"];
  server = spawn(binary, [...serve, "--listen", "127.0.0.1:0", ...limits], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await new Promise((resolve, reject) => {
    createInterface(server.stdout).once("line", (line) => resolve([line]));
    server.once("error", reject).once("exit", () => reject(new Error("the server did not start")));
  });
  const base = line.trim().split(" ").at(-1);

  const snapshot = `${base}/snapshots/production/client.json`;
  const compressed = { "Accept-Encoding": "br" };
  const etag = (await fetch(snapshot, { headers: compressed })).headers.get("etag");
  const ofrep = `${base}/ofrep/v1/evaluate/flags`;
  const evaluation = {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ context: { targetingKey: "user-42", internal: false, country: "DE" } }),
  };
  const runs = [
    ["snapshot, 200", snapshot, { headers: compressed }, 200],
    ["snapshot, 304", snapshot, { headers: { ...compressed, "If-None-Match": etag } }, 304],
    ["OFREP, one flag", `${ofrep}/use_new_gateway`, evaluation, 200],
    ["OFREP, all flags", ofrep, evaluation, 200],
  ];
  const results = {};
  const row = (name, ...columns) => console.log(name.padEnd(18) + columns.map((text) => text.padStart(12)).join(""));
  row(`${connections} connections`, "requests/s", "p50", "p99", "max", "bytes");
  for (const [name, url, request, status] of runs) {
    const { method, headers, body } = request;
    const found = await fetch(url, { method, headers, body });
    if (found.status !== status) throw new Error(`${url}: ${found.status}, not ${status}: ${await found.text()}`);
    load(url, request, 1);
    const { requests, microseconds, p50, p99, max, bytes } = load(url, request, seconds);
    const perSecond = Math.round((requests * 1e6) / microseconds);
    results[name] = { requestsPerSecond: perSecond, p50Microseconds: p50, p99Microseconds: p99, maxMicroseconds: max };
    const milliseconds = (microseconds) => `${(microseconds / 1000).toFixed(2)} ms`;
    const size = Math.round(bytes / requests).toLocaleString("en");
    row(name, perSecond.toLocaleString("en"), ...[p50, p99, max].map(milliseconds), size);
  }
  const machine = { processor: cpus()[0]?.model ?? "unknown", cores: availableParallelism() };
  mkdirSync(join(target, "bench"), { recursive: true });
  const report = { ...machine, connections, seconds, results };
  writeFileSync(join(target, "bench/server.json"), `${JSON.stringify(report, undefined, 2)}\n`);
} finally {
  server?.removeAllListeners("exit");
  server?.kill();
  rmSync(folder, { recursive: true });
}
