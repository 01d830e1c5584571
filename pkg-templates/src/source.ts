// Where snapshots come from: asking for the newest, and being told that there is a newer one.
import { LoadError, Problem, problem, reason, told, Wrong } from "./errors.js";
import { MAX_DELAY } from "./timer.js";

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

/** Where news are told of. */
export interface Stream {
  readonly url: URL | string;
  /** As messages show it. */
  readonly name: string;
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
/** The most that an answer may take, in bytes; far beyond any real one. */
const MAX_BYTES = 64 * 1024 * 1024;
/** A source of snapshots at a URL. */
export class Source {
  readonly #options: SourceOptions;
  /** The URL as messages show it: without what may be secret. */
  readonly name: string;
  /** What tells this source from others; undefined where only its secrets would. */
  readonly identity: string | undefined;

  readonly stream?: Stream;

  constructor(options: SourceOptions) {
    this.#options = options;
    const url = parseUrl("source", options.url);
    this.name = nameOf(url);
    this.identity = url.search === "" ? this.name : undefined;
    const { stream } = options;
    if (stream !== undefined) this.stream = { url: stream, name: nameOf(parseUrl("stream", stream)) };
  }

  /**
   * Asks for the newest envelope; undefined where the one with this ETag is still it.
   *
   * @param fresh whether no cache may answer
   * @throws {LoadError} Where there is no answer, or one that cannot be an envelope.
   */
  async fetch(etag: string | undefined, fresh: boolean, signal: AbortSignal): Promise<Answer | undefined> {
    const { hasHttpCache, timeout, url } = this.#options;
    const late = new AbortController();
    const timer = setTimeout(
      () => {
        late.abort(new Error(`no whole answer within ${timeout / 1000} s`));
      },
      Math.min(timeout, MAX_DELAY),
    );
    const stop = (): void => {
      late.abort(signal.reason);
    };
    signal.addEventListener("abort", stop);
    try {
      const { fetch = globalThis.fetch } = this.#options;
      const response = await fetch(url, this.#request(etag, fresh, late.signal));
      if (response.status === 304) {
        await response.body?.cancel();
        // An HTTP cache of the host's keeps such answers to itself.
        if (etag !== undefined && !hasHttpCache) return undefined;
        throw problem(Wrong.NotModified, this.name);
      }
      if (!response.ok) {
        await response.body?.cancel();
        throw new UnavailableError(`${this.name} answered ${response.status}`, retryAfter(response));
      }
      const envelope = await readBody(response);
      if (isHtml(envelope)) {
        throw problem(Wrong.Page, this.name, response.redirected ? nameOf(new URL(response.url)) : undefined);
      }
      return { envelope, etag: response.headers.get("etag") ?? undefined };
    } catch (error) {
      if (error instanceof LoadError) throw error;
      if (error instanceof Problem) throw await told(error, "FETCH");
      const why = reason(late.signal.aborted ? late.signal.reason : error);
      // Messages of the host's may show the URL, secrets included.
      const message = `${this.name} cannot be fetched: ${why.replaceAll(String(url), this.name)}`;
      throw new LoadError("FETCH", message, { cause: error });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  #request(etag: string | undefined, fresh: boolean, signal: AbortSignal): RequestInit {
    // A header of ours would cost requests to another origin a second one, for permission.
    if (this.#options.hasHttpCache) return { cache: fresh ? "reload" : "no-cache", signal };
    return etag === undefined ? { signal } : { headers: { "if-none-match": etag }, signal };
  }
}

/** @throws {Problem} */
function parseUrl(option: "source" | "stream", url: URL | string): URL {
  const place = globalThis as { document?: Document; location?: Location };
  try {
    return new URL(url, place.document?.baseURI ?? place.location?.href);
  } catch {
    throw problem(Wrong.Url, option, url);
  }
}

/** A URL as messages show it. */
const nameOf = (url: URL): string => (url.origin === "null" ? url.protocol : url.origin + url.pathname);

/** The body whole, but not more than is sane. */
export async function readBody(response: Response): Promise<Uint8Array> {
  const reader = response.body?.getReader();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for (let next = await reader?.read(); next?.value !== undefined; next = await reader?.read()) {
    size += next.value.byteLength;
    if (size > MAX_BYTES) {
      await reader?.cancel();
      throw new Error("the answer is larger than 64 MiB");
    }
    chunks.push(next.value);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** The header in milliseconds (RFC 9110, section 10.2.3): seconds, or a date. */
function retryAfter(response: Response): number | undefined {
  const header = response.headers.get("retry-after");
  if (header === null) return undefined;
  // By the source's clock, where it says what that shows: ours may be wrong.
  const now = Date.parse(response.headers.get("date") ?? "") || Date.now();
  const wait = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isNaN(wait) ? undefined : Math.min(Math.max(wait, 0), MAX_RETRY_AFTER);
}

/** Whether the first character is one that no envelope starts with and every page does. */
function isHtml(bytes: Uint8Array): boolean {
  return /^\s*</.test(new TextDecoder().decode(bytes.subarray(0, 256)));
}
