// OpenFeature's server SDK in workerd, bundled as Workers are: the provider there gets the client of that runtime.
import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { build } from "esbuild";
import { Miniflare } from "miniflare";
import { projectWith } from "./support/openfeature.mjs";
import { envelope, flags, keyPair, snapshot } from "./support/sign.mjs";

const WORKER = `
  import { OpenFeature } from "@openfeature/server-sdk";
  import { FlagstoneServerProvider } from "flagstone/openfeature-server";

  export default {
    async fetch(request) {
      const { options, context } = await request.json();
      try {
        await OpenFeature.setProviderAndWait(new FlagstoneServerProvider(options));
        const details = await OpenFeature.getClient().getBooleanDetails("targeted", false, context);
        return Response.json(details);
      } finally {
        await OpenFeature.clearProviders();
      }
    },
  };
`;

const folder = projectWith("@openfeature");
const production = keyPair();
const options = {
  source: envelope(snapshot({ version: 7, flags }), production),
  environment: "production",
  keys: production.keys,
};
let miniflare;
before(async () => {
  const { outputFiles } = await build({
    stdin: { contents: WORKER, resolveDir: folder, sourcefile: "worker.js" },
    bundle: true,
    format: "esm",
    conditions: ["workerd", "worker", "browser"],
    external: ["node:*", "async_hooks", "*.wasm"],
    write: false,
    logLevel: "error",
  });
  miniflare = new Miniflare({
    cf: false,
    compatibilityDate: "2026-01-01",
    compatibilityFlags: ["nodejs_compat"],
    modulesRoot: "/",
    modules: [
      { type: "ESModule", path: "/worker.js", contents: outputFiles[0].text },
      ...["flagstone_bg.wasm", "flagstone_tools.wasm"].map((file) => ({
        type: "CompiledWasm",
        path: `/${file}`,
        contents: readFileSync(join(folder, "node_modules/flagstone", file)),
      })),
    ],
  });
});
after(async () => {
  await miniflare?.dispose();
  rmSync(folder, { recursive: true });
});

test("evaluates", async () => {
  const context = { targetingKey: "user-42", staff: true };
  const body = JSON.stringify({ options, context });
  const response = await miniflare.dispatchFetch("http://localhost/", { method: "POST", body });
  assert.deepEqual(await response.json(), {
    flagKey: "targeted",
    value: true,
    variant: "on",
    reason: "TARGETING_MATCH",
    flagMetadata: { version: "7", flagSetId: "production", contextId: "user-42", step: "rule", rule: "staff" },
  });
});
