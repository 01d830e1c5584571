// The one instance of the engine's module that all clients share, replaced when it breaks.
import type { Exports } from "./engine.js";
import { Problem, problem, Wrong } from "./errors.js";
import type { ModuleSource } from "./module.js";

interface Instance {
  readonly module: WebAssembly.Module;
  readonly exports: Exports;
}

/** Where a module is to be had. */
export type ModuleFrom = () => ModuleSource | Promise<ModuleSource>;

let source: ModuleFrom | undefined;
let loading: Promise<Instance> | undefined;
let current: Instance | undefined;
let broken = false;

/** Which instance this is. Whatever was made in another is gone. */
export let generation = 0;

/** Where what completes snapshots is to be had. */
export let toolsSource: ModuleFrom | undefined;

/** Says where to find the module, for the first client that needs it, and that which completes snapshots. */
export function useModule(from: ModuleFrom, tools: ModuleFrom): void {
  source ??= from;
  toolsSource ??= tools;
}

/** The same, for a host that brings others; once an engine is made, that one stays. */
export function replaceModule(from: ModuleFrom, tools: ModuleFrom): void {
  if (current !== undefined) return;
  source = from;
  toolsSource = tools;
  loading = undefined;
}

/** Loads the module, unless that has been done. */
export async function load(): Promise<void> {
  loading ??= instantiate();
  try {
    current ??= await loading;
  } catch (error) {
    // So that the next one tries again.
    loading = undefined;
    throw error;
  }
}

/** Why there will never be an engine here, whatever is tried; undefined where there may be one. */
export function forbidden(error: unknown): Problem | undefined {
  if (typeof WebAssembly !== "object") return problem(Wrong.NoWebAssembly);
  if (!(error instanceof WebAssembly.CompileError)) return undefined;
  try {
    // The smallest module there is.
    new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    return undefined;
  } catch {
    return problem(Wrong.Forbidden);
  }
}

async function instantiate(): Promise<Instance> {
  if (source === undefined) throw problem(Wrong.NoModule);
  return made(await instantiateFrom(source, {}));
}

/** An instance of a module, wherever it comes from. */
export async function instantiateFrom(
  source: ModuleFrom,
  imports: WebAssembly.Imports,
): Promise<WebAssembly.WebAssemblyInstantiatedSource> {
  let module = await source();
  if (module instanceof URL) module = await fetch(module);
  // Not `instanceof`: naming `Response` has Node.js load what it fetches with.
  if (isResponse(module)) {
    if (!module.ok) throw new Error(`${module.url} answered ${module.status}`);
    // Of this type it is compiled as it arrives.
    const isStreamed = module.headers.get("content-type")?.toLowerCase() === "application/wasm";
    if (isStreamed) return WebAssembly.instantiateStreaming(module, imports);
    module = await module.arrayBuffer();
  }
  // A module makes an instance, and bytes make both.
  const instance = await WebAssembly.instantiate(module as BufferSource, imports);
  return "module" in instance ? instance : { module, instance };
}

const isResponse = (source: object): source is Response => "headers" in source;

const made = ({ module, instance }: WebAssembly.WebAssemblyInstantiatedSource): Instance => ({
  module,
  exports: instance.exports as unknown as Exports,
});

/** The module's exports. */
export function exports(): Exports {
  if (current === undefined) throw new Error("the engine is not loaded");
  if (broken) {
    const { module } = current;
    current = made({ module, instance: new WebAssembly.Instance(module) });
    broken = false;
  }
  return current.exports;
}

/** Counts the instance as broken, after a trap left it in the middle of something. The next one to need it replaces it. */
export function abandon(): void {
  broken = true;
  generation++;
}
