// A client whose every word is written down.
import assert from "node:assert/strict";
import { after } from "node:test";

const clients = new Set();

/** Starts a client of `FlagstoneClient`, with `warnings` and `events` (as [kind, detail]) from the first on. */
export async function watched(FlagstoneClient, options) {
  if (clients.size === 0) after(() => Promise.all(Array.from(clients, (client) => client.close())));
  const warnings = [];
  const events = [];
  const client = await FlagstoneClient.start({ poll: false, warn: (message) => warnings.push(message), ...options });
  clients.add(client);
  for (const kind of ["ready", "change", "stale", "error"]) client.on(kind, (detail) => events.push([kind, detail]));
  await Promise.resolve();
  return Object.assign(client, { warnings, events });
}

/** The next event of this kind, or what is the case already. */
export const next = (client, kind) =>
  new Promise((resolve) => {
    const stop = client.on(kind, (detail) => {
      stop();
      resolve(detail);
    });
  });

/** Waits for something that tells nobody. */
export async function until(holds) {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** What a client that has nothing serves. */
export function assertDefaults(client, state = "ERROR") {
  assert.equal(client.state, state);
  assert.equal(client.version, undefined);
  assert.equal(client.boolean("flag", true), true);
  assert.equal(client.boolean("flag", false), false);
  const details = client.details("flag", false);
  assert.deepEqual([details.value, details.reason], [false, "ERROR"]);
  assert.equal(details.errorCode, state === "FATAL" ? "PROVIDER_FATAL" : "PROVIDER_NOT_READY");
  if (client.error !== undefined) assert.ok(details.errorMessage.endsWith(client.error.message));
}

/** That one thing was warned of, in words that help and tell no secrets, and told to listeners. */
export function assertTold(client, code, message, count = 1) {
  assert.equal(client.warnings.length, count, client.warnings.join("\n"));
  const warning = client.warnings.at(-1);
  assert.match(warning, message);
  assert.match(warning, /^flagstone: .{20,400}; [^;]+$/s);
  assert.doesNotMatch(warning, /s3cret|user-42|undefined|\[object/);
  const errors = client.events.flatMap(([kind, detail]) => (kind === "error" ? [detail] : []));
  const error = errors.find(({ message }) => warning.includes(message));
  assert.deepEqual([error?.name, error?.code], ["LoadError", code]);
}
