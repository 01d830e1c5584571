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
    // eslint-disable-next-line @typescript-eslint/prefer-for-of -- an iterator takes as long as what it gives, in Node.js 20
    for (let index = 0; index < path.length; index++) {
      const name = path[index] ?? "";
      if (typeof value !== "object" || value === null || Array.isArray(value) || !Object.hasOwn(value, name)) {
        return undefined;
      }
      value = (value as Record<string, unknown>)[name];
    }
    switch (typeof value) {
      case "string":
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

/** What is written in a loop, which is done before an expression, or what encodes, starts. */
const SHORT = 64;

/** How many bytes of what was written before are kept. */
const KEPT = 16_384;
/** What stands in the place of an attribute while it is written. */
const UNKNOWN = Symbol("unknown");

const utf8 = new TextEncoder();

/** A module's memory: `WebAssembly.Memory`, for whose types a Node.js project would have to take in the DOM's. */
export interface Memory {
  readonly buffer: ArrayBuffer;
}

/** An engine's buffer. */
export interface Buffer {
  /** Gives the place of one of at least so many bytes, in which what was written is kept. */
  grow(bytes: number): number;
  /** What was written counts no more. */
  forget(): void;
}

/** Writes contexts into one engine's buffer: of each attribute what is another than it was. */
export class Encoder {
  readonly #memory: Memory;
  readonly #buffer: Buffer;
  /** Views of all of the memory; empty once it has grown. */
  #bytes = new Uint8Array();
  #view = new DataView(new ArrayBuffer(0));
  #words = new Uint32Array();
  // What stands for whole numbers here comes of `>>>` and `|`: with what comes of a division or a power, engines go on calculating in
  // doubles.
  /** Where the buffer starts and ends in the memory, and where the next byte goes. */
  #start = 0;
  #end = 0;
  #at = 0;
  /** Where in the memory, in words, the places of attributes stand. */
  #places = 0;
  /** What stands in those places. */
  #values: (Attribute | typeof UNKNOWN)[] = [];
  /** The attributes that may have a place. */
  #ids: readonly number[] = [];
  /** Counts contexts. */
  #turn = 0;

  constructor(memory: Memory, buffer: Buffer) {
    this.#memory = memory;
    this.#buffer = buffer;
  }

  /** Says where the places of attributes stand, all of them 0. */
  reset(places: number): void {
    this.#places = places >>> 2;
    this.#values = [];
    this.#ids = [];
  }

  /** Writes the attributes with these numbers, and no others. */
  encode(ids: readonly number[], attributes: readonly Attribute[]): void {
    this.#begin(ids);
    for (let index = 0; index < ids.length; index++) this.#put(ids[index] ?? 0, attributes[index]);
  }

  /** The same, out of a context; false where its own code had others written meanwhile. */
  encodeFrom(ids: readonly number[], paths: readonly (readonly string[])[], context: unknown): boolean {
    const turn = this.#begin(ids);
    // eslint-disable-next-line @typescript-eslint/prefer-for-of -- likewise
    for (let index = 0; index < ids.length; index++) {
      const id = ids[index] ?? 0;
      const attribute = readAttribute(context, paths[id] ?? []);
      if (turn !== this.#turn) return false;
      // That code may have had the memory grow, for another client.
      this.#look();
      this.#put(id, attribute);
    }
    return true;
  }

  #begin(ids: readonly number[]): number {
    this.#look();
    const isFull = this.#at - this.#start > KEPT;
    if (isFull) {
      this.#at = 0;
      this.#buffer.forget();
    }
    // The same list of numbers is the same array (see `describe`).
    if (isFull || ids !== this.#ids) {
      for (const id of this.#ids) {
        this.#words[this.#places + id] = 0;
        this.#values[id] = undefined;
      }
      this.#ids = ids;
    }
    // No value stands at the buffer's start, the place of those that are missing.
    this.#at ||= this.#start + 1;
    return (this.#turn = (this.#turn + 1) | 0);
  }

  #put(id: number, attribute: Attribute): void {
    if (attribute === this.#values[id]) return;
    this.#values[id] = UNKNOWN;
    let place = 0;
    if (attribute !== undefined) {
      place = this.#at - this.#start;
      this.#value(attribute);
    }
    this.#words[this.#places + id] = place;
    this.#values[id] = attribute;
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
    this.#room(4);
    this.#length(elements.length);
    for (const element of elements) {
      const type = typeof element;
      if (type === "bigint") this.#double(Tag.Number, Number(element));
      else if (type === "number" || type === "boolean" || type === "string") this.#value(element);
      else this.#tag(Tag.Nothing);
    }
  }

  #tag(tag: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = tag;
  }

  #double(tag: number, value: number): void {
    this.#room(9);
    this.#bytes[this.#at++] = tag;
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  /** Where there is room for it. */
  #length(length: number): void {
    this.#view.setUint32(this.#at, length, true);
    this.#at += 4;
  }

  #string(text: string): void {
    const { length } = text;
    if (length <= SHORT) {
      this.#room(5 + length);
      const bytes = this.#bytes;
      const start = this.#at + 5;
      let index = 0;
      for (; index < length; index++) {
        const unit = text.charCodeAt(index);
        if (unit >= 0x80) break;
        bytes[start + index] = unit;
      }
      if (index === length) {
        bytes[this.#at++] = Tag.String;
        this.#length(length);
        this.#at += length;
        return;
      }
    }
    if (/\p{Surrogate}/u.test(text)) {
      this.#tag(Tag.Nothing);
      return;
    }
    this.#room(5 + 3 * length);
    const start = this.#at + 5;
    const { written } = utf8.encodeInto(text, this.#bytes.subarray(start, start + 3 * length));
    this.#bytes[this.#at++] = Tag.String;
    this.#length(written);
    this.#at += written;
  }

  /** Makes room for so many bytes more. */
  #room(bytes: number): void {
    if (this.#at + bytes <= this.#end) return;
    const used = this.#at - this.#start;
    if (used + bytes > MAX_BYTES) throw new ContextError(MAX_SIZE_MESSAGE);
    const capacity = Math.max(1024, 2 ** Math.ceil(Math.log2(used + bytes))) >>> 0;
    this.#start = this.#buffer.grow(capacity);
    this.#end = this.#start + capacity;
    this.#at = this.#start + used;
    this.#look();
  }

  /** Makes views of the memory as it is now, where it has grown: while room is made, and between contexts. */
  #look(): void {
    if (this.#bytes.length > 0) return;
    this.#bytes = new Uint8Array(this.#memory.buffer);
    this.#view = new DataView(this.#memory.buffer);
    this.#words = new Uint32Array(this.#memory.buffer);
  }
}
