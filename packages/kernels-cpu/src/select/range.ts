/**
 * What a float value can be, from the minima and maxima it was limited by: conversions to integers need no
 * saturation then.
 */
import type { KValue } from "@quern/core/kernel";

export interface Range {
  readonly low: number;
  readonly high: number;
  readonly mayBeNaN: boolean;
}

const ANYTHING: Range = { low: -Infinity, high: Infinity, mayBeNaN: true };

export function rangeOf(value: KValue, depth = 0): Range {
  const { def } = value;
  if (def.kind === "const") {
    const number = Number(def.value);
    return Number.isNaN(number) ? ANYTHING : { low: number, high: number, mayBeNaN: false };
  }
  if (def.kind === "broadcast") return rangeOf(def.value, depth);
  if (def.kind !== "prim" || depth > 6) return ANYTHING;
  const [x, y] = def.args as [KValue, KValue];
  switch (def.prim) {
    case "max":
    case "min": {
      const [a, b] = [rangeOf(x, depth + 1), rangeOf(y, depth + 1)];
      // When either is NaN the result is the second operand.
      const pick = def.prim === "max" ? Math.max : Math.min;
      const low = a.mayBeNaN ? Math.min(pick(a.low, b.low), b.low) : pick(a.low, b.low);
      const high = a.mayBeNaN ? Math.max(pick(a.high, b.high), b.high) : pick(a.high, b.high);
      return { low, high, mayBeNaN: b.mayBeNaN };
    }
    case "floor":
    case "ceil":
    case "trunc":
    case "round": {
      const a = rangeOf(x, depth + 1);
      return { low: Math.floor(a.low), high: Math.ceil(a.high), mayBeNaN: a.mayBeNaN };
    }
    case "mul": {
      const [a, b] = [rangeOf(x, depth + 1), rangeOf(y, depth + 1)];
      const ends = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high];
      if (ends.some(Number.isNaN)) return ANYTHING;
      // Rounding moves a bound by less than one part in a million.
      const slack = 1 + 2 ** -20;
      const [low, high] = [Math.min(...ends), Math.max(...ends)];
      return {
        low: low < 0 ? low * slack : low / slack,
        high: high < 0 ? high / slack : high * slack,
        mayBeNaN: a.mayBeNaN || b.mayBeNaN,
      };
    }
    default:
      return ANYTHING;
  }
}
