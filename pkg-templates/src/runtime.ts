// What differs between the places where the package runs; each entry point says it once.
import { useModule, type ModuleFrom } from "./instance.js";
import { webStorage, type SnapshotStorage } from "./web-storage.js";

/** Where a client runs. */
export interface Runtime {
  /** Whether `fetch` has an HTTP cache that knows ETags. Without one they are kept here. */
  readonly hasHttpCache: boolean;
  /** Whether code runs only while a request is answered: nothing may outlive it, neither timers nor requests of ours. */
  readonly isPerRequest: boolean;
  /** Where the last good snapshot is kept unless the application says otherwise. */
  storage(name: string): SnapshotStorage | undefined;
  /** Calls back when there is reason to look for news: the page is shown again, the network is back. */
  onWake(wake: () => void): () => void;
}

/** Servers: nothing is kept unless the application says where. */
export const server: Runtime = {
  hasHttpCache: false,
  isPerRequest: false,
  storage: () => undefined,
  onWake: () => () => undefined,
};

/** Workers. */
export const worker: Runtime = { ...server, isPerRequest: true };

/** Pages. */
export const page: Runtime = {
  hasHttpCache: true,
  isPerRequest: false,
  storage: (name) => webStorage({ name }),
  onWake(wake) {
    const shown = (): void => {
      if (document.visibilityState === "visible") wake();
    };
    document.addEventListener("visibilitychange", shown);
    addEventListener("pageshow", wake);
    addEventListener("online", wake);
    return () => {
      document.removeEventListener("visibilitychange", shown);
      removeEventListener("pageshow", wake);
      removeEventListener("online", wake);
    };
  },
};

let current: Runtime | undefined;

/** Where this is. Entry points that are used in several places do not say, and are asked for what only some of them have. */
export function runtime(): Runtime {
  return (current ??= found());
}

function found(): Runtime {
  if ("WebSocketPair" in globalThis || "EdgeRuntime" in globalThis) return worker;
  return typeof document === "undefined" ? server : page;
}

/** Says where this is, and where to find the modules for the first client that needs them. */
export function useRuntime(from: Runtime, module: ModuleFrom, tools: ModuleFrom): void {
  current ??= from;
  useModule(module, tools);
}
