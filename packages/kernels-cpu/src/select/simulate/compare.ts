/**
 * Comparisons, opmasks and blends: what makes masks and what chooses by them.
 */
import type { Instr, Operand, Reg } from "../../asm/index.ts";
import { bytesOf, sourcesOf, vectorBytes, view } from "./lanes.ts";
import type { Element, Numbers } from "./lanes.ts";
import { bit } from "./machine.ts";
import type { Handler, Machine } from "./machine.ts";

type Test = (a: number, b: number) => boolean;

const FLOAT_TESTS: readonly Test[] = [
  (a, b) => a === b,
  (a, b) => a < b,
  (a, b) => a <= b,
  (a, b) => a !== a || b !== b,
  (a, b) => a !== b,
  (a, b) => !(a < b),
  (a, b) => !(a <= b),
  (a, b) => a === a && b === b,
  (a, b) => a === b || a !== a || b !== b,
  (a, b) => !(a >= b),
  (a, b) => !(a > b),
  () => false,
  (a, b) => a !== b && a === a && b === b,
  (a, b) => a >= b,
  (a, b) => a > b,
  () => true,
];

const INTEGER_TESTS: readonly Test[] = [
  (a, b) => a === b,
  (a, b) => a < b,
  (a, b) => a <= b,
  () => false,
  (a, b) => a !== b,
  (a, b) => a >= b,
  (a, b) => a > b,
  () => true,
];

/** Into an opmask (bits beyond the lanes are zero), or all ones and zeros in a vector. */
function setTested(m: Machine, instr: Instr, element: Element, results: readonly boolean[]): void {
  const to = instr.operands[0] as Reg;
  const size = bytesOf(element);
  if (to.cls === "k") {
    const mask = m.mask();
    let bits = 0n;
    results.forEach((holds, i) => {
      if (holds && (mask === undefined || bit(mask, i))) bits |= 1n << BigInt(i);
    });
    m.masks[to.id] = bits;
    return;
  }
  const out = new Uint8Array(results.length * size);
  results.forEach((holds, i) => {
    if (holds) out.fill(0xff, i * size, (i + 1) * size);
  });
  m.setVector(to, out, size);
}

function compare(element: Element, testOf: (immediate: number) => Test, isScalar = false): Handler {
  const size = bytesOf(element);
  return (m, instr) => {
    const { sources, immediate } = sourcesOf(instr);
    const bytes = isScalar ? size : vectorBytes(m, instr);
    const [a, b] = sources.map((source) => view(m.source(source, bytes, size, m.mask()), element)) as [
      Numbers,
      Numbers,
    ];
    const test = testOf(immediate);
    const results = Array.from({ length: a.length }, (_, i) => test(a[i] as number, b[i] as number));
    if (!isScalar || (instr.operands[0] as Reg).cls === "k") return setTested(m, instr, element, results);
    const full = m.source(sources[0] as Operand, 16, 16);
    full.fill(results[0] === true ? 0xff : 0, 0, size);
    m.setVector(instr.operands[0] as Operand, full, 16);
  };
}

const LETTERS = { b: ["i8", "u8"], w: ["i16", "u16"], d: ["i32", "u32"], q: ["i64", "u64"] } as const;
const MASK_BYTES: Readonly<Record<string, number>> = { b: 1, w: 2, d: 4, q: 8 };

