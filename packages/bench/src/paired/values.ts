/**
 * Inputs and outputs of any shape: typed arrays, numbers, text, and arrays, records, maps and sets of such. They are
 * copied, compared by a checksum, and overwritten in place. Instances of other classes are taken as they are.
 */

export type NumericArray =
  | Float16Array
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

export function isNumericArray(value: unknown): value is NumericArray {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/** A deep copy; a typed array becomes one of its own buffer. */
export function copyValue<T>(value: T, seen: Map<object, unknown> = new Map()): T {
  if (typeof value !== "object" || value === null) return value;
  const known = seen.get(value);
  if (known !== undefined) return known as T;
  const remember = <C extends object>(copy: C): C => {
    seen.set(value, copy);
    return copy;
  };
  if (isNumericArray(value)) return remember(value.slice()) as T;
  if (value instanceof ArrayBuffer) return remember(value.slice(0)) as T;
  if (Array.isArray(value)) {
    const copy = remember([] as unknown[]);
    for (const item of value) copy.push(copyValue<unknown>(item, seen));
    return copy as T;
  }
  if (value instanceof Map) {
    const copy = remember(new Map<unknown, unknown>());
    for (const [key, item] of value) copy.set(copyValue<unknown>(key, seen), copyValue<unknown>(item, seen));
    return copy as T;
  }
  if (value instanceof Set) {
    const copy = remember(new Set<unknown>());
    for (const item of value) copy.add(copyValue<unknown>(item, seen));
    return copy as T;
  }
  if (!isRecord(value)) return value;
  const copy = remember({} as Record<string, unknown>);
  for (const [key, item] of Object.entries(value)) copy[key] = copyValue(item, seen);
  return copy as T;
}

/**
 * Writes `from` into the buffers of `into` where both have the same shape, so that an input keeps its identity while its
 * content is new. False: they differ, and nothing can be said of the content of `into`.
 */
export function overwrite(into: unknown, from: unknown): boolean {
  return overwriteOnce(into, from, new Map());
}

/** `done`: what has been written into which object, so that cycles end, and what is shared gets one content. */
function overwriteOnce(into: unknown, from: unknown, done: Map<object, unknown>): boolean {
  if (typeof into !== "object" || into === null) return false;
  if (done.has(into)) return done.get(into) === from;
  done.set(into, from);
  if (isNumericArray(into)) {
    if (!isNumericArray(from) || from.constructor !== into.constructor || from.length !== into.length) return false;
    (into as Float64Array).set(from as Float64Array);
    return true;
  }
  if (Object.isFrozen(into)) return false;
  if (Array.isArray(into)) {
    if (!Array.isArray(from) || from.length !== into.length) return false;
    for (let i = 0; i < into.length; i++) if (!overwriteOnce(into[i], from[i], done)) into[i] = from[i] as unknown;
    return true;
  }
  if (!isRecord(into) || !isRecord(from)) return false;
  const keys = Object.keys(into);
  if (keys.length !== Object.keys(from).length || !keys.every((key) => Object.hasOwn(from, key))) return false;
  for (const key of keys) if (!overwriteOnce(into[key], from[key], done)) into[key] = from[key];
  return true;
}

const PRIME = 0x01000193;

function mix(hash: number, word: number): number {
  return Math.imul(hash ^ word, PRIME);
}

function bytesChecksum(start: number, view: ArrayBufferView): number {
  let hash = start;
  const { buffer, byteOffset, byteLength } = view;
  const words = byteOffset % 4 === 0 ? byteLength >>> 2 : 0;
  const whole = new Uint32Array(buffer, words === 0 ? 0 : byteOffset, words);
  for (let i = 0; i < words; i++) hash = mix(hash, whole[i] as number) + i;
  const rest = new Uint8Array(buffer, byteOffset + 4 * words, byteLength - 4 * words);
  for (const byte of rest) hash = mix(hash, byte);
  return mix(hash, byteLength);
}

const words = new Uint32Array(2);
const float = new Float64Array(words.buffer);

/** Most parts of one value that are looked at; a typed array counts as one. */
const MAX_PARTS = 2_000_000;

/** 32-bit checksum of all content. Parts of other classes count by their name only. */
export function checksum(value: unknown): number {
  let hash = 0x811c9dc5;
  let parts = 0;
  const seen = new Set<object>();
  const visit = (part: unknown): void => {
    if (parts++ > MAX_PARTS) return;
    if (typeof part === "number") {
      float[0] = part;
      hash = mix(mix(hash, words[0] as number), words[1] as number);
    } else if (typeof part !== "object" || part === null) {
      const text = typeof part === "function" ? "function" : String(part);
      hash = mix(hash, text.length);
      for (let i = 0; i < text.length; i++) hash = mix(hash, text.charCodeAt(i));
    } else if (isNumericArray(part)) hash = bytesChecksum(hash, part);
    else if (part instanceof ArrayBuffer) hash = bytesChecksum(hash, new Uint8Array(part));
    else if (!seen.has(part)) {
      seen.add(part);
      if (Array.isArray(part) || part instanceof Set) {
        hash = mix(hash, Array.isArray(part) ? part.length : part.size);
        for (const item of part as Iterable<unknown>) visit(item);
      } else if (part instanceof Map) {
        for (const [key, item] of part) {
          visit(key);
          visit(item);
        }
      } else if (isRecord(part)) {
        for (const [key, item] of Object.entries(part)) {
          visit(key);
          visit(item);
        }
      } else visit((part.constructor as { name?: string } | undefined)?.name);
    }
  };
  visit(value);
  return hash >>> 0;
}

/** All typed arrays within `value`, at any depth. */
export function arraysWithin(value: unknown, found: NumericArray[] = [], depth = 0): NumericArray[] {
  if (isNumericArray(value)) found.push(value);
  else if (depth < 8 && typeof value === "object" && value !== null) {
    // A long array of numbers has no typed arrays in it: its first item tells.
    const items = Array.isArray(value) ? value : isRecord(value) ? Object.values(value) : [];
    if (typeof items[0] !== "object" && Array.isArray(value)) return found;
    for (const item of items) arraysWithin(item, found, depth + 1);
  }
  return found;
}

/** True if the two share memory. */
export function overlap(a: ArrayBufferView, b: ArrayBufferView): boolean {
  if (a.buffer !== b.buffer) return false;
  return a.byteOffset < b.byteOffset + b.byteLength && b.byteOffset < a.byteOffset + a.byteLength;
}
