import {
  errorCodeOf,
  isBoundInTime,
  isError,
  keyMissingOf,
  NUMBERS_A_FLAG,
  reasonOf,
  stepOf,
  variantOf,
  type ErrorCode,
  type Flag,
  type FlagType,
  type JsonValue,
  type Reason,
  type Step,
} from "./codes.js";
import type { EvaluationContext } from "./encode.js";
import { LoadError, Problem, problem, reason, told, wordsOf, Wrong, type LoadErrorCode } from "./errors.js";
import { Host, type Pins, type Subject as Attributes, type VariablePins } from "./host.js";
import { forbidden, load } from "./instance.js";
import { checkKeys, checkOptions, checkPins } from "./options.js";
import type { RequestPins, SignedPinsOptions } from "./pins.js";
import { runtime } from "./runtime.js";
import { Schedule } from "./schedule.js";
import { readBody, Source } from "./source.js";
import { jitter, timer, within } from "./timer.js";
import type { SnapshotStorage, StoredSnapshot } from "./web-storage.js";

export { LoadError };
export type { ItemStorage, SnapshotStorage, StoredSnapshot } from "./web-storage.js";
export type { RequestPins, SignedPinsOptions } from "./pins.js";
export type { ErrorCode, EvaluationContext, FlagType, JsonValue, LoadErrorCode, Pins, Reason, Step, VariablePins };

/** Flags whose keys and types nobody wrote down. */
export type UntypedFlags = Record<string, JsonValue>;

/** The keys of the flags of this type, of those that `flagstone types --language typescript` writes; any, without such. */
export type KeyOf<F extends object, T> = string extends keyof F
  ? string
  : { [K in keyof F]: F[K] extends T ? K : never }[keyof F] & string;

/** What a string flag serves: the values of its variants, where they are known. */
export type TextOf<F extends object, K> = string extends keyof F ? string : F[K & keyof F] & string;

/** One subject of any client. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- whose flags it knows does not matter here
type AnySubject = Subject<any>;

/** A signed envelope: a JWS in the general JSON serialization, its payload unencoded. */
export interface Envelope {
  readonly payload: string;
  readonly signatures: readonly { readonly protected: string; readonly signature: string }[];
}

/** An envelope, as bytes, as its JSON text, parsed, or in a response. */
export type EnvelopeSource = string | Uint8Array | Response | Envelope;

