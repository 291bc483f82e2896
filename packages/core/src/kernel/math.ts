/**
 * Math functions of the kernel language: `exp(k, x)` records the operations on scalars or vectors alike, from
 * primitives only, without branches. Each states its error bound; f16 and bf16 are computed in f32.
 */

export {
  floorDiv,
  fmod,
  ieeeMax,
  ieeeMin,
  isInf,
  isNaN,
  mod,
  polynomial,
  reciprocal,
  rsqrt,
  sign,
  signBit,
  square,
  withSign,
} from "./math-basic.ts";
export { cosh, erf, exp, exp2, expNonPositive, expm1, gelu, geluTanh, sigmoid, silu, sinh, tanh } from "./math-exp.ts";
export { acosh, asinh, atanh, log, log10, log1p, log2, pow, softplus } from "./math-log.ts";
export { acos, asin, atan, cos, sin, tan } from "./math-trig.ts";
