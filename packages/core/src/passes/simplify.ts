/**
 * Algebraic simplification: one rule per line, named by the identity that justifies it.
 *
 * Each rule looks at one node (inputs already simplified) and gives a replacement or nothing. `example` builds the left
 * side on an input, so that a test derived from the table proves that the rule fires and keeps the value.
 */

import { type Dim, sameDim, sameShape, shapeSize } from "../dim.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import type { Attrs, Graph, Node, Value } from "../graph/graph.ts";
import { rewriteGraph } from "../graph/rewrite.ts";
import { debug } from "../debug/env.ts";
import { Tensor } from "../runtime/tensor.ts";
import { constantOf } from "./fold-constants.ts";

export interface Rule {
  readonly identity: string;
  readonly op: string;
  /** The replacement of the node's single output, or `undefined` where the rule does not apply. */
  rewrite(inputs: readonly Value[], attrs: Attrs, b: GraphBuilder, node: Node): Value | undefined;
  /** The left side, applied to an input of type f32[3, 4]. */
  example(b: GraphBuilder, x: Value): Value;
}

export function simplify(graph: Graph): Graph {
  return rewriteGraph(graph, (node, inputs, builder) => {
    const rules = rulesByOp.get(node.op);
    if (rules === undefined || inputs.some((input) => input === undefined)) return undefined;
    for (const rule of rules) {
      const value = rule.rewrite(inputs as Value[], node.attrs, builder, node);
      if (value === undefined) continue;
      debug(6, () => `simplify: ${rule.identity}   %${node.id} ${node.name ?? ""}`);
      return [value];
    }
    return undefined;
  });
}

/** The value of every element, where `value` is a constant with equal elements (or one). */
export function splatOf(value: Value): number | undefined {
  const data = constantOf(value);
  if (data === undefined || data.bytes.byteLength === 0 || data.bytes.byteLength > 1 << 12) return undefined;
  const elements = new Tensor(data.dtype, data.shape, viewOf(data)).toArray();
  const first = elements[0] as number;
  return elements.every((element) => Object.is(element, first)) ? first : undefined;
}

function viewOf(data: { dtype: Tensor["dtype"]; shape: readonly number[]; bytes: Uint8Array }): Tensor["data"] {
  const copy = Tensor.zeros(data.dtype, data.shape);
  copy.bytes().set(data.bytes);
  return copy.data;
}

const typeOf = (value: Value): Value["type"] => value.type;
const one = (b: GraphBuilder, op: string, inputs: readonly Value[], attrs: Attrs = {}): Value =>
  b.apply(op, inputs, attrs)[0] as Value;
const scalar = (b: GraphBuilder, value: number): Value =>
  b.constant({ dtype: "f32", shape: [], bytes: Tensor.from("f32", [value], []).bytes() });

/** `x` when the other operand is the neutral element and broadcasting does not change the type of `x`. */
function neutral(x: Value | undefined, other: Value | undefined, element: number, node: Node): Value | undefined {
  if (x === undefined || other === undefined || splatOf(other) !== element) return undefined;
  return sameShape(x.type.shape, (node.outputs[0] as Value).type.shape) ? x : undefined;
}

const isIdentity = (perm: readonly number[]): boolean => perm.every((axis, i) => axis === i);

/** The input of `value` when it is made by `op`. */
const madeBy = (value: Value | undefined, op: string): Node | undefined =>
  value?.node.op === op ? value.node : undefined;

