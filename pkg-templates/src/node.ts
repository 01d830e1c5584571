// Node.js, and what reads its conditions: the module is a file beside this one.
import { readFile } from "node:fs/promises";
import { useModule } from "./instance.js";

useModule(() => readFile(new URL("./flagstone_bg.wasm", import.meta.url)));

export * from "./client.js";
