// Runs a new path beside an old one: instead of it, with the old one to fall back on, or in its shadow. And counts.
import type { Subject } from "./client.js";
import type { EvaluationContext } from "./encode.js";

/** What guards need of a client. Those of `flagstone`, `flagstone/slim` and `flagstone/module` have it. */
export interface GuardedClient {
  boolean(flag: string, fallback: boolean, context?: Context): boolean;
  /** @internal */
  warn(message: string): void;
  /** @internal */
  onClose(end: () => void): void;
}

/** The keys of the boolean flags of a client. */
type FlagOf<C extends GuardedClient> = Parameters<C["boolean"]>[0];

/**
 * A new path. The signal is aborted once nobody waits for its result any more: pass it on to `fetch` and the like.
 */
export type NewPath<N> = (signal: AbortSignal) => N;

/** What {@link Guards.guard} gives back: a promise where a path gives one. */
export type Guarded<N, L> = [N] extends [never]
  ? Shadowed<L>
  : N extends PromiseLike<unknown>
    ? [L] extends [PromiseLike<unknown>]
      ? Promise<Awaited<N> | Awaited<L>>
      : Shadowed<L> | Promise<Awaited<N> | Awaited<L>>
    : N | Shadowed<L>;

/** What {@link Guards.shadow} gives back: what the legacy path does, a thenable as a promise. */
export type Shadowed<L> = L extends PromiseLike<unknown> ? Promise<Awaited<L>> : L;

/** How {@link Guards.guard} treats its new path. */
export interface GuardOptions {
  /**
   * Milliseconds that an asynchronous new path may take, above 0 and below 2³¹; then the legacy path is run, and what the
   * new one still gives is discarded and counted. By default it may take forever.
   */
  readonly timeout?: number;
  /**
   * Told what the new path threw, or why it was given up, before the legacy path runs. Without it the first failure of each
   * kind, of each flag, is warned of, by the error's name alone.
   */
  readonly error?: (error: unknown) => void;
}

/** A legacy path and a new one that gave different results. */
export interface Mismatch<N, L> {
  readonly flag: string;
  readonly legacy: Awaited<L>;
  readonly new: Awaited<N>;
}

/** How {@link Guards.shadow} runs and compares. */
export interface ShadowOptions<N, L> {
  /** The fraction of calls that are shadowed, 0 to 1. By default 1: each. */
  readonly sample?: number;
  /** Whether both results are the same. By default their structure is compared, by the library `dequal`. */
  readonly equal?: (legacy: Awaited<L>, candidate: Awaited<N>) => boolean;
  /** Called where they are not. What it throws is contained. */
  readonly mismatch?: (mismatch: Mismatch<N, L>) => void;
  /** Milliseconds after which both results must be there, above 0 and below 2³¹. By default 10,000. */
  readonly timeout?: number;
  /**
   * Given a promise that resolves when the comparison is done, and never rejects. Workers need it, for they stop once they
   * have responded: `waitUntil: (done) => ctx.waitUntil(done)`.
   */
  readonly waitUntil?: (done: Promise<void>) => void;
}

/** What was counted since the last report: by the counter's name, how much each of its series rose. */
export type MetricsReport = Readonly<Record<string, readonly Readonly<Record<string, string | number>>[]>>;

/** The labels of one of a metric's series, for any flag. */
type Series = Readonly<Record<string, string>>;

/** A counter with all the series that each flag has. */
interface Metric {
  readonly name: string;
  readonly help: string;
  readonly series: readonly Series[];
}

const NEW = {
  success: { path: "new", outcome: "success" },
  error: { path: "new", outcome: "error" },
  timeout: { path: "new", outcome: "timeout" },
} as const;
const LEGACY = {
  success: { path: "legacy", outcome: "success" },
  error: { path: "legacy", outcome: "error" },
} as const;
const FALLBACK = { success: { outcome: "success" }, error: { outcome: "error" } } as const;
const LATE = { success: { outcome: "success" }, error: { outcome: "error" } } as const;
const SHADOW = {
  match: { outcome: "match" },
  mismatch: { outcome: "mismatch" },
  error: { outcome: "error" },
  timeout: { outcome: "timeout" },
  legacyError: { outcome: "legacy_error" },
  incomparable: { outcome: "incomparable" },
  dropped: { outcome: "dropped" },
} as const;

