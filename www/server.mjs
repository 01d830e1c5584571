// Serves the page on this machine alone, and answers what the page asks of the native command: to lint and compile
// definitions, to evaluate and explain, to count a crowd. Every question has a temporary folder of its own, and nothing is
// written elsewhere.
import { execFile } from "node:child_process";
import { createReadStream, mkdtempSync, rmSync, statSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { availableParallelism, tmpdir } from "node:os";
import { extname, join, resolve, sep } from "node:path";

/** The longest body that is read, in bytes. */
const BODY_LIMIT = 2 ** 20;
/** How many questions wait while others are answered; what comes on top is turned away. */
const WAITING_LIMIT = 64;
const COMMAND_TIMEOUT_MS = 20_000;
const FILES_LIMIT = 50;
const ENVIRONMENT = "production";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

const HEADERS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "content-security-policy": "frame-ancestors 'none'",
};

/** What a question is answered with where it has no other answer. */
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Runs at most so many jobs at once, the others in the order they came. */
function queue(atOnce) {
  const waiting = [];
  let running = 0;
  return async (signal, job) => {
    if (running >= atOnce) {
      if (waiting.length >= WAITING_LIMIT) throw new Refusal(503, "too many questions at once: ask again");
      await new Promise((go) => waiting.push(go));
    } else running++;
    try {
      signal.throwIfAborted();
      return await job();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}

/** The request's JSON object. */
async function body(request) {
  if (!/^application\/json\b/.test(request.headers["content-type"] ?? ""))
    throw new Refusal(415, "the body must be application/json");
  const tooLong = new Refusal(413, `the body is longer than ${BODY_LIMIT.toLocaleString("en")} bytes`);
  if (Number(request.headers["content-length"]) > BODY_LIMIT) throw tooLong;
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length > BODY_LIMIT) throw tooLong;
    parts.push(part);
  }
  let parsed;
  try {
    parsed = JSON.parse(Buffer.concat(parts).toString());
  } catch (error) {
    throw new Refusal(400, `the body is no JSON: ${error.message}`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw new Refusal(400, "the body is no JSON object");
  return parsed;
}

const isText = (value) => typeof value === "string" && !value.includes("\0");

/** The definitions that a question brings, under names that cannot leave their folder. */
function filesOf({ files }) {
  if (!Array.isArray(files) || files.length === 0 || files.length > FILES_LIMIT)
    throw new Refusal(400, `\`files\` must be a list of 1 to ${FILES_LIMIT} files`);
  const names = new Set();
  for (const file of files) {
    if (!isText(file?.name) || !isText(file.text)) throw new Refusal(400, "a file needs a `name` and a `text`");
    // eslint-disable-next-line no-control-regex
    if (!/^[^./\\\u0000-\u001f-][^/\\\u0000-\u001f]{0,80}\.(ya?ml|json)$/i.test(file.name))
      throw new Refusal(400, `\`${file.name}\` is no name for definitions: call the file flags.yaml or flags.json`);
    names.add(file.name.toLowerCase());
  }
  if (names.size < files.length) throw new Refusal(400, "two files have the same name");
  return files;
}

/**
 * Starts the server.
 *
 * `command` is the path of `flagstone`, `folders` maps prefixes of paths to what is served below them, `project` is a
 * folder of definitions, `jwks` the trusted keys and `key` the private key that the page's snapshots are signed with.
 */
export async function serve({ port = 0, command, folders, project, jwks, key }) {
  const temporary = mkdtempSync(join(tmpdir(), "flagstone-playground-"));
  const cleanUp = () => rmSync(temporary, { recursive: true, force: true });
  process.once("exit", cleanUp);
  const enqueue = queue(availableParallelism());

  /** Runs the command in a folder; a code other than 0 and those allowed is a refusal in the command's words. */
  const run = (folder, signal, args, { input = "", allowed = [] } = {}) =>
    new Promise((answer, refuse) => {
      const options = {
        cwd: folder,
        signal,
        timeout: COMMAND_TIMEOUT_MS,
        maxBuffer: 32 * BODY_LIMIT,
        env: { ...process.env, NO_COLOR: "1" },
      };
      const child = execFile(command, args, options, (error, stdout, stderr) => {
        if (!error || allowed.includes(error.code)) return answer(stdout);
        if (signal.aborted) return refuse(signal.reason);
        if (typeof error.code === "string")
          return refuse(new Refusal(503, `the native command cannot be run: ${error.message}`));
        if (error.killed) return refuse(new Refusal(503, "the native command took too long"));
        return refuse(new Refusal(422, stderr.trim().replace(/^error: /gm, "")));
      });
      // A child that ends without reading its input is told of by its exit code.
      child.stdin?.on("error", () => {});
      child.stdin?.end(input);
    });

  const written = async (folder, files) => {
    await mkdir(join(folder, "definitions"));
    await Promise.all(files.map(({ name, text }) => writeFile(join(folder, "definitions", name), text)));
    return files.map(({ name }) => name);
  };

  /** The trusted snapshot that a question brings, as arguments. */
  const snapshotOf = async (folder, { snapshot }) => {
    if (!isText(snapshot)) throw new Refusal(400, "`snapshot` must be an envelope's text");
    await writeFile(join(folder, "snapshot.json"), snapshot);
    return ["--snapshot", "snapshot.json", "--keys", jwks];
  };

  const flagOf = ({ flag }) => {
    if (!isText(flag) || flag.length > 1000) throw new Refusal(400, "`flag` must be a flag's key");
    return `--flag=${flag}`;
  };

  const nowOf = ({ now }) => {
    if (now === undefined) return [];
    const time = new Date(now);
    if (typeof now !== "number" || Number.isNaN(time.getTime()))
      throw new Refusal(400, "`now` must be milliseconds since 1970");
    return ["--now", time.toISOString()];
  };

  const questions = {
    /** `{files: [{name, text}]}` → `{problems}`, as `flagstone lint --json` prints them. */
    async "/lint"(folder, question, signal) {
      const names = await written(folder, filesOf(question));
      const args = ["lint", "--json", "--", ...names];
      return { problems: JSON.parse(await run(join(folder, "definitions"), signal, args, { allowed: [1] })) };
    },

    /** `{files}` → `{server, client, flags}`: signed snapshots for both audiences, and each flag with who receives it. */
    async "/compile"(folder, question, signal) {
      const names = await written(folder, filesOf(question));
      const where = ["--environment", ENVIRONMENT, "--store", "../store", "--key", key];
      const who = ["--author", "playground", "--reason", "A draft"];
      await run(join(folder, "definitions"), signal, ["publish", ...where, ...who, "--", ...names]);
      const current = (audience) => join(folder, "store", ENVIRONMENT, "current", `${audience}.json`);
      const envelopes = ["server", "client"].map((audience) => readFile(current(audience), "utf8"));
      const [server, client] = await Promise.all(envelopes);
      const flags = (envelope) => Object.keys(JSON.parse(JSON.parse(envelope).payload).flags);
      const forClients = new Set(flags(client));
      return { server, client, flags: flags(server).map((key) => ({ key, client: forClients.has(key) })) };
    },

    /** `{snapshot, flag, context, now?}` → `{evaluation, steps}`, as `flagstone explain --json` prints them. */
    async "/evaluate"(folder, question, signal) {
      const args = [...(await snapshotOf(folder, question)), flagOf(question), ...nowOf(question)];
      const input = JSON.stringify(question.context ?? {});
      return JSON.parse(await run(folder, signal, ["explain", "--json", ...args, "--context", "-"], { input }));
    },

    /** `{snapshot, flag, contexts, now?}` → `{users, variants, reasons}`: how many are served what, and why. */
    async "/simulate"(folder, question, signal) {
      const { contexts } = question;
      if (!Array.isArray(contexts)) throw new Refusal(400, "`contexts` must be a list of evaluation contexts");
      const args = [...(await snapshotOf(folder, question)), flagOf(question), ...nowOf(question)];
      await writeFile(join(folder, "users.jsonl"), contexts.map((context) => `${JSON.stringify(context)}\n`).join(""));
      const all = ["simulate", "--json", ...args, "--users-file", "users.jsonl"];
      const { users, flags } = JSON.parse(await run(folder, signal, all));
      const [{ variants, reasons }] = flags;
      return { users, variants, reasons };
    },
  };

  /** The project's definitions: what the page begins with. */
  async function definitions() {
    const found = (await readdir(project)).filter((name) => /\.ya?ml$/.test(name)).sort();
    const files = found.map(async (name) => ({ name, text: await readFile(join(project, name), "utf8") }));
    return { files: await Promise.all(files) };
  }

  /** The file that a path names, undefined where there is none. */
  function file(path) {
    if (path === "/keys.json") return jwks;
    const prefix = Object.keys(folders).find((prefix) => path.startsWith(prefix));
    const found = resolve(folders[prefix], path.slice(prefix.length) || "index.html");
    const isInside = found.startsWith(folders[prefix] + sep);
    return isInside && statSync(found, { throwIfNoEntry: false })?.isFile() ? found : undefined;
  }

  /** Other pages in the same browser can reach this server, too; neither by their origin nor by a name of theirs do they get in. */
  function checkOrigin({ method, headers: { host = "", origin } }) {
    if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(host))
      throw new Refusal(403, "this server answers at 127.0.0.1 and localhost alone");
    const isQuestion = method !== "GET" && method !== "HEAD";
    if ((isQuestion || origin !== undefined) && origin !== `http://${host}`)
      throw new Refusal(403, "this server answers its own page alone");
  }

  async function answer(request, response, signal) {
    checkOrigin(request);
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    const question = Object.hasOwn(questions, path) ? questions[path] : undefined;
    if (question && request.method !== "POST") throw new Refusal(405, `${path} is asked by POST`);
    if (!question && request.method !== "GET" && request.method !== "HEAD") throw new Refusal(405, "only GET");
    if (question) {
      const asked = await body(request);
      return enqueue(signal, async () => {
        const folder = await mkdtemp(join(temporary, "question-"));
        try {
          return await question(folder, asked, signal);
        } finally {
          await rm(folder, { recursive: true, force: true });
        }
      });
    }
    if (path === "/definitions") return definitions();
    const found = file(path);
    if (!found) throw new Refusal(404, "there is nothing here");
    response.writeHead(200, { ...HEADERS, "content-type": TYPES[extname(found)] ?? TYPES[".json"] });
    if (request.method === "HEAD") response.end();
    else createReadStream(found).pipe(response);
    return undefined;
  }

  const server = createServer((request, response) => {
    // Nobody waits for the answer any more: what is under way for it ends.
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const send = (status, value) => {
      if (response.headersSent || response.destroyed) return response.destroy();
      // What was not read of a body is not waited for.
      const connection = request.complete ? {} : { connection: "close" };
      response.writeHead(status, { ...HEADERS, ...connection, "content-type": TYPES[".json"] });
      return response.end(JSON.stringify(value));
    };
    answer(request, response, gone.signal).then(
      (value) => value !== undefined && send(200, value),
      (error) => {
        if (error instanceof URIError || error?.code === "ERR_INVALID_URL")
          return send(400, { error: "the path makes no sense" });
        return send(error.status ?? 500, { error: error.message });
      },
    );
  });
  server.requestTimeout = 30_000;
  try {
    await new Promise((listening, failed) => server.once("error", failed).listen(port, "127.0.0.1", listening));
  } catch (error) {
    cleanUp();
    throw error;
  }
  return {
    address: `http://127.0.0.1:${server.address().port}/`,
    close() {
      server.closeAllConnections();
      server.close();
      process.off("exit", cleanUp);
      cleanUp();
    },
  };
}
