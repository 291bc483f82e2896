/**
 * How long this process took to load `@quern/core`. The harness is made with it, so that it is there before any engine is opened;
 * of an engine that is made with it too it is a part of loading that engine.
 */

let loadMs: number | undefined;

export function noteCoreLoad(ms: number): void {
  loadMs = ms;
}

/** Of a row of phase "load": of files without the fact a part of Quern was loaded before the clock started. */
export function coreFact(
  phase: string,
  { madeWithCore = false }: { readonly madeWithCore?: boolean },
): { readonly coreIncluded?: true } {
  return phase === "load" && madeWithCore ? { coreIncluded: true } : {};
}

/** What the load phase of an engine has to it beside `open`, ms. Throws where the process was not started by `worker-start.ts`. */
export function coreLoadOf({ madeWithCore = false }: { readonly madeWithCore?: boolean }): number {
  if (!madeWithCore) return 0;
  if (loadMs === undefined) throw new Error("loading @quern/core was not timed");
  return loadMs;
}