/** Trusted public keys: Ed25519 keys in a JWK set (RFC 7517), each bound to environments. */
export interface KeySet {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

/** What a client is started with. */
export interface StartOptions {
  /** The snapshot's URL, or an envelope itself. Without one the client is not ready until {@link FlagstoneClient.load}. */
  readonly source?: string | URL | EnvelopeSource;
  /** The environment whose snapshots are taken, and no other's. */
  readonly environment: string;
  /** Which snapshots: those cut down for clients, or those for servers. By default `client`. */
  readonly audience?: "client" | "server";
  /** Who may sign snapshots. */
  readonly keys: KeySet;
  /** An envelope to start with before the source has answered: one inlined in the page that a server rendered. */
  readonly bootstrap?: EnvelopeSource;
  /**
   * Where the last good snapshot is kept, for starting without a network. By default `localStorage` in pages and nothing
   * elsewhere; false for nothing.
   */
  readonly storage?: SnapshotStorage | false;
  /**
   * How often the source is asked for news, in milliseconds, at least 1,000; a fifth more or less, and more rarely while it
   * fails. By default 30,000, and never in Workers, where nothing runs between requests; false for never.
   */
  readonly poll?: number | false;
  /** The URL of server-sent events that tell of news: whatever the event, the source is asked at once. */
  readonly stream?: string | URL;
  /** How long the source may take to answer, in milliseconds. By default 30,000. */
  readonly timeout?: number;
  /**
   * Asks the source instead of the global `fetch`: with headers of your own, or where it has no URL, as a bucket bound to a
   * Worker. It is called with the {@link source}, and a request's `if-none-match` may be answered with 304. The stream is not
   * asked with it.
   */
  readonly fetch?: typeof fetch;
  /**
   * How long {@link FlagstoneClient.start} waits, in milliseconds. After that the client serves defaults until engine and
   * snapshot are there. By default 5,000.
   */
  readonly startTimeout?: number;
  /** Where warnings go, one for each thing that goes wrong until it goes right again. By default `console.warn`. */
  readonly warn?: (message: string) => void;
  /** The clock that schedules and expiry go by, in milliseconds since 1970. By default the system's. */
  readonly now?: () => number;
  /**
   * Flags pinned in this process, for testing: by flag, a variant's name, or null for off. Pins stand outside the promise
   * that everyone lands in the same cohort everywhere, so they show in results: reason STATIC, step `offPin` or `onPin`.
   */
  readonly pins?: Pins;
  /**
   * Flags pinned in this process by environment variables, as `variablePins` of `flagstone/variables` reads them. They show
   * in results: `flagMetadata.pinnedBy`.
   */
  readonly variables?: VariablePins;
  /** Takes signed pins, for this browser from a link or its cookie, or for one request of a server. Off unless given. */
  readonly signedPins?: SignedPinsOptions;
}

/** What a client is up to: OpenFeature's provider statuses. */
export type State =
  /** It has no snapshot yet, or was closed. */
  | "NOT_READY"
  /** It serves the newest snapshot that it knows of. */
  | "READY"
  /** It serves the last good snapshot, which has expired or could not be compared with the source's. */
  | "STALE"
  /** It has no snapshot, and serves defaults. It goes on trying. */
  | "ERROR"
  /** It never will have one, for the engine cannot run here. It serves defaults. */
  | "FATAL";

/** What else there is to say about a subject. */
export interface SubjectOptions {
  /** Flags pinned for this one alone, instead of what is pinned for all. */
  readonly pins?: Pins;
}

/** What else there is to say about a result. */
export interface FlagMetadata {
  /** The snapshot's version. */
  readonly version?: number;
  /** The step of the order of precedence that decided. */
  readonly step?: Step;
  /** The id of the rule that decided, where one did. */
  readonly rule?: string;
  /** True where `off` was served because there was no key to bucket by. */
  readonly keyMissing?: true;
  /** From when on the clock may change the result, in milliseconds since 1970, where a schedule had a part in it. */
  readonly until?: number;
  /** The environment variables that pin the flag in this process, separated by commas. */
  readonly pinnedBy?: string;
}

/** The result of evaluating a flag: OpenFeature's evaluation details. */
export interface EvaluationDetails<T> {
  readonly flagKey: string;
  readonly value: T;
  /** The name of the variant served. */
  readonly variant?: string;
  readonly reason: Reason;
  readonly errorCode?: ErrorCode;
  readonly errorMessage?: string;
  readonly flagMetadata: FlagMetadata;
}

/** Whether something holds; an attribute that is missing or of another type leaves it unknown. */
export type Truth = "true" | "false" | "unknown";

/** Something that was found out about the context. Percents and positions are in thousandths of a percent. */
export type Finding =
  | { readonly kind: "killed"; readonly by: string }
  | { readonly kind: "lacking"; readonly name: string }
  | { readonly kind: "condition"; readonly json: string; readonly truth: Truth }
  | { readonly kind: "segment"; readonly name: string; readonly truth: Truth }
  | { readonly kind: "list"; readonly listed: boolean }
  | { readonly kind: "prerequisite"; readonly flag: string; readonly variant?: string; readonly holds: boolean }
  | {
      /** A ramp's percent, or a holdout's: positions below it are in. */
      readonly kind: "threshold";
      readonly holdout?: string;
      readonly percent: number;
      readonly position?: number;
      readonly membership: "in" | "out" | "keyMissing";
    }
  | { readonly kind: "part"; readonly position: number; readonly below: number }
  | { readonly kind: "ranges"; readonly layer?: string; readonly position: number; readonly inside: boolean };

/** One step of the order of precedence, for one flag. */
export interface ExplainedStep {
  /** The flag asked for, or one of its prerequisites. */
  readonly flag: string;
  /** 0 for the flag asked for, 1 for its prerequisites, and so on. */
  readonly depth: number;
  readonly step: Step;
  /** Whether this step decided. */
  readonly decided: boolean;
  /** What was found on the way, parts of a condition before the whole. */
  readonly findings: readonly Finding[];
}

/** How a flag was decided. */
export interface Explanation {
  readonly details: EvaluationDetails<JsonValue | undefined>;
  /** What was looked at, in order; empty where there is no flag. */
  readonly steps: readonly ExplainedStep[];
}

/** A flag of the snapshot held. */
export interface FlagInfo {
  readonly key: string;
  readonly type: FlagType;
  /** The variants' names. */
  readonly variants: readonly string[];
}

/** What a client tells its listeners. */
export interface Events {
  /** It serves its first snapshot, or is current again after it was stale. */
  ready: { readonly version: number };
  /** These flags may have other results: their definition changed, that of what they name included, or they are due by the clock. */
  change: { readonly version: number; readonly changed: readonly string[] };
  /** What it serves has expired, or cannot be compared with what the source has. */
  stale: { readonly version: number };
  /** Something went wrong. What was held before is still held. */
  error: LoadError;
}

const POLL = 30_000;
const TIMEOUT = 30_000;
const START_TIMEOUT = 5000;
/** A page does not wait long for what it can do without. */
const STORAGE_TIMEOUT = 1000;
/** How long to wait before loading the engine again, and the longest. */
const RETRY = 1000;
const MAX_RETRY = 300_000;
/** The first instant that JavaScript knows, in milliseconds. */
const BEFORE_ALL_TIME = -8.64e15;
/** Changes by the clock are told of at most this often, in milliseconds. */
const MIN_DUE = 1000;
/** What engines allow clocks to be off, in milliseconds. */
const CLOCK_SKEW = 300_000;

const EVENTS: ReadonlySet<string> = new Set<keyof Events>(["ready", "change", "stale", "error"]);
const CLOSED = "the client was closed";
const NOT_READY = "no usable snapshot was loaded";

/** What only this module has. */
const STARTING = Symbol("starting");

/** What no engine gives. */
const NO_RESULT = -1;

/** Options that can never work. */
class OptionError extends TypeError {}

/**
 * Evaluates the flags of the newest snapshot that it was given.
 *
 * It takes a snapshot if a trusted key signed it, if it is for this environment and audience, if it has not expired, and if
 * it is not older than one seen before. Evaluating never throws: whatever goes wrong, the caller's default is served, and
 * {@link details} say why.
 *
 * ```js
 * import { FlagstoneClient } from "flagstone";
 *
 * const flags = await FlagstoneClient.start({ source: "https://cdn.example/production/client.json", environment: "production", keys });
 * if (flags.boolean("use_new_gateway", false, { targetingKey: "user-42", plan: "pro" })) { … }
 * ```
 */
export class FlagstoneClient<F extends object = UntypedFlags> {
  readonly #options: StartOptions;
  readonly #clock: (() => number) | undefined;
  readonly #storage: SnapshotStorage | undefined;
  readonly #source: Source | undefined;
  readonly #listeners = new Map<string, Set<(event: never) => void>>();
  /** Ends what is under way. No signal of the client's own, for in Workers a signal belongs to the request that made it. */
  readonly #stops = new Set<() => void>();
  /** What was warned of and has not gone right since. */
  readonly #warned = new Set<string>();
  /** When results that were given out may change by the clock, by flag. */
  readonly #due = new Map<string, number>();
  #dueTimer: { readonly at: number; readonly cancel: () => void } | undefined;
  #expiryTimer: (() => void) | undefined;
  #retryTimer: (() => void) | undefined;
  #host: Host | undefined;
  #engine: Promise<Host> | undefined;
  #keys: KeySet;
  #stopSchedule: () => void = () => undefined;
  #refreshing: Promise<boolean> | undefined;
  #taking: Promise<boolean> = Promise.resolve(false);
  /** What the source answered last: who it was, as it calls it. */
  #etag: string | undefined;
  #refreshed: number | undefined;
  #error: LoadError | undefined;
  /** Whether the source failed since it last answered. */
  #isBehind = false;
  #state: State = "NOT_READY";
  #isClosed = false;

