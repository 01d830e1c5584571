// Browsers, by any bundler: the module comes as JavaScript, which each of them understands without being told.
import { inlined } from "./inlined.js";
import { useModule } from "./instance.js";

useModule(async () => {
  try {
    // Required by Node.js, as by Jest for pages: its sandbox cannot import, and jsdom cannot decompress. Elsewhere one of these
    // is not there.
    return await process.getBuiltinModule("node:fs/promises").readFile(`${__dirname}/../flagstone_bg.wasm`);
  } catch {
    return inlined();
  }
});

export * from "./client.js";
