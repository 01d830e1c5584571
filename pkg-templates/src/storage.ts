/** A snapshot as it is kept: signed, so that whoever changes it gains nothing. */
export interface StoredSnapshot {
  /** The envelope's text. */
  readonly envelope: string;
  /** Its version, so that of several writers the newest stays. */
  readonly version: number;
  /** Where it came from and the entity tag that it had there, for asking whether it is still the newest. */
  readonly source?: string | undefined;
  readonly etag?: string | undefined;
}

/**
 * Where a client keeps the last good snapshot, and finds it when it starts again: without a network, and without being shown an
 * older one than it has seen. What is read is verified like any other.
 *
 * Either method may throw or reject: the client says so once and goes on without.
 */
export interface SnapshotStorage {
  /** What is kept, undefined where nothing is. */
  read(): Promise<StoredSnapshot | undefined> | StoredSnapshot | undefined;
  /** Keeps another one, unless a newer one is kept. */
  write(stored: StoredSnapshot): Promise<void> | void;
  /** Forgets what is kept, which nobody trusted has signed. */
  remove(): Promise<void> | void;
}

/** What storages here are named, unless the application says otherwise. */
const NAME = "flagstone";

/** What `localStorage` and its like can do: not the DOM's `Storage`, which a Node.js project's types may lack. */
export interface ItemStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** Keeps it in the page's `localStorage`, or in another storage of that kind. */
export function webStorage({ name = NAME, storage }: { name?: string; storage?: ItemStorage } = {}): SnapshotStorage {
  // Asked for when it is needed, for where storage is blocked asking throws.
  const place = (): ItemStorage => storage ?? localStorage;
  return {
    read: () => parse(place().getItem(name), name),
    write(stored) {
      // Another tab may have been given a newer one.
      if (stored.version < keptVersion(place().getItem(name), name)) return;
      place().setItem(name, JSON.stringify(stored));
    },
    remove() {
      place().removeItem(name);
    },
  };
}

/** Keeps it in the Cache API, where Workers have it: in one data centre. */
export function cacheStorage({ name = NAME }: { name?: string } = {}): SnapshotStorage {
  // Never fetched; a cache's keys are URLs.
  const key = `https://flagstone.invalid/${encodeURIComponent(name)}`;
  // Not a cache of its own name, which not every plan has.
  const cache = (): Promise<Cache> => {
    const { default: common } = caches as unknown as { default?: Cache };
    return common === undefined ? caches.open(NAME) : Promise.resolve(common);
  };
  return {
    async read() {
      const found = await (await cache()).match(key);
      return parse(await found?.text(), name);
    },
    async write(stored) {
      if (stored.version < keptVersion(await (await (await cache()).match(key))?.text(), name)) return;
      // Without an age a cache keeps nothing. A year, for the snapshot says itself when it expires.
      const headers = { "cache-control": "max-age=31536000", "content-type": "application/json" };
      await (await cache()).put(key, new Response(JSON.stringify(stored), { headers }));
    },
    async remove() {
      await (await cache()).delete(key);
    },
  };
}

/** What Workers KV and its like can do. */
export interface KeyValueNamespace {
  get(key: string): Promise<string | null>;
  put(key: string, value: string): Promise<void>;
  delete(key: string): Promise<void>;
}

/** Keeps it in Workers KV, or in anything with its `get` and `put`: in all data centres. */
export function kvStorage(namespace: KeyValueNamespace, { name = NAME }: { name?: string } = {}): SnapshotStorage {
  return {
    read: async () => parse(await namespace.get(name), name),
    async write(stored) {
      // Many Workers find the same news, and KV takes one write of a key a second.
      if (stored.version > keptVersion(await namespace.get(name), name))
        await namespace.put(name, JSON.stringify(stored));
    },
    remove: () => namespace.delete(name),
  };
}

/** Something is kept at a place that this package has not written. */
class ForeignError extends Error {
  /** Whether another program may have: it is whole, and means something. */
  readonly isWhole: boolean;

  constructor(place: string, isWhole: boolean) {
    super(`something else is kept as \`${place}\`${isWhole ? "; give one of them another name" : ""}`);
    this.isWhole = isWhole;
  }
}

/**
 * What is kept at a place, as it was written.
 *
 * @throws {ForeignError}
 */
export function parse(text: string | null | undefined, place: string): StoredSnapshot | undefined {
  if (text === null || text === undefined) return undefined;
  let stored: unknown;
  try {
    stored = JSON.parse(text);
  } catch {
    // It is not even JSON.
  }
  const { envelope, version, source, etag } = (stored ?? {}) as Partial<Record<keyof StoredSnapshot, unknown>>;
  if (typeof envelope !== "string" || typeof version !== "number") {
    throw new ForeignError(place, typeof stored === "object" && stored !== null);
  }
  const string = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
  return { envelope, version, source: string(source), etag: string(etag) };
}

/**
 * The version of what is kept at a place, which only a newer one is to replace; 0 for nothing, and for what nobody can use.
 *
 * @throws {ForeignError} Where it may be another program's, and is not ours to replace.
 */
export function keptVersion(text: string | null | undefined, place: string): number {
  try {
    return parse(text, place)?.version ?? 0;
  } catch (error) {
    if (error instanceof ForeignError && !error.isWhole) return 0;
    throw error;
  }
}

/**
 * An envelope as it may stand in a page, in a `<script type="application/json">`: the same JSON, without what would end the
 * element. Give its text to a client as `bootstrap`.
 */
export function inlineEnvelope(envelope: string): string {
  const escape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return envelope.replace(/[<\u2028\u2029]/g, escape);
}
