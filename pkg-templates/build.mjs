// Puts the package together in ../pkg: the compiled sources beside the engine, once with regular expressions and once, in
// slim/, without; each once more as CommonJS, for `require` in Node.js.
import { buildSync } from "esbuild";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** What is imported by its own name in every runtime alike: `flagstone/NAME`, from src/NAME.ts. */
const MODULES = [
  "anonymous",
  "file-storage",
  "guard",
  "inline",
  "module",
  "openfeature-server",
  "openfeature-web",
  "storage",
  "testing",
  "variables",
  "slim/inline",
  "slim/module",
];

const here = new URL("./", import.meta.url);
const root = new URL("../", here);
const dist = new URL("dist/", here);
const pkg = new URL("pkg/", root);

/** What jsdom lacks comes from Node.js; where there is no `Response`, nothing is one. Elsewhere they are the host's own. */
const GLOBALS = `
const { TextDecoder, TextEncoder } = globalThis.TextDecoder ? globalThis : process.getBuiltinModule("node:util");
const { Response = class {} } = globalThis;`;

/** The licences of what goes into a copy as CommonJS. */
const NOTICES = ["ed25519", "hashes"]
  .map(
    (name) => `/* @noble/${name}\n\n${readFileSync(new URL(`node_modules/@noble/${name}/LICENSE`, here), "utf8")}*/\n`,
  )
  .join("");

/**
 * A file as CommonJS. The engine is not copied: what stands beside the file is one folder up from its copy. All else is
 * required, for Jest cannot import; the library that has no CommonJS is part of the copy.
 */
function commonJs(file) {
  const engine = /"\.\/(flagstone_(?:bg\.wasm|inlined\.js|tools\.wasm|tools_inlined\.js)")/g;
  const source = readFileSync(file, "utf8").replaceAll(engine, '"../$1');
  const fileUrl = '\nconst fileUrl = require("node:url").pathToFileURL(__filename).href;';
  const bundled = file.pathname.endsWith("/ed25519.js");
  const hasGlobals = /\b(TextDecoder|TextEncoder|Response)\b/.test(source);
  const { outputFiles } = buildSync({
    stdin: { contents: source, resolveDir: fileURLToPath(here) },
    absWorkingDir: fileURLToPath(here),
    bundle: bundled,
    write: false,
    format: "cjs",
    platform: "node",
    target: "node20",
    legalComments: "none",
    footer: { js: bundled ? NOTICES : "" },
    supported: { "dynamic-import": file.pathname.endsWith("/unpack.js") },
    banner: { js: `"use strict";${source.includes("import.meta.url") ? fileUrl : ""}${hasGlobals ? GLOBALS : ""}` },
    define: { "import.meta.url": "fileUrl" },
  });
  return outputFiles[0].text;
}

rmSync(pkg, { recursive: true, force: true });
for (const [engine, folder] of [
  ["full", pkg],
  ["slim", new URL("slim/", pkg)],
]) {
  // What goes with a client of either stands in one place.
  const filter = (file) =>
    engine === "full" ||
    !/\/(openfeature|exposures|anonymous|storage|file-storage|guard|testing|variables)[^/]*$/.test(file);
  cpSync(dist, folder, { recursive: true, filter });
  if (engine === "slim") {
    // All else has entry points of its own, which are the same for both.
    for (const file of ["exports.js", "exports.d.ts"])
      writeFileSync(new URL(file, folder), 'export * from "./client.js";\n');
  }

  const files = readdirSync(folder);
  const cjs = new URL("cjs/", folder);
  mkdirSync(cjs);
  writeFileSync(new URL("package.json", cjs), '{ "type": "commonjs" }\n');
  // Neither runtime has CommonJS.
  for (const file of files.filter((file) => !/^(browser|workerd)\./.test(file))) {
    if (file.endsWith(".js")) writeFileSync(new URL(file, cjs), commonJs(new URL(file, folder)));
    else cpSync(new URL(file, folder), new URL(file, cjs));
  }

  for (const [build, wasm, inlined] of [
    [engine, "flagstone_bg.wasm", "flagstone_inlined.js"],
    ["tools", "flagstone_tools.wasm", "flagstone_tools_inlined.js"],
  ]) {
    const built = new URL(`target/pkg-build/${build}/flagstone_bg.wasm`, root);
    cpSync(built, new URL(wasm, folder));
    const gzipped = gzipSync(readFileSync(built), { level: 9 });
    writeFileSync(new URL(inlined, folder), `export default "${gzipped.toString("base64")}";\n`);
  }
}
for (const license of ["LICENSE-APACHE", "LICENSE-MIT"]) cpSync(new URL(license, root), new URL(license, pkg));
cpSync(new URL("README.md", here), new URL("README.md", pkg));

const typed = (path) => ({ types: path.replace(/js$/, "d.ts"), default: path });
/** A file and its copy as CommonJS. Types of their own, for to TypeScript a file's format follows its folder's. */
const both = (path) => ({ import: typed(path), require: typed(path.replace(/[^/]*$/, "cjs/$&")) });

/** The client, by the way the engine's module comes to each runtime. */
const client = (folder) => ({
  workerd: typed(`${folder}workerd.js`),
  node: both(`${folder}node.js`),
  // Bundlers that set this condition serve assets. In development Vite before 8 looks for those of dependencies in a folder
  // that has none; esbuild and Rollup never serve them.
  browser: { production: typed(`${folder}browser.js`), ...both(`${folder}inline.js`) },
  ...both(`${folder}inline.js`),
});

// What the package says of itself stands in package.json, beside what only building it takes.
const manifest = JSON.parse(readFileSync(new URL("package.json", here), "utf8"));
for (const member of ["private", "scripts", "devDependencies"]) delete manifest[member];
manifest.exports = {
  ".": client("./"),
  "./slim": client("./slim/"),
  ...Object.fromEntries(MODULES.map((name) => [`./${name}`, both(`./${name}.js`)])),
  "./flagstone_bg.wasm": "./flagstone_bg.wasm",
  "./flagstone_tools.wasm": "./flagstone_tools.wasm",
  "./slim/flagstone_bg.wasm": "./slim/flagstone_bg.wasm",
  "./package.json": "./package.json",
};
// They say where the engine's module is; all else may be dropped where it is not used.
manifest.sideEffects = ["browser", "inline", "node", "workerd"].map((name) => `**/${name}.js`);
writeFileSync(new URL("package.json", pkg), `${JSON.stringify(manifest, null, 2)}\n`);

// Built anew each time, so that the package holds no file whose source is gone.
rmSync(dist, { recursive: true });
