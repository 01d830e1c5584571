// Node.js, and what reads its conditions: the module is a file beside this one.
import { readFile } from "node:fs/promises";
import { server, useRuntime } from "./runtime.js";

useRuntime(server, () => readFile(new URL("./flagstone_bg.wasm", import.meta.url)));

export * from "./client.js";
