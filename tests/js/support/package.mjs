// The built package, as it comes to a user.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const pkg = fileURLToPath(new URL("../../../pkg/", import.meta.url));
export const manifest = JSON.parse(readFileSync(join(pkg, "package.json"), "utf8"));

/** The file that a host with these conditions gets for `flagstone` or `flagstone/…`, as Node.js and bundlers resolve it. */
export function entry(subpath, conditions, target = manifest.exports[subpath]) {
  if (typeof target === "string") return target;
  for (const [condition, next] of Object.entries(target)) {
    const file = (condition === "default" || conditions.includes(condition)) && entry(subpath, conditions, next);
    if (file) return file;
  }
}

let root;
function temporary() {
  if (root === undefined) {
    root = mkdtempSync(join(tmpdir(), "flagstone-"));
    process.on("exit", () => rmSync(root, { recursive: true }));
  }
  return root;
}

function npm(folder, ...args) {
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
  return execFileSync("npm", [...args, ...quiet], {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
}

let packed;
/** The tarball that `npm publish` would upload: its place, its size and what is in it, as npm tells. */
export function tarball() {
  if (packed === undefined) {
    [packed] = JSON.parse(npm(pkg, "pack", "--json", "--pack-destination", temporary()));
    packed.path = join(temporary(), packed.filename);
  }
  return packed;
}

/** A fresh folder with these files, in which the tarball is installed with what it depends on, and with other packages. */
export function project(files = {}, packages = []) {
  const folder = mkdtempSync(join(temporary(), "project-"));
  const all = { "package.json": '{ "private": true, "type": "module" }', ...files };
  for (const [file, content] of Object.entries(all)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), content);
  }
  npm(folder, "install", tarball().path, ...packages, "--ignore-scripts", "--prefer-offline");
  return folder;
}
