// The client in workerd, where nothing may be compiled: the module comes compiled.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
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
  export default {
    async fetch(request) {
      const { options, contexts } = await request.json();
      const flags = await FlagstoneClient.start(options);
      const all = contexts.map((context) => flags.all(context));
      const steps = contexts.map((context) => flags.explain("ramped", context).steps);
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
  assert.deepEqual(steps, plain(contexts.map((context) => client.explain("ramped", context).steps)));
});

test("checks signatures", async () => {
  const tampered = { ...options, source: options.source.replace("salt-1", "salt-2") };
  assert.equal((await ask({ options: tampered, contexts: [] })).error, "SIGNATURE");
});
