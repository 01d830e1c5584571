// What both OpenFeature providers share. This is the only place where a client's details, states and events become
// OpenFeature's (https://openfeature.dev/specification/sections/providers).
import {
  ClientProviderEvents,
  ErrorCode,
  ProviderFatalError,
  ProviderNotReadyError,
  StandardResolutionReasons,
  type AnyProviderEvent,
  type EvaluationContext,
  type FlagMetadata,
  type OpenFeatureError,
  type ProviderEventEmitter,
  type ResolutionDetails,
  type TrackingEventDetails,
} from "@openfeature/core";
import type { EvaluationDetails, Events, StartOptions, State } from "./client.js";

/** What a provider needs of a client that runs already. Those of `flagstone`, `flagstone/slim` and `flagstone/module` have it. */
export interface RunningClient {
  readonly environment: string;
  readonly state: State;
  readonly error: Error | undefined;
  details<T>(flag: string, fallback: T, context?: EvaluationContext): EvaluationDetails<T>;
  on<E extends keyof Events>(event: E, listener: (event: Events[E]) => void): () => void;
}

/** What else a provider may be given. */
export interface ProviderOptions {
  /**
   * Where tracking events go: your analytics. It is called with what OpenFeature's `client.track` was, and the merged
   * context. What it throws is warned of on the console and reaches nobody else.
   *
   * ```js
   * const track = (name, context, details) => navigator.sendBeacon("/events", JSON.stringify({ name, ...details }));
   * ```
   */
  readonly track?: (name: string, context: EvaluationContext, details: TrackingEventDetails) => void | Promise<void>;
}

/** A value of each of OpenFeature's types, by which {@link RunningClient.details} knows the type that is asked for. */
const EXAMPLES = { boolean: false, string: "", number: 0, object: null };

/** The life cycle of either provider: {@link FlagstoneWebProvider} and {@link FlagstoneServerProvider}. */
export abstract class FlagstoneProvider {
  readonly metadata = { name: "flagstone" };
  abstract readonly events: ProviderEventEmitter<AnyProviderEvent>;
  readonly #from: StartOptions | RunningClient;
  readonly #options: ProviderOptions;
  #client: RunningClient | undefined;
  /** Ends what `initialize` began. */
  #end: (() => Promise<void>) | undefined;
  /** How often it was initialized or closed, so that one that takes long sees that it is out of date. */
  #runs = 0;
  /** The state that the SDK takes the provider to be in. */
  #announced: State = "NOT_READY";
  /** Whether the SDK has seen how `initialize` ended. */
  #concluded = false;

  /**
   * @param from What to start a client with, when the SDK initializes the provider, and to end when it closes it; or a client
   * that runs already, which the app closes itself.
   */
  constructor(from: StartOptions | RunningClient, options: ProviderOptions = {}) {
    this.#from = from;
    this.#options = options;
  }

