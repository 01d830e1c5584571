// Cloudflare Workers and workerd: nothing may be compiled there, so the module comes compiled.
import module from "./flagstone_bg.wasm";
import { worker, useRuntime } from "./runtime.js";

useRuntime(
  worker,
  () => module,
  async () => (await import("./flagstone_tools.wasm")).default,
);

export * from "./exports.js";
