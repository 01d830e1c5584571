// OpenFeature's provider for servers: `flagstone/openfeature-server`.
import {
  OpenFeatureEventEmitter,
  type EvaluationContext,
  type JsonValue,
  type Provider,
  type ResolutionDetails,
} from "@openfeature/server-sdk";
import { FlagstoneProvider } from "./openfeature.js";

export { ExposureHook, type ExposureOptions } from "./exposures.js";
export type { ProviderOptions, RunningClient } from "./openfeature.js";

/**
 * Has `@openfeature/server-sdk` evaluate flags with Flagstone, in this process, without a request for each.
 *
 * ```js
 * import { OpenFeature } from "@openfeature/server-sdk";
 * import { FlagstoneServerProvider } from "flagstone/openfeature-server";
 *
 * await OpenFeature.setProviderAndWait(
 *   new FlagstoneServerProvider({
 *     source: "https://cdn.example/production/server.json",
 *     environment: "production",
 *     audience: "server",
 *     keys,
 *   }),
 * );
 * await OpenFeature.getClient().getBooleanValue("use_new_gateway", false, { targetingKey: "user-42", plan: "pro" });
 * ```
 *
 * `setProviderAndWait` rejects where no usable snapshot could be had; the flags then have the callers' defaults until one
 * is, and `PROVIDER_READY` tells.
 *
 * Given a client that runs already instead of what to start one with, the provider uses that and leaves closing it to you.
 *
 * Object values are frozen, and the same object each time.
 */
export class FlagstoneServerProvider extends FlagstoneProvider implements Provider {
  readonly runsOn = "server";
  readonly events = new OpenFeatureEventEmitter();

  resolveBooleanEvaluation(
    flag: string,
    fallback: boolean,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<boolean>> {
    return Promise.resolve(this.resolve(flag, "boolean", fallback, context));
  }

  resolveStringEvaluation(
    flag: string,
    fallback: string,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<string>> {
    return Promise.resolve(this.resolve(flag, "string", fallback, context));
  }

  resolveNumberEvaluation(
    flag: string,
    fallback: number,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<number>> {
    return Promise.resolve(this.resolve(flag, "number", fallback, context));
  }

  resolveObjectEvaluation<T extends JsonValue>(
    flag: string,
    fallback: T,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<T>> {
    return Promise.resolve(this.resolve(flag, "object", fallback, context));
  }
}
