/**
 * Integer division of vectors. 32-bit quotients are exact through f64: the true quotient differs from an integer by at
 * least 2^-32 of its size when it is not one, far more than the rounding error. 64-bit ones go lane by lane.
 */
import type { KType, Prim } from "@quern/core/kernel";
import { mem, r32, rax, rdx, rsp } from "../asm/index.ts";
import type { Reg } from "../asm/index.ts";
import { convertVector } from "./convert-vector.ts";
import type { Selector } from "./selector.ts";
import { isSigned, laneBytesOf } from "./element.ts";
import { widenOperation } from "./widen.ts";

export function divideVectors(
  s: Selector,
  prim: Prim,
  type: KType,
  a: readonly Reg[],
  b: readonly Reg[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const bytes = laneBytesOf(type.dtype);
  if (bytes < 4) return widenOperation(s, prim, type, [a, b], into);
  if (bytes === 8) return divideByLane(s, prim, type, a, b, into);
  const wide: KType = { ...type, dtype: "f64" };
  const [x, y] = [
    convertVector(s, a, type, wide, undefined, undefined),
    convertVector(s, b, type, wide, undefined, undefined),
  ];
  const signed = isSigned(type.dtype);
  const quotients = x.map((reg, i) => {
    const to = s.vector(s.shape(wide).bytes);
    code.emit("vdivpd", to, reg, y[i] as Reg);
    return to;
  });
  // The smallest i32 divided by -1 is 2^31, which the conversion turns into the smallest i32: the wrapped quotient.
  const range = signed ? { low: -(2 ** 31), high: 2 ** 31 - 1, mayBeNaN: false } : undefined;
  const integers = convertVector(s, quotients, wide, type, prim === "div" ? into : undefined, range);
  if (prim === "div") return integers;
  const out = s.results(type, into);
  out.forEach((to, i) => {
    const product = s.vector(s.shape(type).bytes);
    code.emit("vpmulld", product, integers[i] as Reg, b[i] as Reg);
    code.emit("vpsubd", to, a[i] as Reg, product);
  });
  return out;
}

function divideByLane(
  s: Selector,
  prim: Prim,
  type: KType,
  a: readonly Reg[],
  b: readonly Reg[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const { bytes } = s.shape(type);
  const width = Math.max(16, bytes);
  const base = s.frame(2 * width * a.length);
  const second = base + width * a.length;
  a.forEach((reg, i) => code.emit("vmovups", mem({ base: rsp, disp: base + i * width }), s.resize(reg, width)));
  b.forEach((reg, i) => code.emit("vmovups", mem({ base: rsp, disp: second + i * width }), s.resize(reg, width)));
  const signed = isSigned(type.dtype);
  for (let lane = 0; lane < type.lanes; lane++) {
    const divisor = code.general();
    code.emit("mov", divisor, mem({ base: rsp, disp: second + lane * 8 }));
    const regular = code.label("div");
    const done = code.label("div");
    const result = code.general();
    if (signed) {
      code.emit("cmp", divisor, -1);
      code.emit("jne", regular);
      // The instruction overflows for the smallest integer; negation wraps.
      code.emit("mov", result, mem({ base: rsp, disp: base + lane * 8 }));
      code.emit("neg", result);
      if (prim === "rem") code.emit("mov", r32(result.id), 0);
      code.emit("jmp", done);
      code.bind(regular);
    }
    code.emit("mov", rax, mem({ base: rsp, disp: base + lane * 8 }));
    if (signed) {
      code.emit("cqo");
      code.emit("idiv", divisor);
    } else {
      code.emit("mov", r32(rdx.id), 0);
      code.emit("div", divisor);
    }
    code.emit("mov", result, prim === "div" ? rax : rdx);
    if (signed) code.bind(done);
    code.emit("mov", mem({ base: rsp, disp: base + lane * 8 }), result);
  }
  const out = s.results(type, into);
  out.forEach((to, i) => code.emit("vmovups", s.resize(to, width), mem({ base: rsp, disp: base + i * width })));
  return out;
}
