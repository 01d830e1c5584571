// Node.js, and what reads its conditions: the module is a file beside this one.
import { readFile } from "node:fs/promises";
import { inlined } from "./inlined.js";
import { server, useRuntime } from "./runtime.js";

useRuntime(server, async () => {
  try {
    return await readFile(new URL("./flagstone_bg.wasm", import.meta.url));
  } catch {
    // Bundled, and the file left behind.
    return inlined();
  }
});

export * from "./client.js";