const GUARD_METRICS: readonly Metric[] = [
  {
    name: "flagstone_guard_calls_total",
    help: "Calls of guard, once each, by the path that the flag chose and what came of that path.",
    series: [...Object.values(NEW), ...Object.values(LEGACY)],
  },
  {
    name: "flagstone_guard_fallbacks_total",
    help: "Calls of guard whose new path failed or took too long, by what came of the legacy path run in its place.",
    series: Object.values(FALLBACK),
  },
  {
    name: "flagstone_guard_late_results_total",
    help: "New paths that ended after their timeout, by what came of them; discarded.",
    series: Object.values(LATE),
  },
];
const SHADOW_METRICS: readonly Metric[] = [
  {
    name: "flagstone_shadow_calls_total",
    help: "Calls of shadow that were sampled, once each, by what came of comparing the new path's result.",
    series: Object.values(SHADOW),
  },
];

interface Counter {
  total: number;
  /** How much of it was sent. */
  sent: number;
}

/** Flags beyond these are not counted: their names are made by a program and not written into one. */
const MAX_FLAGS = 1000;
/** Shadows beyond these are dropped, so that a slow new path does not pile up. */
const MAX_SHADOWS = 16;
const SHADOW_TIMEOUT_MS = 10_000;
/** Longer ones would fire at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
const SEND_TIMEOUT_MS = 10_000;
/** What browsers send from a page that is going away is at most 64 KiB. */
const SERIES_A_REPORT = 400;

/** The counters of some metrics, by flag. All series of a flag are there from its first call on, so that no rise is missed. */
class Counters {
  readonly #metrics: readonly Metric[];
  readonly #flags = new Map<string, Map<Series, Counter>>();

  constructor(metrics: readonly Metric[]) {
    this.#metrics = metrics;
  }

  /** Counts; false where there are too many flags. */
  count(flag: string, series: Series): boolean {
    let counters = this.#flags.get(flag);
    if (counters === undefined) {
      if (this.#flags.size === MAX_FLAGS) return false;
      const all = this.#metrics.flatMap(({ series }) => series);
      counters = new Map(all.map((series) => [series, { total: 0, sent: 0 }]));
      this.#flags.set(flag, counters);
    }
    const counter = counters.get(series);
    if (counter !== undefined) counter.total++;
    return true;
  }

  *all(): Iterable<{ metric: Metric; labels: Series; counter: Counter }> {
    for (const metric of this.#metrics) {
      for (const [flag, counters] of this.#flags) {
        for (const series of metric.series) {
          const counter = counters.get(series);
          if (counter !== undefined) yield { metric, labels: { flag, ...series }, counter };
        }
      }
    }
  }
}

type Settled<T> = { readonly value: T } | { readonly error: unknown };

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- whose flags it knows does not matter here
type Context = EvaluationContext | Subject<any> | undefined;

/**
 * The guards and shadows of one client, and what they counted.
 *
 * ```js
 * import { FlagstoneClient } from "flagstone";
 * import { Guards } from "flagstone/guard";
 *
 * const flags = await FlagstoneClient.start({ … });
 * const guards = new Guards(flags);
 * ```
 */
export class Guards<C extends GuardedClient = GuardedClient> {
  readonly #client: C;
  readonly #warned = new Set<string>();
  readonly #guards = new Counters(GUARD_METRICS);
  readonly #shadows = new Counters(SHADOW_METRICS);
  /** The shadows under way. */
  readonly #running = new Set<AbortController>();
  /** What stops the reports. */
  readonly #reports = new Set<() => void>();
  #closed = false;

  constructor(client: C) {
    this.#client = client;
    client.onClose(() => {
      this.#close();
    });
  }

