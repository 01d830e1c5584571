// The engine in this browser, with both snapshots of the same definitions: the one that browsers receive and the one that
// servers do.
const ENVIRONMENT = "production";

/** The engine cannot run here at all. */
export class Unavailable extends Error {}

let pinned;

/** Runs what evaluates as of an instant, so that another engine can be asked about the same one. */
export function at(now, run) {
  pinned = now;
  try {
    return run();
  } finally {
    pinned = undefined;
  }
}

async function start(audience, source, keys) {
  let client;
  try {
    const { FlagstoneClient } = await import("./pkg/browser.js");
    client = await FlagstoneClient.start({
      source,
      environment: ENVIRONMENT,
      audience,
      keys,
      now: () => pinned ?? Date.now(),
      // A draft is always version 1, so nothing that was stored of another may be held against it.
      storage: false,
      // Whatever is wrong, the page says it itself.
      warn: () => {},
    });
  } catch (error) {
    throw new Unavailable(error.message, { cause: error });
  }
  if (client.version !== undefined) return client;
  const { error } = client;
  await client.close();
  throw error?.code === "ENGINE" ? new Unavailable(error.message, { cause: error }) : error;
}

/** Two clients, by audience; throws {@link Unavailable}, or why a snapshot was refused. */
export async function startEngines({ server, client }, keys) {
  const started = await Promise.allSettled([start("server", server, keys), start("client", client, keys)]);
  const failed = started.find(({ status }) => status === "rejected");
  if (!failed) return { server: started[0].value, client: started[1].value };
  await Promise.all(started.map(({ value }) => value?.close()));
  throw failed.reason;
}
