// The package beside OpenFeature's SDKs, as an app has them installed.
import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { entry, project } from "./package.mjs";

const installed = fileURLToPath(new URL("../node_modules/", import.meta.url));

/** A project in which the package is installed beside these others. */
export function projectWith(...packages) {
  const folder = project();
  for (const name of packages) {
    if (!existsSync(join(installed, name))) throw new Error(`${name} is missing: run 'npm --prefix tests/js ci'`);
    const link = join(folder, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(installed, name), link);
  }
  return folder;
}

/** What a module in that project gets from `flagstone` or `flagstone/…` under Node.js. */
export const load = (folder, subpath) =>
  import(pathToFileURL(join(folder, "node_modules/flagstone", entry(subpath, ["node", "import"]))));