export const simplifyRules: readonly Rule[] = [
  {
    identity: "x + 0 => x",
    op: "add",
    rewrite: ([x, y], _a, _b, n) => neutral(x, y, 0, n) ?? neutral(y, x, 0, n),
    example: (b, x) => one(b, "add", [x, scalar(b, 0)]),
  },
  {
    identity: "x - 0 => x",
    op: "sub",
    rewrite: ([x, y], _a, _b, n) => neutral(x, y, 0, n),
    example: (b, x) => one(b, "sub", [x, scalar(b, 0)]),
  },
  {
    identity: "x * 1 => x",
    op: "mul",
    rewrite: ([x, y], _a, _b, n) => neutral(x, y, 1, n) ?? neutral(y, x, 1, n),
    example: (b, x) => one(b, "mul", [x, scalar(b, 1)]),
  },
  {
    identity: "x / 1 => x",
    op: "div",
    rewrite: ([x, y], _a, _b, n) => neutral(x, y, 1, n),
    example: (b, x) => one(b, "div", [x, scalar(b, 1)]),
  },
  {
    identity: "x ^ 1 => x",
    op: "pow",
    rewrite: ([x, y], _a, _b, n) => neutral(x, y, 1, n),
    example: (b, x) => one(b, "pow", [x, scalar(b, 1)]),
  },
  {
    identity: "x ^ 2 => x * x",
    op: "pow",
    rewrite: ([x, y], _a, b, n) => {
      const base = neutral(x, y, 2, n);
      return base && one(b, "mul", [base, base]);
    },
    example: (b, x) => one(b, "pow", [x, scalar(b, 2)]),
  },
  {
    identity: "x ^ 0.5 => sqrt(x)",
    op: "pow",
    rewrite: ([x, y], _a, b, n) => {
      const base = neutral(x, y, 0.5, n);
      return base && one(b, "sqrt", [base]);
    },
    example: (b, x) => one(b, "pow", [x, scalar(b, 0.5)]),
  },
  { identity: "identity(x) => x", op: "identity", rewrite: ([x]) => x, example: (b, x) => one(b, "identity", [x]) },
  {
    identity: "cast(x) => x, same dtype",
    op: "cast",
    rewrite: ([x], a) => (x?.type.dtype === a["to"] ? x : undefined),
    example: (b, x) => one(b, "cast", [x], { to: "f32" }),
  },
  {
    identity: "relu(relu(x)) => relu(x)",
    op: "relu",
    rewrite: ([x]) => (madeBy(x, "relu") ? x : undefined),
    example: (b, x) => one(b, "relu", [one(b, "relu", [x])]),
  },
  {
    identity: "reshape(x) => x, same shape",
    op: "reshape",
    rewrite: ([x], _a, _b, n) => (x && sameShape(x.type.shape, typeOf(n.outputs[0] as Value).shape) ? x : undefined),
    example: (b, x) => one(b, "reshape", [x], { shape: [3, 4] }),
  },
  {
    identity: "reshape(reshape(x)) => reshape(x)",
    op: "reshape",
    rewrite: ([x], a, b) => {
      const inner = madeBy(x, "reshape");
      return inner && one(b, "reshape", [inner.inputs[0] as Value], a);
    },
    example: (b, x) => one(b, "reshape", [one(b, "reshape", [x], { shape: [12] })], { shape: [4, 3] }),
  },
  {
    identity: "transpose(x) => x, identity order",
    op: "transpose",
    rewrite: ([x], a) => (isIdentity(a["perm"] as number[]) ? x : undefined),
    example: (b, x) => one(b, "transpose", [x], { perm: [0, 1] }),
  },
  {
    identity: "transpose(transpose(x)) => transpose(x)",
    op: "transpose",
    rewrite: ([x], a, b) => {
      const inner = madeBy(x, "transpose");
      return (
        inner &&
        one(b, "transpose", [inner.inputs[0] as Value], {
          perm: (a["perm"] as number[]).map((axis) => (inner.attrs["perm"] as number[])[axis] as number),
        })
      );
    },
    example: (b, x) => one(b, "transpose", [one(b, "transpose", [x], { perm: [1, 0] })], { perm: [1, 0] }),
  },
  {
    identity: "transpose(x) => reshape(x), only axes of size 1 move",
    op: "transpose",
    rewrite: ([x], a, b, n) =>
      x && movesOnlyUnitAxes(x, a["perm"] as number[])
        ? one(b, "reshape", [x], { shape: [...typeOf(n.outputs[0] as Value).shape] })
        : undefined,
    example: (b, x) => one(b, "transpose", [one(b, "reshape", [x], { shape: [3, 1, 4] })], { perm: [1, 0, 2] }),
  },
  {
    identity: "expand(x) => x, same shape",
    op: "expand",
    rewrite: ([x], _a, _b, n) => (x && sameShape(x.type.shape, typeOf(n.outputs[0] as Value).shape) ? x : undefined),
    example: (b, x) => one(b, "expand", [x], { shape: [3, 4] }),
  },
  {
    identity: "slice(x) => x, everything",
    op: "slice",
    rewrite: ([x], a) => (x && takesAll(x, a) ? x : undefined),
    example: (b, x) => one(b, "slice", [x], { starts: [0, 0], sizes: [3, 4], steps: [1, 1] }),
  },
  {
    identity: "pad(x) => x, by nothing",
    op: "pad",
    rewrite: ([x], a) =>
      [...(a["before"] as Dim[]), ...(a["after"] as Dim[])].every((pad) => pad === 0) ? x : undefined,
    example: (b, x) => one(b, "pad", [x], { before: [0, 0], after: [0, 0], mode: "constant", value: 0 }),
  },
  {
    identity: "concat(x) => x, one part",
    op: "concat",
    rewrite: (parts) => (parts.length === 1 ? parts[0] : undefined),
    example: (b, x) => one(b, "concat", [x], { axis: 0 }),
  },
  {
    identity: "gather(x, i) => slice(x), one constant index",
    op: "gather",
    rewrite: ([x, i], a, b, n) => (x && i ? sliceOfGather(x, i, a, b, n) : undefined),
    example: (b, x) =>
      one(b, "gather", [x, b.constant({ dtype: "i64", shape: [1], bytes: Tensor.from("i64", [-1]).bytes() })], {
        axis: 1,
      }),
  },
  {
    identity: "matmul of a vector => matmul of a matrix with one row or column",
    op: "matmul",
    rewrite: ([x, y], a, b, n) => (x && y ? vectorProduct(x, y, a, b, n) : undefined),
    example: (b, x) =>
      one(b, "matmul", [
        x,
        one(b, "reshape", [one(b, "slice", [x], { starts: [0, 0], sizes: [1, 4], steps: [1, 1] })], { shape: [4] }),
      ]),
  },
  ...["reduceSum", "reduceMean", "reduceMax", "reduceMin", "reduceProd"].map((op): Rule => ({
    identity: `${op}(x), axes dropped => reshape(${op}(x)), axes kept`,
    op,
    rewrite: ([x], a, b, n) =>
      x === undefined || a["keepDims"] === true
        ? undefined
        : one(b, "reshape", [one(b, op, [x], { ...a, keepDims: true })], {
            shape: [...typeOf(n.outputs[0] as Value).shape],
          }),
    example: (b, x) => one(b, op, [x], { axes: [1], keepDims: false }),
  })),
];

