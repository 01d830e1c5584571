// Hosts that bring the engine's module themselves.
import { load, useModule } from "./instance.js";

/** What the engine is made from. A compiled module is used at once, where compiling is forbidden (in Workers). */
export type ModuleSource = WebAssembly.Module | BufferSource | Response | URL;

/**
 * Makes the engine from a module of the host's: compiled, or its bytes, or where to get it.
 *
 * ```js
 * import module from "flagstone/flagstone_bg.wasm";
 * import { FlagstoneClient, init } from "flagstone/module";
 *
 * await init(module);
 * const flags = await FlagstoneClient.start({ … });
 * ```
 */
export async function init(module: ModuleSource | Promise<ModuleSource>): Promise<void> {
  useModule(() => module);
  await load();
}

export * from "./client.js";
