/**
 * Exponentials in the kernel language, and what is built on them: sigmoid, tanh, sinh, cosh, erf, gelu.
 *
 * Reduction: x = n ln 2 + r with |r| <= ln 2 / 2, e^x = 2^n e^r; `scale2` gives denormals, 0 and infinity. The
 * polynomials are minimax fits of relative error (Remez exchange), noted beside each. Error bounds are measured in
 * `math.test.ts`; they hold for f32, and for f64 where stated.
 */

import type { KernelBuilder } from "./builder.ts";
import type { KValue } from "./ir.ts";
import { type MathType, inF32, inFloat, polynomial, withSign } from "./math-basic.ts";

export const LOG2_E = 1.4426950408889634;

/**
 * ln 2 as a sum of two numbers of the type. Small integers times the first one are exact in f32 without fused
 * multiply-adds, which GPUs may lack.
 */
export const LN_2: Readonly<Record<MathType, readonly [number, number]>> = {
  f32: [0.693145751953125, 1.428606765330187e-6],
  f64: [0.693147180559945286, 2.319046813846299558e-17],
};

// (e^r - 1 - r) / r² on |r| <= 0.3468; relative error of e^r 3.1e-9 and 5.3e-20.
const EXP: Readonly<Record<MathType, readonly number[]>> = {
  f32: [0.49999993432139045, 0.16666520399084747, 0.04166839078423684, 0.008368745106661586, 0.0013814540063843824],
  f64: [
    0.5, 0.16666666666666682, 0.041666666666666095, 0.008333333333316982, 0.001388888888911635, 0.00019841269896515707,
    2.4801586925736553e-5, 2.7557234727264148e-6, 2.755758226603947e-7, 2.5112084691553827e-8, 2.08265875862764e-9,
  ],
};

// The same function with the relative error of e^r - 1: 2.7e-10 and 3.4e-21.
const EXPM1: Readonly<Record<MathType, readonly number[]>> = {
  f32: [
    0.5000000053187554, 0.16666666903076538, 0.04166632642851417, 0.008333219811759308, 0.0013943253707365876,
    0.00019962273230431394,
  ],
  f64: [
    0.5, 0.16666666666666666, 0.04166666666666669, 0.008333333333333345, 0.0013888888888870157, 0.0001984126984120733,
    2.480158735375876e-5, 2.755731936332161e-6, 2.7557248588218247e-7, 2.5051966870768283e-8, 2.0922663981398014e-9,
    1.612034864650094e-10,
  ],
};

// (2^f - 1) / f on |f| <= 0.5002; relative error of 2^f 2.6e-9 and 5.7e-20.
const EXP2: Readonly<Record<MathType, readonly number[]>> = {
  f32: [
    0.6931472150547686, 0.24022652788136833, 0.055503103822279506, 0.009617692238872462, 0.0013406705404993878,
    0.00015594841881550294,
  ],
  f64: [
    0.6931471805599453, 0.24022650695910072, 0.055504108664821736, 0.009618129107628562, 0.0013333558146381584,
    0.00015403530393171087, 1.5252733864996379e-5, 1.321548700398607e-6, 1.0178047467379281e-7, 7.054814656676794e-9,
    4.4572490101193585e-10, 2.5855414735580884e-11,
  ],
};

/** Beyond these the result is 0 or infinity whatever the argument. */
const EXP_RANGE: Readonly<Record<MathType, readonly [number, number]>> = { f32: [-104, 89], f64: [-746, 710] };
const EXP2_RANGE: Readonly<Record<MathType, readonly [number, number]>> = { f32: [-151, 129], f64: [-1076, 1025] };

/** Clamps, keeping NaN: min and max give their second operand when either is NaN. */
function clamp(k: KernelBuilder, x: KValue, [low, high]: readonly [number, number]): KValue {
  return k.min(high, k.max(low, x));
}

interface Reduced {
  readonly n: KValue;
  readonly r: KValue;
}

function reduce(k: KernelBuilder, x: KValue, type: MathType): Reduced {
  const [high, low] = LN_2[type];
  const n = k.round(k.mul(x, LOG2_E));
  return { n, r: k.fma(n, -low, k.fma(n, -high, x)) };
}

/** e^x · 2^shift for x in the range where n is finite: no clamping. */
function expUnclamped(k: KernelBuilder, x: KValue, type: MathType, shift = 0): KValue {
  const { n, r } = reduce(k, x, type);
  const p = k.fma(r, k.fma(r, polynomial(k, r, EXP[type]), 1), 1);
  return k.scale2(p, shift === 0 ? n : k.add(n, shift));
}

/** e^x within 1 ulp (f32, f64), denormal results included. */
export function exp(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "exp", [x], (type, [a]) => expUnclamped(k, clamp(k, a as KValue, EXP_RANGE[type]), type));
}

/** e^x for x <= 0 (softmax, sigmoid): as `exp`, one operation less. Larger x up to 88 are correct as well. */
export function expNonPositive(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "exp", [x], (type, [a]) => expUnclamped(k, k.max(EXP_RANGE[type][0], a as KValue), type));
}

/** 2^x within 1 ulp (f32, f64). */
export function exp2(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "exp2", [x], (type, [a]) => {
    const clamped = clamp(k, a as KValue, EXP2_RANGE[type]);
    const n = k.round(clamped);
    return exp2Polynomial(k, k.sub(clamped, n), n, type);
  });
}

/** 2^(n + f) for integral n and |f| <= 0.5. */
export function exp2Polynomial(k: KernelBuilder, f: KValue, n: KValue, type: MathType): KValue {
  return k.scale2(k.fma(f, polynomial(k, f, EXP2[type]), 1), n);
}