const rulesByOp: ReadonlyMap<string, readonly Rule[]> = Map.groupBy(simplifyRules, (rule) => rule.op);

function sliceOfGather(x: Value, indices: Value, attrs: Attrs, b: GraphBuilder, node: Node): Value | undefined {
  const index = shapeSize(indices.type.shape) === 1 ? splatOf(indices) : undefined;
  const axis = attrs["axis"] as number;
  const extent = x.type.shape[axis];
  if (index === undefined || typeof extent !== "number" || index < -extent || index >= extent) return undefined;
  const starts = x.type.shape.map((_, at) => (at === axis ? (index < 0 ? index + extent : index) : 0));
  const sizes = x.type.shape.map((dim, at) => (at === axis ? 1 : dim));
  const slice = one(b, "slice", [x], { starts, sizes, steps: sizes.map(() => 1) });
  return one(b, "reshape", [slice], { shape: [...typeOf(node.outputs[0] as Value).shape] });
}

function vectorProduct(x: Value, y: Value, attrs: Attrs, b: GraphBuilder, node: Node): Value | undefined {
  const [xShape, yShape] = [x.type.shape, y.type.shape];
  if (xShape.length > 1 && yShape.length > 1) return undefined;
  if (attrs["transposeA"] === true || attrs["transposeB"] === true) return undefined;
  const row = xShape.length === 1 ? one(b, "reshape", [x], { shape: [1, ...xShape] }) : x;
  const column = yShape.length === 1 ? one(b, "reshape", [y], { shape: [...yShape, 1] }) : y;
  return one(b, "reshape", [one(b, "matmul", [row, column])], { shape: [...typeOf(node.outputs[0] as Value).shape] });
}

function movesOnlyUnitAxes(x: Value, perm: readonly number[]): boolean {
  const kept = perm.filter((axis) => x.type.shape[axis] !== 1);
  return kept.every((axis, i) => i === 0 || axis > (kept[i - 1] as number));
}

function takesAll(x: Value, attrs: Attrs): boolean {
  const starts = attrs["starts"] as readonly Dim[];
  const sizes = attrs["sizes"] as readonly Dim[];
  const steps = attrs["steps"] as readonly number[];
  return x.type.shape.every((dim, i) => starts[i] === 0 && steps[i] === 1 && sameDim(sizes[i] as Dim, dim));
}
