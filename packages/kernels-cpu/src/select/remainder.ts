/** Not selected yet. */
import type { Selector } from "./selector.ts";

export function floatRemainder(s: Selector, ..._rest: unknown[]): never {
  return s.unsupported("floatRemainder", "f32", "not selected yet");
}
