/**
 * Instructions on general registers and the flags (Intel SDM volume 2).
 */
import type { Instr, Operand } from "../../asm/index.ts";
import type { Handler, Machine } from "./machine.ts";

type Binary = readonly [a: Operand, b: Operand];

function sizeOfPair(m: Machine, [a, b]: Binary): number {
  return a.kind === "mem"
    ? m.sizeOf(b.kind === "imm" ? a : b, 0) || m.fail("an operand of unknown size")
    : m.sizeOf(a, 8);
}

function setSumFlags(m: Machine, a: bigint, b: bigint, result: bigint, bytes: number, isDifference: boolean): void {
  const bits = bytes * 8;
  const signed = (x: bigint): bigint => BigInt.asIntN(bits, x);
  const exact = isDifference ? signed(a) - signed(b) : signed(a) + signed(b);
  m.setFlags({ carry: isDifference ? a < b : a + b >= 1n << BigInt(bits), overflow: exact !== signed(result) });
  m.setResultFlags(result, bytes);
}

function arithmetic(isDifference: boolean, store: boolean): Handler {
  return (m, { operands }) => {
    const pair = operands as unknown as Binary;
    const bytes = sizeOfPair(m, pair);
    const [a, b] = [m.integer(pair[0], bytes), m.integer(pair[1], bytes)];
    const result = isDifference ? a - b : a + b;
    setSumFlags(m, a, b, result, bytes, isDifference);
    if (store) m.setInteger(pair[0], bytes, result);
  };
}

function logic(apply: (a: bigint, b: bigint) => bigint, store: boolean): Handler {
  return (m, { operands }) => {
    const pair = operands as unknown as Binary;
    const bytes = sizeOfPair(m, pair);
    const result = apply(m.integer(pair[0], bytes), m.integer(pair[1], bytes));
    m.setFlags({ carry: false, overflow: false });
    m.setResultFlags(result, bytes);
    if (store) m.setInteger(pair[0], bytes, result);
  };
}

/** inc and dec leave the carry flag. */
function step(by: bigint): Handler {
  return (m, { operands: [to] }) => {
    const bytes = m.sizeOf(to as Operand, 8);
    const before = m.integer(to as Operand, bytes);
    const result = before + by;
    const limit = 1n << BigInt(bytes * 8 - 1);
    m.setFlags({ overflow: by > 0n ? before === limit - 1n : before === limit });
    m.setResultFlags(result, bytes);
    m.setInteger(to as Operand, bytes, result);
  };
}

function shift(kind: "shl" | "shr" | "sar"): Handler {
  return (m, { operands: [to, by] }) => {
    const bytes = m.sizeOf(to as Operand, 8);
    const bits = BigInt(bytes * 8);
    const count = m.integer(by as Operand, 1) % (bytes === 8 ? 64n : 32n);
    if (count === 0n) return;
    const value = m.integer(to as Operand, bytes);
    const signed = BigInt.asIntN(bytes * 8, value);
    const result = kind === "shl" ? value << count : kind === "shr" ? value >> count : signed >> count;
    const carry =
      kind === "shl"
        ? count <= bits
          ? (value >> (bits - count)) % 2n === 1n
          : undefined
        : ((kind === "shr" ? value : signed) >> (count - 1n)) & 1n;
    m.setFlags({ carry: typeof carry === "bigint" ? carry === 1n : carry, overflow: undefined });
    m.setResultFlags(result, bytes);
    m.setInteger(to as Operand, bytes, result);
  };
}

/** Shifts by a register that leave the flags. */
function shiftX(kind: "shl" | "shr" | "sar"): Handler {
  return (m, { operands }) => {
    const [to, from, by] = operands as [Operand, Operand, Operand];
    const bytes = m.sizeOf(to, 8);
    const count = m.integer(by, bytes) % BigInt(bytes * 8);
    const value = m.integer(from, bytes);
    m.setInteger(
      to,
      bytes,
      kind === "shl" ? value << count : kind === "shr" ? value >> count : BigInt.asIntN(bytes * 8, value) >> count,
    );
  };
}

