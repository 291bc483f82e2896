/**
 * Makes the records of elementwise ops from their rule on one element.
 *
 * In: the rule in float64 and in the kernel language. Out: an `Op` with inference by broadcasting, a reference, and
 * shape arithmetic. Result dtype: `result` where it is given, else that of the inputs.
 */

import type { Dim } from "../dim.ts";
import { DTYPE_INFO, type DType } from "../dtype.ts";
import type { Attrs, TensorType } from "../graph/graph.ts";
import { isStatic } from "../dim.ts";
import { type DTypeGroup, type Types, broadcastShapes, checkSameDType, typed } from "./check.ts";
import type { Op, OpCase, PointwiseRule, RefTensor, Tolerances } from "./op.ts";
import { broadcastStrides, input, newRef, positions, wrapInteger } from "./ref-tensor.ts";

export interface PointwiseSpec {
  readonly name: string;
  readonly summary: string;
  readonly inputs: readonly string[];
  /** Dtypes that the inputs may have; all inputs have the same one. */
  readonly group: DTypeGroup;
  readonly result?: (attrs: Attrs, dtype: DType) => DType;
  /** Instead of `group` and `result`: checks the inputs and gives the result dtype. */
  readonly dtypes?: (types: Types, attrs: Attrs) => DType;
  readonly reference: PointwiseRule["reference"];
  readonly emit?: PointwiseRule["emit"];
  /** Shape arithmetic on one element of each input. */
  readonly dims?: (args: readonly Dim[], attrs: Attrs, dtype: DType, types: readonly TensorType[]) => Dim | undefined;
  readonly tolerance?: Tolerances;
  readonly cases: () => readonly OpCase[];
}

export function pointwise(spec: PointwiseSpec): Op {
  const { name, summary, inputs, reference, emit, dims, tolerance, cases } = spec;
  const resultType = (types: Types, attrs: Attrs): DType => {
    if (spec.dtypes !== undefined) return spec.dtypes(types, attrs);
    const checked = inputs.map((inputName, i) => typed(name, types, i, inputName, spec.group));
    const first = checked[0] as TensorType;
    for (const type of checked) checkSameDType(name, first, type);
    return spec.result?.(attrs, first.dtype) ?? first.dtype;
  };
  return {
    name,
    summary,
    inputs,
    infer: (types, attrs) => {
      const dtype = resultType(types, attrs);
      const shapes = inputs.map((inputName, i) => typed(name, types, i, inputName, "any").shape);
      return [{ dtype, shape: broadcastShapes(name, shapes) }];
    },
    reference: (tensors, attrs, outputs) => {
      const given = inputs.map((_, i) => input(tensors, i));
      const types = given.map(({ dtype, shape }): TensorType => ({ dtype, shape }));
      const shape = broadcastShapes(
        name,
        given.map((tensor) => tensor.shape),
      ) as number[];
      return [mapElements(given, shape, (outputs[0] as TensorType).dtype, (args) => reference(args, attrs, types))];
    },
    ...(emit === undefined ? {} : { pointwise: { reference, emit } }),
    ...(dims === undefined
      ? {}
      : { dims: (known, attrs, types) => mapDims(name, known, types, resultType(types, attrs), attrs, dims) }),
    ...(tolerance === undefined ? {} : { tolerance }),
    cases,
  };
}

/** Applies `rule` to the elements of the inputs, broadcast to `shape`; integer results wrap to `dtype`. */
export function mapElements(
  inputs: readonly RefTensor[],
  shape: readonly number[],
  dtype: DType,
  rule: (args: readonly number[]) => number,
): RefTensor {
  const result = newRef(dtype, shape);
  const wrap = DTYPE_INFO[dtype].kind !== "float";
  const walks = inputs.map(({ data, shape: own }) => ({ data, at: positions(shape, broadcastStrides(own, shape)) }));
  const args = new Array<number>(inputs.length).fill(0);
  for (let i = 0; i < result.data.length; i++) {
    for (let j = 0; j < walks.length; j++) {
      const { data, at } = walks[j] as { data: Float64Array; at: Float64Array };
      args[j] = data[at[i] as number] as number;
    }
    const value = rule(args);
    result.data[i] = wrap ? wrapInteger(dtype, value) : value;
  }
  return result;
}

/** Shape arithmetic of an elementwise op: known where every element is. */
function mapDims(
  name: string,
  known: readonly (readonly Dim[] | undefined)[],
  types: Types,
  dtype: DType,
  attrs: Attrs,
  rule: NonNullable<PointwiseSpec["dims"]>,
): readonly Dim[] | undefined {
  const given = types.filter((type): type is TensorType => type !== undefined);
  const shape = broadcastShapes(
    name,
    given.map((type) => type.shape),
  );
  if (!isStatic(shape)) return undefined;
  const columns: Dim[][] = [];
  for (const [i, type] of given.entries()) {
    const elements = known[i];
    if (elements === undefined || !isStatic(type.shape)) return undefined;
    columns.push(Array.from(positions(shape, broadcastStrides(type.shape, shape)), (at) => elements[at] as Dim));
  }
  const result: Dim[] = [];
  for (let i = 0; i < (columns[0] as Dim[]).length; i++) {
    const value = rule(
      columns.map((column) => column[i] as Dim),
      attrs,
      dtype,
      given,
    );
    if (value === undefined) return undefined;
    result.push(value);
  }
  return result;
}
