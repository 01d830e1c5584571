// Browsers whose page or bundler serves the module as an asset beside this file: the smallest download, compiled as it
// arrives.
import { inlined } from "./inlined.js";
import { useModule } from "./instance.js";

useModule(async () => {
  try {
    const response = await fetch(new URL("./flagstone_bg.wasm", import.meta.url));
    if (response.ok && response.headers.get("content-type") === "application/wasm") return response;
  } catch {
    // A bundler that knows no assets, or a server that cannot be reached.
  }
  return inlined();
});

export * from "./client.js";
