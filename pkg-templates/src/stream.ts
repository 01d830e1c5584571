// Being told that there is a newer snapshot. A module of its own, loaded by those alone who listen.
import { EventSourceParserStream } from "eventsource-parser/stream";

/** The most that one event of a stream may take, in characters. */
const MAX_EVENT = 1024 * 1024;

/** Calls back for each event, with the version that it names, if it names one, until the stream ends. */
export async function listen(
  stream: URL | string,
  opened: () => void,
  hint: (version: number | undefined) => void,
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
  for (let next = await reader.read(); !next.done; next = await reader.read()) hint(versionIn(next.value.data));
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
