/**
 * Permutations and packing of vectors.
 */
import type { Instr, Operand } from "../../asm/index.ts";
import { bytesOf, sourcesOf, vectorBytes, view } from "./lanes.ts";
import type { Element } from "./lanes.ts";
import { toBytes } from "./machine.ts";
import type { Handler, Machine } from "./machine.ts";
import { both, broadcast } from "./move.ts";

/**
 * A permutation: where element `at` of the result comes from, as a position in the sources one after the other (each
 * `lanes` elements), or -1 for zero. Control vectors are sources too.
 */
function permute(size: number, from: (at: number, lanes: number, immediate: number) => number): Handler {
  return (m, instr) => {
    const { sources, immediate } = sourcesOf(instr);
    const bytes = vectorBytes(m, instr);
    const lanes = bytes / size;
    const data = sources.map((source) => m.source(source, bytes, size));
    const out = new Uint8Array(bytes);
    for (let at = 0; at < lanes; at++) {
      const origin = from(at, lanes, immediate);
      if (origin < 0) continue;
      const source = data[Math.floor(origin / lanes)] as Uint8Array;
      out.set(source.subarray((origin % lanes) * size, ((origin % lanes) + 1) * size), at * size);
    }
    m.setVector(instr.operands[0] as Operand, out, size);
  };
}

/** Positions from a vector: `control` names the operand that holds them and those that they choose from. */
function permuteBy(
  size: number,
  control: (instr: Instr) => { positions: Operand; sources: readonly Operand[] },
): Handler {
  const element = { 1: "u8", 2: "u16", 4: "u32", 8: "u64" }[size] as Element;
  return (m, instr) => {
    const bytes = vectorBytes(m, instr);
    const lanes = bytes / size;
    const { positions, sources } = control(instr);
    const at = view(m.source(positions, bytes, size), element);
    const data = sources.map((source) => m.source(source, bytes, size));
    const out = new Uint8Array(bytes);
    for (let i = 0; i < lanes; i++) {
      const position = Number(at[i]) % (lanes * sources.length);
      const source = data[Math.floor(position / lanes)] as Uint8Array;
      out.set(source.subarray((position % lanes) * size, ((position % lanes) + 1) * size), i * size);
    }
    m.setVector(instr.operands[0] as Operand, out, size);
  };
}

const byFirst = ({ operands }: Instr): { positions: Operand; sources: readonly Operand[] } => ({
  positions: operands[1] as Operand,
  sources: [operands[2] as Operand],
});
const tableT = ({ operands }: Instr): { positions: Operand; sources: readonly Operand[] } => ({
  positions: operands[1] as Operand,
  sources: [operands[0] as Operand, operands[2] as Operand],
});
const tableI = ({ operands }: Instr): { positions: Operand; sources: readonly Operand[] } => ({
  positions: operands[0] as Operand,
  sources: [operands[1] as Operand, operands[2] as Operand],
});

/** Elements per 16 bytes: most shuffles stay within such a lane. */
const inLane = (size: number, from: (within: number, immediate: number, lane: number) => number): Handler =>
  permute(size, (at, lanes, immediate) => {
    const per = 16 / size;
    const lane = Math.floor(at / per);
    const origin = from(at % per, immediate, lane);
    if (origin < 0) return -1;
    return Math.floor(origin / per) * lanes + lane * per + (origin % per);
  });

const unpack = (size: number, high: boolean): Handler =>
  inLane(size, (within) => (within % 2) * (16 / size) + (within >> 1) + (high ? 8 / size : 0));

/** Two bits of the immediate per element. */
const pick = (immediate: number, at: number): number => (immediate >> (2 * at)) & 3;

function shuffleBytes(m: Machine, instr: Instr): void {
  const bytes = vectorBytes(m, instr);
  const [to, from, control] = instr.operands as [Operand, Operand, Operand];
  const [data, positions] = [m.source(from, bytes, 1), m.source(control, bytes, 1)];
  m.setVector(
    to,
    positions.map((position, i) => (position >= 128 ? 0 : (data[(i & ~15) + (position & 15)] as number))),
    1,
  );
}

/** Narrows both sources, lane by lane, with saturation. */
function pack(from: Element, low: number, high: number): Handler {
  const size = bytesOf(from);
  return (m, instr) => {
    const bytes = vectorBytes(m, instr);
    const [to, a, b] = instr.operands as [Operand, Operand, Operand];
    const sources = [view(m.source(a, bytes, size), from), view(m.source(b, bytes, size), from)] as const;
    const out = new Uint8Array(bytes);
    const per = 16 / size;
    for (let i = 0; i < bytes / (size / 2); i++) {
      const [lane, within] = [Math.floor(i / (2 * per)), i % (2 * per)];
      const value = sources[within < per ? 0 : 1][lane * per + (within % per)] as number;
      out.set(
        toBytes(BigInt.asUintN(4 * size, BigInt(Math.max(low, Math.min(high, value)))), size / 2),
        i * (size / 2),
      );
    }
    m.setVector(to, out, size / 2);
  };
}

