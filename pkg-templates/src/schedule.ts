// When to look for news: now and then, sooner after a hint, later after failures.
import { LoadError, reason } from "./errors.js";
import { UnavailableError, type Stream } from "./source.js";
import { jitter, timer } from "./timer.js";

/** The longest wait after failures, unless the interval itself is longer. In milliseconds, as all here. */
export const MAX_BACK_OFF = 300_000;
/** While a stream tells of news, asking is only for when it fails to. */
const STREAMING_FACTOR = 10;
/** What was answered so lately is fresh; and the first wait where there is no interval. */
export const FRESH = 1000;
/** How long until what listens is loaded again. */
const RELOAD = 30_000;

/** Keeps a client current until it is stopped. */
export class Schedule {
  readonly #stream: Stream | undefined;
  readonly #interval: number | undefined;
  readonly #refresh: () => Promise<boolean>;
  readonly #version: () => number | undefined;
  readonly #deaf: (error: unknown, worked: boolean) => void;
  readonly #stopped = new AbortController();
  #cancel: () => void = () => undefined;
  /** Ends the wait before the stream is loaded again. */
  #cancelListening: () => void = () => undefined;
  #failures = 0;
  /** How often in a row the source did not have yet what the stream told of. */
  #behind = 0;
  #asking = false;
  /** How often there was reason to ask soon. */
  #reasons = 0;
  #answered = 0;
  /** For how long after its answer the source is left alone, whatever happens. */
  #quiet = 0;
  /** The newest version that the stream told of. */
  #hinted = 0;
  #streaming = false;

  /**
   * @param interval between two questions, in milliseconds; undefined for asking on hints alone
   * @param version the newest that the client has
   * @param deaf told each time that the stream cannot be had or breaks off, and whether it had worked before
   */
  constructor(
    stream: Stream | undefined,
    interval: number | undefined,
    refresh: () => Promise<boolean>,
    version: () => number | undefined,
    deaf: (error: unknown, worked: boolean) => void,
  ) {
    this.#stream = stream;
    this.#interval = interval;
    this.#refresh = refresh;
    this.#version = version;
    this.#deaf = deaf;
  }

  /** Asks now and from then on, and listens where there is a stream; waits for the first answer. */
  async start(): Promise<void> {
    if (this.#stream !== undefined) void this.#listen(this.#stream);
    await this.#ask();
  }

  /** Asks soon, for what was held may be old: a tab that slept, a network that was gone. */
  wake(): void {
    // However the clock was set meanwhile.
    if (Math.abs(Date.now() - this.#answered) > FRESH) this.#askSoon();
  }

  stop(): void {
    this.#stopped.abort();
    this.#cancel();
    this.#cancelListening();
  }

  #isStopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  /** Asks at once, unless that was done just now or the source said not to. */
  #askSoon(): void {
    this.#reasons++;
    if (this.#asking || this.#isStopped()) return;
    this.#cancel();
    const wait = Math.min(this.#answered + this.#quiet - Date.now(), this.#quiet);
    if (wait > 0) this.#cancel = timer(() => void this.#ask(), wait);
    else void this.#ask();
  }

  async #ask(): Promise<void> {
    if (this.#isStopped() || this.#asking) return;
    this.#asking = true;
    const reasons = this.#reasons;
    this.#cancel();
    let wait = 0;
    try {
      await this.#refresh();
      this.#failures = 0;
      // Hints may come faster than what they tell of.
      this.#behind = this.#hinted > (this.#version() ?? 0) ? this.#behind + 1 : 0;
    } catch (error) {
      this.#failures++;
      // Many clients were told the same.
      if (error instanceof UnavailableError) wait = (error.retryAfter ?? 0) * (1 + 0.2 * Math.random());
    }
    this.#asking = false;
    if (this.#isStopped()) return;
    this.#answered = Date.now();
    this.#quiet = Math.max(FRESH, wait);
    const delay = this.#delay();
    if (delay !== undefined) this.#cancel = timer(() => void this.#ask(), Math.max(jitter(delay), wait));
    // Asked again meanwhile, there may be another answer; but not to each of many questions.
    if (reasons !== this.#reasons) this.#askSoon();
  }

  #delay(): number | undefined {
    const interval = this.#interval;
    if (this.#failures > 0) {
      return Math.min((interval ?? FRESH) * 2 ** this.#failures, Math.max(interval ?? 0, MAX_BACK_OFF));
    }
    if (this.#behind > 0) return Math.min(FRESH * 2 ** this.#behind, interval ?? MAX_BACK_OFF);
    return interval !== undefined && this.#streaming ? interval * STREAMING_FACTOR : interval;
  }

  async #listen(stream: Stream): Promise<void> {
    const { signal } = this.#stopped;
    const told = (version?: number): void => {
      if (version !== undefined && version <= (this.#version() ?? 0)) return;
      this.#hinted = Math.max(this.#hinted, version ?? 0);
      this.#askSoon();
    };
    const opened = (isAgain: boolean): void => {
      // What was published while nobody listened is news as well.
      if (isAgain) told();
      this.#streaming = true;
    };
    const closed = (): void => {
      this.#streaming = false;
    };
    try {
      // Loaded by those alone who listen.
      const { keepListening } = await import("./stream.js");
      await keepListening(stream, { opened, told, closed, deaf: this.#deaf }, signal);
    } catch (error) {
      if (this.#isStopped()) return;
      this.#deaf(new LoadError("STREAM", `${stream.name} ${reason(error)}`, { cause: error }), false);
      this.#cancelListening = timer(() => void this.#listen(stream), jitter(RELOAD));
    }
  }
}
