// When to look for news: now and then, sooner after a hint, later after failures.
import type { Source } from "./source.js";
import { UnavailableError } from "./source.js";

/** The longest wait after failures, unless the interval itself is longer. In milliseconds, as all here. */
const MAX_BACK_OFF = 300_000;
/** While a stream tells of news, asking is only for when it fails to. */
const STREAMING_FACTOR = 10;
/** What was asked so lately is fresh; and the first wait where there is no interval. */
const FRESH = 1000;
/** The longest that timers can wait. */
export const MAX_DELAY = 2 ** 31 - 1;

/** A timer that keeps no process alive. */
export function timer(callback: () => void, delay: number): () => void {
  const handle: unknown = setTimeout(callback, Math.min(Math.max(delay, 0), MAX_DELAY));
  if (typeof handle === "object") (handle as { unref?(): void } | null)?.unref?.();
  return () => {
    clearTimeout(handle as number);
  };
}

/** Between 80 % and 120 %, so that many clients do not ask at the same moment. */
const jitter = (delay: number): number => delay * (0.8 + 0.4 * Math.random());

/** Keeps a client current until it is stopped. */
export class Schedule {
  readonly #source: Source;
  readonly #interval: number | undefined;
  readonly #refresh: () => Promise<boolean>;
  readonly #version: () => number | undefined;
  readonly #deaf: (error: unknown) => void;
  readonly #stopped = new AbortController();
  #cancel: () => void = () => undefined;
  #failures = 0;
  /** How often in a row the source did not have yet what the stream told of. */
  #behind = 0;
  #asked = 0;
  #asking = false;
  #questions = 0;
  /** The newest version that the stream told of. */
  #hinted = 0;
  #streaming = false;

  /**
   * @param interval between two questions, in milliseconds; undefined for asking on hints alone
   * @param version the newest that the client has
   * @param deaf told each time that the stream cannot be had or breaks off
   */
  constructor(
    source: Source,
    interval: number | undefined,
    refresh: () => Promise<boolean>,
    version: () => number | undefined,
    deaf: (error: unknown) => void,
  ) {
    this.#source = source;
    this.#interval = interval;
    this.#refresh = refresh;
    this.#version = version;
    this.#deaf = deaf;
  }

  /** Asks now and from then on, and listens where there is a stream; waits for the first answer. */
  async start(streams: boolean): Promise<void> {
    if (streams) void this.#listen();
    await this.#ask();
  }

  /** Asks soon, for what was held may be old: a tab that slept, a network that was gone. */
  wake(): void {
    if (Date.now() - this.#asked > FRESH) void this.#ask();
  }

  stop(): void {
    this.#stopped.abort();
    this.#cancel();
  }

  #isStopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  async #ask(): Promise<void> {
    if (this.#isStopped()) return;
    this.#questions++;
    if (this.#asking) return;
    this.#asking = true;
    this.#cancel();
    let wait = 0;
    try {
      let asked: number;
      do {
        asked = this.#questions;
        this.#asked = Date.now();
        await this.#refresh();
        // Asked again meanwhile, there may be another answer.
      } while (asked !== this.#questions);
      this.#failures = 0;
      // Hints may come faster than what they tell of.
      this.#behind = this.#hinted > (this.#version() ?? 0) ? this.#behind + 1 : 0;
    } catch (error) {
      this.#failures++;
      if (error instanceof UnavailableError) wait = error.retryAfter ?? 0;
    }
    this.#asking = false;
    if (this.#isStopped()) return;
    const delay = this.#delay();
    if (delay !== undefined) this.#cancel = timer(() => void this.#ask(), Math.max(jitter(delay), wait));
  }

  #delay(): number | undefined {
    const interval = this.#interval;
    if (this.#failures > 0) {
      return Math.min((interval ?? FRESH) * 2 ** this.#failures, Math.max(interval ?? 0, MAX_BACK_OFF));
    }
    if (this.#behind > 0) return Math.min(FRESH * 2 ** this.#behind, interval ?? MAX_BACK_OFF);
    return interval !== undefined && this.#streaming ? interval * STREAMING_FACTOR : interval;
  }

  async #listen(): Promise<void> {
    const { signal } = this.#stopped;
    const news = (version?: number): void => {
      if (version !== undefined && version <= (this.#version() ?? 0)) return;
      this.#hinted = Math.max(this.#hinted, version ?? 0);
      void this.#ask();
    };
    for (let failures = 0; !signal.aborted; failures++) {
      const opened = (): void => {
        // What was published while nobody listened is news as well.
        if (failures > 0) news();
        failures = 0;
        this.#streaming = true;
      };
      await this.#source.listen(opened, news, signal).catch((error: unknown) => {
        if (!signal.aborted) this.#deaf(error);
      });
      this.#streaming = false;
      await sleep(jitter(Math.min(FRESH * 2 ** failures, MAX_BACK_OFF)), signal);
    }
  }
}

/** Waits, at most until the signal is given. */
async function sleep(delay: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((waited) => {
    const done = (): void => {
      cancel();
      signal.removeEventListener("abort", done);
      waited();
    };
    const cancel = timer(done, delay);
    signal.addEventListener("abort", done);
  });
}
