/** Which layers of a model see only a window of the tokens before. */

import type { ArchitectureKeys } from "./keys.ts";

/**
 * Windows per layer: of every `period` layers all but the last one have `window`, the last sees everything. The key
 * `attention.sliding_window_pattern` may give another period, or say it for each layer. A window of 0 is none.
 */
export function readWindows(keys: ArchitectureKeys, layers: number, window: number, period: number): readonly number[] {
  const key = "attention.sliding_window_pattern";
  const each = keys.booleans(key);
  if (each !== undefined) {
    if (each.length !== layers) keys.refuse(key, `has ${each.length} values for ${layers} layers`);
    return each.map((windowed) => (windowed ? window : 0));
  }
  const every = keys.size(key, 2 ** 16, period);
  return Array.from({ length: layers }, (_, layer) => (layer % every < every - 1 ? window : 0));
}
