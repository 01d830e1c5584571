// Cloudflare Workers and workerd: nothing may be compiled there, so the module comes compiled.
import module from "./flagstone_bg.wasm";
import { useModule } from "./instance.js";

useModule(() => module);

export * from "./client.js";
