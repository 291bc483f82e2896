/** Not selected yet. */
import type { Selector } from "./selector.ts";

export function emitIntrinsic(s: Selector, ..._rest: unknown[]): never {
  return s.unsupported("emitIntrinsic", "f32", "not selected yet");
}
