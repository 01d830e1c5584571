// Where a client keeps the last good snapshot: what storages are, and the one that pages have by default.
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
export const NAME = "flagstone";

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
