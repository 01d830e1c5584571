// Hosts that bring the engine's module themselves.
import { load, replaceModule } from "./instance.js";

/**
 * What the engine is made from: a `WebAssembly.Module`, which is used at once, where compiling is forbidden (in Workers); its
 * bytes; a response with them; where to get it. The first has no name in the types of a Node.js project without the DOM's.
 */
export type ModuleSource = object | ArrayBuffer | ArrayBufferView | Response | URL;

/**
 * Makes the engine from a module of the host's: compiled, or its bytes, or where to get it. Where that fails, it may be called
 * again with another one.
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
  const source = await module;
  if (typeof source !== "object" || (source as unknown) === null) {
    throw new TypeError(`init: expected a WebAssembly.Module, bytes, a Response or a URL, found a ${typeof source}`);
  }
  replaceModule(() => source);
  await load();
}

export * from "./client.js";
