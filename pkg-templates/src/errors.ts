// Errors. What they say is apart, in words.ts, which is loaded when there is one to tell.
import { within } from "./timer.js";
import type { Words } from "./words.js";

/** What went wrong. */
export type LoadErrorCode =
  | "ENGINE"
  | "TOOLS"
  | "FETCH"
  | "STREAM"
  | "STORAGE"
  | "ENVELOPE"
  | "SIGNATURE"
  | "SNAPSHOT"
  | "VARIABLES"
  | "REPLAY"
  | "EXPIRED";

/** A snapshot that could not be had, or was not taken. Whatever was held before is still held. */
export class LoadError extends Error {
  override name = "LoadError";
  /**
   * - `ENGINE`: the engine itself, or what checks signatures, could not be loaded.
   * - `TOOLS`: it comes uncompiled, and what compiles it could not be loaded.
   * - `FETCH`: it could not be fetched.
   * - `STREAM`: the stream of news could not be had, or broke off. The source is asked now and then instead.
   * - `STORAGE`: where the last good one is kept could not be read or written.
   * - `ENVELOPE`: it is no envelope, or no trusted key signed it as it should.
   * - `SIGNATURE`: the signature does not verify: someone changed the envelope.
   * - `SNAPSHOT`: what was signed is no snapshot, or one for another environment or audience.
   * - `VARIABLES`: environment variables pin what the first snapshot does not have.
   * - `REPLAY`: it is older than one seen before, or another one of the same version.
   * - `EXPIRED`: it had expired before it was loaded.
   */
  readonly code: LoadErrorCode;

  constructor(code: LoadErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What went wrong, for which words.ts has the words. Where those cannot be had, messages have these numbers. */
export const enum Wrong {
  /** A snapshot that the engine does not take. */
  Refused,
  /** What is said already. */
  Said,
  Trap,
  /** Of an envelope, which has another problem. */
  Envelope,
  Flattened,
  NoSignature,
  ManySignatures,
  DifferentPayloads,
  NotBoolean,
  BoundElsewhere,
  NoKeyId,
  NotTrusted,
  /** Of a signature that nobody else's stands in for. */
  Unsigned,
  Algorithm,
  Typ,
  Encoded,
  Critical,
  NotOnlyB64,
  SignatureLength,
  ManyKeys,
  SecretKey,
  /** The first of what a trusted key must be, in the order of `readKeys`. */
  Key,
  NoKeys,
  TooLong,
  NoJson,
  NameTwice,
  Surrogate,
  Nested,
  NoObject,
  NoArray,
  NoString,
  NoBase64url,
  NoUtf8,
  Unverified,
  Unchecked,
  Undescribed,
  Versions,
  NoTools,
  Option,
  PrivateKey,
  Url,
  NotModified,
  Page,
  NoModule,
  NoWebAssembly,
  Forbidden,
  Engine,
  NoSignedPins,
}

/** Something that went wrong, not in words yet. */
export class Problem extends Error {
  code: LoadErrorCode | undefined;
  readonly wrong: Wrong;
  readonly values: readonly unknown[];

  constructor(wrong: Wrong, values: readonly unknown[]) {
    super();
    this.wrong = wrong;
    this.values = values;
  }
}

/** One with what its words are about. */
export const problem = <W extends Wrong>(wrong: W, ...values: Parameters<Words[W]>): Problem =>
  new Problem(wrong, values);

/** How long words may take to come, in milliseconds: an error is worth more than what it says. */
const PATIENCE = 2000;

/** What there is to say of an error. */
export async function wordsOf(error: unknown): Promise<string> {
  if (!(error instanceof Problem)) return reason(error);
  const loading = import("./words.js").catch(() => undefined);
  // Where there may be no timers, they are waited for.
  const isHere = await within(PATIENCE, loading).catch(() => true);
  const words = isHere ? (await loading)?.words(error) : undefined;
  if (words !== undefined) return words;
  const numbers = [error, ...error.values].flatMap((part) => (part instanceof Problem ? part.wrong : []));
  const what = `${error.code ?? "OPTIONS"} (${numbers.join(", ")})`;
  return `${what}: what says more could not be loaded; see that words.js of flagstone is served`;
}

/** An error as it is told: a problem in words, with this code if it has none, and by default the error that it speaks of for a cause. */
export async function told(error: unknown, code: LoadErrorCode, cause?: unknown): Promise<unknown> {
  if (!(error instanceof Problem)) return error;
  error.code ??= code;
  const why = cause ?? error.values.find((value) => value instanceof Error && !(value instanceof Problem));
  return new LoadError(error.code, await wordsOf(error), why === undefined ? {} : { cause: why });
}

/** Why, for a person; Node.js says it in the cause. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}
