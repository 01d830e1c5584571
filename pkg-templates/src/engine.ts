// The engine in the module's memory, by the functions that the module exports. The other half is src/wasm/mod.rs.
import type { Description } from "./codes.js";
import { Encoder, type Memory } from "./encode.js";
import { problem, Wrong } from "./errors.js";
import type { Subject } from "./host.js";

/** What came of a snapshot: `Taken` of src/wasm/mod.rs. */
export const enum Taken {
  New,
  /** It is the one that is held. */
  Same,
  /** It has to be completed first. */
  Incomplete,
  Older,
  Fork,
  Expired,
  Environment,
  Audience,
}

/** What the module exports. Texts go in and out as UTF-8, numbers are those of WebAssembly: negative where they are large. */
export interface Exports {
  readonly memory: Memory;
  create(): number;
  discard(engine: number): void;
  input(engine: number, length: number): number;
  bind(engine: number, isServer: number): void;
  take(engine: number, now: number): Taken;
  /** The newest version seen. */
  newest(engine: number): number;
  pin(engine: number, flagLength: number, isOff: number): void;
  unpin(engine: number): void;
  buffer(engine: number, bytes: number): number;
  places(engine: number): number;
  forget(engine: number): void;
  evaluate(engine: number, flag: number, now: number): number;
  rule(engine: number): number;
  until(engine: number): number;
  evaluateAll(engine: number, now: number): number;
  /** Whether it knows regular expressions. */
  patterns(): number;
}

/** One engine of one instance of the module. */
export class Engine<E extends Exports = Exports> {
  protected readonly exports: E;
  private readonly encoder: Encoder;
  /** Where it stands in the memory. */
  protected readonly at: number;
  private readonly environment: string;
  private readonly audience: string;

  constructor(exports: E, environment: string, audience: string) {
    this.exports = exports;
    this.environment = environment;
    this.audience = audience;
    const at = (this.at = exports.create());
    this.encoder = new Encoder(exports.memory, {
      grow: (bytes) => exports.buffer(at, bytes) >>> 0,
      forget: () => {
        exports.forget(at);
      },
    });
    this.give(new TextEncoder().encode(environment));
    exports.bind(at, Number(audience === "server"));
  }

  free(): void {
    this.exports.discard(this.at);
  }

  /**
   * Takes a payload that is verified, unless it is the one held, or has to be completed first.
   *
   * @throws {Problem}
   */
  take(payload: Uint8Array, now: number): Taken {
    this.give(payload);
    const { exports, at, environment, audience } = this;
    const taken = exports.take(at, now);
    if (taken === Taken.New) this.encoder.reset(exports.places(at) >>> 0);
    // A number that no engine gives, a broken one may.
    if (taken < Taken.New || taken > Taken.Audience) throw new WebAssembly.RuntimeError("the engine gave no result");
    if (taken < Taken.Older) return taken;
    const newest = exports.newest(at);
    const refused = problem(Wrong.Refused, { taken, payload, now, newest, environment, audience });
    refused.code = taken > Taken.Expired ? "SNAPSHOT" : taken === Taken.Expired ? "EXPIRED" : "REPLAY";
    throw refused;
  }

  /** Pins these flags, and no others. */
  pin(pins: Readonly<Record<string, string | null>>): void {
    this.exports.unpin(this.at);
    for (const [flag, variant] of Object.entries(pins)) {
      const { length } = new TextEncoder().encode(flag);
      this.give(new TextEncoder().encode(flag + (variant ?? "")));
      this.exports.pin(this.at, length, Number(variant === null));
    }
  }

  /** Whom to evaluate flags for from now on. */
  write({ ids, attributes }: Subject): void {
    this.encoder.encode(ids, attributes);
  }

  /** The same, out of a context; false where its own code asked the engine about others meanwhile. */
  writeFrom(ids: readonly number[], paths: Description["attributes"], context: unknown): boolean {
    return this.encoder.encodeFrom(ids, paths, context);
  }

  /** The packed result. */
  evaluate(flag: number, now: number): number {
    return this.exports.evaluate(this.at, flag, now);
  }

  /** The index of the rule that decided last, or −1. */
  rule(): number {
    return this.exports.rule(this.at);
  }

  /** Until when the result given last holds, in milliseconds; infinity for ever. */
  until(): number {
    return this.exports.until(this.at);
  }

  /** The results of so many flags, in numbers: see `codes.ts`. */
  evaluateAll(numbers: number, now: number): Int32Array {
    const place = this.exports.evaluateAll(this.at, now) >>> 0;
    return new Int32Array(this.exports.memory.buffer, place, numbers).slice();
  }

  protected give(text: Uint8Array): void {
    const place = this.exports.input(this.at, text.length) >>> 0;
    new Uint8Array(this.exports.memory.buffer).set(text, place);
  }
}
