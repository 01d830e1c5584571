// Where the download's bytes are: those of the engine by what they do, those of the client by module. Each figure is what brotli
// would save without it, so they add up to less than the whole, which shares.
import { buildSync, transformSync } from "esbuild";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";

export function brotli(bytes) {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  return brotliCompressSync(bytes, { params }).length;
}

const CUSTOM = 0;
const IMPORT = 2;
const CODE = 10;
const DATA = 11;
const FUNCTION_NAMES = 1;
/** Bytes of brotli from which on something has a row of its own. */
const SMALL = 100;

/** A WebAssembly module's numbers (LEB128), texts and vectors, one after another. */
class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }
  number() {
    let [value, shift, byte] = [0, 1, 0];
    do {
      byte = this.bytes[this.at++];
      value += (byte & 0x7f) * shift;
      shift *= 128;
    } while (byte & 0x80);
    return value;
  }
  take(length) {
    return this.bytes.subarray(this.at, (this.at += length));
  }
  text = () => this.take(this.number()).toString();
  vector = (item) => Array.from({ length: this.number() }, item);
  get isAtEnd() {
    return this.at >= this.bytes.length;
  }
}

function leb(number) {
  const bytes = [];
  for (; number > 0x7f; number = Math.floor(number / 128)) bytes.push((number % 128) | 0x80);
  return Buffer.from([...bytes, number]);
}

/** A module's sections, its functions with their names, and how to write it without some of them. */
function parse(bytes) {
  const reader = new Reader(bytes);
  const head = reader.take(8);
  const sections = [];
  while (!reader.isAtEnd) sections.push({ id: reader.number(), bytes: reader.take(reader.number()) });
  const inside = (id) => new Reader(sections.find((section) => section.id === id)?.bytes ?? Buffer.of(0));

  // All that is imported is functions: module, name, kind, type.
  const imports = inside(IMPORT);
  const imported = imports.vector(() => [imports.text(), imports.text(), imports.number(), imports.number()]);
  const names = new Map();
  for (const custom of sections.filter(({ id }) => id === CUSTOM)) {
    const section = new Reader(custom.bytes);
    if (section.text() !== "name") continue;
    while (!section.isAtEnd) {
      const [kind, part] = [section.number(), new Reader(section.take(section.number()))];
      if (kind === FUNCTION_NAMES) part.vector(() => names.set(part.number(), part.text()));
    }
  }
  const code = inside(CODE);
  const functions = code.vector((_, index) => ({
    name: names.get(imported.length + index) ?? "?",
    body: code.take(code.number()),
  }));

  /** The module without names, without these functions' bodies, or without data. */
  function write(without = () => false, withoutData = false) {
    const parts = [head];
    for (const { id, bytes } of sections) {
      let content = bytes;
      if (id === CUSTOM || (id === DATA && withoutData)) continue;
      if (id === CODE) {
        // No locals, `unreachable`, `end`.
        const bodies = functions.map((one) => (without(one) ? Buffer.of(0, 0, 0x0b) : one.body));
        content = Buffer.concat([leb(bodies.length), ...bodies.flatMap((body) => [leb(body.length), body])]);
      }
      parts.push(leb(id), leb(content.length), content);
    }
    return Buffer.concat(parts);
  }
  return { functions, write };
}

/** What a function does, by the first crate in its name (as rustc mangles names: each part behind its length). */
function groupOf({ name }) {
  const crate = /C(?:s[0-9A-Za-z]*_)?(\d+)/.exec(name);
  if (crate === null || !name.startsWith("_R")) return "exported functions";
  const path = [];
  let rest = name.slice(crate.index + crate[0].length - crate[1].length);
  for (let part = /^(\d+)_?/.exec(rest); part !== null; part = /^(\d+)_?/.exec(rest)) {
    const end = part[0].length + Number(part[1]);
    path.push(rest.slice(part[0].length, end));
    rest = rest.slice(end);
  }
  const isOurs = path[0] === "flagstone" && ["evaluate", "snapshot", "wasm"].includes(path[1]);
  const depth = isOurs ? 3 : ["alloc", "core", "flagstone"].includes(path[0]) ? 2 : 1;
  return path
    .slice(0, depth)
    .filter((part) => /^[a-z]/.test(part))
    .join("::");
}

/** What is not worth a row of its own, in one, and the largest first. */
function sorted(rows) {
  const small = rows.filter(({ brotli }) => brotli < SMALL);
  const sum = (key) => small.reduce((sum, row) => sum + row[key], 0);
  const functions = rows[0].functions === undefined ? undefined : sum("functions");
  const rest = { name: `${small.length} smaller ones`, functions, raw: sum("raw"), brotli: sum("brotli") };
  const large = rows.filter((row) => !small.includes(row)).sort((one, other) => other.brotli - one.brotli);
  return small.length === 0 ? large : [...large, rest];
}

/** The engine's groups: how many functions, bytes as they are, and what brotli would save. */
export function bytesByGroup(folder) {
  const named = fileURLToPath(new URL(`../target/pkg-build/${folder}/named.wasm`, import.meta.url));
  const module = parse(readFileSync(named));
  const whole = module.write();
  const all = brotli(whole);
  const groups = new Map();
  for (const one of module.functions) groups.set(groupOf(one), [...(groups.get(groupOf(one)) ?? []), one]);
  const rows = [...groups].map(([name, functions]) => {
    const saved = all - brotli(module.write((one) => groupOf(one) === name));
    const raw = functions.reduce((sum, { body }) => sum + body.length, 0);
    return { name, functions: functions.length, raw, brotli: saved };
  });
  const data = module.write(undefined, true);
  rows.push({
    name: "data: tables, messages, names",
    functions: 0,
    raw: whole.length - data.length,
    brotli: all - brotli(data),
  });
  return { rows: sorted(rows), raw: whole.length, brotli: all };
}

/** The client's modules: bytes as they are in a page's bundle, and what brotli would save. */
export function bytesByModule() {
  const { outputFiles, metafile } = buildSync({
    entryPoints: [fileURLToPath(new URL("../pkg/browser.js", import.meta.url))],
    absWorkingDir: fileURLToPath(new URL("..", import.meta.url)),
    outfile: "out.js",
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: "esm",
    packages: "external",
    external: [
      "./ed25519.js",
      "./flagstone_inlined.js",
      "./flagstone_tools_inlined.js",
      "./pins.js",
      "./stream.js",
      "./tools.js",
      "./unpack.js",
      "./words.js",
    ],
  });
  const { contents } = outputFiles[0];
  const modules = Object.entries(metafile.outputs["out.js"].inputs).map(([path, { bytesInOutput }]) => {
    const source = readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
    return {
      name: basename(path),
      raw: bytesInOutput,
      code: transformSync(source, { minify: true, format: "esm" }).code,
    };
  });
  const size = (without) => {
    const kept = modules.filter((module) => module !== without);
    return brotli(Buffer.from(kept.map(({ code }) => code).join("")));
  };
  const whole = size();
  const rows = modules.map((module) => ({ name: module.name, raw: module.raw, brotli: whole - size(module) }));
  return { rows: sorted(rows), raw: contents.length, brotli: brotli(contents) };
}
