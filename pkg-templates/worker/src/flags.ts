// One client for all requests of an isolate: where its snapshots come from, how it starts and how it stays current.
import { FlagstoneClient, cacheStorage, kvStorage, type KeySet } from "flagstone";

export interface FlagsEnv {
  /** Whose snapshots are taken. */
  readonly ENVIRONMENT: string;
  /** `client`, or `server` where the source is not public: it says of all flags what they are, and of all lists who is on them. */
  readonly AUDIENCE: "client" | "server";
  /** Who may sign them. */
  readonly KEYS: KeySet;
  /** The bucket that they are published in. */
  readonly SNAPSHOTS?: R2Bucket;
  /** The published file, where there is no bucket. */
  readonly SNAPSHOT_URL?: string;
  /** Where the last good one is kept. By default the Cache API. */
  readonly KEPT?: KVNamespace;
  /** After how many seconds a request has the source asked for news, beside being answered. By default 10. */
  readonly REVALIDATE_SECONDS?: number;
  /** How long a request waits, at most, where there is no snapshot yet, in milliseconds. By default 1,000. */
  readonly FIRST_LOAD_TIMEOUT?: number;
  /** Who may sign testers' pins, which are not taken without. */
  readonly PIN_KEYS?: KeySet;
}

const FIRST_LOAD_TIMEOUT_MS = 1000;
/** How long the source may take when nobody waits. In milliseconds. */
const TIMEOUT_MS = 10_000;
const REVALIDATE_SECONDS = 10;

/** The client, once it has a snapshot. */
let flags: FlagstoneClient | undefined;
/** When the source was last asked for news. */
let asked = 0;

/** The client; undefined where no snapshot is to be had in time. The next request tries again. */
export async function currentFlags(env: FlagsEnv, ctx: ExecutionContext): Promise<FlagstoneClient | undefined> {
  if (flags === undefined) {
    // Each of the first requests loads for itself, for none may wait for what another one fetches.
    const loaded = load(env);
    // Going on when the request is answered, so that a slow source is not asked in vain.
    ctx.waitUntil(loaded.catch(() => undefined));
    await Promise.race([loaded, scheduler.wait(env.FIRST_LOAD_TIMEOUT ?? FIRST_LOAD_TIMEOUT_MS)]);
    return flags;
  }
  const now = Date.now();
  if (now - asked >= (env.REVALIDATE_SECONDS ?? REVALIDATE_SECONDS) * 1000) {
    asked = now;
    // What fails was warned of, and what is held is served on.
    ctx.waitUntil(flags.refresh().catch(() => false));
  }
  return flags;
}

async function load(env: FlagsEnv): Promise<void> {
  const { ENVIRONMENT: environment, AUDIENCE: audience, KEYS: keys, SNAPSHOTS, SNAPSHOT_URL, KEPT, PIN_KEYS } = env;
  const name = `${environment}/current/${audience}.json`;
  const client = await FlagstoneClient.start({
    environment,
    audience,
    keys,
    timeout: TIMEOUT_MS,
    startTimeout: TIMEOUT_MS,
    storage: KEPT === undefined ? cacheStorage({ name }) : kvStorage(KEPT, { name }),
    ...(SNAPSHOTS !== undefined
      ? { source: `https://bucket.invalid/${name}`, fetch: bucketFetch(SNAPSHOTS) }
      : SNAPSHOT_URL !== undefined && { source: SNAPSHOT_URL }),
    ...(PIN_KEYS !== undefined && { signedPins: { keys: PIN_KEYS } }),
  });
  // The first to have a snapshot stays.
  if (flags === undefined && client.version !== undefined) flags = client;
  else await client.close();
}

/** Asks a bucket as `fetch` asks a server, ETags included. The URL's path is the object's key. */
function bucketFetch(bucket: R2Bucket): typeof fetch {
  return async (input, init) => {
    const { url, headers: onlyIf } = new Request(input, init);
    const object = await bucket.get(decodeURIComponent(new URL(url).pathname.slice(1)), { onlyIf });
    if (object === null) return new Response(null, { status: 404 });
    const headers = { ETag: object.httpEtag };
    return "body" in object ? new Response(object.body, { headers }) : new Response(null, { status: 304, headers });
  };
}