  /** @hidden Called by {@link start} alone. */
  private constructor(options: StartOptions, key: typeof STARTING) {
    if ((key as unknown) !== STARTING)
      throw new TypeError("use FlagstoneClient.start(options), which waits for a snapshot");
    checkOptions(options);
    const { environment, audience = "client", source, stream, storage, now } = options;
    const { timeout = TIMEOUT, fetch } = options;
    this.#options = options;
    this.#clock = now;
    this.#keys = options.keys;
    if (isUrl(source)) {
      this.#source = new Source({ url: source, stream, timeout, fetch, hasHttpCache: runtime().hasHttpCache });
    }
    // Another application of the same origin may have another source, whose versions count apart.
    const name = ["flagstone", environment, audience, this.#source?.name]
      .filter((part) => part !== undefined)
      .join(":");
    this.#storage = storage === false ? undefined : (storage ?? runtime().storage(name));
  }

  /**
   * Starts a client and has it take its first snapshot: the newest of the one inlined in the page, the one kept from last time
   * and, where neither can be used, the source's.
   *
   * A snapshot that cannot be had or is not taken leaves the client without one, serving defaults, and so does a host that
   * cannot run the engine: a page must render and a request must be routed. {@link error} and {@link state} say why.
   *
   * @throws {TypeError} Where the options can never work: no environment, keys that are none.
   * @throws {@link LoadError} With the code `VARIABLES`, where environment variables pin what the snapshot does not have.
   */
  static async start<F extends object = UntypedFlags>(options: StartOptions): Promise<FlagstoneClient<F>> {
    let client: FlagstoneClient<F>;
    try {
      client = new FlagstoneClient<F>(options, STARTING);
    } catch (error) {
      throw await optionError(error);
    }
    const begun = client.#begin();
    try {
      if (!(await within(options.startTimeout ?? START_TIMEOUT, begun))) client.#startLate(begun);
      if (client.version === undefined && client.error?.code === "VARIABLES") throw client.error;
    } catch (error) {
      await client.close();
      throw error;
    }
    return client;
  }

  /**
   * Gives the client another snapshot; false where it is the one held already.
   *
   * @throws {@link LoadError} Where it is not taken. What was held before is still held.
   */
  async load(envelope: EnvelopeSource): Promise<boolean> {
    try {
      const bytes = await readEnvelope(envelope);
      this.#assertOpen();
      const isNew = await this.#take(bytes);
      if (isNew) await this.#keep(bytes, undefined);
      return isNew;
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /**
   * Asks the source for the newest snapshot now; false where it is the one held already, or there is no source. In Workers,
   * call it while a request is answered: `ctx.waitUntil(flags.refresh())`.
   *
   * @throws {@link LoadError} Where there is none or it is not taken. What was held before is still held.
   */
  async refresh(): Promise<boolean> {
    if (this.#isClosed) throw new LoadError("FETCH", CLOSED);
    // A promise of another request cannot be waited for.
    if (runtime().isPerRequest) return this.#ask();
    return (this.#refreshing ??= this.#ask().finally(() => (this.#refreshing = undefined)));
  }

  /** A boolean flag's value, or `fallback` where there is none. */
  boolean(flag: KeyOf<F, boolean>, fallback: boolean, context?: EvaluationContext | AnySubject): boolean {
    return this.#value(flag, "boolean", fallback, context);
  }

  /** A string flag's value, or `fallback` where there is none. */
  string<K extends KeyOf<F, string>>(
    flag: K,
    fallback: TextOf<F, K>,
    context?: EvaluationContext | AnySubject,
  ): TextOf<F, K> {
    return this.#value(flag, "string", fallback, context);
  }

  /** A number flag's value, or `fallback` where there is none. */
  number(flag: KeyOf<F, number>, fallback: number, context?: EvaluationContext | AnySubject): number {
    return this.#value(flag, "number", fallback, context);
  }

  /** A JSON flag's value, or `fallback` where there is none. It is frozen, and the same object each time. */
  json<T = JsonValue>(flag: KeyOf<F, unknown>, fallback: T, context?: EvaluationContext | AnySubject): T {
    return this.#value(flag, "json", fallback, context);
  }

  /** Everything there is to say about a flag's value, of the type that the fallback has; it may be frozen. */
  details(
    flag: KeyOf<F, unknown>,
    fallback: boolean,
    context?: EvaluationContext | AnySubject,
  ): EvaluationDetails<boolean>;
  details(
    flag: KeyOf<F, unknown>,
    fallback: string,
    context?: EvaluationContext | AnySubject,
  ): EvaluationDetails<string>;
  details(
    flag: KeyOf<F, unknown>,
    fallback: number,
    context?: EvaluationContext | AnySubject,
  ): EvaluationDetails<number>;
  details<T>(flag: KeyOf<F, unknown>, fallback: T, context?: EvaluationContext | AnySubject): EvaluationDetails<T>;
  details(
    flag: KeyOf<F, unknown>,
    fallback: unknown,
    context?: EvaluationContext | AnySubject,
  ): EvaluationDetails<unknown> {
    const type = typeof fallback;
    const wanted = type === "boolean" || type === "string" || type === "number" ? type : "json";
    return this.#details(flag, wanted, fallback, context);
  }

  /** Every flag's details, in the snapshot's order; the value is undefined where there is an error. */
  all(context?: EvaluationContext | AnySubject): readonly EvaluationDetails<JsonValue | undefined>[] {
    const flags = this.#description?.ordered ?? [];
    try {
      const host = this.#hostOf();
      const [attributes, now] = [this.#attributes(context), this.#now()];
      const numbers = host.all(attributes, now);
      return flags.map((flag, index) => {
        const packed = numbers[index * NUMBERS_A_FLAG] ?? NO_RESULT;
        const rule = numbers[index * NUMBERS_A_FLAG + 1] ?? -1;
        if (isBoundInTime(packed)) {
          const { until } = host.outcome(flag, attributes, now);
          return this.#resolve(flag, undefined, packed, rule, until);
        }
        return known(flag, packed, rule) ?? this.#resolve(flag, undefined, packed, rule, Infinity);
      });
    } catch (error) {
      return flags.map(({ key }) => this.#fallback(key, undefined, "GENERAL", error));
    }
  }

  /** Reads a context once, for evaluating many times. It is read again when the snapshot changes. */
  subject(context: EvaluationContext, options: SubjectOptions = {}): Subject<F> {
    const { pins } = options;
    return new Subject(this, context, pins && subjectPins(pins));
  }

  /**
   * Verifies pins as `flagstone pin` signs them.
   *
   * @throws {@link LoadError} Where nobody whom {@link StartOptions.signedPins} trusts has signed them, or where they are for
   * another environment or have expired.
   */
  async readPins(token: string): Promise<Pins> {
    const { signedPins, environment } = this.#options;
    if (signedPins === undefined) throw await told(problem(Wrong.NoSignedPins), "SIGNATURE");
    this.#assertOpen();
    const { readPins } = await import("./pins.js");
    return readPins(await this.#loadEngine(), token, signedPins.keys ?? this.#keys, environment, this.#time());
  }

  /**
   * The pins that a request carries, in a signed link or the cookie that remembers it; on a server or in a Worker. Pins that
   * cannot be taken are warned of once, and are none.
   *
   * ```js
   * const { pins, cookie } = await flags.requestPins(request);
   * const on = flags.subject(context, { pins }).boolean("use_new_gateway", false);
   * if (cookie !== undefined) response.headers.append("Set-Cookie", cookie);
   * ```
   */
  async requestPins(request: Request): Promise<RequestPins> {
    return this.#findPins(request);
  }

  async #findPins(request?: Request): Promise<RequestPins> {
    const { signedPins } = this.#options;
    if (signedPins === undefined) return {};
    // Loaded by those alone who take them.
    const { error, ...found } = await import("./pins.js")
      .then(({ findPins }) => findPins(request, signedPins.name, (token) => this.readPins(token)))
      .catch((error: unknown) => ({ error }));
    if (error !== undefined) {
      this.#warn("PINS", `pins are not taken: ${reason(error)}`);
      if (error instanceof LoadError) this.#emit("error", error);
    }
    return found;
  }

  /** How a flag is decided, step by step. What explains is loaded when it is first asked for; where it cannot be, there are no steps. */
  async explain(flag: KeyOf<F, unknown>, context?: EvaluationContext | AnySubject): Promise<Explanation> {
    // The same instant for both.
    let now = NaN;
    const clock = (): number => (Number.isNaN(now) ? (now = this.#now()) : now);
    const details = this.#details(flag, undefined, undefined as JsonValue | undefined, context, clock);
    const found = this.#description?.flags.get(flag);
    if (found === undefined) return { details, steps: [] };
    try {
      const steps = await this.#hostOf().explain(found, this.#attributes(context, found), clock());
      return { details, steps: steps as ExplainedStep[] };
    } catch (error) {
      this.#warn("TOOLS", `\`${flag}\` cannot be explained: ${reason(error)}`);
      return { details, steps: [] };
    }
  }

  /**
   * Replaces the trusted keys, at once; a key that is gone no longer counts from the next load on.
   *
   * @throws {TypeError} Where these are no JWK set of Ed25519 keys. Those from before are trusted on.
   * @throws Where the client was closed.
   */
  async setKeys(keys: KeySet): Promise<void> {
    this.#assertOpen();
    try {
      checkKeys(keys);
      this.#host?.setKeys(keys);
    } catch (error) {
      throw await optionError(error);
    }
    this.#keys = keys;
  }

  /**
   * A random id for a user who has not signed in: 128 random bits, in hexadecimal. `AnonymousId` of `flagstone/anonymous` keeps
   * one.
   */
  anonymousId(): string {
    // On insecure origins as well, where `crypto.randomUUID` is not.
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(
      "",
    );
  }

  /** The environment whose snapshots are taken. */
  get environment(): string {
    return this.#options.environment;
  }

  /** The version of the snapshot held, undefined where there is none. */
  get version(): number | undefined {
    return this.#description?.version;
  }

  /** When the snapshot held was made. */
  get created(): Date | undefined {
    const created = this.#description?.created;
    return created === undefined ? undefined : new Date(created);
  }

  /** When the snapshot held expires; it is served on, but every result's reason is STALE. */
  get expires(): Date | undefined {
    const expires = this.#description?.expires;
    return expires === undefined ? undefined : new Date(expires);
  }

  /** The flags of the snapshot held. */
  get flags(): readonly FlagInfo[] {
    return Array.from(this.#description?.flags.values() ?? [], ({ key, type, variants }) => ({ key, type, variants }));
  }

  /** What the client is up to. */
  get state(): State {
    return this.#state;
  }

  /** When the source last said what is newest. In Workers: whether it is time to {@link refresh}. */
  get refreshed(): Date | undefined {
    return this.#refreshed === undefined ? undefined : new Date(this.#refreshed);
  }

  /** What went wrong last, undefined where it has gone right since. */
  get error(): LoadError | undefined {
    return this.#error;
  }

  /**
   * Calls `listener` for each event; call what it returns to have it stop. As OpenFeature has it, what is already the case
   * (ready, stale, or an error before any snapshot was taken) is told right away.
   */
  on<E extends keyof Events>(event: E, listener: (event: Events[E]) => void): () => void {
    if (!EVENTS.has(event) || typeof listener !== "function") {
      throw new TypeError(
        `on: expected ${[...EVENTS].join(", ")} and a function, found \`${event}\` and a ${typeof listener}`,
      );
    }
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    // Apart from others, even if one function listens twice.
    const own = (detail: Events[E]): void => {
      listener(detail);
    };
    listeners.add(own);
    queueMicrotask(() => {
      if (!listeners.has(own)) return;
      const { version } = this;
      const current = { READY: "ready", STALE: "stale", ERROR: "error", FATAL: "error", NOT_READY: undefined }[
        this.#state
      ];
      if (event !== current) return;
      if (version !== undefined) tell(own, { version } as Events[E]);
      else if (this.#error !== undefined) tell(own, this.#error as Events[E]);
    });
    return () => {
      listeners.delete(own);
    };
  }

  /** Ends the client, with its timers and requests: from now on it serves defaults. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#state = "NOT_READY";
    this.#listeners.clear();
    for (const stop of this.#stops) stop();
    this.#dueTimer?.cancel();
    this.#expiryTimer?.();
    this.#retryTimer?.();
    this.#stopSchedule();
    await this.#taking;
    this.#host?.free();
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new Error(CLOSED);
  }

  get #description() {
    return this.#isClosed ? undefined : this.#host?.description;
  }

  /** Where there is a description. */
  #hostOf(): Host {
    if (this.#host === undefined) throw new Error(NOT_READY);
    return this.#host;
  }

  #now(): number {
    const now = this.#clock?.() ?? NaN;
    return Number.isNaN(now) ? Date.now() : now;
  }

  /** What the context says of the attributes that a flag may read, or every flag. */
  #attributes(context: EvaluationContext | AnySubject | undefined, flag?: Flag): Attributes {
    const host = this.#hostOf();
    if (Subject.is(context)) return context.read(host);
    this.#checkContext(context);
    return host.read(context, flag?.reads);
  }

  /** Programs may be written in JavaScript, whatever the types say. */
  #checkContext(context: unknown): void {
    if (typeof (context ?? {}) !== "object") {
      this.#warn(
        "CONTEXT",
        `a context is a ${typeof context}, not an object like {"targetingKey": "…"}; it counts as empty`,
      );
    }
  }

  /** @internal What results hold for: another one, whenever they may be others. */
  get era(): object | undefined {
    return this.#isClosed ? undefined : this.#host?.era;
  }

  #value<T>(key: string, type: FlagType, fallback: T, context: EvaluationContext | AnySubject | undefined): T {
    try {
      const flag = this.#description?.flags.get(key);
      if (flag?.type !== type) return fallback;
      const host = this.#hostOf();
      const isSubject = Subject.is(context);
      if (!isSubject) this.#checkContext(context);
      // Before all time a result is bound in time if it ever is; asking the clock takes as long as a flag.
      let packed = isSubject
        ? host.evaluate(flag, context.read(host), BEFORE_ALL_TIME)
        : host.evaluateFor(flag, context, BEFORE_ALL_TIME);
      const isTimeless = !isBoundInTime(packed);
      if (!isTimeless) {
        packed = host.evaluate(flag, this.#attributes(context, flag), this.#now());
        if (isBoundInTime(packed)) this.#watch(flag.key, host.until());
      }
      const value = isError(packed) ? undefined : flag.values[variantOf(packed)];
      if (value === undefined) return fallback;
      if (isTimeless && isSubject) context.remember(key, type, value);
      return value as T;
    } catch {
      return fallback;
    }
  }

  #details<T>(
    key: string,
    type: FlagType | undefined,
    fallback: T,
    context: EvaluationContext | AnySubject | undefined,
    clock = () => this.#now(),
  ): EvaluationDetails<T> {
    const description = this.#description;
    if (description === undefined) {
      const pending = this.#options.source === undefined ? "none was given" : "there was no answer yet";
      const why = this.#isClosed ? CLOSED : (this.#error?.message ?? pending);
      const code = this.#state === "FATAL" ? "PROVIDER_FATAL" : "PROVIDER_NOT_READY";
      return this.#fallback(key, fallback, code, `${NOT_READY}: ${why}`);
    }
    const flag = description.flags.get(key);
    if (flag === undefined)
      return this.#fallback(key, fallback, "FLAG_NOT_FOUND", `the snapshot holds no flag \`${key}\``);
    if (type !== undefined && flag.type !== type) {
      return this.#fallback(key, fallback, "TYPE_MISMATCH", `the flag \`${key}\` is a ${flag.type} flag, not ${type}`);
    }
    try {
      const { packed, rule, until } = this.#hostOf().outcome(flag, this.#attributes(context, flag), clock());
      const same = until === Infinity ? known<T>(flag, packed, rule) : undefined;
      return same ?? this.#resolve(flag, fallback, packed, rule, until);
    } catch (error) {
      return this.#fallback(key, fallback, "GENERAL", error);
    }
  }

  /** Says in full what the engine says in numbers; what stays as it is, is then {@link known}. */
  #resolve<T>(flag: Flag, fallback: T, packed: number, ruleIndex: number, until: number): EvaluationDetails<T> {
    const [step, reason, variant] = [stepOf(packed), reasonOf(packed), flag.variants[variantOf(packed)]];
    const rule = flag.rules[ruleIndex];
    if (step === undefined || reason === undefined || variant === undefined) {
      return this.#fallback(flag.key, fallback, "GENERAL", "the engine gave no result");
    }
    const flagMetadata: { -readonly [Name in keyof FlagMetadata]: FlagMetadata[Name] } = this.#metadata;
    flagMetadata.step = step;
    if (rule !== undefined) flagMetadata.rule = rule;
    if (keyMissingOf(packed)) flagMetadata.keyMissing = true;
    const pinnedBy = this.#host?.pinnedBy(flag.key);
    if (pinnedBy !== undefined) flagMetadata.pinnedBy = pinnedBy;
    if (until !== Infinity) {
      flagMetadata.until = until;
      this.#watch(flag.key, until);
    }
    const errorCode = errorCodeOf(packed);
    if (errorCode !== undefined) {
      const why = step === "onPin" ? "is pinned to a variant that it does not have" : "requires what this build lacks";
      return { ...this.#fallback(flag.key, fallback, errorCode, `\`${flag.key}\` ${why}`), flagMetadata };
    }
    Object.freeze(flagMetadata);
    const value = flag.values[variantOf(packed)] as T;
    const details = Object.freeze({ flagKey: flag.key, value, variant, reason, flagMetadata });
    if (until === Infinity) flag.known.push({ packed, rule: ruleIndex, details });
    return details;
  }

  #fallback<T>(flagKey: string, value: T, errorCode: ErrorCode, why: unknown): EvaluationDetails<T> {
    const errorMessage = why instanceof Error ? why.message : String(why);
    return { flagKey, value, reason: "ERROR", errorCode, errorMessage, flagMetadata: this.#metadata };
  }

  get #metadata(): FlagMetadata {
    const version = this.version;
    return version === undefined ? {} : { version };
  }

  async #begin(): Promise<void> {
    const engine = this.#loadEngine();
    // It is waited for below.
    engine.catch(() => undefined);
    const kept = await this.#read();
    // Where there is nothing to start with, the source is asked while the engine loads.
    const isEmpty = kept === undefined && this.#options.bootstrap === undefined;
    await this.#continue(kept, isEmpty ? this.#keepCurrent() : undefined);
  }

  /** Goes on once the engine is there, which may be much later than it should. */
  async #continue(kept: StoredSnapshot | undefined, current?: Promise<void>, failures = 0): Promise<void> {
    const { source, bootstrap } = this.#options;
    try {
      const host = await this.#loadEngine();
      if (typeof document !== "undefined") {
        const { pins } = await this.#findPins();
        if (pins !== undefined) host.pin(pins);
      }
      // What was kept comes first, for whatever is older than that is not taken.
      if (kept !== undefined) await this.#restore(kept);
      // A page may have been rendered, or cached, before what this browser has seen.
      if (bootstrap !== undefined) await this.#take(await readEnvelope(bootstrap), "bootstrap", "REPLAY");
    } catch (error) {
      if (this.#failed(error).code === "ENGINE") {
        if (this.#state === "FATAL" || this.#isClosed || runtime().isPerRequest) return;
        this.#retryTimer = timer(
          () => void this.#continue(kept, current, failures + 1).catch((late: unknown) => this.#failed(late)),
          jitter(Math.min(RETRY * 2 ** failures, MAX_RETRY)),
        );
        return;
      }
    }
    await (current ?? this.#keepCurrent());
    if (source !== undefined && !isUrl(source)) await this.load(source).catch(() => undefined);
  }

  /** Tells that there is nothing to serve yet, though `start` waits no longer. */
  #startLate(begun: Promise<void>): void {
    begun.catch((error: unknown) => this.#failed(new LoadError("ENGINE", reason(error), { cause: error })));
    if (this.version !== undefined || this.#error !== undefined) return;
    const what = this.#host === undefined ? "the engine" : (this.#source?.name ?? "the snapshot");
    const waited = (this.#options.startTimeout ?? START_TIMEOUT) / 1000;
    this.#failed(new LoadError("FETCH", `${what} is not there after ${waited} s, and is still waited for`));
  }

  /** Loads the engine, unless that has been done. */
  async #loadEngine(): Promise<Host> {
    if (this.#host !== undefined) return this.#host;
    return (this.#engine ??= this.#makeHost().catch((error: unknown) => {
      // The next one tries again, but not what is forbidden.
      if (this.#state !== "FATAL") this.#engine = undefined;
      throw error;
    }));
  }

  async #makeHost(): Promise<Host> {
    try {
      await load();
    } catch (error) {
      const why = forbidden(error);
      const failure = await told(problem(Wrong.Engine, why ?? error), "ENGINE", error);
      if (why !== undefined && !this.#isClosed) {
        this.#state = "FATAL";
        this.#stopSchedule();
      }
      throw failure;
    }
    const { environment, audience = "client", pins = {}, variables } = this.#options;
    try {
      return (this.#host = new Host({
        environment,
        audience,
        keys: this.#keys,
        pins: checkPins(pins),
        variables,
      }));
    } catch (error) {
      throw await optionError(error);
    }
  }

  /** What was kept from last time. */
  async #read(): Promise<StoredSnapshot | undefined> {
    try {
      const reading = Promise.resolve(this.#storage?.read());
      if (!(await within(STORAGE_TIMEOUT, reading))) throw new Error(`no answer within ${STORAGE_TIMEOUT / 1000} s`);
      // Storages of the application's may say null for nothing.
      return (await reading) ?? undefined;
    } catch (error) {
      this.#failed(storageError("read", error));
      return undefined;
    }
  }

  async #restore({ envelope, source, etag }: StoredSnapshot): Promise<void> {
    try {
      await this.#take(envelope, "the snapshot kept from last time");
      if (source !== undefined && source === this.#source?.identity) this.#etag = etag;
    } catch (error) {
      if (error instanceof LoadError && error.code === "ENGINE") throw error;
      const { code } = this.#failed(error);
      // One that has expired is kept for what it rules out. What nobody trusted signed is of no use to anybody.
      if (code !== "ENVELOPE" && code !== "SIGNATURE" && code !== "SNAPSHOT") return;
      await Promise.resolve(this.#storage?.remove()).catch((error: unknown) =>
        this.#failed(storageError("removed", error)),
      );
    }
  }

  /** Keeps what was taken, for the next start. */
  async #keep(signed: string | Uint8Array, etag: string | undefined): Promise<void> {
    const { version } = this;
    if (this.#storage === undefined || version === undefined) return;
    const source = this.#source?.identity;
    try {
      const envelope = typeof signed === "string" ? signed : new TextDecoder().decode(signed);
      await this.#storage.write({ envelope, version, source, etag });
      this.#warned.delete("STORAGE");
    } catch (error) {
      this.#failed(storageError("written", error));
    }
  }

  /** Asks the source and goes on asking; waits for its first answer where there is nothing to serve yet. */
  async #keepCurrent(): Promise<void> {
    const source = this.#source;
    if (source === undefined || this.#isClosed) return;
    const wake = runtime();
    const { poll = POLL } = this.#options;
    if (wake.isPerRequest) {
      // What is kept is served, and whoever answers the request refreshes it when it is time.
      if (this.version === undefined) await this.refresh().catch(() => false);
      return;
    }
    const refresh = (): Promise<boolean> => this.refresh();
    const deaf = (error: unknown, worked: boolean): void => {
      if (worked) this.#warned.delete("STREAM");
      this.#failed(error);
    };
    const schedule = new Schedule(source.stream, poll === false ? undefined : poll, refresh, () => this.version, deaf);
    const stop = wake.onWake(() => {
      // Timers slept as well.
      this.#settle();
      this.#tellDue();
      schedule.wake();
    });
    this.#stopSchedule = () => {
      schedule.stop();
      stop();
    };
    const first = schedule.start();
    if (this.version === undefined) await first;
  }

  async #ask(): Promise<boolean> {
    const source = this.#source;
    if (source === undefined) return false;
    // There is no engine that could take an answer.
    if (this.#state === "FATAL" && this.#error !== undefined) throw this.#error;
    const closing = new AbortController();
    const stop = (): void => {
      closing.abort(new Error(CLOSED));
    };
    this.#stops.add(stop);
    try {
      // Without a snapshot there is nothing that an ETag could stand for, and one that has expired is not to be had again.
      const etag = this.version === undefined || this.#hasExpired ? undefined : this.#etag;
      const answer = await source.fetch(etag, this.#hasExpired, closing.signal);
      this.#isBehind = false;
      const isNew = answer !== undefined && (await this.#take(answer.envelope, source.name));
      this.#etag = answer === undefined ? etag : answer.etag;
      this.#refreshed = this.#time();
      this.#succeeded();
      if (isNew) await this.#keep(answer.envelope, answer.etag);
      return isNew;
    } catch (error) {
      this.#isBehind = true;
      throw this.#failed(error);
    } finally {
      this.#stops.delete(stop);
    }
  }

  /**
   * Takes an envelope from somewhere: one after another, in the order they are given, and each told before the next is taken. One that is
   * refused with the code `ignored` is as good as none.
   */
  async #take(envelope: string | Uint8Array, from?: string, ignored?: LoadErrorCode): Promise<boolean> {
    const take = async (): Promise<boolean> => {
      try {
        return await this.#takeNow(envelope);
      } catch (problem) {
        if (problem instanceof Problem && problem.code === ignored) return false;
        const error = await told(problem, "ENGINE");
        if (from === undefined || !(error instanceof LoadError) || error.code === "ENGINE") throw error;
        throw new LoadError(error.code, `${from}: ${error.message}`, { cause: error });
      }
    };
    // But not after another request's, which may never end.
    if (runtime().isPerRequest) return take();
    const taken = this.#taking.then(take);
    this.#taking = taken.catch(() => false);
    return taken;
  }

  async #takeNow(envelope: string | Uint8Array): Promise<boolean> {
    const host = await this.#loadEngine();
    this.#assertOpen();
    const before = host.description;
    const isNew = await host.take(envelope, this.#time);
    this.#assertOpen();
    if (!isNew) return false;
    this.#due.clear();
    this.#awaitExpiry();
    this.#succeeded();
    if (host.unfit.length > 0) this.#warn("VARIABLES", `${host.unfit.join("; ")}; what they pin is an error`);
    const { version, changed } = this.#description ?? {};
    if (before !== undefined && version !== undefined && changed !== undefined && changed.length > 0) {
      this.#emit("change", { version, changed });
    }
    return true;
  }

  /** The clock, in milliseconds since 1970. */
  readonly #time = (): number => {
    try {
      const now = this.#clock?.() ?? NaN;
      if (Number.isFinite(now)) return now;
    } catch {
      // Evaluations say so.
    }
    return Date.now();
  };

  /** Whether what is held has expired. */
  get #hasExpired(): boolean {
    const expires = this.#description?.expires;
    return expires !== undefined && this.#time() > expires + CLOCK_SKEW;
  }

