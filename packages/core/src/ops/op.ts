/**
 * The op record: everything the stack knows about one tensor op.
 *
 * Type inference, reference implementation, lowering facts, tolerance and test cases stand in one annotated literal;
 * the interpreter, the fusion, conformance tests on every device, fuzzing, documentation and default benchmarks are
 * derived from it. The registry lists the family modules; an export of a family module is an op.
 */

import type { DType } from "../dtype.ts";
import type { Dim } from "../dim.ts";
import type { Attrs, Graph, TensorType, Value } from "../graph/graph.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import type { KernelBuilder } from "../kernel/builder.ts";
import type { KValue } from "../kernel/ir.ts";

/**
 * A tensor in the reference interpreter: float64 whatever the dtype, so that references accumulate in float64.
 * Integer dtypes hold exact integers up to 2^53 in magnitude; `bool` holds 0 and 1.
 */
export interface RefTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export interface RefContext {
  /** Runs a sub-graph (control flow) on the reference interpreter. */
  runGraph(graph: Graph, inputs: readonly RefTensor[]): RefTensor[];
  /** Value of a dimension for this run. */
  dim(dim: Dim): number;
}

export interface InferContext {
  /** The elements of a small integer tensor, where they are known as dimensions (constants and shape arithmetic). */
  dims(value: Value): readonly Dim[] | undefined;
  /** A dimension symbol unknown before run time, for data-dependent sizes. */
  freshDim(hint: string): Dim;
}

/** Error bound against the float64 reference: |y - ref| <= atol + rtol * |ref|, per dtype; exact where absent. */
export type Tolerances = Partial<Readonly<Record<DType, { readonly rtol: number; readonly atol: number }>>>;

/** One output element from one element of each input, all inputs broadcast to the output shape. */
export interface PointwiseRule {
  /** On float64 (integers exact to 2^53); the result is wrapped or rounded to the output dtype by the caller. */
  reference(args: readonly number[], attrs: Attrs, types: readonly TensorType[]): number;
  /** The same in the kernel language, on scalars or vectors alike. `out` is the output dtype. */
  emit(k: KernelBuilder, args: readonly KValue[], attrs: Attrs, out: DType): KValue;
}

/** Each output element is one input element (or a fill value): reshape, transpose, slice, … cost nothing when fused. */
export interface ViewRule {
  /**
   * Position in the input of the output element at `index` (one scalar value per output axis). `valid` is present
   * where only some elements come from the input; the others are `fill`.
   */
  map(
    k: KernelBuilder,
    index: readonly KValue[],
    input: TensorType,
    output: TensorType,
    attrs: Attrs,
  ): { readonly index: readonly KValue[]; readonly valid?: KValue; readonly fill?: number };
}

/** One test case: input types, how to fill them, attributes. Derived tests run it on every device. */
export interface OpCase {
  readonly name: string;
  readonly inputs: readonly (CaseInput | undefined)[];
  readonly attrs: Attrs;
}

export interface CaseInput {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** "normal" (default for floats), "uniform" in [low, high) (default for integers), or given values. */
  readonly fill?: { readonly low: number; readonly high: number } | { readonly values: readonly number[] };
  /** True for inputs that must be graph constants, such as weights and axes. */
  readonly constant?: boolean;
  /** For f32 constants: the name of the encoding that stores them, such as "Q4_0". */
  readonly encoding?: string;
}

export interface Op {
  readonly name: string;
  /** Input names in order; "name?" is optional, "name..." (last) takes any number. */
  readonly inputs: readonly string[];
  /** One sentence for the documentation table. */
  readonly summary: string;
  /** Number and types of outputs. Throws a `UserError` naming the op, the types given and the rule they break. */
  infer(
    inputs: readonly (TensorType | undefined)[],
    attrs: Attrs,
    context: InferContext,
    values: readonly (Value | undefined)[],
  ): readonly TensorType[];
  /** Plain loops in float64. Absent only where `decompose` always applies. */
  readonly reference?: (
    inputs: readonly (RefTensor | undefined)[],
    attrs: Attrs,
    outputs: readonly TensorType[],
    context: RefContext,
  ) => readonly RefTensor[];
  /** Rewrites the op into simpler ops; `undefined` where it does not apply. */
  readonly decompose?: (
    b: GraphBuilder,
    inputs: readonly (Value | undefined)[],
    attrs: Attrs,
  ) => readonly Value[] | undefined;
  readonly pointwise?: PointwiseRule;
  readonly view?: ViewRule;
  /** The elements of a small integer result as dimensions, from those of the inputs (shape arithmetic). */
  readonly dims?: (
    inputs: readonly (readonly Dim[] | undefined)[],
    attrs: Attrs,
    types: readonly (TensorType | undefined)[],
  ) => readonly Dim[] | undefined;
  readonly tolerance?: Tolerances;
  /** Instead of `tolerance` where the bound grows with the inputs, as for sums; read both through `toleranceOf`. */
  readonly toleranceFor?: (types: readonly (TensorType | undefined)[], attrs: Attrs) => Tolerances;
  /**
   * Positions of inputs that the node writes in place: state of the graph (see `graph/state.ts`). The reference writes
   * their `data`, every element a value of the dtype. Such an op is impure.
   */
  readonly updates?: readonly number[];
  /** True where the result depends on more than the inputs, or the node must stay for another reason. */
  readonly impure?: boolean;
  readonly cases: () => readonly OpCase[];
}
