// The Worker starter, bundled as wrangler bundles it and run in workerd, and the servers around it.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { Miniflare } from "miniflare";
import { pkg } from "./package.mjs";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const starter = path("../../../pkg-templates/worker/");
const [compatibilityDate] = /\d{4}-\d\d-\d\d/.exec(readFileSync(join(starter, "wrangler.jsonc"), "utf8"));

/** A copy of the starter with what it depends on, bundled into `out`; `own` is what its user writes for `signedInUser`. */
export async function bundle(own) {
  const folder = mkdtempSync(join(tmpdir(), "flagstone-starter-"));
  process.on("exit", () => rmSync(folder, { recursive: true }));
  cpSync(starter, folder, { recursive: true });
  rmSync(join(folder, "node_modules"), { recursive: true, force: true });
  for (const [name, target] of Object.entries({
    flagstone: pkg,
    "@cloudflare/workers-types": path("../node_modules/@cloudflare/workers-types"),
    "@noble": path("../../../pkg-templates/node_modules/@noble"),
    "eventsource-parser": path("../../../pkg-templates/node_modules/eventsource-parser"),
  })) {
    const link = join(folder, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(target, link);
  }
  if (own !== undefined) {
    const index = join(folder, "src/index.ts");
    writeFileSync(index, readFileSync(index, "utf8").replace("{\n  return undefined;", `{\n  ${own}`));
  }
  await build({
    absWorkingDir: folder,
    entryPoints: ["src/index.ts"],
    outdir: "out",
    bundle: true,
    format: "esm",
    target: "es2022",
    conditions: ["workerd", "worker", "browser"],
    preserveSymlinks: true,
    loader: { ".wasm": "copy" },
    logLevel: "warning",
  });
  return folder;
}

/** A workerd that runs the bundled starter, with these variables and other options of Miniflare's. */
export function worker(folder, bindings, options = {}) {
  const out = join(folder, "out");
  const modules = readdirSync(out).map((file) => ({
    type: file.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
    path: join(out, file),
  }));
  modules.sort((a) => (a.type === "ESModule" ? -1 : 1));
  return new Miniflare({
    cf: false,
    compatibilityDate,
    modulesRoot: out,
    modules,
    bindings,
    // What it logs is for operators, and here for whoever asks to see it.
    handleRuntimeStdio: (stdout, stderr) => {
      for (const stream of [stdout, stderr]) process.env.FLAGSTONE_LOG ? stream.pipe(process.stderr) : stream.resume();
    },
    ...options,
  });
}

async function listen(server) {
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return `http://127.0.0.1:${server.address().port}`;
}

/** A server of snapshots, with ETags. Change what it `serve`s and how while it runs. */
export class SnapshotServer {
  envelope;
  /** Waited for before each answer. */
  gate = Promise.resolve();
  status = 200;
  /** How often it was asked. */
  asked = 0;
  /** The statuses answered with. */
  answered = [];
  #server = createServer(async (request, response) => {
    const { envelope, gate } = this;
    this.asked++;
    const etag = `"${createHash("sha256").update(envelope).digest("hex")}"`;
    const status = this.status === 200 && request.headers["if-none-match"] === etag ? 304 : this.status;
    await gate;
    this.answered.push(status);
    response.writeHead(status, { etag }).end(status === 200 ? envelope : undefined);
  });

  constructor(envelope) {
    this.envelope = envelope;
  }

  async start() {
    this.url = `${await listen(this.#server)}/production/current/client.json`;
    return this;
  }

  stop() {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** One of the two systems. It answers with its name, unless `answer` is replaced. */
export class Origin {
  requests = [];
  answer = (_request, response) => response.end(this.name);
  server = createServer((request, response) => {
    this.requests.push({ method: request.method, url: request.url, headers: request.headers });
    response.setHeader("x-origin", this.name);
    this.answer(request, response);
  });

  constructor(name) {
    this.name = name;
  }

  async start() {
    this.url = await listen(this.server);
    return this;
  }

  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }
}
