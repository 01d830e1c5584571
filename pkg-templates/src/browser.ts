// Browsers and bundlers: the module is an asset beside this file.
import { page, useRuntime } from "./runtime.js";

useRuntime(page, () => fetch(new URL("./flagstone_bg.wasm", import.meta.url)));

export * from "./client.js";
