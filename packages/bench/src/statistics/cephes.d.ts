/**
 * The functions of `cephes` that are used here. Its own declarations are out of reach of TypeScript: its `exports` do not
 * name them.
 */
declare module "cephes" {
  /** Settled when the WebAssembly modules are ready; no function may be called before. */
  export const compiled: Promise<void>;
  /** Regularised incomplete beta function I_x(a, b). */
  export function incbet(a: number, b: number, x: number): number;
  /** x such that I_x(a, b) = y. */
  export function incbi(a: number, b: number, y: number): number;
  /** Distribution function of the normal distribution, and its inverse. */
  export function ndtr(x: number): number;
  export function ndtri(p: number): number;
  /** P(K > x) of Kolmogorov's limiting distribution. */
  export function kolmogorov(x: number): number;
}
