// OpenFeature's provider for browsers: `flagstone/openfeature-web`.
import {
  OpenFeatureEventEmitter,
  type EvaluationContext,
  type JsonValue,
  type Provider,
  type ResolutionDetails,
} from "@openfeature/web-sdk";
import { FlagstoneProvider } from "./openfeature.js";

export { ExposureHook, type ExposureOptions } from "./exposures.js";
export type { ProviderOptions, RunningClient } from "./openfeature.js";

/**
 * Has `@openfeature/web-sdk` evaluate flags with Flagstone, in the page, without a request for each.
 *
 * ```js
 * import { OpenFeature } from "@openfeature/web-sdk";
 * import { FlagstoneWebProvider } from "flagstone/openfeature-web";
 *
 * await OpenFeature.setContext({ targetingKey: "user-42", plan: "pro" });
 * await OpenFeature.setProviderAndWait(
 *   new FlagstoneWebProvider({ source: "https://cdn.example/production/client.json", environment: "production", keys }),
 * );
 * OpenFeature.getClient().getBooleanValue("use_new_gateway", false);
 * ```
 *
 * `setProviderAndWait` rejects where no usable snapshot could be had; the flags then have the callers' defaults until one
 * is, and `PROVIDER_READY` tells.
 *
 * Given a client that runs already instead of what to start one with, the provider uses that and leaves closing it to you.
 *
 * Object values are frozen, and the same object each time.
 */
export class FlagstoneWebProvider extends FlagstoneProvider implements Provider {
  readonly runsOn = "client";
  readonly events = new OpenFeatureEventEmitter();

  /** Nothing is kept by context: each evaluation is given it. Called by the SDK. */
  onContextChange(): void {
    // Afterwards the SDK takes a provider for ready that may be stale or in error.
    this.restate();
  }

  resolveBooleanEvaluation(flag: string, fallback: boolean, context: EvaluationContext): ResolutionDetails<boolean> {
    return this.resolve(flag, "boolean", fallback, context);
  }

  resolveStringEvaluation(flag: string, fallback: string, context: EvaluationContext): ResolutionDetails<string> {
    return this.resolve(flag, "string", fallback, context);
  }

  resolveNumberEvaluation(flag: string, fallback: number, context: EvaluationContext): ResolutionDetails<number> {
    return this.resolve(flag, "number", fallback, context);
  }

  resolveObjectEvaluation<T extends JsonValue>(
    flag: string,
    fallback: T,
    context: EvaluationContext,
  ): ResolutionDetails<T> {
    return this.resolve(flag, "object", fallback, context);
  }
}
