// Debian's Prometheus, on a folder of its own.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const EXECUTABLE = "/usr/bin/prometheus";

/** Starts it; it asks the targets, as `127.0.0.1:9000`, once a second. */
export async function prometheus(...targets) {
  if (!existsSync(EXECUTABLE)) throw new Error(`${EXECUTABLE} is missing: run '.ci/install prometheus'`);
  const folder = mkdtempSync(join(tmpdir(), "flagstone-prometheus-"));
  const config = {
    global: { scrape_interval: "1s", scrape_timeout: "1s" },
    scrape_configs: [{ job_name: "shop", static_configs: [{ targets }] }],
  };
  // YAML takes JSON.
  writeFileSync(join(folder, "prometheus.yml"), JSON.stringify(config));
  const args = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"];
  const child = spawn(EXECUTABLE, args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const said = [];
  const base = await new Promise((resolve, reject) => {
    createInterface(child.stderr).on("line", (line) => {
      said.push(line);
      const [, address] = /"Listening on" address=(\S+)/.exec(line) ?? [];
      if (address) resolve(`http://${address}`);
    });
    void ended.then(() => reject(new Error(`Prometheus ended:\n${said.join("\n")}`)));
  });
  return {
    base,
    async close() {
      child.kill();
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}