  #succeeded(): void {
    this.#error = undefined;
    // Whether it can be kept, or is told of, is another matter.
    for (const what of this.#warned) if (what !== "STORAGE" && what !== "STREAM") this.#warned.delete(what);
    this.#settle();
  }

  /** Works out the state where there is a snapshot, and tells of a new one. */
  #settle(): void {
    const { version } = this;
    if (version === undefined) return;
    const isStale = this.#isBehind || this.#hasExpired;
    const state = isStale ? "STALE" : "READY";
    if (this.#state === state) return;
    this.#state = state;
    this.#emit(isStale ? "stale" : "ready", { version });
  }

  /** Tells of something that went wrong, once in the console until it goes right. */
  #failed(error: unknown): LoadError {
    if (error instanceof OptionError) throw error;
    const failure = error instanceof LoadError ? error : new LoadError("FETCH", reason(error), { cause: error });
    // What several waited for is told once.
    if (this.#isClosed || this.#error === failure) return failure;
    const { code, message } = failure;
    const { version } = this;
    if (code === "STORAGE") {
      // A snapshot that cannot be kept is still the newest.
      this.#warn(code, `${message}; nothing is kept for a start without the source`);
    } else if (code === "STREAM") {
      this.#warn(code, `${message}; the source is asked now and then`);
    } else {
      this.#error = failure;
      if (version === undefined && this.#state !== "FATAL") this.#state = "ERROR";
      this.#warn(
        code,
        `${message}; ${version === undefined ? "defaults are served" : `version ${version} is served on`}`,
      );
    }
    this.#emit("error", failure);
    this.#settle();
    return failure;
  }

