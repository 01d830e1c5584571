// Node.js, and what reads its conditions: the module is a file beside this one.
import { readFile } from "node:fs/promises";
import { inlined, inlinedTools } from "./unpack.js";
import type { ModuleFrom } from "./instance.js";
import { server, useRuntime } from "./runtime.js";

function file(url: URL, inlined: ModuleFrom): ModuleFrom {
  return async () => {
    try {
      return await readFile(url);
    } catch {
      // Bundled, and the file left behind.
      return inlined();
    }
  };
}

useRuntime(
  server,
  file(new URL("./flagstone_bg.wasm", import.meta.url), inlined),
  file(new URL("./flagstone_tools.wasm", import.meta.url), inlinedTools),
);

export * from "./exports.js";