const multiply: Handler = (m, { operands }) => {
  const [to, first, second] = operands as [Operand, Operand, Operand | undefined];
  const bytes = m.sizeOf(to, 8);
  const product = m.signed(second === undefined ? to : first, bytes) * m.signed(second ?? first, bytes);
  const lost = BigInt.asIntN(bytes * 8, product) !== product;
  m.setFlags({ carry: lost, overflow: lost, zero: undefined, sign: undefined, parity: undefined });
  m.setInteger(to, bytes, product);
};

const RAX = 0;
const RDX = 2;

function divide(isSigned: boolean): Handler {
  return (m, { operands: [by] }) => {
    const bytes = m.sizeOf(by as Operand, 8);
    const bits = bytes * 8;
    const low = BigInt.asUintN(bits, m.general[RAX] as bigint);
    const both = (BigInt.asUintN(bits, m.general[RDX] as bigint) << BigInt(bits)) + low;
    const dividend = isSigned ? BigInt.asIntN(2 * bits, both) : both;
    const divisor = isSigned ? m.signed(by as Operand, bytes) : m.integer(by as Operand, bytes);
    if (divisor === 0n) m.fail("division by zero");
    const quotient = dividend / divisor;
    if ((isSigned ? BigInt.asIntN(bits, quotient) : BigInt.asUintN(bits, quotient)) !== quotient)
      m.fail("the quotient does not fit");
    m.general[RAX] = BigInt.asUintN(bits, quotient);
    m.general[RDX] = BigInt.asUintN(bits, dividend % divisor);
    m.setFlags({ carry: undefined, zero: undefined, sign: undefined, overflow: undefined, parity: undefined });
  };
}

/** What follows `j`, `set` and `cmov`. */
export const CONDITIONS: Readonly<Record<string, (m: Machine) => boolean>> = {
  e: (m) => m.flag("zero"),
  ne: (m) => !m.flag("zero"),
  b: (m) => m.flag("carry"),
  ae: (m) => !m.flag("carry"),
  be: (m) => m.flag("carry") || m.flag("zero"),
  a: (m) => !m.flag("carry") && !m.flag("zero"),
  l: (m) => m.flag("sign") !== m.flag("overflow"),
  ge: (m) => m.flag("sign") === m.flag("overflow"),
  le: (m) => m.flag("zero") || m.flag("sign") !== m.flag("overflow"),
  g: (m) => !m.flag("zero") && m.flag("sign") === m.flag("overflow"),
  s: (m) => m.flag("sign"),
  ns: (m) => !m.flag("sign"),
  o: (m) => m.flag("overflow"),
  no: (m) => !m.flag("overflow"),
  p: (m) => m.flag("parity"),
  np: (m) => !m.flag("parity"),
};

/** A 32-bit conditional move clears the upper half even when it does not move. */
function conditionalMove(holds: (m: Machine) => boolean): Handler {
  return (m, { operands }) => {
    const [to, from] = operands as unknown as Binary;
    const bytes = m.sizeOf(to, 8);
    m.setInteger(to, bytes, m.integer(holds(m) ? from : to, bytes));
  };
}

function extend(isSigned: boolean): Handler {
  return (m, { op, operands }) => {
    const [to, from] = operands as unknown as Binary;
    const bytes = m.sizeOf(from, op === "movsxd" ? 4 : 0);
    if (bytes === 0) m.fail("an operand of unknown size");
    m.setInteger(to, m.sizeOf(to, 8), isSigned ? m.signed(from, bytes) : m.integer(from, bytes));
  };
}

function bitCount(count: (value: bigint, bits: number) => number): Handler {
  return (m, { operands }) => {
    const [to, from] = operands as unknown as Binary;
    const bytes = m.sizeOf(to, 8);
    const result = count(m.integer(from, bytes), bytes * 8);
    m.setFlags({
      carry: result === bytes * 8,
      zero: result === 0,
      sign: undefined,
      overflow: undefined,
      parity: undefined,
    });
    m.setInteger(to, bytes, BigInt(result));
  };
}

const RSP = 4;

function push(m: Machine, value: bigint): void {
  m.general[RSP] = (m.general[RSP] as bigint) - 8n;
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  m.writeMemory(Number(m.general[RSP]), bytes);
}

