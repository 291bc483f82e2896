/** Which types the operands and results of statements must have. */

import { DTYPE_INFO } from "../dtype.ts";
import { isFloatType, isIntegerType } from "./element.ts";
import { operandsOf } from "./finish.ts";
import { type Def, INDEX, type KType, type KValue, type Prim, type Stmt, printType, sameType } from "./ir.ts";

/** Told what must hold, and what is wrong where it does not. */
export type Expect = (condition: boolean, message: string) => void;

function checkIndex(expect: Expect, value: KValue, lanes = 1): void {
  const fits =
    value.type.dtype === "index" && value.type.rows === 1 && (value.type.lanes === 1 || value.type.lanes === lanes);
  expect(fits, `%${value.id} should be an index of one or ${lanes} lanes, is ${printType(value.type)}`);
}

function checkMask(expect: Expect, mask: KValue | undefined, lanes: number): void {
  if (mask !== undefined)
    expect(
      sameType(mask.type, { dtype: "bool", lanes, rows: 1 }),
      `the mask should be bool of ${lanes} lanes, is ${printType(mask.type)}`,
    );
}

/** Calls `expect` with what must hold of the types of a statement and of the value it defines. */
export function checkTypes(statement: Stmt, expect: Expect): void {
  switch (statement.kind) {
    case "let":
      return checkDefinition(statement.value.def, statement.value.type, expect);
    case "assign":
      return expect(
        sameType(statement.value.type, statement.local.type),
        `local "${statement.local.name}" is ${printType(statement.local.type)}, not ${printType(statement.value.type)}`,
      );
    case "store": {
      const { buffer, index, value, mask } = statement;
      expect(buffer.access !== "read", `store to the read-only buffer "${buffer.name}"`);
      expect(
        value.type.dtype === buffer.dtype && value.type.rows === 1,
        `"${buffer.name}" holds ${buffer.dtype}, not ${printType(value.type)}`,
      );
      checkIndex(expect, index, value.type.lanes);
      return checkMask(expect, mask, value.type.lanes);
    }
    case "tileStore":
      expect(statement.buffer.access !== "read", `store to the read-only buffer "${statement.buffer.name}"`);
      expect(
        statement.value.type.dtype === statement.buffer.dtype,
        `"${statement.buffer.name}" holds ${statement.buffer.dtype}`,
      );
      checkIndex(expect, statement.index);
      return checkIndex(expect, statement.stride);
    case "tileMma": {
      const [acc, a, b] = [statement.acc.type, statement.a.type, statement.b.type];
      const group = b.lanes / acc.lanes;
      const fits = acc.rows === a.rows && Number.isInteger(group) && a.lanes === b.rows * group;
      return expect(fits, `tileMma: ${printType(acc)} += ${printType(a)} × ${printType(b)} does not fit`);
    }
    case "for":
      expect(
        Number.isInteger(statement.step) && statement.step > 0,
        `step ${statement.step} is not a positive integer`,
      );
      expect(
        Number.isInteger(statement.unroll) && statement.unroll > 0,
        `unroll ${statement.unroll} is not a positive integer`,
      );
      checkIndex(expect, statement.start);
      return checkIndex(expect, statement.end);
    case "if":
      return expect(
        sameType(statement.condition.type, { dtype: "bool", lanes: 1, rows: 1 }),
        "the condition of if should be a scalar bool",
      );
    case "parallel":
    case "each":
      expect(sameType(statement.axis.type, INDEX), "the axis should be an index");
      return checkIndex(expect, statement.count);
    case "reduce":
      checkIndex(expect, statement.count);
      return expect(
        sameType(statement.yields.type, statement.result.type),
        "the result of reduce should have the type of its yields",
      );
    case "barrier":
      return;
    case "prefetch":
      return checkIndex(expect, statement.index);
  }
}

