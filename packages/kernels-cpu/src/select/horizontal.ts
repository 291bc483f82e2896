/** Not selected yet. */
import type { Selector } from "./selector.ts";

export function emitHorizontal(s: Selector, ..._rest: unknown[]): never {
  return s.unsupported("emitHorizontal", "f32", "not selected yet");
}
