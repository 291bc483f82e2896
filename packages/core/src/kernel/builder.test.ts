import { expect, test } from "vitest";
import { dimFloorDiv, dimMul, symbol } from "../dim.ts";
import { KernelBuilder, vectorType } from "./index.ts";

test("equal pure values are shared within the dominating scope only", () => {
  const k = new KernelBuilder("shared");
  const y = k.buffer("y", "f32", 8, { access: "write" });
  const n = k.symbol("n");
  k.if(k.lt(n, 3), () => k.store(y, k.mul(n, 7), 1));
  k.if(k.lt(n, 3), () => k.store(y, k.mul(n, 7), 2));
  const { body } = k.finish();
  expect(body.map((statement) => statement.kind)).toEqual(["let", "if", "if"]);
  const inner = body.filter((statement) => statement.kind === "if").map((statement) => statement.then.length);
  expect(inner).toEqual([2, 2]);
});

test("index arithmetic on literals and dimensions folds", () => {
  const k = new KernelBuilder("fold");
  const n = symbol("n");
  expect(k.add(k.const("index", 3), 4)).toBe(k.const("index", 7));
  expect(k.mul(k.index(n), 0)).toBe(k.const("index", 0));
  expect(k.add(k.add(k.index(n), 2), -2)).toBe(k.symbol("n"));
  expect(k.index(dimMul(n, 4))).toBe(k.mul(k.symbol("n"), 4));
  expect(k.index(dimFloorDiv(n, 4))).toBe(k.div(k.symbol("n"), 4));
});

test("float simplification keeps the sign of zero", () => {
  const k = new KernelBuilder("float");
  const x = k.scalar("x", "f32");
  expect(k.add(x, 0)).not.toBe(x);
  expect(k.add(x, -0)).toBe(x);
  expect(k.sub(x, 0)).toBe(x);
  expect(k.mul(x, 1)).toBe(x);
  expect(k.mul(x, 0).def.kind).toBe("prim");
  expect(k.add(k.const("f32", 0.1), k.const("f32", 0.2)).def).toEqual({
    kind: "const",
    value: Math.fround(Math.fround(0.1) + Math.fround(0.2)),
  });
});

test("scalars are broadcast when mixed with vectors", () => {
  const k = new KernelBuilder("lanes");
  const x = k.buffer("x", "f32", 16);
  const v = k.load(x, 0, { lanes: 8 });
  expect(k.mul(k.scalar("a", "f32"), v).type).toEqual(vectorType("f32", 8));
  expect(k.add(v, 1).type).toEqual(vectorType("f32", 8));
  expect(k.lt(v, 0).type).toEqual(vectorType("bool", 8));
});

test("type errors name the operation and the types", () => {
  const k = new KernelBuilder("wrong");
  const x = k.scalar("x", "f32");
  const i = k.scalar("i", "i32");
  const out = k.buffer("out", "f32", 4, { access: "write" });
  expect(() => k.add(x, i)).toThrow("kernel wrong: add(f32, i32): operands differ in type; cast one");
  expect(() => k.lt(k.const("bool", true), k.const("bool", false))).toThrow(
    "lt(bool, bool): not defined for this type",
  );
  expect(k.eq(k.lt(x, 1), k.lt(x, 2)).def).toMatchObject({ prim: "not" });
  expect(() => k.sqrt(i)).toThrow("kernel wrong: sqrt(i32): not defined for this type");
  expect(() => k.store(out, 0, i)).toThrow('kernel wrong: store(i32): "out" holds f32; cast the value');
  expect(() => k.store(k.buffer("in", "f32", 4), 0, x)).toThrow('store to the read-only buffer "in"');
  expect(() => k.bitcast(x, "i64")).toThrow("cannot reinterpret as i64");
});

test("unused values, locals and loops are dropped at the end", () => {
  const k = new KernelBuilder("dead");
  const x = k.buffer("x", "f32", 16);
  const y = k.buffer("y", "f32", 16, { access: "write" });
  const unused = k.local("unused", "f32", 0);
  k.for({ end: 4 }, (i) => k.assign(unused, k.load(x, i)));
  k.reduce("sum", 16, (i) => k.load(x, i));
  k.store(y, 0, 1);
  const kernel = k.finish();
  expect(kernel.body.map((statement) => statement.kind)).toEqual(["store"]);
  expect(kernel.locals).toEqual([]);
});
