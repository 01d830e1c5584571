// The one instance of the engine's module that all clients share, replaced when it breaks.
import init, { __wbg_reset_state, initSync, type InitInput, type InitOutput } from "./flagstone.js";
import type { ModuleSource } from "./module.js";

let source: (() => ModuleSource | Promise<ModuleSource>) | undefined;
let loading: Promise<InitOutput> | undefined;
let wasm: InitOutput | undefined;
let broken = false;

/** Which instance this is. Whatever was made in another is gone. */
export let generation = 0;

/** Says where to find the module, for the first client that needs it. */
export function useModule(from: () => ModuleSource | Promise<ModuleSource>): void {
  source ??= from;
}

/** The same, for a host that brings another one; once an engine is made, that one stays. */
export function replaceModule(from: () => ModuleSource | Promise<ModuleSource>): void {
  if (wasm !== undefined) return;
  source = from;
  loading = undefined;
}

/** Loads the module, unless that has been done. */
export async function load(): Promise<void> {
  loading ??= instantiate();
  try {
    wasm ??= await loading;
  } catch (error) {
    // So that the next one tries again.
    loading = undefined;
    throw error;
  }
}

/** Why there will never be an engine here, whatever is tried; undefined where there may be one. */
export function forbidden(error: unknown): string | undefined {
  if (typeof WebAssembly !== "object") return "there is no WebAssembly here";
  if (!(error instanceof WebAssembly.CompileError)) return undefined;
  try {
    // The smallest module there is.
    new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    return undefined;
  } catch {
    return "WebAssembly is forbidden here: allow `'wasm-unsafe-eval'` in the Content-Security-Policy's `script-src`";
  }
}

async function instantiate(): Promise<InitOutput> {
  if (source === undefined) {
    throw new Error("no engine yet: call init(module) of `flagstone/module` first, or import `flagstone`");
  }
  const module = await source();
  return module instanceof WebAssembly.Module ? initSync({ module }) : init({ module_or_path: module as InitInput });
}

/** The module's exports. */
export function exports(): InitOutput {
  if (wasm === undefined) throw new Error("the engine is not loaded");
  if (broken) {
    __wbg_reset_state();
    // Given back as it is: the glue starts its module only once.
    wasm = initSync({ module: new Uint8Array() });
    broken = false;
  }
  return wasm;
}

/** Counts the instance as broken, after a trap left it in the middle of something. The next one to need it replaces it. */
export function abandon(): void {
  broken = true;
  generation++;
}
