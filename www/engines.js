// The engine in this browser, with both snapshots of the same definitions: the one that browsers receive and the one that
// servers do.
const ENVIRONMENT = "production";

/** The engine cannot run here at all. */
export class Unavailable extends Error {}

let time = Date.now();

/** Has both engines go by the same instant. */
export const setTime = (now) => {
  time = now;
};

async function start(audience, source, keys) {
  let client;
  try {
    const { FlagstoneClient } = await import("./pkg/browser.js");
    // A draft is always version 1, so nothing that was stored of another may be held against it.
    const alone = { storage: false, poll: false };
    client = await FlagstoneClient.start({
      source,
      environment: ENVIRONMENT,
      audience,
      keys,
      now: () => time,
      ...alone,
    });
  } catch (error) {
    throw new Unavailable(error.message, { cause: error });
  }
  if (client.version !== undefined) return client;
  const { error, state } = client;
  await client.close();
  throw state === "FATAL" ? new Unavailable(error?.message, { cause: error }) : error;
}

/** Two clients, by audience; throws {@link Unavailable}, or why a snapshot was refused. */
export async function startEngines({ server, client }, keys) {
  const started = await Promise.allSettled([start("server", server, keys), start("client", client, keys)]);
  const failed = started.find(({ status }) => status === "rejected");
  if (!failed) return { server: started[0].value, client: started[1].value };
  await Promise.all(started.map(({ value }) => value?.close()));
  throw failed.reason;
}
