/** Not selected yet. */
import type { Selector } from "./selector.ts";

export function emitShuffle(s: Selector, ..._rest: unknown[]): never {
  return s.unsupported("emitShuffle", "f32", "not selected yet");
}
