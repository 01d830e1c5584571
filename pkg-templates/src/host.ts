import { describe, isBoundInTime, NUMBERS_A_FLAG, type Description, type Flag } from "./codes.js";
import { ContextError, readAttribute } from "./encode.js";
import { Engine, Taken } from "./engine.js";
import {
  candidates,
  openEnvelope,
  parse,
  readKeys,
  type Candidate,
  type Envelope,
  type TrustedKey,
  type Typ,
} from "./envelope.js";
import { LoadError, Problem, problem, Wrong, type LoadErrorCode } from "./errors.js";
import { abandon, exports, generation } from "./instance.js";
import type { Held } from "./tools.js";
import { verified } from "./verify.js";

/** What a context says of some attributes, read once. */
export interface Subject {
  /** What is pinned for this one; by default what is pinned for all. */
  readonly pins?: Pins | undefined;
  readonly ids: readonly number[];
  readonly attributes: readonly ReturnType<typeof readAttribute>[];
}

/** A result as the engine gives it. */
export interface Outcome {
  readonly packed: number;
  /** The index of the rule that decided, or −1. */
  readonly rule: number;
  /** In milliseconds; infinity for never. */
  readonly until: number;
}

/** Pinned flags: by flag, a variant's name, or null for off. */
export type Pins = Readonly<Record<string, string | null>>;

/** A payload with flags pinned in it. */
export interface PinnedPayload {
  readonly payload: string;
  /** The variables that pin a flag, by flag. */
  readonly pinnedBy: ReadonlyMap<string, string>;
  /** What is wrong with variables; the flags that they pin are in error. */
  readonly unfit: readonly string[];
}

/** Flags pinned by environment variables. Made by `variablePins` of `flagstone/variables`. */
export interface VariablePins {
  apply(payload: string): PinnedPayload;
}

/** What an engine is for. */
export interface HostOptions {
  readonly environment: string;
  readonly audience: string;
  /** A JWK set. */
  readonly keys: unknown;
  readonly pins: Pins;
  readonly variables: VariablePins | undefined;
}

/** One client's engine, made anew with what it held whenever the module breaks. */
export class Host {
  readonly #options: HostOptions;
  #keys: readonly TrustedKey[];
  #engine: Engine;
  /** What is pinned for all, and what the engine has pinned now. */
  #pins: Pins;
  #pinned: Pins;
  #generation: number;
  /** Whom the engine knows. */
  #current: Subject | undefined;
  /** What made the snapshot held, for making it again. */
  #held: Held | undefined;
  #description: Description | undefined;
  /** What was completed here last, for one that comes again. */
  #completed: { readonly said: string; readonly payload: Uint8Array } | undefined;
  #isFreed = false;
  #era: object = {};
  #variables: PinnedPayload | undefined;
  /** All attributes' numbers. */
  #ids: readonly number[] = [];

  /** @throws Where the keys are no JWK set of Ed25519 keys. */
  constructor(options: HostOptions) {
    this.#options = options;
    this.#keys = readKeys(options.keys);
    this.#pins = this.#pinned = options.pins;
    this.#engine = untrapped(() => this.#make());
    this.#generation = generation;
  }

  /** The snapshot held. */
  get description(): Description | undefined {
    return this.#description;
  }

  /** Another one, whenever anyone's results may be others: with each snapshot, and with what is pinned for all. */
  get era(): object {
    return this.#era;
  }

  /** The environment variables that pin a flag. */
  pinnedBy(flag: string): string | undefined {
    return this.#variables?.pinnedBy.get(flag);
  }

  /** What is wrong with environment variables. */
  get unfit(): readonly string[] {
    return this.#variables?.unfit ?? [];
  }

  /** @throws Where these are no JWK set of Ed25519 keys. */
  setKeys(keys: unknown): void {
    this.#keys = readKeys(keys);
  }

  /** Pins flags for all from now on, beside what the options pin. */
  pin(pins: Pins): void {
    this.#pins = { ...this.#options.pins, ...pins };
    this.#era = this.#pins;
  }

