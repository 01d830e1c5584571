// Browsers, by any bundler: the module comes as JavaScript, which each of them understands without being told.
import { inlined } from "./inlined.js";
import { useModule } from "./instance.js";

useModule(inlined);

export * from "./client.js";
