// Browsers, by any bundler: the module comes as JavaScript, which each of them understands without being told.
import { inlined, inlinedTools } from "./unpack.js";
import { useModule, type ModuleFrom } from "./instance.js";

function required(file: string, inlined: ModuleFrom): ModuleFrom {
  return async () => {
    try {
      // Required by Node.js, as by Jest for pages: its sandbox cannot import, and jsdom cannot decompress. Elsewhere one of these
      // is not there.
      return await process.getBuiltinModule("node:fs/promises").readFile(`${__dirname}/../${file}`);
    } catch {
      return inlined();
    }
  };
}

useModule(required("flagstone_bg.wasm", inlined), required("flagstone_tools.wasm", inlinedTools));

export * from "./exports.js";
