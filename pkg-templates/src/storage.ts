// Storages of the last good snapshot, apart from the client, which has its own of them: `flagstone/storage`.
import { keptVersion, NAME, parse, type SnapshotStorage } from "./web-storage.js";

export { webStorage, type ItemStorage, type SnapshotStorage, type StoredSnapshot } from "./web-storage.js";

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

/**
 * An envelope as it may stand in a page, in a `<script type="application/json">`: the same JSON, without what would end the
 * element. Give its text to a client as `bootstrap`.
 */
export function inlineEnvelope(envelope: string): string {
  const escape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return envelope.replace(/[<\u2028\u2029]/g, escape);
}
