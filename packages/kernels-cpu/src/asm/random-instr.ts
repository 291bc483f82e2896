/**
 * Random instructions for a given form, for the round-trip test.
 *
 * Draws from everything the form allows: registers 8..15 and 16..31, each addressing mode, displacements
 * around the 8-bit limits, masks, zeroing, broadcast and rounding.
 */
import type { Form, FormOperand } from "./form.ts";
import type { Instr, Rounding } from "./instr.ts";
import { KIND } from "./kind.ts";
import type { Mnemonic } from "./table.ts";
import { gpr16, gpr8, imm, k, mem, r32, r64, tmm, xmm, ymm, zmm } from "./operand.ts";
import type { Mem, Operand, Reg } from "./operand.ts";

/** Uniform numbers in [0, 1). */
export type Random = () => number;

/** A small reproducible generator (xorshift32). */
export function seededRandom(seed: number): Random {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
const below = (random: Random, count: number): number => Math.floor(random() * count);

const registerMakers: readonly (readonly [kind: number, make: (id: number) => Reg, from: number, count: number])[] = [
  [KIND.r8, gpr8, 0, 16],
  [KIND.r16, gpr16, 0, 16],
  [KIND.r32, r32, 0, 16],
  [KIND.r64, r64, 0, 16],
  [KIND.xmmLow, xmm, 0, 16],
  [KIND.xmmHigh, xmm, 16, 16],
  [KIND.ymmLow, ymm, 0, 16],
  [KIND.ymmHigh, ymm, 16, 16],
  [KIND.zmm, zmm, 0, 32],
  [KIND.k, k, 0, 8],
  [KIND.tmm, tmm, 0, 8],
];

/** A legal instruction of the form; distinct vector registers where the form gathers or multiplies tiles. */
export function randomInstr(form: Form, random: Random): Instr {
  const mayBroadcast = form.broadcastCount > 0;
  const useMemory = random() < 0.6;
  let hasMemory = false;
  let operands: Operand[] = [];
  do {
    hasMemory = false;
    operands = form.operands.map((expected) => {
      const operand = randomOperand(form, expected, random, useMemory, mayBroadcast && random() < 0.4);
      hasMemory ||= operand.kind === "mem";
      return operand;
    });
  } while (!registersDistinct(form, operands));
  const masked = form.mask === "required" || (form.mask !== "none" && random() < 0.5);
  const zeroing = masked && form.mask === "zero" && operands[0]?.kind !== "mem" && random() < 0.5;
  const rounded = !hasMemory && form.rounding !== "none" && random() < 0.5;
  const rounding: Rounding = form.rounding === "sae" ? "sae" : pick(random, ["rn", "rd", "ru", "rz"]);
  return {
    op: form.mnemonic as Mnemonic,
    operands,
    mask: masked ? k(1 + below(random, 7)) : undefined,
    zeroing: zeroing ? true : undefined,
    rounding: rounded ? rounding : undefined,
  };
}

function randomOperand(
  form: Form,
  expected: FormOperand,
  random: Random,
  useMemory: boolean,
  broadcast: boolean,
): Operand {
  const { accepts, text } = expected;
  if (text === "cl") return gpr8(1);
  if (text === "1") return imm(1);
  if (expected.immBytes > 0) return randomImmediate(expected, random);
  const vectorIndex = accepts & (KIND.memX | KIND.memY | KIND.memZ);
  if (vectorIndex !== 0) {
    const make = vectorIndex === KIND.memX ? xmm : vectorIndex === KIND.memY ? ymm : zmm;
    return randomMemory(form, random, make(below(random, form.scheme === "evex" ? 32 : 16)), false);
  }
  const makers = registerMakers.filter(([kind]) => (accepts & kind) !== 0);
  if ((accepts & KIND.mem) !== 0 && (useMemory || makers.length === 0))
    return randomMemory(form, random, undefined, broadcast);
  const [, make, from, count] = pick(random, makers);
  return make(from + below(random, count));
}

function randomImmediate({ accepts, immBytes }: FormOperand, random: Random): Operand {
  const bits = immBytes * 8;
  const edges = [
    0n,
    1n,
    2n,
    -1n,
    127n,
    -128n,
    1n << BigInt(bits - 1),
    (1n << BigInt(bits)) - 1n,
    -(1n << BigInt(bits - 1)),
  ];
  const legal = edges.filter(
    (v) =>
      v < 1n << BigInt(bits - 1) ||
      (accepts & KIND.int64) !== 0 ||
      (accepts & (bits === 8 ? KIND.uint8 : bits === 16 ? KIND.uint16 : KIND.uint32)) !== 0,
  );
  const value =
    random() < 0.5 ? pick(random, legal) : BigInt.asIntN(bits, BigInt(below(random, 2 ** 31)) * 0x1_0001_0001n);
  return imm(bits === 64 ? value : Number(value));
}

function randomMemory(form: Form, random: Random, vectorIndex: Reg | undefined, broadcast: boolean): Mem {
  const scale = pick(random, [1, 2, 4, 8] as const);
  const unit = broadcast ? form.broadcastSize : form.disp8Scale;
  const disp = pick(random, [
    0,
    1,
    -1,
    unit,
    -unit,
    127,
    -128,
    128,
    -129,
    127 * unit,
    128 * unit,
    -128 * unit,
    -129 * unit,
    127 * unit + 1,
    0x7fffffff,
    -0x80000000,
  ]);
  const base = random() < 0.1 ? undefined : random() < 0.5 ? r64(pick(random, [4, 5, 12, 13])) : r64(below(random, 16));
  const index = vectorIndex ?? (random() < 0.5 ? r64(pick(random, [0, 1, 2, 3, 5, 6, 7, 8, 12, 13, 15])) : undefined);
  // A tile row stride or a vector of offsets may go without base, and so may an address alone.
  return mem({
    base,
    index,
    scale,
    disp,
    broadcast: broadcast ? (form.broadcastCount as 2 | 4 | 8 | 16 | 32) : undefined,
    size: undefined,
  });
}

/** Gathers want destination, index and mask to differ; a tile product wants three different tiles. */
function registersDistinct(form: Form, operands: readonly Operand[]): boolean {
  const isGather = form.operands.some(({ accepts }) => (accepts & (KIND.memX | KIND.memY | KIND.memZ)) !== 0);
  const isTile = form.operands.length === 3 && form.operands.every(({ text }) => text === "tmm");
  if (!isGather && !isTile) return true;
  const ids = operands.flatMap((o) =>
    o.kind === "reg" ? [o.id] : o.kind === "mem" && o.index !== undefined && isGather ? [o.index.id] : [],
  );
  return new Set(ids).size === ids.length;
}