function checkDefinition(def: Def, type: KType, expect: Expect): void {
  const lanesOf = (value: KValue): boolean => value.type.lanes === type.lanes && value.type.rows === 1;
  switch (def.kind) {
    case "const":
    case "param":
    case "axis":
    case "reduced":
      return expect(false, `a ${def.kind} value does not stand in a let`);
    case "prim":
      return checkPrim(def.prim, def.args, type, expect);
    case "read":
      return expect(sameType(type, def.local.type), `local "${def.local.name}" is ${printType(def.local.type)}`);
    case "load":
      expect(
        type.dtype === def.buffer.dtype && type.rows === 1,
        `"${def.buffer.name}" holds ${def.buffer.dtype}, not ${printType(type)}`,
      );
      checkIndex(expect, def.index, type.lanes);
      checkMask(expect, def.mask, type.lanes);
      return expect(
        def.other === undefined || (def.mask !== undefined && sameType(def.other.type, type)),
        "other needs a mask and the type of the load",
      );
    case "broadcast":
      return expect(
        def.value.type.lanes === 1 && def.value.type.dtype === type.dtype,
        "broadcast takes a scalar of its type",
      );
    case "iota":
      return expect(
        def.start.type.lanes === 1 && def.start.type.dtype === type.dtype && isIntegerType(type.dtype),
        "iota takes a scalar integer of its type",
      );
    case "horizontal":
      return expect(type.lanes === 1 && def.value.type.dtype === type.dtype, "horizontal gives a scalar of its type");
    case "shuffle": {
      const inRange = def.pattern.every((at) => at >= 0 && at < 2 * def.a.type.lanes);
      return expect(
        sameType(def.a.type, def.b.type) &&
          def.pattern.length === type.lanes &&
          inRange &&
          def.a.type.dtype === type.dtype,
        "shuffle does not fit its operands",
      );
    }
    case "extract":
      return expect(
        type.lanes === 1 && def.lane < def.value.type.lanes && def.value.type.dtype === type.dtype,
        "extract does not fit its operand",
      );
    case "tileLoad":
      checkIndex(expect, def.index);
      checkIndex(expect, def.stride);
      return expect(type.dtype === def.buffer.dtype, `"${def.buffer.name}" holds ${def.buffer.dtype}`);
    case "intrinsic":
      return expect(
        operandsOf(def).length > 0 && (def.args.every(lanesOf) || def.name === "packBytes" || def.name === "bf16Pair"),
        `intrinsic ${def.name}: lanes differ`,
      );
  }
}

function checkPrim(prim: Prim, args: readonly KValue[], type: KType, expect: Expect): void {
  const types = args.map((arg) => printType(arg.type)).join(", ");
  const rule = PRIM_RULES[prim];
  const fits =
    args.length === rule.count &&
    args.every((arg) => arg.type.lanes === type.lanes && arg.type.rows === 1) &&
    type.rows === 1;
  expect(
    fits &&
      rule.check(
        args.map((arg) => arg.type),
        type,
      ),
    `${prim}(${types}) does not give ${printType(type)}`,
  );
}

interface PrimRule {
  readonly count: number;
  check(args: readonly KType[], type: KType): boolean;
}

function alike(count: number, allowed: (dtype: KType["dtype"]) => boolean): PrimRule {
  return { count, check: (args, type) => args.every((arg) => arg.dtype === type.dtype) && allowed(type.dtype) };
}

const numeric = (dtype: KType["dtype"]): boolean => dtype !== "bool";
const bits = (dtype: KType["dtype"]): boolean => dtype === "bool" || isIntegerType(dtype);
const comparison: PrimRule = { count: 2, check: ([a, b], type) => type.dtype === "bool" && a?.dtype === b?.dtype };

const PRIM_RULES: Readonly<Record<Prim, PrimRule>> = {
  add: alike(2, numeric),
  sub: alike(2, numeric),
  mul: alike(2, numeric),
  div: alike(2, numeric),
  rem: alike(2, isIntegerType),
  min: alike(2, numeric),
  max: alike(2, numeric),
  neg: alike(1, numeric),
  abs: alike(1, numeric),
  sqrt: alike(1, isFloatType),
  fma: alike(3, isFloatType),
  floor: alike(1, isFloatType),
  ceil: alike(1, isFloatType),
  trunc: alike(1, isFloatType),
  round: alike(1, isFloatType),
  lt: comparison,
  le: comparison,
  gt: comparison,
  ge: comparison,
  eq: comparison,
  ne: comparison,
  and: alike(2, bits),
  or: alike(2, bits),
  xor: alike(2, bits),
  not: alike(1, bits),
  shl: alike(2, isIntegerType),
  shr: alike(2, isIntegerType),
  select: {
    count: 3,
    check: ([c, a, b], type) => c?.dtype === "bool" && a?.dtype === type.dtype && b?.dtype === type.dtype,
  },
  cast: { count: 1, check: () => true },
  bitcast: {
    count: 1,
    check: ([a], type) =>
      a !== undefined &&
      a.dtype !== "index" &&
      type.dtype !== "index" &&
      DTYPE_INFO[a.dtype].bytes === DTYPE_INFO[type.dtype].bytes,
  },
  scale2: alike(2, isFloatType),
};
