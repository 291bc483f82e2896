import type { Results } from "./schema.ts";

/** A deep copy with one member changed, or removed where `value` is `undefined`. */
export function changed(results: Results, path: readonly (string | number)[], value: unknown): unknown {
  const copy = structuredClone(results) as unknown as Record<string | number, unknown>;
  let parent = copy;
  for (const key of path.slice(0, -1)) parent = parent[key] as Record<string | number, unknown>;
  const last = path.at(-1) as string | number;
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return copy;
}