function tests(): Record<string, Handler> {
  const rows: Record<string, Handler> = {};
  for (const [letter, element] of [
    ["s", "f32"],
    ["d", "f64"],
  ] as const) {
    const testOf = (immediate: number): Test => FLOAT_TESTS[immediate & 15] as Test;
    rows[`vcmpp${letter}`] = compare(element, testOf);
    rows[`vcmps${letter}`] = compare(element, testOf, true);
    rows[`vucomis${letter}`] = rows[`vcomis${letter}`] = (m, { operands }) => {
      const [a, b] = operands.map(
        (operand) => view(m.source(operand, bytesOf(element), bytesOf(element)), element)[0] as number,
      ) as [number, number];
      const unordered = a !== a || b !== b;
      m.setFlags({
        zero: unordered || a === b,
        carry: unordered || a < b,
        parity: unordered,
        overflow: false,
        sign: false,
      });
    };
  }
  for (const [letter, [signed, unsigned]] of Object.entries(LETTERS)) {
    rows[`vpcmp${letter}`] = compare(signed, (immediate) => INTEGER_TESTS[immediate & 7] as Test);
    rows[`vpcmpu${letter}`] = compare(unsigned, (immediate) => INTEGER_TESTS[immediate & 7] as Test);
    rows[`vpcmpeq${letter}`] = compare(signed, () => (a, b) => a === b);
    rows[`vpcmpgt${letter}`] = compare(signed, () => (a, b) => a > b);
    const both = (a: number, b: number): boolean =>
      typeof a === "bigint" ? ((a as bigint) & (b as unknown as bigint)) !== 0n : (a & b) !== 0;
    rows[`vptestm${letter}`] = compare(signed, () => both);
    rows[`vptestnm${letter}`] = compare(signed, () => (a, b) => !both(a, b));
    rows[`vpmovm2${letter}`] = (m, instr) => {
      const mask = m.integer(instr.operands[1] as Operand, 8);
      setTested(
        m,
        instr,
        signed,
        Array.from({ length: vectorBytes(m, instr) / bytesOf(signed) }, (_, i) => bit(mask, i)),
      );
    };
    rows[`vpmov${letter}2m`] = (m, instr) => {
      const source = view(m.source(instr.operands[1] as Operand, vectorBytes(m, instr), bytesOf(signed)), signed);
      setTested(
        m,
        instr,
        signed,
        Array.from({ length: source.length }, (_, i) => (source[i] as number) < 0),
      );
    };
  }
  return rows;
}

function maskRows(): Record<string, Handler> {
  const rows: Record<string, Handler> = {};
  const logic: Record<string, (a: bigint, b: bigint) => bigint> = {
    and: (a, b) => a & b,
    or: (a, b) => a | b,
    xor: (a, b) => a ^ b,
    andn: (a, b) => ~a & b,
    xnor: (a, b) => ~(a ^ b),
    add: (a, b) => a + b,
  };
  for (const [letter, bytes] of Object.entries(MASK_BYTES)) {
    for (const [name, apply] of Object.entries(logic)) {
      rows[`k${name}${letter}`] = (m, { operands }) => {
        const [to, a, b] = operands as [Operand, Operand, Operand];
        m.setInteger(to, bytes, apply(m.integer(a, bytes), m.integer(b, bytes)));
      };
    }
    rows[`knot${letter}`] = (m, { operands: [to, a] }) =>
      m.setInteger(to as Operand, bytes, ~m.integer(a as Operand, bytes));
    rows[`kmov${letter}`] = (m, { operands: [to, from] }) => {
      // A general register gets the mask zero-extended.
      const value = m.integer(from as Operand, bytes);
      m.setInteger(to as Operand, to?.kind === "reg" && to.cls !== "k" ? Math.max(4, bytes) : bytes, value);
    };
    for (const [name, left] of [
      ["kshiftl", true],
      ["kshiftr", false],
    ] as const) {
      rows[`${name}${letter}`] = (m, { operands }) => {
        const [to, from, by] = operands as [Operand, Operand, Operand];
        const count = m.integer(by, 1);
        const value = m.integer(from, bytes);
        m.setInteger(to, bytes, left ? value << count : value >> count);
      };
    }
    rows[`kortest${letter}`] = (m, { operands: [a, b] }) => {
      const both = m.integer(a as Operand, bytes) | m.integer(b as Operand, bytes);
      m.setFlags({
        zero: both === 0n,
        carry: both === 2n ** BigInt(bytes * 8) - 1n,
        sign: false,
        overflow: false,
        parity: false,
      });
    };
    rows[`ktest${letter}`] = (m, { operands: [a, b] }) => {
      const [x, y] = [m.integer(a as Operand, bytes), m.integer(b as Operand, bytes)];
      m.setFlags({ zero: (x & y) === 0n, carry: (~x & y) === 0n, sign: false, overflow: false, parity: false });
    };
  }
  for (const [name, half] of [
    ["kunpckbw", 1],
    ["kunpckwd", 2],
    ["kunpckdq", 4],
  ] as const) {
    rows[name] = (m, { operands }) => {
      const [to, high, low] = operands as [Operand, Operand, Operand];
      m.setInteger(to, 2 * half, (m.integer(high, half) << BigInt(8 * half)) | m.integer(low, half));
    };
  }
  return rows;
}

