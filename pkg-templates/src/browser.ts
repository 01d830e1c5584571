// Browsers whose page or bundler serves the module as an asset beside this file: the smallest download, compiled as it
// arrives.
import { useModule, type ModuleFrom } from "./instance.js";

function served(url: URL, inlined: "inlined" | "inlinedTools"): ModuleFrom {
  let tries = 0;
  return async () => {
    const attempt = tries++;
    try {
      // Every other time, for a file that arrives may still be cut off; and not again from the cache that had it so.
      if (attempt % 2 === 0) {
        const cache = attempt === 0 ? "default" : "no-cache";
        const response = await fetch(url, { cache });
        if (response.ok && response.headers.get("content-type") === "application/wasm") return response;
      }
    } catch {
      // A bundler that knows no assets, or a server that cannot be reached.
    }
    const unpack = await import("./unpack.js");
    return unpack[inlined]();
  };
}

useModule(
  served(new URL("./flagstone_bg.wasm", import.meta.url), "inlined"),
  served(new URL("./flagstone_tools.wasm", import.meta.url), "inlinedTools"),
);

export * from "./exports.js";
