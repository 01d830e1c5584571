// Who takes part. Each decides where it is asked, without a network; `id` names its file in peers/.
import { readFileSync } from "node:fs";

/**
 * `engine` is what decides: JavaScript or WebAssembly. `page` is what a page takes instead of `package`, or that it takes the
 * same (true); without it, it decides on servers only.
 */
export const CONTESTANTS = [
  { id: "flagstone", name: "Flagstone", engine: "WebAssembly", page: true },
  { id: "flagd", name: "flagd", package: "@openfeature/flagd-core", engine: "JavaScript", page: true },
  { id: "growthbook", name: "GrowthBook", package: "@growthbook/growthbook", engine: "JavaScript", page: true },
  { id: "unleash", name: "Unleash", package: "unleash-client", engine: "JavaScript" },
  { id: "configcat", name: "ConfigCat", package: "configcat-node", engine: "JavaScript", page: "configcat-js" },
  { id: "eppo", name: "Eppo", package: "@eppo/js-client-sdk-common", engine: "JavaScript", page: true },
  { id: "vercel", name: "Vercel", package: "@vercel/flags-core", engine: "JavaScript" },
  { id: "launchdarkly", name: "LaunchDarkly", package: "@launchdarkly/node-server-sdk", engine: "JavaScript" },
  { id: "statsig", name: "Statsig", package: "@statsig/js-on-device-eval-client", engine: "JavaScript", page: true },
  { id: "flipt", name: "Flipt", package: "@flipt-io/flipt-client-js", engine: "WebAssembly", page: true },
  { id: "devcycle", name: "DevCycle", package: "@devcycle/bucketing-assembly-script", engine: "WebAssembly" },
  { id: "posthog", name: "PostHog", package: "posthog-node", engine: "JavaScript" },
];

/** What nobody can go below. */
export const FLOOR = { id: "floor", name: "the platform alone", page: true };

/** The version of an installed package, or of ours. */
export function version(name) {
  const folder = name === "flagstone" ? "../pkg" : `node_modules/${name}`;
  return JSON.parse(readFileSync(new URL(`${folder}/package.json`, import.meta.url), "utf8")).version;
}
