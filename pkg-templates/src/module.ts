// Hosts that bring the engine's module themselves.
import { inlinedTools } from "./unpack.js";
import { load, replaceModule } from "./instance.js";

/**
 * What the engine is made from: a `WebAssembly.Module`, which is used at once, where compiling is forbidden (in Workers); its
 * bytes; a response with them; where to get it. The first has no name in the types of a Node.js project without the DOM's.
 */
export type ModuleSource = object | ArrayBuffer | ArrayBufferView | Response | URL;

/**
 * Makes the engine from a module of the host's: compiled, or its bytes, or where to get it. Where that fails, it may be called
 * again with another one. `tools` is `flagstone_tools.wasm`, which explains, and compiles snapshots that come uncompiled.
 * Unless it is brought, it comes as JavaScript, which does not do where compiling is forbidden.
 *
 * ```js
 * import module from "flagstone/flagstone_bg.wasm";
 * import { FlagstoneClient, init } from "flagstone/module";
 *
 * await init(module);
 * const flags = await FlagstoneClient.start({ … });
 * ```
 */
export async function init(
  module: ModuleSource | Promise<ModuleSource>,
  tools?: ModuleSource | Promise<ModuleSource>,
): Promise<void> {
  const source = await module;
  if (typeof source !== "object" || (source as unknown) === null) {
    throw new TypeError(`init: expected a WebAssembly.Module, bytes, a Response or a URL, found a ${typeof source}`);
  }
  replaceModule(() => source, tools === undefined ? inlinedTools : () => tools);
  await load();
}

export * from "./exports.js";
