// The built package, as it comes to a user.
import { cpSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const pkg = fileURLToPath(new URL("../../../pkg/", import.meta.url));
export const manifest = JSON.parse(readFileSync(join(pkg, "package.json"), "utf8"));

/** The file that a host with these conditions gets for `flagstone` or `flagstone/…`, as Node.js and bundlers resolve it. */
export function entry(subpath, conditions) {
  const target = manifest.exports[subpath];
  if (typeof target === "string") return target;
  return Object.entries(target).find(([condition]) => condition === "default" || conditions.includes(condition))[1];
}

/** A folder of its own in which `flagstone` and what it depends on are installed. */
export function project() {
  const folder = mkdtempSync(join(tmpdir(), "flagstone-"));
  const modules = join(folder, "node_modules");
  mkdirSync(modules);
  cpSync(pkg, join(modules, "flagstone"), { recursive: true });
  const installed = fileURLToPath(new URL("../../../pkg-templates/node_modules/", import.meta.url));
  for (const name of Object.keys(manifest.dependencies)) {
    cpSync(join(installed, name), join(modules, name), { recursive: true });
  }
  return folder;
}