export function pop(m: Machine): bigint {
  const at = Number(m.general[RSP]);
  const bytes = m.readMemory(at, 8);
  m.general[RSP] = BigInt(at + 8);
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
}

const nothing: Handler = () => {};

export const INTEGER: Readonly<Record<string, Handler>> = {
  mov: (m, { operands }) => {
    const pair = operands as unknown as Binary;
    const bytes = sizeOfPair(m, pair);
    m.setInteger(pair[0], bytes, m.integer(pair[1], bytes));
  },
  movzx: extend(false),
  movsx: extend(true),
  movsxd: extend(true),
  lea: (m, { operands: [to, place] }) => {
    if (place?.kind !== "mem") return m.fail("lea takes an address");
    m.setInteger(to as Operand, m.sizeOf(to as Operand, 8), BigInt(m.address(place)));
  },
  add: arithmetic(false, true),
  sub: arithmetic(true, true),
  cmp: arithmetic(true, false),
  and: logic((a, b) => a & b, true),
  or: logic((a, b) => a | b, true),
  xor: logic((a, b) => a ^ b, true),
  test: logic((a, b) => a & b, false),
  inc: step(1n),
  dec: step(-1n),
  neg: (m, { operands: [to] }) => {
    const bytes = m.sizeOf(to as Operand, 8);
    const value = m.integer(to as Operand, bytes);
    setSumFlags(m, 0n, value, -value, bytes, true);
    m.setInteger(to as Operand, bytes, -value);
  },
  not: (m, { operands: [to] }) => {
    const bytes = m.sizeOf(to as Operand, 8);
    m.setInteger(to as Operand, bytes, ~m.integer(to as Operand, bytes));
  },
  shl: shift("shl"),
  shr: shift("shr"),
  sar: shift("sar"),
  shlx: shiftX("shl"),
  shrx: shiftX("shr"),
  sarx: shiftX("sar"),
  imul: multiply,
  div: divide(false),
  idiv: divide(true),
  cqo: (m) => void (m.general[RDX] = BigInt.asIntN(64, m.general[RAX] as bigint) < 0n ? 2n ** 64n - 1n : 0n),
  cdq: (m) => void (m.general[RDX] = BigInt.asIntN(32, m.general[RAX] as bigint) < 0n ? 2n ** 32n - 1n : 0n),
  bt: (m, { operands }) => {
    const [value, at] = operands as unknown as Binary;
    const bytes = m.sizeOf(value, 8);
    const position = m.integer(at, bytes) % BigInt(bytes * 8);
    m.setFlags({
      carry: (m.integer(value, bytes) >> position) % 2n === 1n,
      sign: undefined,
      overflow: undefined,
      parity: undefined,
    });
  },
  bzhi: (m, { operands }) => {
    const [to, from, count] = operands as [Operand, Operand, Operand];
    const bytes = m.sizeOf(to, 8);
    const bits = m.integer(count, 1);
    const result = bits < bytes * 8 ? BigInt.asUintN(Number(bits), m.integer(from, bytes)) : m.integer(from, bytes);
    m.setResultFlags(result, bytes);
    m.setFlags({ carry: bits > bytes * 8 - 1, overflow: false, parity: undefined });
    m.setInteger(to, bytes, result);
  },
  popcnt: bitCount((value) => value.toString(2).replaceAll("0", "").length),
  lzcnt: bitCount((value, bits) => (value === 0n ? bits : bits - value.toString(2).length)),
  tzcnt: bitCount((value, bits) =>
    value === 0n ? bits : value.toString(2).length - value.toString(2).lastIndexOf("1") - 1,
  ),
  push: (m, { operands: [from] }) => push(m, m.integer(from as Operand, 8)),
  pop: (m, { operands: [to] }) => m.setInteger(to as Operand, 8, pop(m)),
  prefetcht0: nothing,
  prefetcht1: nothing,
  prefetcht2: nothing,
  ...Object.fromEntries(
    Object.entries(CONDITIONS).flatMap(([name, holds]): [string, Handler][] => [
      [`cmov${name}`, conditionalMove(holds)],
      [`set${name}`, (m, { operands: [to] }: Instr) => m.setInteger(to as Operand, 1, holds(m) ? 1n : 0n)],
    ]),
  ),
};