  /**
   * Runs the new path where the boolean flag is true, and the legacy path where it is not, or where the new one throws,
   * rejects or takes too long. Counts which it was, see {@link metrics}.
   *
   * It never throws what the legacy path would not: the new path's error is counted and dropped (catch it in there to log
   * it), the legacy path's is the caller's. Where a path gives a promise, so does this, and a mistaken option counts for
   * nothing and is warned of.
   *
   * What the new path did before it failed stays done, and after a timeout it may still be at work: the legacy path is run
   * on top of that. So guard what may be done twice, or make it so (idempotency keys, a transaction, writing last). What is
   * at work after the path has returned, such as a stream or an async iterable, is not guarded. A guard inside another's
   * path is a call of its own, counted for itself.
   *
   * ```js
   * const invoice = await guards.guard(
   *   "use_new_billing",
   *   { targetingKey: "user-42" },
   *   async (signal) => (await fetch("/v2/invoice", { signal })).json(),
   *   async () => (await fetch("/v1/invoice")).json(),
   *   { timeout: 2000 },
   * );
   * ```
   */
  guard<N, L>(
    flag: FlagOf<C>,
    context: Context,
    newPath: NewPath<N>,
    legacyPath: () => L,
    options?: GuardOptions,
  ): Guarded<N, L> {
    checkLegacy("guard", legacyPath);
    return this.#guard(flag, context, newPath, legacyPath, options ?? {}) as Guarded<N, L>;
  }

