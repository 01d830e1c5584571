// Puts the package together in ../pkg: the compiled sources beside the engine, once with regular expressions and once, in
// slim/, without.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const here = new URL("./", import.meta.url);
const root = new URL("../", here);
const pkg = new URL("pkg/", root);

rmSync(pkg, { recursive: true, force: true });
for (const [engine, folder] of [
  ["full", pkg],
  ["slim", new URL("slim/", pkg)],
]) {
  mkdirSync(folder, { recursive: true });
  // The providers take a client of either.
  const filter = (file) => engine === "full" || !/(openfeature|exposures|file-storage|testing)[^/]*$/.test(file);
  cpSync(new URL("dist/", here), folder, { recursive: true, filter });
  for (const file of ["flagstone.js", "flagstone.d.ts", "flagstone_bg.wasm"]) {
    cpSync(new URL(`target/pkg-build/${engine}/${file}`, root), new URL(file, folder));
  }
}
for (const license of ["LICENSE-APACHE", "LICENSE-MIT"]) cpSync(new URL(license, root), new URL(license, pkg));
cpSync(new URL("README.md", here), new URL("README.md", pkg));

// What the package says of itself stands in package.json, beside what only building it takes.
const manifest = JSON.parse(readFileSync(new URL("package.json", here), "utf8"));
for (const member of ["private", "scripts", "devDependencies"]) delete manifest[member];
writeFileSync(new URL("package.json", pkg), `${JSON.stringify(manifest, null, 2)}\n`);

// Built anew each time, so that the package holds no file whose source is gone.
rmSync(new URL("dist/", here), { recursive: true });