  /**
   * Starts the client, where it does not run yet. Called by the SDK, which then takes the provider for ready.
   *
   * @throws `ProviderNotReadyError` where there is no usable snapshot yet: the provider is in error, serves the callers'
   * defaults, and emits `PROVIDER_READY` once there is one. `ProviderFatalError` where there can never be one.
   */
  async initialize(): Promise<void> {
    const run = ++this.#runs;
    this.#concluded = false;
    const { client, close } = "details" in this.#from ? { client: this.#from, close: keep } : await start(this.#from);
    if (run !== this.#runs) {
      await close();
      throw new ProviderNotReadyError("the provider was closed while it started");
    }
    const subscriptions = [
      client.on("ready", () => {
        this.#announce();
      }),
      client.on("stale", () => {
        this.#announce();
      }),
      client.on("error", () => {
        this.#announce();
      }),
      client.on("change", ({ changed }) => {
        this.#announce();
        this.events.emit(ClientProviderEvents.ConfigurationChanged, { flagsChanged: [...changed] });
      }),
    ];
    this.#client = client;
    this.#end = async () => {
      for (const unsubscribe of subscriptions) unsubscribe();
      await close();
    };
    const failure = failureOf(client);
    this.#announced = failure === undefined ? "READY" : client.state;
    this.#announce();
    if (failure !== undefined) throw failure;
  }

  /** Closes the client, where the provider started it. Called by the SDK; the provider may be initialized again. */
  async onClose(): Promise<void> {
    this.#runs++;
    const end = this.#end;
    this.#client = this.#end = undefined;
    await end?.();
  }

  /** Hands a tracking event on to {@link ProviderOptions.track}. Never throws. */
  track(name: string, context: EvaluationContext, details: TrackingEventDetails): void {
    const { track } = this.#options;
    (async () => track?.(name, context, details))().catch((error: unknown) => {
      console.warn("flagstone: the provider's `track` option failed:", error);
    });
  }

  /** Evaluates a flag. Never throws: an error shows in the details, beside the caller's default. */
  protected resolve<T>(
    flag: string,
    type: keyof typeof EXAMPLES,
    fallback: T,
    context: EvaluationContext,
  ): ResolutionDetails<T> {
    const client = this.#client;
    if (client === undefined) return failed(fallback, ErrorCode.PROVIDER_NOT_READY, "the provider is not initialized");
    const details = client.details<unknown>(flag, EXAMPLES[type], context);
    const flagMetadata = metadataOf(details, client.environment, context);
    if (details.errorCode !== undefined) {
      return { ...failed(fallback, ErrorCode[details.errorCode], details.errorMessage), flagMetadata };
    }
    const { value, variant, reason } = details;
    return { value: value as T, reason, ...(variant !== undefined && { variant }), flagMetadata };
  }

  /** Tells the SDK that the provider is not ready after all. */
  protected restate(): void {
    queueMicrotask(() => {
      if (this.#client !== undefined && this.#client.state !== "READY") this.#emit(this.#client);
    });
  }

  /** Tells the SDK of the client's state, unless it knows. */
  #announce(): void {
    const client = this.#client;
    if (client === undefined || client.state === this.#announced) return;
    if (this.#concluded) {
      this.#emit(client);
      return;
    }
    // The SDK has yet to see how `initialize` ended, and goes by that whatever was emitted before.
    setTimeout(() => {
      this.#concluded = true;
      this.#announce();
    });
  }

  #emit(client: RunningClient): void {
    this.#announced = client.state;
    const failure = failureOf(client);
    if (failure !== undefined) {
      this.events.emit(ClientProviderEvents.Error, { message: failure.message, errorCode: failure.code });
    } else if (client.state === "STALE") {
      const message = client.error?.message ?? "the snapshot has expired";
      this.events.emit(ClientProviderEvents.Stale, { message });
    } else {
      this.events.emit(ClientProviderEvents.Ready);
    }
  }
}

/** A client is closed by whoever started it. */
const keep = (): Promise<void> => Promise.resolve();

async function start(options: StartOptions): Promise<{ client: RunningClient; close: () => Promise<void> }> {
  try {
    // By the package's own name, so that `exports` conditions pick the runtime's entry point; and here, so that who brings a
    // client of `flagstone/slim` does not load the other engine as well.
    const { FlagstoneClient } = await import("flagstone");
    const client = await FlagstoneClient.start(options);
    return { client, close: () => client.close() };
  } catch (error) {
    throw new ProviderFatalError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** Why a client has nothing to serve, undefined where it has. */
function failureOf({ state, error }: RunningClient): OpenFeatureError | undefined {
  if (state === "READY" || state === "STALE") return undefined;
  const message = `no usable snapshot was loaded: ${error?.message ?? "none was given"}`;
  const Failure = state === "FATAL" ? ProviderFatalError : ProviderNotReadyError;
  return new Failure(message, { cause: error });
}

function failed<T>(fallback: T, errorCode: ErrorCode, errorMessage = ""): ResolutionDetails<T> {
  return { value: fallback, reason: StandardResolutionReasons.ERROR, errorCode, errorMessage };
}

/**
 * Flag metadata, with what OpenTelemetry's conventions map
 * (https://openfeature.dev/specification/appendix-d#flag-metadata): there a version is a string.
 */
function metadataOf(details: EvaluationDetails<unknown>, flagSetId: string, context: EvaluationContext): FlagMetadata {
  const { version, ...rest } = details.flagMetadata;
  const contextId: unknown = context.targetingKey;
  return {
    ...rest,
    flagSetId,
    ...(version !== undefined && { version: String(version) }),
    ...(typeof contextId === "string" && { contextId }),
  };
}
