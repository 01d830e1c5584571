// `flagstone/module` where the host is one that answers requests: what it shares must not make one request wait for another.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Miniflare } from "miniflare";
import { pkg } from "./support/package.mjs";
import { envelope, flags, keyPair, snapshot } from "./support/sign.mjs";

const production = keyPair();
const worker = `
  import engine from "./flagstone_bg.wasm";
  import tools from "./flagstone_tools.wasm";
  import { FlagstoneClient, init } from "./module.js";
  let flags;
  export default {
    async fetch(request) {
      const options = await request.json();
      await init(engine, tools);
      flags ??= await FlagstoneClient.start(options);
      if (options.refresh) await flags.refresh();
      return Response.json({ version: flags.version ?? null, state: flags.state });
    },
  };`;

let miniflare, source, release;
before(async () => {
  source = createServer(async (_request, response) => {
    await new Promise((resolve) => (release = resolve));
    response.end(envelope(snapshot({ version: 7, flags }), production));
  });
  await new Promise((listening) => source.listen(0, "127.0.0.1", listening));
  const files = readdirSync(pkg).filter((file) => /\.(js|wasm)$/.test(file) && file !== "file-storage.js");
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
after(async () => {
  source.closeAllConnections();
  source.close();
  await miniflare.dispose();
});

test("a request does not wait for what another one asked for", async () => {
  const options = {
    source: `http://127.0.0.1:${source.address().port}/`,
    environment: "production",
    keys: production.keys,
    startTimeout: 100,
  };
  const ask = async (more) => {
    const body = JSON.stringify({ ...options, ...more });
    return (await miniflare.dispatchFetch("http://localhost/", { method: "POST", body })).json();
  };
  const first = await ask({});
  assert.equal(first.version, null);
  const abandoned = release;
  release = undefined;
  const second = ask({ refresh: true });
  while (release === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
  release();
  assert.deepEqual(await second, { version: 7, state: "READY" });
  abandoned();
});