/** e^x - 1 for clamped x: 2^n (e^r - 1) + (2^n - 1), computed at half size so that 2^n does not overflow. */
function expm1Unclamped(k: KernelBuilder, x: KValue, type: MathType): KValue {
  const { n, r } = reduce(k, x, type);
  const q = k.fma(k.mul(r, r), polynomial(k, r, EXPM1[type]), r);
  const half = k.scale2(k.const(x.type, 0.5), n);
  const t = k.fma(half, q, k.sub(half, 0.5));
  return k.add(t, t);
}

/** e^x - 1 within 1.5 ulp for f32 (3 ulp for f64), relative also near 0. */
export function expm1(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "expm1", [x], (type, [a]) => {
    const value = a as KValue;
    const [, high] = EXP_RANGE[type];
    const result = expm1Unclamped(k, clamp(k, value, [type === "f32" ? -18 : -38, high]), type);
    return k.select(k.eq(value, 0), value, result);
  });
}

/** 1 / (1 + e^-x) within 2 ulp for f32 (3 ulp for f64), also where the result is tiny. */
export function sigmoid(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "sigmoid", [x], (type, [a]) => {
    const value = a as KValue;
    const e = expUnclamped(k, k.max(EXP_RANGE[type][0], k.neg(k.abs(value))), type);
    return k.div(k.select(k.ge(value, 0), k.const(e.type, 1), e), k.add(e, 1));
  });
}

/** x · sigmoid(x). */
export function silu(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "silu", [x], (_, [a]) => k.mul(a as KValue, sigmoid(k, a as KValue)));
}

/** tanh x = (e^2x - 1) / (e^2x + 1) within 2 ulp for f32 (3 ulp for f64). */
export function tanh(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "tanh", [x], (type, [a]) => {
    const value = a as KValue;
    // The positive side, where dividing by e^2x + 1 does not amplify errors. tanh rounds to 1 from the limit on.
    const magnitude = k.min(type === "f32" ? 9.02 : 19.1, k.abs(value));
    const { n, r } = reduce(k, k.add(magnitude, magnitude), type);
    const q = k.fma(k.mul(r, r), polynomial(k, r, EXPM1[type]), r);
    const power = k.scale2(k.const(r.type, 1), n);
    const em = k.fma(power, q, k.sub(power, 1));
    return withSign(k, k.div(em, k.add(em, 2)), value);
  });
}

// (sinh x - x) / x³ in x² on |x| <= 1; relative error of sinh 5.2e-11.
const SINH = [0.1666666649756085, 0.008333350058177444, 0.0001983615977669941, 2.8169512344451012e-6];

/** (e^x - e^-x) / 2 within 2 ulp; f32. */
export function sinh(k: KernelBuilder, x: KValue): KValue {
  return inF32(k, "sinh", [x], ([a]) => {
    const value = a as KValue;
    const s = k.mul(value, value);
    const small = k.fma(k.mul(s, value), polynomial(k, s, SINH), value);
    // Half of e^|x|, which is finite for all finite results.
    const e = expUnclamped(k, k.min(90, k.abs(value)), "f32", -1);
    const large = withSign(k, k.sub(e, k.div(0.25, e)), value);
    return k.select(k.lt(k.abs(value), 1), small, large);
  });
}

/** (e^x + e^-x) / 2 within 2 ulp; f32. */
export function cosh(k: KernelBuilder, x: KValue): KValue {
  return inF32(k, "cosh", [x], ([a]) => {
    const e = expUnclamped(k, k.min(90, k.abs(a as KValue)), "f32", -1);
    return k.add(e, k.div(0.25, e));
  });
}

// (erf x - x) / x in x² on |x| <= 0.93: relative error of erf 4.6e-10.
const ERF_SMALL = [
  0.1283791665798174, -0.37612633188487826, 0.11283687189381411, -0.026858941534471045, 0.005199906710153301,
  -0.000813001297527837, 8.316776065272402e-5,
];
// -ln(1 - erf x) / x on 0.919 <= x <= 3.95: relative error of erf 7.4e-10.
const ERF_LARGE = [
  1.128647918297826, 0.6351536426795138, 0.10623302490564006, -0.023758739906229964, 0.003640885905738777,
  -0.00032241650973879594, 1.1192565254034117e-5,
];

/** Error function within 2 ulp; f32. */
export function erf(k: KernelBuilder, x: KValue): KValue {
  return inF32(k, "erf", [x], ([a]) => {
    const value = a as KValue;
    const s = k.mul(value, value);
    const small = k.fma(value, polynomial(k, s, ERF_SMALL), value);
    // erf rounds to 1 from 3.92 on.
    const t = k.min(3.95, k.abs(value));
    const tail = expUnclamped(k, k.mul(k.neg(t), polynomial(k, t, ERF_LARGE)), "f32");
    return k.select(k.lt(t, 0.925), small, withSign(k, k.sub(1, tail), value));
  });
}

const SQRT_HALF = 0.7071067811865476;

/** x Φ(x) with the exact normal distribution: x/2 · (1 + erf(x / √2)); f32. */
export function gelu(k: KernelBuilder, x: KValue): KValue {
  return inF32(k, "gelu", [x], ([a]) => {
    const half = k.mul(a as KValue, 0.5);
    return k.fma(half, erf(k, k.mul(a as KValue, SQRT_HALF)), half);
  });
}

/** The tanh approximation of gelu: x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))) = x · sigmoid(2 √(2/π) …). */
export function geluTanh(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "geluTanh", [x], (_, [a]) => {
    const value = a as KValue;
    const scale = 1.5957691216057308;
    const inner = k.mul(value, k.fma(k.mul(value, value), scale * 0.044715, scale));
    return k.mul(value, sigmoid(k, inner));
  });
}
