// The client in workerd, where nothing may be compiled: the module comes compiled.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Miniflare } from "miniflare";
import { FlagstoneClient } from "../../pkg/node.js";
import { envelope, flags, keyPair, snapshot } from "./support/sign.mjs";
import { entry, pkg } from "./support/package.mjs";

const production = keyPair();
const options = {
  source: envelope(snapshot({ version: 7, flags }), production),
  environment: "production",
  keys: production.keys,
};

const worker = `
  import { FlagstoneClient } from ${JSON.stringify(entry(".", ["workerd", "worker", "browser"]))};
  let shared;
  export default {
    async fetch(request) {
      const { options, contexts, share } = await request.json();
      if (share) {
        shared ??= await FlagstoneClient.start(options);
        const isNew = await shared.refresh().catch((error) => error.code);
        return Response.json({ isNew, version: shared.version, details: shared.details("ramped", false, contexts[0]) });
      }
      const flags = await FlagstoneClient.start(options);
      const all = contexts.map((context) => flags.all(context));
      const steps = await Promise.all(contexts.map(async (context) => (await flags.explain("ramped", context)).steps));
      const answer = { error: flags.error?.code, id: flags.anonymousId(), all, steps };
      await flags.close();
      return Response.json(answer);
    },
  };`;

let miniflare;
before(() => {
  const files = readdirSync(pkg).filter((file) => /\.(js|wasm)$/.test(file));
  miniflare = new Miniflare({
    cf: false,
    compatibilityDate: "2026-01-01",
    modulesRoot: pkg,
    modules: [
      { type: "ESModule", path: join(pkg, "worker.js"), contents: worker },
      ...files.map((file) => ({ type: file.endsWith(".js") ? "ESModule" : "CompiledWasm", path: join(pkg, file) })),
    ],
  });
});
after(() => miniflare.dispose());

const ask = async (body) =>
  (await miniflare.dispatchFetch("http://localhost/", { method: "POST", body: JSON.stringify(body) })).json();

test("evaluates as Node.js does", async () => {
  const contexts = Array.from({ length: 200 }, (_, index) => ({
    targetingKey: `user-${index}`,
    age: index % 50,
    groups: ["beta"],
  }));
  const { error, id, all, steps } = await ask({ options, contexts });
  assert.equal(error, undefined);
  assert.match(id, /^[0-9a-f]{32}$/);
  const client = await FlagstoneClient.start(options);
  const plain = (value) => JSON.parse(JSON.stringify(value));
  assert.deepEqual(all, plain(contexts.map((context) => client.all(context))));
  const explained = contexts.map(async (context) => (await client.explain("ramped", context)).steps);
  assert.deepEqual(steps, plain(await Promise.all(explained)));
});

test("checks signatures", async () => {
  const tampered = { ...options, source: options.source.replace("salt-1", "salt-2") };
  assert.equal((await ask({ options: tampered, contexts: [] })).error, "SIGNATURE");
});

test("one client serves many requests, and is refreshed by them", async () => {
  let source = options.source;
  const server = createServer((_request, response) => response.end(source));
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const shared = { ...options, source: `http://127.0.0.1:${server.address().port}/` };
  const share = () => ask({ options: shared, contexts: [{ targetingKey: "user-1" }], share: true });
  const first = await share();
  assert.deepEqual([first.isNew, first.version], [false, 7]);
  const again = await Promise.all(Array.from({ length: 10 }, share));
  for (const { isNew, details } of again) assert.deepEqual([isNew, details], [false, first.details]);
  source = envelope(snapshot({ version: 8, flags }), production);
  const { isNew, version, details } = await share();
  assert.deepEqual([isNew, version, details.value], [true, 8, first.details.value]);
  server.close();
  server.closeAllConnections();
  assert.equal((await share()).isNew, "FETCH");
  assert.equal((await share()).version, 8);
});
