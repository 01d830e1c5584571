// Where snapshots come from: asking for the newest, and being told that there is a newer one.
import { LoadError } from "./host.js";

/** What a source answered. */
export interface Answer {
  readonly envelope: Uint8Array;
  readonly etag: string | undefined;
}

/** A URL, and how it is asked. */
export interface SourceOptions {
  readonly url: URL | string;
  /** Of server-sent events (WHATWG HTML, section 9.2): each is a hint to ask. */
  readonly stream: URL | string | undefined;
  /** What asks it, by default the host's `fetch`. */
  readonly fetch: typeof fetch | undefined;
  /** How long an answer may take, whole, in milliseconds. */
  readonly timeout: number;
  /** Whether the host's HTTP cache knows ETags. */
  readonly hasHttpCache: boolean;
}

/** Says for how long not to ask again, in milliseconds, where the source said so. */
export class UnavailableError extends LoadError {
  readonly retryAfter: number | undefined;

  constructor(message: string, retryAfter: number | undefined) {
    super("FETCH", message);
    this.retryAfter = retryAfter;
  }
}

const MAX_RETRY_AFTER = 3_600_000;

/** A source of snapshots at a URL. */
export class Source {
  readonly #options: SourceOptions;
  /** The URL as messages show it: without what may be secret. */
  readonly name: string;
  /** What tells this source from others; undefined where only its secrets would. */
  readonly identity: string | undefined;

  constructor(options: SourceOptions) {
    this.#options = options;
    const place = globalThis as { document?: Document; location?: Location };
    const base = place.document?.baseURI ?? place.location?.href;
    let url: URL;
    try {
      url = new URL(options.url, base);
    } catch {
      throw new TypeError(`source: expected a URL or an envelope, found \`${String(options.url)}\``);
    }
    this.name = url.origin === "null" ? url.protocol : url.origin + url.pathname;
    this.identity = url.search === "" ? this.name : undefined;
  }

  /**
   * Asks for the newest envelope; undefined where the one with this ETag is still it.
   *
   * @throws {LoadError} Where there is no answer, or one that cannot be an envelope.
   */
  async fetch(etag: string | undefined, signal: AbortSignal): Promise<Answer | undefined> {
    const late = new AbortController();
    const timer = setTimeout(() => {
      late.abort(new Error(`no answer within ${this.#options.timeout / 1000} s`));
    }, this.#options.timeout);
    const stop = (): void => {
      late.abort(signal.reason);
    };
    signal.addEventListener("abort", stop);
    try {
      const { url, fetch = globalThis.fetch } = this.#options;
      const response = await fetch(url, this.#request(etag, late.signal));
      if (response.status === 304) {
        await response.body?.cancel();
        if (etag !== undefined) return undefined;
        throw this.#error("answered 304 (not modified), though nothing is held; a cache on the way is broken");
      }
      if (!response.ok) {
        await response.body?.cancel();
        throw new UnavailableError(`${this.name} answered ${response.status}`, retryAfter(response));
      }
      const envelope = new Uint8Array(await response.arrayBuffer());
      if (isHtml(envelope)) {
        throw this.#error("answered with a page instead of a snapshot; a captive portal or a proxy may stand between");
      }
      return { envelope, etag: response.headers.get("etag") ?? undefined };
    } catch (error) {
      if (error instanceof LoadError) throw error;
      throw this.#error(`cannot be fetched: ${reason(late.signal.aborted ? late.signal.reason : error)}`, error);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  /**
   * Calls back for each hint, with the version that it names, if it names one, until the stream ends.
   *
   * @throws Where the stream cannot be had, or breaks off.
   */
  async listen(opened: () => void, hint: (version: number | undefined) => void, signal: AbortSignal): Promise<void> {
    const { stream } = this.#options;
    if (stream === undefined) return;
    // Loaded by those alone who listen.
    const { EventSourceParserStream } = await import("eventsource-parser/stream");
    const response = await fetch(stream, { headers: { accept: "text/event-stream" }, cache: "no-store", signal });
    const type = response.headers.get("content-type") ?? "";
    if (!response.ok || !type.startsWith("text/event-stream") || response.body === null) {
      await response.body?.cancel();
      throw new Error(`the stream answered ${response.status} ${type}`);
    }
    opened();
    const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
    const reader = events.getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) hint(versionIn(next.value.data));
  }

  #request(etag: string | undefined, signal: AbortSignal): RequestInit {
    // A header of ours would cost requests to another origin a second one, for permission.
    if (this.#options.hasHttpCache) return { cache: "no-cache", signal };
    return etag === undefined ? { signal } : { headers: { "if-none-match": etag }, signal };
  }

  #error(problem: string, cause?: unknown): LoadError {
    return new LoadError("FETCH", `${this.name} ${problem}`, { cause });
  }
}

/** What a hint says: `{"version": 43}`, or anything else. */
function versionIn(data: string): number | undefined {
  try {
    const { version } = (JSON.parse(data) ?? {}) as { version?: unknown };
    return typeof version === "number" ? version : undefined;
  } catch {
    return undefined;
  }
}

/** The header in milliseconds (RFC 9110, section 10.2.3): seconds, or a date. */
function retryAfter(response: Response): number | undefined {
  const header = response.headers.get("retry-after");
  if (header === null) return undefined;
  const wait = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(wait) ? undefined : Math.min(Math.max(wait, 0), MAX_RETRY_AFTER);
}

/** Whether the first character is one that no envelope starts with and every page does. */
function isHtml(bytes: Uint8Array): boolean {
  return /^\s*</.test(new TextDecoder().decode(bytes.subarray(0, 256)));
}

/** Why, for a person; Node.js says it in the cause. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}
