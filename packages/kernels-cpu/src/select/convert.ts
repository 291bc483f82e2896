/** Not selected yet. */
import type { Selector } from "./selector.ts";

export function emitBitcast(s: Selector, ..._rest: unknown[]): never {
  return s.unsupported("emitBitcast", "f32", "not selected yet");
}
export function emitCast(s: Selector, ..._rest: unknown[]): never {
  return s.unsupported("emitCast", "f32", "not selected yet");
}
export function widenParts(s: Selector, ..._rest: unknown[]): never {
  return s.unsupported("widenParts", "f32", "not selected yet");
}