  /**
   * Verifies an envelope and takes its snapshot; false where it is the one held.
   *
   * @throws {Problem} Or a {@link LoadError}.
   */
  async take(signed: string | Uint8Array, clock: () => number): Promise<boolean> {
    const envelope = attempt("ENVELOPE", () => openEnvelope(signed));
    const variables = this.#options.variables?.apply(envelope.payload);
    const said = variables?.payload ?? envelope.payload;
    /** The same, completed here: now, or when it was asked for last. */
    let completed = this.#completed?.said === said ? this.#completed.payload : undefined;
    for (;;) {
      const keys = this.#keys;
      const signature = await this.#verify(envelope, keys, "flagstone-snapshot+json");
      // They may have been replaced meanwhile.
      if (keys !== this.#keys) continue;
      if (this.#isFreed) return false;
      const now = clock();
      if (this.#description === undefined && variables !== undefined && variables.unfit.length > 0) {
        throw new LoadError("VARIABLES", variables.unfit.join("; "));
      }
      const payload = completed ?? (variables === undefined ? signature.payload : new TextEncoder().encode(said));
      const taken = attempt("SNAPSHOT", () => this.#ready().take(payload, now));
      if (taken === Taken.Same) return false;
      if (taken === Taken.New) {
        this.#current = undefined;
        this.#era = this.#description = this.#describe(completed === undefined ? said : decode(completed));
        this.#ids = [...this.#description.attributes.keys()];
        const { environment, audience } = this.#options;
        this.#held = { environment, audience, payload, now };
        this.#variables = variables;
        return true;
      }
      if (completed !== undefined) throw coded("TOOLS", problem(Wrong.Versions));
      completed = await complete(payload);
      this.#completed = { said, payload: completed };
    }
  }

  #describe(payload: string): Description {
    try {
      return describe(payload, this.#description);
    } catch (error) {
      // The engine has taken it; another one takes what was held before.
      abandon();
      throw coded("SNAPSHOT", problem(Wrong.Undescribed, error));
    }
  }

  /**
   * Verifies an envelope of pins under keys of its own, a JWK set, and returns its payload.
   *
   * @throws {Problem}
   */
  async openPins(signed: string, keys: unknown): Promise<unknown> {
    const envelope = attempt("ENVELOPE", () => openEnvelope(signed));
    await this.#verify(
      envelope,
      attempt("ENVELOPE", () => readKeys(keys)),
      "flagstone-pins+json",
    );
    return attempt("SNAPSHOT", () => parse(envelope.payload));
  }

  /** The signature that makes an envelope good. */
  async #verify(envelope: Envelope, keys: readonly TrustedKey[], typ: Typ): Promise<Candidate> {
    const found = attempt("ENVELOPE", () => candidates(envelope, keys, this.#options.environment, typ));
    let good: Candidate | undefined;
    try {
      good = await verified(found);
    } catch (error) {
      throw coded("ENGINE", problem(Wrong.Unchecked, error));
    }
    if (good !== undefined) return good;
    throw coded("SIGNATURE", problem(Wrong.Unverified, found));
  }

  /** Reads attributes from a context, all by default. The caller's getters run here and nowhere else. */
  read(context: unknown, ids = this.#ids): Subject {
    const paths = this.#description?.attributes ?? [];
    const attributes: ReturnType<typeof readAttribute>[] = [];
    for (const id of ids) attributes.push(readAttribute(context, paths[id] ?? []));
    return { ids, attributes };
  }

  /** Until when the result given last holds, in milliseconds. */
  until(): number {
    return this.#engine.until();
  }

  /** Evaluates a flag; the packed result. */
  evaluate(flag: Flag, subject: Subject, now: number): number {
    return this.#steadily(() => {
      this.#face(subject);
      return this.#engine.evaluate(flag.index, now);
    });
  }

  /** The same for a context, which is read on the way. No function is made for it, which takes time. */
  evaluateFor(flag: Flag, context: unknown, now: number): number {
    try {
      return this.#evaluateFor(flag, context, now);
    } catch (error) {
      return this.#again(error, this.#evaluateFor.bind(this, flag, context, now));
    }
  }

  #evaluateFor(flag: Flag, context: unknown, now: number): number {
    const engine = this.#ready();
    this.#setPins(engine, this.#pins);
    this.#current = undefined;
    const isWritten = engine.writeFrom(flag.reads, this.#description?.attributes ?? [], context);
    // Its code may have asked about others meanwhile, and broken the engine.
    if (!isWritten || engine !== this.#engine) this.#face(this.read(context, flag.reads));
    return this.#engine.evaluate(flag.index, now);
  }

  /** The same, with what else there is to say. */
  outcome(flag: Flag, subject: Subject, now: number): Outcome {
    return this.#steadily(() => {
      this.#face(subject);
      const packed = this.#engine.evaluate(flag.index, now);
      return { packed, rule: this.#engine.rule(), until: isBoundInTime(packed) ? this.#engine.until() : Infinity };
    });
  }

  /** Evaluates every flag of the snapshot: in its order, of each {@link NUMBERS_A_FLAG}. */
  all(subject: Subject, now: number): Int32Array {
    return this.#steadily(() => {
      this.#face(subject);
      return this.#engine.evaluateAll((this.#description?.flags.size ?? 0) * NUMBERS_A_FLAG, now);
    });
  }

  /** The steps of the precedence, as `ExplainedStep` is serialised. */
  async explain(flag: Flag, subject: Subject, now: number): Promise<unknown> {
    const [held, pins] = [this.#held, subject.pins ?? this.#pins];
    if (held === undefined) throw new Error("no snapshot is loaded");
    const { explain } = await import("./tools.js");
    return explain(held, pins, subject, flag.index, now);
  }

  free(): void {
    this.#isFreed = true;
    // An engine of an earlier instance is gone already, and its place taken by something else.
    if (this.#generation !== generation) return;
    try {
      this.#engine.free();
    } catch {
      abandon();
    }
  }

  /** Has the engine know whom it is asked about. */
  #face(subject: Subject): void {
    const engine = this.#ready();
    this.#setPins(engine, subject.pins ?? this.#pins);
    if (this.#current === subject) return;
    this.#current = undefined;
    engine.write(subject);
    this.#current = subject;
  }

  #setPins(engine: Engine, pins: Pins): void {
    if (this.#pinned === pins) return;
    engine.pin(pins);
    this.#pinned = pins;
  }

  /** Work that cannot fail: what does is a trap or its aftermath. It is tried once more in a new instance. */
  #steadily<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      return this.#again(error, work);
    }
  }

  #again<T>(error: unknown, work: () => T): T {
    if (error instanceof ContextError) throw error;
    abandon();
    try {
      return work();
    } catch (error) {
      abandon();
      throw error;
    }
  }

  /** The engine, made anew if the module was replaced since. */
  #ready(): Engine {
    if (this.#generation !== generation) {
      this.#engine = this.#make();
      this.#current = undefined;
      this.#generation = generation;
    }
    return this.#engine;
  }

  #make(): Engine {
    const { environment, audience } = this.#options;
    const engine = new Engine(exports(), environment, audience);
    engine.pin(this.#pinned);
    // At the time that it was taken: the clock does not take it away.
    if (this.#held !== undefined) engine.take(this.#held.payload, this.#held.now);
    return engine;
  }
}