/** Elements of the second source where `chosen`, else of the first. */
function blend(size: number, chosen: (m: Machine, instr: Instr, bytes: number) => (at: number) => boolean): Handler {
  return (m, instr) => {
    const bytes = vectorBytes(m, instr);
    const [to, a, b] = instr.operands as [Operand, Operand, Operand];
    const [first, second] = [m.source(a, bytes, size), m.source(b, bytes, size)];
    const choose = chosen(m, instr, bytes);
    for (let i = 0; i * size < bytes; i++)
      if (choose(i)) first.set(second.subarray(i * size, (i + 1) * size), i * size);
    const { current } = m;
    m.current = { op: instr.op, operands: instr.operands };
    m.setVector(to, first, size);
    m.current = current;
  };
}

const bySignOfFourth = (element: Element): Handler =>
  blend(bytesOf(element), (m, instr, bytes) => {
    const selector = view(m.source(instr.operands[3] as Operand, bytes, bytesOf(element)), element);
    return (i) => (selector[i] as number) < 0;
  });
/** With zeroing the first source does not count. */
const byOpmask =
  (size: number): Handler =>
  (m, instr) => {
    const mask = m.mask();
    const bytes = vectorBytes(m, instr);
    const [to, a, b] = instr.operands as [Operand, Operand, Operand];
    const second = m.source(b, bytes, size, mask);
    const out = instr.zeroing === true ? new Uint8Array(bytes) : m.source(a, bytes, size);
    for (let i = 0; i * size < bytes; i++)
      if (mask === undefined || bit(mask, i)) out.set(second.subarray(i * size, (i + 1) * size), i * size);
    const { current } = m;
    m.current = { op: instr.op, operands: instr.operands };
    m.setVector(to, out, size);
    m.current = current;
  };
const byImmediate = (size: number): Handler =>
  blend(size, (_m, instr) => {
    const { immediate } = sourcesOf(instr);
    return (i) => ((immediate >> (i % 8)) & 1) === 1;
  });

function signMask(element: Element): Handler {
  return (m, instr) => {
    const [to, from] = instr.operands as [Operand, Operand];
    const source = view(m.source(from, vectorBytes(m, instr), bytesOf(element)), element);
    let bits = 0n;
    for (let i = 0; i < source.length; i++) if ((source[i] as number) < 0) bits |= 1n << BigInt(i);
    m.setInteger(to, Math.max(4, m.sizeOf(to, 4)), bits);
  };
}

export const COMPARE: Readonly<Record<string, Handler>> = {
  ...tests(),
  ...maskRows(),
  vblendvps: bySignOfFourth("i32"),
  vblendvpd: bySignOfFourth("i64"),
  vpblendvb: bySignOfFourth("i8"),
  vpblendmb: byOpmask(1),
  vpblendmw: byOpmask(2),
  vpblendmd: byOpmask(4),
  vblendmps: byOpmask(4),
  vpblendmq: byOpmask(8),
  vblendmpd: byOpmask(8),
  vblendps: byImmediate(4),
  vblendpd: byImmediate(8),
  vpblendd: byImmediate(4),
  vpblendw: byImmediate(2),
  vmovmskps: signMask("i32"),
  vmovmskpd: signMask("i64"),
  vpmovmskb: signMask("i8"),
};
