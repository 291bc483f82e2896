/** Not selected yet. */
import type { Selector } from "./selector.ts";

export function gather(s: Selector, ..._rest: unknown[]): never {
  return s.unsupported("gather", "f32", "not selected yet");
}
export function scatter(s: Selector, ..._rest: unknown[]): never {
  return s.unsupported("scatter", "f32", "not selected yet");
}