/** The payload with what the engine evaluates. */
async function complete(payload: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  let tools: typeof import("./tools.js");
  try {
    tools = await import("./tools.js");
    await tools.load();
  } catch (error) {
    throw coded("TOOLS", problem(Wrong.NoTools, error));
  }
  try {
    return await tools.complete(payload);
  } catch (error) {
    throw coded("SNAPSHOT", problem(Wrong.Said, error));
  }
}

const decode = (text: Uint8Array): string => new TextDecoder().decode(text);

/** A step of loading: an error is the envelope's fault, unless it says otherwise. */
function attempt<T>(code: LoadErrorCode, step: () => T): T {
  try {
    return untrapped(step);
  } catch (error) {
    const wrong = isTrap(error) ? Wrong.Trap : Wrong.Said;
    throw coded(code, error instanceof Problem ? error : problem(wrong, error));
  }
}

function coded(code: LoadErrorCode, found: Problem): Problem {
  found.code ??= code;
  return found;
}

/** Work that may fail. A trap breaks the instance, or shows that it was broken, so it is tried once more in a new one. */
function untrapped<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (!isTrap(error)) throw error;
    abandon();
  }
  try {
    return step();
  } catch (error) {
    if (isTrap(error)) abandon();
    throw error;
  }
}

const isTrap = (error: unknown): boolean => error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
