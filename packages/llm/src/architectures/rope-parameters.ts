/**
 * Parameters of rotary position embedding, and the frequencies they give.
 *
 * Su et al., RoFormer (2021): elements of a head are rotated in pairs; pair i of d elements by the angle
 * position · base^(-2i/d). Longer contexts than the training's are reached by scaling: "linear" divides every angle
 * (Chen et al., 2023); YaRN (Peng et al., 2023) divides those of slow pairs only and mixes in between; llama 3 and
 * longrope bring a divisor for each pair, as a tensor of the file.
 */

import { UnsupportedError } from "@quern/core";
import { type ArchitectureKeys, LIMITS } from "./keys.ts";

export interface Rope {
  /** Which elements make a pair: neighbours (2i, 2i + 1), or one of each half (i, i + dims / 2). */
  readonly pairs: "neighbours" | "halves";
  /** Elements at the start of each head that are rotated; even. The others stay. */
  readonly dims: number;
  readonly base: number;
  /** Angles are divided by it; with YaRN those of slow pairs only. */
  readonly factor: number;
  readonly yarn?: Yarn;
  /** Multiplies the rotated elements. */
  readonly magnitude: number;
  /** Context of the training before it was extended, in tokens. */
  readonly originalContext: number;
}

/** Pairs that turn more than `betaFast` times in the original context keep their angles, fewer than `betaSlow`: divided. */
export interface Yarn {
  /** How much of the kept angles is taken, 0 to 1. */
  readonly extrapolation: number;
  readonly betaFast: number;
  readonly betaSlow: number;
}

/** Reads `rope.*` for heads of `headDim` elements. */
export function readRope(keys: ArchitectureKeys, pairs: Rope["pairs"], headDim: number): Rope {
  const dims = keys.size("rope.dimension_count", LIMITS.headDim, headDim);
  if (dims > headDim) keys.refuse("rope.dimension_count", `is ${dims}, heads have ${headDim} elements`);
  if (dims % 2 !== 0) keys.refuse("rope.dimension_count", `is ${dims}, pairs need an even number`);
  const scaling = keys.string("rope.scaling.type", "linear");
  const kind = SCALINGS[scaling];
  if (kind === undefined) {
    throw new UnsupportedError({
      op: `rope scaling "${scaling}"`,
      where: keys.file.name,
      reason: `known are ${Object.keys(SCALINGS).join(", ")}`,
    });
  }
  // The older key, from before there was more than one kind.
  const divisor = keys.atLeastZero("rope.scaling.factor", keys.atLeastZero("rope.scale_linear", 0));
  const factor = kind.scales && divisor > 0 ? divisor : 1;
  const yarn: Yarn | undefined = kind.yarn
    ? {
        extrapolation: keys.atLeastZero("rope.scaling.yarn_ext_factor", 1),
        betaFast: keys.positive("rope.scaling.yarn_beta_fast", 32),
        betaSlow: keys.positive("rope.scaling.yarn_beta_slow", 1),
      }
    : undefined;
  const attention = keys.positive("rope.scaling.attn_factor", 1) * keys.positive("rope.scaling.yarn_attn_factor", 1);
  const sharpening = yarn !== undefined && yarn.extrapolation > 0 && factor > 1 ? 1 + 0.1 * Math.log(factor) : 1;
  return {
    pairs,
    dims,
    base: keys.positive("rope.freq_base", 10000),
    factor,
    ...(yarn === undefined ? {} : { yarn }),
    magnitude: attention * sharpening,
    originalContext: keys.size(
      "rope.scaling.original_context_length",
      LIMITS.context,
      keys.size("context_length", LIMITS.context),
    ),
  };
}

const SCALINGS: Readonly<Record<string, { readonly scales: boolean; readonly yarn: boolean }>> = Object.assign(
  Object.create(null) as object,
  {
    none: { scales: false, yarn: false },
    linear: { scales: true, yarn: false },
    yarn: { scales: true, yarn: true },
    // Its divisors are a tensor.
    longrope: { scales: true, yarn: false },
  },
);

/** Radians per position of each of the dims / 2 pairs. `divisors` has one number per pair, as llama 3 and longrope do. */
export function ropeFrequencies(rope: Rope, divisors?: ArrayLike<number>): Float64Array {
  const { dims, base, factor, yarn } = rope;
  const kept = yarn === undefined ? undefined : keptShare(rope, yarn);
  return Float64Array.from({ length: dims / 2 }, (_, pair) => {
    const frequency = base ** ((-2 * pair) / dims) / (divisors?.[pair] ?? 1);
    const share = kept?.(pair) ?? 0;
    return frequency * (share + (1 - share) / factor);
  });
}

/** YaRN's ramp: which share of pair i keeps its angle. */
function keptShare(
  { dims, base, originalContext }: Rope,
  { extrapolation, betaFast, betaSlow }: Yarn,
): (pair: number) => number {
  // The pair that turns `rotations` times in the original context.
  const pairOf = (rotations: number): number =>
    (dims * Math.log(originalContext / (rotations * 2 * Math.PI))) / (2 * Math.log(base));
  const low = Math.max(0, Math.floor(pairOf(betaFast)));
  const high = Math.min(dims - 1, Math.ceil(pairOf(betaSlow)));
  return (pair) => {
    const slope = (pair - low) / Math.max(0.001, high - low);
    return (1 - Math.min(1, Math.max(0, slope))) * extrapolation;
  };
}