  #guard(
    flag: string,
    context: Context,
    newPath: NewPath<unknown>,
    legacyPath: () => unknown,
    { timeout, error: told }: GuardOptions,
  ): unknown {
    const count = (series: Series): void => {
      this.#count(this.#guards, flag, series);
    };
    if (!this.#client.boolean(flag, false, context)) return observe(legacyPath, LEGACY, count);
    const fallBack = (series: Series, error: unknown): unknown => {
      count(series);
      if (told === undefined)
        this.#warnOnce(`guard of \`${flag}\`: the new path failed (${nameOf(error)}); see its option \`error\``);
      else
        this.#contain(flag, "error", () => {
          told(error);
        });
      return observe(legacyPath, FALLBACK, count);
    };
    const controller = new AbortController();
    let result: unknown;
    try {
      result = newPath(controller.signal);
    } catch (error) {
      return fallBack(NEW.error, error);
    }
    if (!isThenable(result)) {
      count(NEW.success);
      return result;
    }
    const limit = timeout === undefined ? undefined : this.#timeout(timeout, undefined, "guard", flag);
    return new Promise((resolve) => {
      let late = false;
      const timer =
        limit === undefined
          ? undefined
          : setTimeout(() => {
              late = true;
              controller.abort(timedOut("new path", limit));
              resolve(promised(() => fallBack(NEW.timeout, controller.signal.reason)));
            }, limit);
      Promise.resolve(result).then(
        (value) => {
          clearTimeout(timer);
          count(late ? LATE.success : NEW.success);
          resolve(value);
        },
        (error: unknown) => {
          clearTimeout(timer);
          if (late) count(LATE.error);
          else resolve(promised(() => fallBack(NEW.error, error)));
        },
      );
    });
  }

  /**
   * Runs the legacy path and returns what it gives; and where the boolean flag is true, runs the new path in its shadow, in
   * a task of its own, and compares the results. Counts what came of it, see {@link metrics}.
   *
   * The legacy path is neither delayed by the new one nor affected by its errors. But both are run, so the new path must
   * have no effects. The legacy result is compared when both are there: one that is changed meanwhile differs. No more than
   * 16 shadows are under way at once; those beyond are dropped, and counted as such.
   *
   * ```js
   * const price = guards.shadow("shadow_new_prices", context, () => newPrice(cart), () => price(cart), {
   *   sample: 0.05,
   *   equal: (legacy, candidate) => Math.abs(legacy - candidate) < 0.005,
   *   mismatch: ({ flag, legacy, new: candidate }) => console.info(flag, legacy, candidate),
   * });
   * ```
   */
  shadow<N, L>(
    flag: FlagOf<C>,
    context: Context,
    newPath: NewPath<N>,
    legacyPath: () => L,
    options?: ShadowOptions<N, L>,
  ): Shadowed<L> {
    checkLegacy("shadow", legacyPath);
    const all = (options ?? {}) as ShadowOptions<unknown, unknown>;
    return this.#shadow(flag, context, newPath, legacyPath, all) as Shadowed<L>;
  }

  #shadow(
    flag: string,
    context: Context,
    newPath: NewPath<unknown>,
    legacyPath: () => unknown,
    options: ShadowOptions<unknown, unknown>,
  ): unknown {
    let compare: ((legacy: Settled<unknown>) => void) | undefined;
    let result: unknown;
    try {
      result = legacyPath();
    } catch (error) {
      if (this.#sampled(flag, context, options)) this.#count(this.#shadows, flag, SHADOW.legacyError);
      throw error;
    }
    if (this.#sampled(flag, context, options)) {
      const legacy = new Promise<Settled<unknown>>((resolve) => (compare = resolve));
      const done = this.#compare(flag, newPath, legacy, options);
      this.#contain(flag, "waitUntil", () => options.waitUntil?.(done));
    }
    if (!isThenable(result)) {
      compare?.({ value: result });
      return result;
    }
    // The promise returned is this one, and not the one observed: whoever forgets its rejection still hears of it.
    return Promise.resolve(result).then(
      (value) => {
        compare?.({ value });
        return value;
      },
      (error: unknown) => {
        compare?.({ error });
        throw error;
      },
    );
  }

  #sampled(flag: string, context: Context, { sample = 1 }: ShadowOptions<unknown, unknown>): boolean {
    // Not `sample < 0 || sample > 1`, for it may be no number at all.
    if (!(typeof sample === "number" && sample >= 0 && sample <= 1)) {
      this.#warnOnce(`shadow of \`${flag}\`: sample must be a number from 0 to 1; nothing is shadowed`);
      return false;
    }
    if (this.#closed || Math.random() >= sample || !this.#client.boolean(flag, false, context)) return false;
    if (this.#running.size < MAX_SHADOWS) return true;
    this.#count(this.#shadows, flag, SHADOW.dropped);
    return false;
  }

  /** Runs the new path, apart from the caller, and compares. Never rejects. */
  async #compare(
    flag: string,
    newPath: NewPath<unknown>,
    legacy: Promise<Settled<unknown>>,
    { timeout = SHADOW_TIMEOUT_MS, ...options }: ShadowOptions<unknown, unknown>,
  ): Promise<void> {
    const controller = new AbortController();
    const { signal } = controller;
    const limit = this.#timeout(timeout, SHADOW_TIMEOUT_MS, "shadow", flag);
    const timer = setTimeout(() => {
      controller.abort(timedOut("shadow", limit));
    }, limit);
    const aborted = new Promise<undefined>((resolve) => {
      signal.addEventListener("abort", () => {
        resolve(undefined);
      });
    });
    this.#running.add(controller);
    // A task of its own: what the new path does before it first waits would delay the caller.
    const started = new Promise((resolve) => setTimeout(resolve));
    const candidate = started.then(() => (signal.aborted ? undefined : newPath(signal)));
    const both = await Promise.race([Promise.all([legacy, settled(candidate)]), aborted]);
    clearTimeout(timer);
    const outcome = both === undefined ? SHADOW.timeout : await this.#outcome(flag, both, options);
    this.#running.delete(controller);
    if (!this.#closed) this.#count(this.#shadows, flag, outcome);
  }

  async #outcome(
    flag: string,
    [legacy, candidate]: readonly [Settled<unknown>, Settled<unknown>],
    { equal, mismatch }: ShadowOptions<unknown, unknown>,
  ): Promise<Series> {
    if ("error" in legacy) return SHADOW.legacyError;
    if ("error" in candidate) return SHADOW.error;
    let same: unknown;
    try {
      // Loaded where it is needed first, for most programs never do.
      const compare: (legacy: unknown, candidate: unknown) => unknown = equal ?? (await import("dequal")).dequal;
      same = compare(legacy.value, candidate.value);
      if (typeof same !== "boolean") throw new TypeError("equal must return a boolean");
    } catch (error) {
      this.#warnOnce(
        `shadow of \`${flag}\`: the results cannot be compared (${nameOf(error)}); see its option \`equal\``,
      );
      return SHADOW.incomparable;
    }
    if (same) return SHADOW.match;
    this.#contain(flag, "mismatch", () => mismatch?.({ flag, legacy: legacy.value, new: candidate.value }));
    return SHADOW.mismatch;
  }

  /**
   * What {@link guard} and {@link shadow} counted since this was made, in Prometheus' text exposition format
   * (`text/plain; version=0.0.4`); empty before the first call. Labels name flags, paths and outcomes, and never a user.
   *
   * - `flagstone_guard_calls_total{flag,path,outcome}`: calls of `guard`, once each. `path` is what the flag chose, `new` or
   *   `legacy`; `outcome` is what came of it: `success`, `error`, or, of new paths, `timeout`.
   * - `flagstone_guard_fallbacks_total{flag,outcome}`: those whose new path failed, by what came of the legacy path then.
   * - `flagstone_guard_late_results_total{flag,outcome}`: new paths that ended after their timeout.
   * - `flagstone_shadow_calls_total{flag,outcome}`: calls of `shadow` that were sampled: `match`, `mismatch`, `error` (of
   *   the new path), `timeout`, `legacy_error`, `incomparable` (comparing failed), `dropped` (too many at once).
   *
   * ```js
   * server.get("/metrics", (_, response) => response.type("text/plain; version=0.0.4").send(guards.metrics()));
   * ```
   */
  metrics(): string {
    let text = "";
    let last: Metric | undefined;
    for (const { metric, labels, counter } of this.#all()) {
      if (metric !== last) text += `# HELP ${metric.name} ${metric.help}\n# TYPE ${metric.name} counter\n`;
      last = metric;
      const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escape(value)}"`);
      text += `${metric.name}{${pairs.join(",")}} ${counter.total}\n`;
    }
    return text;
  }

  /**
   * Sends what was counted since the last send, a {@link MetricsReport} as JSON: with `navigator.sendBeacon` where there is
   * such, which outlives the page, and elsewhere with `fetch`. Sends nothing where nothing was counted.
   *
   * @returns Whether it was taken (a beacon by the browser, a request by the server). What was not goes with the next send.
   */
  async sendMetrics(url: string | URL): Promise<boolean> {
    const risen = [...this.#all()].filter(({ counter }) => counter.total > counter.sent);
    const sends: Promise<boolean>[] = [];
    // All at once: a page that is going away does not come back for the second.
    for (let from = 0; from < risen.length; from += SERIES_A_REPORT) {
      const rises = risen.slice(from, from + SERIES_A_REPORT).map((series) => {
        const rise = series.counter.total - series.counter.sent;
        series.counter.sent = series.counter.total;
        return { ...series, rise };
      });
      const report: Record<string, Record<string, string | number>[]> = {};
      for (const { metric, labels, rise } of rises) (report[metric.name] ??= []).push({ ...labels, count: rise });
      const sent = send(url, JSON.stringify(report)).then((taken) => {
        if (!taken) for (const { counter, rise } of rises) counter.sent -= rise;
        return taken;
      });
      sends.push(sent);
    }
    return (await Promise.all(sends)).every(Boolean);
  }

  /**
   * Sends what was counted whenever the page is hidden or left, until the client is closed or what this returns is called.
   * Outside of pages it does nothing.
   *
   * ```js
   * guards.reportMetrics("/flag-metrics");
   * ```
   */
  reportMetrics(url: string | URL): () => void {
    const page = (globalThis as { document?: Document }).document;
    if (page === undefined || this.#closed) return () => undefined;
    const leave = (): void => {
      void this.sendMetrics(url);
    };
    const hide = (): void => {
      if (page.visibilityState === "hidden") leave();
    };
    // Either may be the last thing that a page hears.
    page.addEventListener("visibilitychange", hide);
    addEventListener("pagehide", leave);
    const stop = (): void => {
      page.removeEventListener("visibilitychange", hide);
      removeEventListener("pagehide", leave);
      this.#reports.delete(stop);
    };
    this.#reports.add(stop);
    return stop;
  }

  /** Ends reports and shadows; a guarded call under way ends as it would have. */
  #close(): void {
    this.#closed = true;
    for (const stop of this.#reports) stop();
    for (const controller of this.#running) controller.abort(new DOMException("the client was closed", "AbortError"));
  }

  *#all() {
    yield* this.#guards.all();
    yield* this.#shadows.all();
  }

  #count(counters: Counters, flag: string, series: Series): void {
    if (counters.count(flag, series)) return;
    this.#warnOnce(`more than ${MAX_FLAGS} flags are guarded or shadowed: the others are not counted`);
  }

  /** A timeout that can be set, or the one that stands for it. */
  #timeout<T>(timeout: number, otherwise: T, method: string, flag: string): number | T {
    if (timeout > 0 && timeout <= MAX_TIMEOUT_MS) return timeout;
    const instead = otherwise === undefined ? "there is none" : `${String(otherwise)} counts`;
    this.#warnOnce(`${method} of \`${flag}\`: timeout must be milliseconds above 0 and below 2^31; ${instead}`);
    return otherwise;
  }

  /** Runs a callback of the caller's, whose errors are told and go nowhere. */
  #contain(flag: string, callback: string, run: () => unknown): void {
    promised(run).catch((error: unknown) => {
      this.#warnOnce(`\`${flag}\`: the callback \`${callback}\` failed (${nameOf(error)})`);
    });
  }

  /** Once, for what goes wrong here goes wrong with each call. */
  #warnOnce(message: string): void {
    if (this.#warned.has(message) || this.#warned.size === MAX_FLAGS) return;
    this.#warned.add(message);
    this.#client.warn(message);
  }
}

