/** Meaning of the target-specific operations, lane by lane. */

import { UserError } from "../errors.ts";
import { type Scalar, roundBf16 } from "./element.ts";
import type { Intrinsic } from "./ir.ts";

type Lanes = readonly Scalar[];

/** How an intrinsic makes its `lanes` lanes of those of its operands. */
export function intrinsicEvaluator(name: Intrinsic, lanes: number): (args: readonly Lanes[]) => Lanes {
  switch (name) {
    case "rcpApprox":
      return eachLane((x) => Math.fround(1 / x));
    case "rsqrtApprox":
      return eachLane((x) => Math.fround(1 / Math.sqrt(x)));
    case "toBf16Bits":
      return eachLane(roundBf16);
    case "bf16Pair":
      return ([a, b]) => [...(b as Lanes), ...(a as Lanes)].map((x) => roundBf16(x as number));
    case "dot4u8i8":
    case "dot4u7i8":
      return (args) => {
        const [sums, x, y] = args as readonly (readonly number[])[] as readonly [number[], number[], number[]];
        if (name === "dot4u7i8" && x.some((word) => (word & 0x80808080) !== 0))
          throw new UserError("dot4u7i8 on a byte above 127");
        return sums.map((sum, lane) => dotBytes(sum, x[lane] as number, y[lane] as number));
      };
    case "packBytes":
      return ([parts]) => packBytes(parts as readonly number[], lanes);
    case "lookupBytes":
      return (args) => {
        const [table, x] = args as readonly (readonly number[])[] as readonly [number[], number[]];
        return x.map((word, lane) => lookupBytes(table.slice(lane & ~3, (lane & ~3) + 4), word));
      };
  }
}

function eachLane(f: (x: number) => number): (args: readonly Lanes[]) => Lanes {
  return ([a]) => (a as readonly number[]).map(f);
}

function dotBytes(sum: number, unsigned: number, signed: number): number {
  let total = sum;
  for (let shift = 0; shift < 32; shift += 8)
    total = (total + ((unsigned >>> shift) & 0xff) * ((signed << (24 - shift)) >> 24)) | 0;
  return total;
}

/** Equal shares of a word of 32 bits, the first in its lowest bits. */
function packBytes(parts: readonly number[], lanes: number): number[] {
  const perWord = parts.length / lanes;
  const bits = 32 / perWord;
  const words = new Array<number>(lanes).fill(0);
  parts.forEach((part, at) => {
    const word = Math.floor(at / perWord);
    words[word] = ((words[word] as number) | ((part & (2 ** bits - 1)) << (bits * (at % perWord)))) >>> 0;
  });
  return words;
}

/** The bytes of the 4 words of a table that the bytes of `word` pick; a byte with its highest bit set picks 0. */
function lookupBytes(table: readonly number[], word: number): number {
  let result = 0;
  for (let shift = 0; shift < 32; shift += 8) {
    const at = (word >>> shift) & 0xff;
    const picked = at > 127 ? 0 : ((table[(at & 15) >> 2] as number) >>> (8 * (at & 3))) & 0xff;
    result |= picked << shift;
  }
  return result >>> 0;
}
