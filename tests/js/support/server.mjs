// A project that was published, and `flagstone serve` on it.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../../target", import.meta.url));
export const binary = join(target, "debug", "flagstone");

/** A folder with keys and definitions, published once to production. */
export function publishedProject(definitions) {
  assert.ok(existsSync(binary), `${binary} is missing: run 'cargo build --features control'`);
  const folder = mkdtempSync(join(tmpdir(), "flagstone-server-"));
  const run = (...args) => {
    const { status, stdout, stderr } = spawnSync(binary, args, { cwd: folder, encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return stdout.trim();
  };
  run("keygen", "--environment", "production", "--out", "key.jwk", "--public", "keys.jwks");
  const project = {
    folder,
    run,
    publish(definitions) {
      writeFileSync(join(folder, "flags.yaml"), definitions);
      const fixed = ["--environment", "production", "--store", "published", "--key", "key.jwk", "--author", "ana"];
      run("publish", "flags.yaml", ...fixed, "--reason", "A test");
    },
    token: (name, role) => run("token", "--name", name, "--role", role, "--file", "tokens.json"),
    /** Starts a server, and returns where it is and how to end it. */
    async serve(...args) {
      const fixed = [
        "serve",
        "--store",
        "published",
        "--keys",
        "keys.jwks",
        ...(args.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"]),
        "--log",
        "error",
      ];
      const child = spawn(binary, [...fixed, ...args], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
      const [line] = await Promise.race([
        new Promise((said) => createInterface(child.stdout).once("line", (line) => said([line]))),
        new Promise((_, failed) => child.once("exit", (code) => failed(new Error(`the server ended with ${code}`)))),
      ]);
      return {
        base: line.split(" ").at(-1),
        /** Ends it; what comes is done when it has. */
        close() {
          const ended = child.exitCode === null ? once(child, "exit") : undefined;
          child.kill();
          return ended;
        },
      };
    },
    /** Starts a controller, and returns how to end it. */
    async control(...args) {
      const to = ["--environment", "production", "--store", "published", "--key", "key.jwk", "--log", "error"];
      const fixed = ["rollout", "run", ...to];
      const child = spawn(binary, [...fixed, ...args], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
      const ended = new Promise((resolve) => child.once("exit", resolve));
      const failed = ended.then((code) => Promise.reject(new Error(`the controller ended with ${code}`)));
      await Promise.race([new Promise((said) => createInterface(child.stdout).once("line", said)), failed]);
      failed.catch(() => undefined);
      return {
        async close() {
          child.kill();
          await ended;
        },
      };
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
  project.publish(definitions);
  return project;
}
