/** Not selected yet. */
import type { Selector } from "./selector.ts";

export function viaWider(s: Selector, ..._rest: unknown[]): never {
  return s.unsupported("viaWider", "f32", "not selected yet");
}
export function widenOperation(s: Selector, ..._rest: unknown[]): never {
  return s.unsupported("widenOperation", "f32", "not selected yet");
}
