// Browsers and bundlers: the module is an asset beside this file.
import { useModule } from "./instance.js";

useModule(() => fetch(new URL("./flagstone_bg.wasm", import.meta.url)));

export * from "./client.js";
