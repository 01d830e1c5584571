// Exposures: that someone was served a variant, told once and not at each evaluation.
import type { BaseHook, EvaluationDetails, FlagValue, HookContext, HookHints } from "@openfeature/core";

/** How much an {@link ExposureHook} remembers. */
export interface ExposureOptions {
  /** The number of exposures remembered; those longest unused are forgotten first. By default 1,000. */
  readonly capacity?: number;
}

/**
 * Has another hook see each exposure once: the same flag, variant, targeting key, and version of the snapshot. A browser
 * that renders a component a hundred times so sends one event.
 *
 * With OpenTelemetry's feature-flag conventions, through OpenFeature's own hook:
 *
 * ```js
 * import { EventHook } from "@openfeature/open-telemetry-hooks";
 * import { ExposureHook } from "flagstone/openfeature-web";
 *
 * OpenFeature.addHooks(new ExposureHook(new EventHook()));
 * ```
 *
 * The inner hook observes: all of its stages run once the evaluation is over, so a context that its `before` returns
 * changes nothing. Errors, and evaluations without a variant, it sees every time.
 */
export class ExposureHook implements BaseHook<FlagValue, Record<string, unknown>, void, Promise<void> | void> {
  readonly #inner: BaseHook;
  readonly #capacity: number;
  /** In the order of their last use. */
  readonly #seen = new Set<string>();
  readonly #failed = new WeakSet<HookContext>();

  /** @throws RangeError Where the capacity is no whole number above 0. */
  constructor(inner: BaseHook, { capacity = 1000 }: ExposureOptions = {}) {
    if (!Number.isSafeInteger(capacity) || capacity < 1) {
      throw new RangeError(`capacity is ${capacity}, and must be a whole number above 0`);
    }
    this.#inner = inner;
    this.#capacity = capacity;
  }

  error(context: HookContext, error: unknown, hints?: HookHints): Promise<void> | void {
    const inner = this.#inner;
    this.#failed.add(context);
    return inOrder(
      () => inner.before?.(context, hints),
      () => inner.error?.(context, error, hints),
    );
  }

  finally(context: HookContext, details: EvaluationDetails<FlagValue>, hints?: HookHints): Promise<void> | void {
    const inner = this.#inner;
    if (this.#failed.has(context)) return inner.finally?.(context, details, hints) as Promise<void> | void;
    if (this.#isKnown(context, details)) return;
    return inOrder(
      () => inner.before?.(context, hints),
      () => inner.after?.(context, details, hints),
      () => inner.finally?.(context, details, hints),
    );
  }

  #isKnown({ context }: HookContext, { flagKey, variant, flagMetadata }: EvaluationDetails<FlagValue>): boolean {
    if (variant === undefined) return false;
    const exposure = JSON.stringify([
      flagKey,
      variant,
      context.targetingKey,
      flagMetadata.version,
      flagMetadata.flagSetId,
    ]);
    const isKnown = this.#seen.delete(exposure);
    this.#seen.add(exposure);
    if (this.#seen.size > this.#capacity) {
      for (const oldest of this.#seen) {
        this.#seen.delete(oldest);
        break;
      }
    }
    return isKnown;
  }
}

/** Runs a hook's stages one after another; at once unless one of them is asynchronous, which browsers' hooks may not be. */
function inOrder(...stages: (() => unknown)[]): Promise<void> | void {
  let last: unknown;
  for (const stage of stages) last = last instanceof Promise ? last.then(stage) : stage();
  return last as Promise<void> | void;
}
