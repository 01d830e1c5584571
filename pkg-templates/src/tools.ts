// What a page seldom needs: explanations, and what the engine evaluates for snapshots that come without it, written by hand or by
// a test, changed by environment variables, or published for engines of another version. Loaded when it is needed.
import type { Memory } from "./encode.js";
import { Engine, Taken, type Exports } from "./engine.js";
import type { Pins, Subject } from "./host.js";
import { exports, instantiateFrom, toolsSource } from "./instance.js";
import { within } from "./timer.js";

/** A snapshot that was taken. */
export interface Held {
  readonly environment: string;
  readonly audience: string;
  readonly payload: Uint8Array;
  /** When it was taken. */
  readonly now: number;
}

/** What the module exports beside what engines do. */
interface ToolsExports extends Exports {
  output(engine: number): number;
  outputLength(engine: number): number;
  complete(engine: number): number;
  explain(engine: number, flag: number, now: number): number;
  withoutPatterns(engine: number): void;
}

/** An engine that does more. */
class ToolsEngine extends Engine<ToolsExports> {
  complete(payload: Uint8Array): Uint8Array<ArrayBuffer> {
    this.give(payload);
    const isComplete = this.exports.complete(this.at) !== 0;
    if (!isComplete) throw new Error(readText(this.read()));
    return this.read().slice();
  }

  explain(flag: number, now: number): unknown {
    if (this.exports.explain(this.at, flag, now) === 0) throw new Error("there is nothing to explain");
    return JSON.parse(readText(this.read()));
  }

  private read(): Uint8Array<ArrayBuffer> {
    const { exports, at } = this;
    return bytesIn(exports.memory, exports.output(at), exports.outputLength(at));
  }

  /** Has it know regular expressions only if the client's engine does. */
  matchPatterns(): void {
    if (exports().patterns() === 0) this.exports.withoutPatterns(this.at);
  }
}

function bytesIn({ buffer }: Memory, place: number, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer, place >>> 0, length >>> 0);
}

const readText = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

let loading: Promise<WebAssembly.Module> | undefined;
let explainer: { readonly of: Held; readonly engine: Promise<ToolsEngine> } | undefined;

/** How long the module may take to come, in milliseconds. */
const PATIENCE = 30_000;

/** Loads the module, unless that has been done. */
export async function load(): Promise<WebAssembly.Module> {
  if (toolsSource === undefined) throw new Error("the host did not say where it is");
  // The instance that comes with it is not used.
  loading ??= instantiateFrom(toolsSource, { js: { number: Number } }).then(({ module }) => module);
  try {
    if (!(await within(PATIENCE, loading))) throw new Error(`no answer for ${PATIENCE / 1000} seconds`);
    return await loading;
  } catch (error) {
    // So that the next one tries again.
    loading = undefined;
    throw error;
  }
}

/** An engine in an instance of its own. */
async function makeEngine(environment: string, audience: string): Promise<ToolsEngine> {
  const number = (place: number, length: number): number => Number(readText(bytesIn(made.memory, place, length)));
  const instance = await WebAssembly.instantiate(await load(), { js: { number } });
  const made = instance.exports as unknown as ToolsExports;
  return new ToolsEngine(made, environment, audience);
}

/**
 * A payload with what the engine evaluates.
 *
 * @throws Where it is no snapshot's.
 */
export async function complete(payload: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  // Its memory goes with it.
  return (await makeEngine("", "")).complete(payload);
}

async function makeExplainer({ environment, audience, payload, now }: Held): Promise<ToolsEngine> {
  const engine = await makeEngine(environment, audience);
  engine.matchPatterns();
  if (engine.take(payload, now) !== Taken.New) throw new Error("the engine and its tools are of two versions");
  return engine;
}

/** The steps of the precedence for a flag, by its number, as `ExplainedStep` is serialised. */
export async function explain(held: Held, pins: Pins, subject: Subject, flag: number, now: number): Promise<unknown> {
  if (explainer?.of !== held) explainer = { of: held, engine: makeExplainer(held) };
  const mine = explainer;
  try {
    const engine = await mine.engine;
    engine.pin(pins);
    engine.write(subject);
    return engine.explain(flag, now);
  } catch (error) {
    // It may be broken.
    if (explainer === mine) explainer = undefined;
    throw error;
  }
}