/** Runs a path and counts what comes of it; that is as the path has it, a thenable as a promise. */
function observe(
  path: () => unknown,
  series: { readonly success: Series; readonly error: Series },
  count: (series: Series) => void,
): unknown {
  const fail = (error: unknown): never => {
    count(series.error);
    throw error;
  };
  const succeed = <T>(value: T): T => {
    count(series.success);
    return value;
  };
  let result: unknown;
  try {
    result = path();
  } catch (error) {
    return fail(error);
  }
  // Subscribed to once: some thenables, such as the queries of databases, run each time.
  return isThenable(result) ? Promise.resolve(result).then(succeed, fail) : succeed(result);
}

/** What `run` gives or throws, as a promise. */
// eslint-disable-next-line @typescript-eslint/require-await -- for what throws to be a rejection
async function promised(run: () => unknown): Promise<unknown> {
  return run();
}

function settled(promise: Promise<unknown>): Promise<Settled<unknown>> {
  return promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  try {
    return typeof (value as { then?: unknown }).then === "function";
  } catch {
    return false;
  }
}

/** Whether it was taken: by the browser, which sends it in its own time, or by who answers. */
async function send(url: string | URL, json: string): Promise<boolean> {
  try {
    const navigator = globalThis.navigator as Partial<Navigator> | undefined;
    if (navigator?.sendBeacon !== undefined) {
      return navigator.sendBeacon(url, new Blob([json], { type: "application/json" }));
    }
    const signal = AbortSignal.timeout(SEND_TIMEOUT_MS);
    const headers = { "content-type": "application/json" };
    return (await fetch(url, { method: "POST", headers, body: json, keepalive: true, signal })).ok;
  } catch {
    return false;
  }
}

function timedOut(what: string, limit: number): DOMException {
  return new DOMException(`the ${what} took more than ${limit} ms`, "TimeoutError");
}

/** Whatever the types say: where the context is forgotten, the legacy path would be run as the new one. */
function checkLegacy(verb: string, legacyPath: unknown): void {
  if (typeof legacyPath === "function") return;
  throw new TypeError(`${verb}: expected a flag, a context, and two functions: the new path and the legacy one`);
}

/** An error's name: its message may hold what is not for logs. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}

/** As the text exposition format of Prometheus has label values. */
function escape(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