  /** Says what is wrong, once until it is right again. */
  #warn(what: string, message: string): void {
    if (this.#warned.has(what)) return;
    this.#warned.add(what);
    this.warn(message);
  }

  /** @internal */
  warn(message: string): void {
    try {
      (this.#options.warn ?? console.warn)(`flagstone: ${message}`);
    } catch {
      // There is nobody left to tell.
    }
  }

  /** @internal Has something end when the client is closed, if it is not by now. */
  onClose(end: () => void): void {
    if (this.#isClosed) end();
    else this.#stops.add(end);
  }

  /** Tells when the snapshot held expires. */
  #awaitExpiry(): void {
    this.#expiryTimer?.();
    const expires = this.#description?.expires;
    if (expires === undefined || runtime().isPerRequest) return;
    this.#expiryTimer = timer(
      () => {
        this.#settle();
        if (!this.#hasExpired) this.#awaitExpiry();
      },
      expires + CLOCK_SKEW + 1 - this.#time(),
    );
  }

  /** Tells when a result that is given out may change by the clock. */
  #watch(flag: string, until: number): void {
    const known = this.#due.get(flag);
    if ((known !== undefined && known <= until) || runtime().isPerRequest) return;
    this.#due.set(flag, until);
    if (this.#dueTimer !== undefined && this.#dueTimer.at <= until) return;
    this.#dueTimer?.cancel();
    const cancel = timer(
      () => {
        this.#dueTimer = undefined;
        this.#tellDue();
      },
      Math.max(until - this.#time(), MIN_DUE),
    );
    this.#dueTimer = { at: until, cancel };
  }

  #tellDue(): void {
    const now = this.#time();
    const changed = [...this.#due].filter(([, until]) => until <= now).map(([flag]) => flag);
    for (const flag of changed) this.#due.delete(flag);
    // The clock may have been set, or the time too long for one timer.
    const left = [...this.#due];
    this.#due.clear();
    for (const [flag, until] of left) this.#watch(flag, until);
    const { version } = this;
    if (changed.length > 0 && version !== undefined) this.#emit("change", { version, changed });
  }

  #emit<E extends keyof Events>(event: E, detail: Events[E]): void {
    for (const listener of this.#listeners.get(event) ?? []) tell(listener as (event: Events[E]) => void, detail);
  }
}

/** One context, read once and evaluated many times. Made by {@link FlagstoneClient.subject}. */
export class Subject<F extends object = UntypedFlags> {
  readonly #client: FlagstoneClient<F>;
  readonly #context: EvaluationContext;
  readonly #pins: Pins | undefined;
  #attributes: Attributes | undefined;
  #description: unknown;
  /** Values that the clock does not change, by flag, apart those of `json` flags; and what they hold for. */
  readonly #scalars = new Map<string, JsonValue>();
  readonly #json = new Map<string, JsonValue>();
  #era: object | undefined;

  /** @internal */
  constructor(client: FlagstoneClient<F>, context: EvaluationContext, pins?: Pins) {
    this.#client = client;
    this.#context = context;
    this.#pins = pins;
  }

  /** @internal Most are none, which `instanceof` finds out sooner than `in` does. */
  static is(value: unknown): value is AnySubject {
    try {
      return value instanceof Subject && #client in value;
    } catch {
      // That may have run a proxy's code.
      return false;
    }
  }

  /** @internal */
  read(host: Host): Attributes {
    if (this.#attributes === undefined || this.#description !== host.description) {
      this.#attributes = { ...host.read(this.#context), pins: this.#pins };
      this.#description = host.description;
    }
    return this.#attributes;
  }

  /** @internal */
  remember(flag: string, type: FlagType, value: JsonValue): void {
    const { era } = this.#client;
    if (this.#era !== era) {
      this.#scalars.clear();
      this.#json.clear();
    }
    this.#era = era;
    (type === "json" ? this.#json : this.#scalars).set(flag, value);
  }

  /** As {@link FlagstoneClient.boolean}. */
  boolean(flag: KeyOf<F, boolean>, fallback: boolean): boolean {
    const known = this.#scalars.get(flag);
    if (typeof known === "boolean" && this.#era === this.#client.era) return known;
    return this.#client.boolean(flag, fallback, this);
  }

  /** As {@link FlagstoneClient.string}. */
  string<K extends KeyOf<F, string>>(flag: K, fallback: TextOf<F, K>): TextOf<F, K> {
    const known = this.#scalars.get(flag);
    if (typeof known === "string" && this.#era === this.#client.era) return known as TextOf<F, K>;
    return this.#client.string(flag, fallback, this);
  }

  /** As {@link FlagstoneClient.number}. */
  number(flag: KeyOf<F, number>, fallback: number): number {
    const known = this.#scalars.get(flag);
    if (typeof known === "number" && this.#era === this.#client.era) return known;
    return this.#client.number(flag, fallback, this);
  }

  /** As {@link FlagstoneClient.json}. */
  json<T = JsonValue>(flag: KeyOf<F, unknown>, fallback: T): T {
    const known = this.#json.get(flag);
    if (known !== undefined && this.#era === this.#client.era) return known as T;
    return this.#client.json(flag, fallback, this);
  }

  /** As {@link FlagstoneClient.details}. */
  details(flag: KeyOf<F, unknown>, fallback: boolean): EvaluationDetails<boolean>;
  details(flag: KeyOf<F, unknown>, fallback: string): EvaluationDetails<string>;
  details(flag: KeyOf<F, unknown>, fallback: number): EvaluationDetails<number>;
  details<T>(flag: KeyOf<F, unknown>, fallback: T): EvaluationDetails<T>;
  details(flag: KeyOf<F, unknown>, fallback: unknown): EvaluationDetails<unknown> {
    return this.#client.details(flag, fallback, this);
  }

  /** As {@link FlagstoneClient.all}. */
  all(): readonly EvaluationDetails<JsonValue | undefined>[] {
    return this.#client.all(this);
  }

  /** As {@link FlagstoneClient.explain}. */
  explain(flag: KeyOf<F, unknown>): Promise<Explanation> {
    return this.#client.explain(flag, this);
  }
}

/** What was said in full of this result before. */
function known<T>(flag: Flag, packed: number, rule: number): EvaluationDetails<T> | undefined {
  for (const known of flag.known) {
    if (known.packed === packed && known.rule === rule) return known.details as EvaluationDetails<T>;
  }
  return undefined;
}

/** Pins that are refused at once, and in few words, for more would have to be loaded. */
function subjectPins(pins: Pins): Pins {
  try {
    return checkPins(pins);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    // eslint-disable-next-line preserve-caught-error -- a problem says nothing yet
    throw new TypeError(`${String(error.values[0])}: expected a variant's name for each flag, or null for off`);
  }
}

/** In words. */
async function optionError(error: unknown): Promise<OptionError> {
  return new OptionError(await wordsOf(error), { cause: error instanceof Problem ? undefined : error });
}

/** A listener's error is the listener's: it surfaces as uncaught and stops nobody else. */
function tell<T>(listener: (event: T) => void, event: T): void {
  try {
    listener(event);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

function isUrl(source: string | URL | EnvelopeSource | undefined): source is string | URL {
  return source instanceof URL || (typeof source === "string" && !source.trimStart().startsWith("{"));
}

function storageError(done: string, error: unknown): LoadError {
  return new LoadError("STORAGE", `the last good snapshot cannot be ${done}: ${reason(error)}`, { cause: error });
}

/** The envelope's text or bytes, which nobody else can change. */
async function readEnvelope(envelope: EnvelopeSource): Promise<string | Uint8Array> {
  if (typeof envelope === "string") return envelope;
  if (envelope instanceof Uint8Array) return envelope.slice();
  if (!(envelope instanceof Response)) return JSON.stringify(envelope);
  if (!envelope.ok)
    throw new LoadError("FETCH", `${envelope.url.replace(/[?#].*/s, "") || "the source"} answered ${envelope.status}`);
  return readBody(envelope);
}
