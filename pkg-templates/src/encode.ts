// Contexts on their way into the engine: attributes by number, written straight into the module's memory. The other half is
// src/wasm/subject.rs, which has the table of tags.

/**
 * Whom a flag is evaluated for: a targeting key, which says who the user is, and attributes, which say what the user is
 * like.
 *
 * Strings, numbers, booleans, `Date`s, arrays of strings, numbers and booleans, and nested objects are read; a `bigint`
 * counts as the nearest number. All else counts as missing: null, undefined, functions, symbols, numbers that are not
 * finite, invalid dates, strings with half of a surrogate pair. Only own properties are read, never inherited ones, and a
 * getter that throws counts as missing.
 */
export type EvaluationContext =
  | { readonly targetingKey?: TargetingKey; readonly [attribute: string]: unknown }
  // Instances of the application's own interfaces and classes, which have no index signature.
  | (object & { readonly targetingKey?: TargetingKey });

/** By which the user is bucketed, unless a flag says otherwise: a string, or a whole number within ±(2^53 − 1). */
export type TargetingKey = string | number | bigint | undefined;

/** The most bytes that a context may take, encoded; far beyond any real one. */
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_SIZE_MESSAGE = "the context's attributes take more than 64 MiB";

/** A context that is too large. The engine is none the worse for it. */
export class ContextError extends Error {
  override name = "ContextError";
}

const Tag = { Nothing: 0, False: 1, True: 2, Number: 3, Date: 4, String: 5, List: 6, Object: 7 } as const;

/** An attribute as read from a context; a {@link Date} as such, another object as `OBJECT`. */
type Attribute = boolean | string | number | Date | readonly unknown[] | typeof OBJECT | undefined;
const OBJECT = Symbol("object");

/**
 * Reads the attribute at a path. This is the only place where the caller's code (getters, proxies) runs, which may evaluate
 * flags itself: so everything is read before anything is written.
 */
export function readAttribute(context: unknown, path: readonly string[]): Attribute {
  try {
    let value = context;
    for (const name of path) {
      if (typeof value !== "object" || value === null || Array.isArray(value) || !Object.hasOwn(value, name)) {
        return undefined;
      }
      value = (value as Record<string, unknown>)[name];
    }
    switch (typeof value) {
      case "string":
        return isWellFormed(value) ? value : undefined;
      case "number":
      case "boolean":
        return value;
      case "bigint":
        return Number(value);
      case "object":
        return value === null ? undefined : readObject(value);
      default:
        return undefined;
    }
  } catch (error) {
    if (error instanceof ContextError) throw error;
    return undefined;
  }
}

function readObject(value: object): Attribute {
  if (Array.isArray(value)) {
    if (value.length > MAX_BYTES) throw new ContextError(MAX_SIZE_MESSAGE);
    return Array.from({ length: value.length }, (_, index): unknown => value[index]);
  }
  // Not `instanceof`, for a date may come from another realm: a frame, or a test runner's sandbox.
  return Object.prototype.toString.call(value) === "[object Date]"
    ? new Date(Date.prototype.getTime.call(value))
    : OBJECT;
}

const SHORT = 64;

/** Whether no half of a surrogate pair stands alone. */
export function isWellFormed(text: string): boolean {
  // Most are short and ASCII, and a loop is done with those before a regular expression starts.
  if (text.length <= SHORT) {
    let index = 0;
    while (index < text.length && text.charCodeAt(index) < 0x80) index++;
    if (index === text.length) return true;
  }
  return !/\p{Surrogate}/u.test(text);
}

const utf8 = new TextEncoder();

/** A module's memory: `WebAssembly.Memory`, for whose types a Node.js project would have to take in the DOM's. */
export interface Memory {
  readonly buffer: ArrayBuffer;
}

/** Writes contexts into one engine's buffer. */
export class Encoder {
  readonly #memory: Memory;
  readonly #buffer: (bytes: number) => number;
  /** Views of all of the memory; empty once it has grown. */
  #bytes = new Uint8Array();
  #view = new DataView(new ArrayBuffer(0));
  /** Where the buffer starts and ends in the memory, and where the next byte goes. */
  #start = 0;
  #end = 0;
  #at = 0;

  /** @param buffer gives the place of a buffer of at least so many bytes, in which what was written is kept */
  constructor(memory: Memory, buffer: (bytes: number) => number) {
    this.#memory = memory;
    this.#buffer = buffer;
  }

  /** Writes the attributes with these numbers and returns how many bytes they take. */
  encode(ids: readonly number[], attributes: readonly Attribute[]): number {
    this.#at = this.#start;
    for (let index = 0; index < ids.length; index++) {
      const attribute = attributes[index];
      if (attribute === undefined) continue;
      const id = ids[index] ?? 0;
      this.#room(2);
      this.#bytes[this.#at++] = id;
      this.#bytes[this.#at++] = id >>> 8;
      this.#value(attribute);
    }
    return this.#at - this.#start;
  }

  #value(value: unknown): void {
    switch (typeof value) {
      case "string":
        this.#string(value);
        break;
      case "number":
        this.#double(Tag.Number, value);
        break;
      case "boolean":
        this.#tag(value ? Tag.True : Tag.False);
        break;
      default:
        if (Array.isArray(value)) {
          this.#list(value);
        } else if (value instanceof Date) {
          this.#double(Tag.Date, value.getTime());
        } else {
          this.#tag(Tag.Object);
        }
    }
  }

  #list(elements: readonly unknown[]): void {
    this.#tag(Tag.List);
    this.#length(elements.length);
    for (const element of elements) {
      const type = typeof element;
      if (type === "bigint") {
        this.#double(Tag.Number, Number(element));
      } else if (type === "number" || type === "boolean" || (type === "string" && isWellFormed(element as string))) {
        this.#value(element);
      } else {
        this.#tag(Tag.Nothing);
      }
    }
  }

  #tag(tag: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = tag;
  }

  #double(tag: number, value: number): void {
    this.#tag(tag);
    this.#room(8);
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  #length(length: number): void {
    this.#room(4);
    this.#view.setUint32(this.#at, length, true);
    this.#at += 4;
  }

  #string(text: string): void {
    this.#tag(Tag.String);
    const { length } = text;
    if (length <= SHORT) {
      this.#room(4 + length);
      const start = this.#at + 4;
      let index = 0;
      for (; index < length; index++) {
        const unit = text.charCodeAt(index);
        if (unit >= 0x80) break;
        this.#bytes[start + index] = unit;
      }
      if (index === length) {
        this.#length(length);
        this.#at += length;
        return;
      }
    }
    this.#room(4 + 3 * length);
    const start = this.#at + 4;
    const { written } = utf8.encodeInto(text, this.#bytes.subarray(start, start + 3 * length));
    this.#length(written);
    this.#at += written;
  }

  /** Makes room for so many bytes more, and views of the memory as it is now. */
  #room(bytes: number): void {
    if (this.#at + bytes > this.#end) {
      const used = this.#at - this.#start;
      if (used + bytes > MAX_BYTES) throw new ContextError(MAX_SIZE_MESSAGE);
      const capacity = Math.max(1024, 2 ** Math.ceil(Math.log2(used + bytes)));
      this.#start = this.#buffer(capacity);
      this.#end = this.#start + capacity;
      this.#at = this.#start + used;
    }
    if (this.#bytes.byteLength === 0) {
      this.#bytes = new Uint8Array(this.#memory.buffer);
      this.#view = new DataView(this.#memory.buffer);
    }
  }
}
