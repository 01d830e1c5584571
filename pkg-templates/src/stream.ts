// Being told that there is a newer snapshot. A module of its own, loaded by those alone who listen.
import { EventSourceParserStream } from "eventsource-parser/stream";
import { LoadError, reason } from "./errors.js";
import { FRESH, MAX_BACK_OFF } from "./schedule.js";
import type { Stream } from "./source.js";
import { jitter, timer } from "./timer.js";

/** The most that one event of a stream may take, in characters. */
const MAX_EVENT = 1024 * 1024;

/** What the stream must last to count as one that works. */
const LASTING = 10_000;

/** Who listens. */
export interface Listener {
  /** It can be heard, for the first time or again. */
  opened(isAgain: boolean): void;
  /** There is a newer snapshot, of this version if it is said. */
  told(version: number | undefined): void;
  /** It can be heard no longer. */
  closed(): void;
  /** Why it could not be had, or broke off, and whether it had worked before. */
  deaf(error: LoadError, worked: boolean): void;
}

/** Listens until the signal is given, and again whenever that breaks off. */
export async function keepListening({ url, name }: Stream, listener: Listener, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted; failures++) {
    let since = Infinity;
    const opened = (): void => {
      since = Date.now();
      listener.opened(failures > 0);
    };
    const ended = await listen(url, opened, listener, signal).catch((error: unknown) => ({ error }));
    listener.closed();
    // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- it may have been meanwhile
    if (signal.aborted) return;
    const worked = Date.now() - since >= LASTING;
    if (worked) failures = 0;
    if (ended !== undefined) {
      const { error: cause } = ended;
      const message = `${name} ${reason(cause).replaceAll(String(url), name)}`;
      listener.deaf(new LoadError("STREAM", message, { cause }), worked);
    }
    await sleep(jitter(Math.min(FRESH * 2 ** failures, MAX_BACK_OFF)), signal);
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

/** Tells of each event until the stream ends. */
async function listen(
  stream: URL | string,
  opened: () => void,
  listener: Listener,
  signal: AbortSignal,
): Promise<void> {
  const response = await fetch(stream, { headers: { accept: "text/event-stream" }, cache: "no-store", signal });
  const type = response.headers.get("content-type") ?? "";
  if (!response.ok || !type.startsWith("text/event-stream") || response.body === null) {
    await response.body?.cancel();
    throw new Error(`answered ${response.status} ${type} instead of a stream of events`);
  }
  opened();
  const events = response.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream({ maxBufferSize: MAX_EVENT }));
  const reader = events.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read())
    listener.told(versionIn(next.value.data));
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
