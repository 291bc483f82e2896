/** Not selected yet. */
import type { Selector } from "./selector.ts";

export function divideVectors(s: Selector, ..._rest: unknown[]): never {
  return s.unsupported("divideVectors", "f32", "not selected yet");
}
