// The server of `make demo`, as it is started by hand, with a project and a temporary folder of its own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../../../www/demo.mjs", import.meta.url));

/** Starts it, with what else it is told, and again on the same port after `stop()`. */
export async function demo(...options) {
  const folder = mkdtempSync(join(tmpdir(), "flagstone-demo-test-"));
  const temporary = mkdtempSync(join(tmpdir(), "flagstone-demo-tmp-"));
  let child;
  let base;
  let dashboard, token, application;
  const start = async () => {
    const port = base ? new URL(base).port : "0";
    const env = { ...process.env, TMPDIR: temporary, DEMO_EXIT: "" };
    const args = [script, "--port", port, "--project", join(folder, "project"), ...options];
    child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
    const said = [];
    for await (const line of createInterface({ input: child.stdout })) {
      said.push(line);
      dashboard = /^The dashboard: (.*)$/.exec(line)?.[1] ?? dashboard;
      token = /^Sign in with the token (.*)$/.exec(line)?.[1] ?? token;
      application = /curl -X POST (.*)\/break$/.exec(line)?.[1] ?? application;
      const [, address] = /^The playground: (.*)\/$/.exec(line) ?? [];
      if (!address) continue;
      base = address;
      child.stdout.resume();
      return;
    }
    throw new Error(`www/demo.mjs ended early:\n${said.join("\n")}`);
  };
  const stop = async () => {
    if (child.exitCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "exit");
  };
  await start();
  return {
    base,
    dashboard,
    token,
    application,
    temporary,
    start,
    stop,
    async remove() {
      await stop();
      for (const made of [folder, temporary]) rmSync(made, { recursive: true, force: true });
    },
  };
}
