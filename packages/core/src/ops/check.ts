/**
 * Checks that the `infer` functions of the op records share. In: input types as given. Out: the types asked for, or a
 * `UserError` of one shape, "op: rule that is broken: types given".
 */

import { type Dim, type Shape, dimEqual, dimMax, printDim, printShape } from "../dim.ts";
import { DTYPE_INFO, type DType } from "../dtype.ts";
import { UserError } from "../errors.ts";
import type { TensorType } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";

/** Types of the inputs of a node; absent optional inputs are `undefined`. */
export type Types = readonly (TensorType | undefined)[];

/** Classes of element types that rules are written in. */
export type DTypeGroup = "float" | "integer" | "signed" | "numeric" | "bool" | "any";

const GROUP_WORDS: Readonly<Record<DTypeGroup, string>> = {
  float: "a float dtype",
  integer: "an integer dtype",
  signed: "a float or signed integer dtype",
  numeric: "a float or integer dtype",
  bool: "bool",
  any: "any dtype",
};

export function inGroup(dtype: DType, group: DTypeGroup): boolean {
  const { kind } = DTYPE_INFO[dtype];
  switch (group) {
    case "float":
      return kind === "float";
    case "integer":
      return kind === "int" || kind === "uint";
    case "signed":
      return kind === "float" || kind === "int";
    case "numeric":
      return kind !== "bool";
    case "bool":
      return kind === "bool";
    case "any":
      return true;
  }
}

/** Throws the `UserError` of an op. */
export function reject(op: string, what: string, hint?: string): never {
  throw new UserError(`${op}: ${what}`, { hint });
}

/** The type of input `index`, which must be present. */
export function given(op: string, types: Types, index: number, name: string): TensorType {
  return types[index] ?? reject(op, `input "${name}" is missing`);
}

/** Input `index`, present and of a dtype in `group`. */
export function typed(op: string, types: Types, index: number, name: string, group: DTypeGroup): TensorType {
  const type = given(op, types, index, name);
  checkGroup(op, type, name, group);
  return type;
}

export function checkGroup(op: string, type: TensorType, name: string, group: DTypeGroup): void {
  if (!inGroup(type.dtype, group))
    reject(op, `input "${name}" must have ${GROUP_WORDS[group]}, got ${printTensorType(type)}`);
}

/** Input `index`, present and with one of the given dtypes. */
export function typedAs(op: string, types: Types, index: number, name: string, dtypes: readonly DType[]): TensorType {
  const type = given(op, types, index, name);
  if (!dtypes.includes(type.dtype))
    reject(op, `input "${name}" must be ${dtypes.join(" or ")}, got ${printTensorType(type)}`);
  return type;
}

/** Integer index or size tensors: i64 or i32. */
export function indexTyped(op: string, types: Types, index: number, name: string): TensorType {
  return typedAs(op, types, index, name, ["i64", "i32"]);
}

export function checkRank(op: string, type: TensorType, name: string, rank: number): void {
  if (type.shape.length !== rank) {
    reject(op, `input "${name}" must have ${rank} ${rank === 1 ? "axis" : "axes"}, got ${printTensorType(type)}`);
  }
}

export function checkRankAtLeast(op: string, type: TensorType, name: string, rank: number): void {
  if (type.shape.length < rank) {
    reject(
      op,
      `input "${name}" must have at least ${rank} ${rank === 1 ? "axis" : "axes"}, got ${printTensorType(type)}`,
    );
  }
}

export function checkSameDType(op: string, a: TensorType, b: TensorType): void {
  if (a.dtype !== b.dtype)
    reject(op, `dtypes differ: ${printTensorType(a)} and ${printTensorType(b)}`, "cast one of them");
}

/** Throws where the two sizes are known to differ; sizes that depend on symbols are checked when the graph runs. */
export function checkSize(op: string, what: string, actual: Dim, expected: Dim): void {
  if (dimEqual(actual, expected) === false)
    reject(op, `${what} must be ${printDim(expected)}, got ${printDim(actual)}`);
}

/** The shape that all `shapes` broadcast to, by the rule of NumPy. */
export function broadcastShapes(op: string, shapes: readonly Shape[]): Dim[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const result: Dim[] = [];
  for (let axis = 0; axis < rank; axis++) {
    let size: Dim = 1;
    for (const shape of shapes) {
      const dim = shape[axis - rank + shape.length];
      if (dim === undefined || dim === 1) continue;
      const joined: Dim | undefined = joinSizes(size, dim);
      if (joined === undefined) {
        reject(
          op,
          `shapes do not broadcast: ${shapes.map(printShape).join(" and ")} (${printDim(size)} ≠ ${printDim(dim)})`,
        );
      }
      size = joined;
    }
    result.push(size);
  }
  return result;
}

/**
 * One axis of a broadcast. A number other than 1 decides, since a symbol beside it must equal it or 1. Of two different
 * symbols the result is the larger: they are equal, or one of them is 1, when the graph runs.
 */
function joinSizes(a: Dim, b: Dim): Dim | undefined {
  if (a === 1) return b;
  if (typeof a === "number" && typeof b === "number") return a === b ? a : undefined;
  if (typeof a === "number") return a;
  return typeof b === "number" ? b : dimMax(a, b);
}