function shiftBytes(left: boolean): Handler {
  return (m, instr) => {
    const { sources, immediate } = sourcesOf(instr);
    const bytes = vectorBytes(m, instr);
    const data = m.source(sources[0] as Operand, bytes, 1);
    m.setVector(
      instr.operands[0] as Operand,
      data.map((_, i) => {
        const from = (i & 15) + (left ? -immediate : immediate);
        return from < 0 || from > 15 ? 0 : (data[(i & ~15) + from] as number);
      }),
      1,
    );
  };
}

export const SHUFFLE: Readonly<Record<string, Handler>> = {
  // An xmm takes 8 bytes of memory, wider registers a vector of their size.
  vmovddup: (m, instr) => (vectorBytes(m, instr) === 16 ? broadcast(8) : inLane(8, () => 0))(m, instr),
  vshufps: inLane(4, (at, immediate) => (at < 2 ? 0 : 4) + pick(immediate, at)),
  vshufpd: permute(8, (at, lanes, immediate) => (at % 2) * lanes + (at & ~1) + ((immediate >> at) & 1)),
  vpshufd: inLane(4, (at, immediate) => pick(immediate, at)),
  vpshuflw: inLane(2, (at, immediate) => (at < 4 ? pick(immediate, at) : at)),
  vpshufhw: inLane(2, (at, immediate) => (at < 4 ? at : 4 + pick(immediate, at - 4))),
  vpermilpd: permute(8, (at, _lanes, immediate) => (at & ~1) + ((immediate >> at) & 1)),
  vpermilps: (m, instr) => {
    if (instr.operands[2]?.kind === "imm") return inLane(4, (at, immediate) => pick(immediate, at))(m, instr);
    const bytes = vectorBytes(m, instr);
    const [to, from, control] = instr.operands as [Operand, Operand, Operand];
    const [data, positions] = [view(m.source(from, bytes, 4), "u32"), view(m.source(control, bytes, 4), "u32")];
    const out = new Uint32Array(bytes / 4).map((_, i) => data[(i & ~3) + ((positions[i] as number) & 3)] as number);
    m.setVector(to, new Uint8Array(out.buffer), 4);
  },
  ...both(["vpermq", "vpermpd"], (m, instr) => {
    if (instr.operands[2]?.kind === "imm")
      return permute(8, (at, _lanes, immediate) => (at & ~3) + pick(immediate, at & 3))(m, instr);
    permuteBy(8, byFirst)(m, instr);
  }),
  ...both(["vpermps", "vpermd"], permuteBy(4, byFirst)),
  vpermw: permuteBy(2, byFirst),
  vpermb: permuteBy(1, byFirst),
  ...both(["vpermt2ps", "vpermt2d"], permuteBy(4, tableT)),
  ...both(["vpermt2pd", "vpermt2q"], permuteBy(8, tableT)),
  vpermt2w: permuteBy(2, tableT),
  vpermt2b: permuteBy(1, tableT),
  ...both(["vpermi2ps", "vpermi2d"], permuteBy(4, tableI)),
  ...both(["vpermi2pd", "vpermi2q"], permuteBy(8, tableI)),
  vpermi2w: permuteBy(2, tableI),
  vpermi2b: permuteBy(1, tableI),
  vpshufb: shuffleBytes,
  ...both(["vunpcklps", "vpunpckldq"], unpack(4, false)),
  ...both(["vunpckhps", "vpunpckhdq"], unpack(4, true)),
  ...both(["vunpcklpd", "vpunpcklqdq"], unpack(8, false)),
  ...both(["vunpckhpd", "vpunpckhqdq"], unpack(8, true)),
  vpunpcklbw: unpack(1, false),
  vpunpckhbw: unpack(1, true),
  vpunpcklwd: unpack(2, false),
  vpunpckhwd: unpack(2, true),
  ...both(
    ["vperm2f128", "vperm2i128"],
    permute(16, (at, _lanes, immediate) => {
      const half = immediate >> (4 * at);
      return (half & 8) !== 0 ? -1 : half & 3;
    }),
  ),
  ...both(
    ["vshuff32x4", "vshufi32x4", "vshuff64x2", "vshufi64x2"],
    permute(16, (at, lanes, immediate) => {
      const bits = lanes === 4 ? 2 : 1;
      return (at < lanes / 2 ? 0 : lanes) + ((immediate >> (bits * at)) & (lanes - 1));
    }),
  ),
  ...both(["valignd", "valignq"], (m, instr) => {
    const size = instr.op === "valignd" ? 4 : 8;
    // The second source is the low half.
    permute(size, (at, lanes, immediate) => {
      const from = at + (immediate % lanes);
      return from < lanes ? lanes + from : from - lanes;
    })(m, instr);
  }),
  vpalignr: inLane(1, (at, immediate) => {
    const from = at + immediate;
    return from < 16 ? 16 + from : from < 32 ? from - 16 : -1;
  }),
  vmovhlps: inLane(8, (at) => (at === 0 ? 3 : 1)),
  vmovlhps: inLane(8, (at) => (at === 0 ? 0 : 2)),
  vpacksswb: pack("i16", -128, 127),
  vpackuswb: pack("i16", 0, 255),
  vpackssdw: pack("i32", -32768, 32767),
  vpackusdw: pack("i32", 0, 65535),
  vpslldq: shiftBytes(true),
  vpsrldq: shiftBytes(false),
};
