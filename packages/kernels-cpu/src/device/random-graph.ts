/**
 * Random graphs for differential tests: a few inputs, a chain of ops of mixed families, one to three outputs.
 *
 * Values stay of moderate size (bounded functions, normalised products), so that float32 errors stay far below the
 * differences a wrong kernel makes. Shapes have odd sizes, ones and now and then a zero.
 */

import { type Attrs, type DType, type Graph, GraphBuilder, Tensor, type Value } from "@quern/core";

export type Random = () => number;

const UNARY = ["relu", "tanh", "sigmoid", "abs", "neg", "erf", "softsign", "sin", "cos", "gelu", "silu", "hardSwish"];
const BINARY = ["add", "sub", "mul", "maximum", "minimum"];
const REDUCE = ["reduceSum", "reduceMean", "reduceMax", "reduceMin"];

/** A graph named by its seed, with at most `length` ops behind its inputs. */
export function randomGraph(seed: number, random: Random, length: number): Graph {
  const b = new GraphBuilder();
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const values: Value[] = [];
  const inputs = 1 + Math.floor(random() * 2);
  for (let i = 0; i < inputs; i++) values.push(b.input(`x${i}`, "f32", randomShape(random)));
  for (let i = 0; i < length; i++) {
    const x = pick(values.slice(-4));
    const next = randomOp(b, x, values, random);
    if (next !== undefined) values.push(next);
  }
  const count = 1 + Math.floor(random() * 3);
  values.slice(-count).forEach((value, i) => b.output(`y${i}`, value));
  return b.build(`random-${seed}`);
}

function randomShape(random: Random): number[] {
  const rank = 1 + Math.floor(random() * 4);
  return Array.from({ length: rank }, () => {
    const roll = random();
    if (roll < 0.02) return 0;
    if (roll < 0.2) return 1;
    return 1 + Math.floor(random() * (rank > 2 ? 9 : 37));
  });
}

function randomOp(b: GraphBuilder, x: Value, values: readonly Value[], random: Random): Value | undefined {
  const shape = x.type.shape as readonly number[];
  const rank = shape.length;
  const one = (op: string, inputs: readonly (Value | undefined)[], attrs: Attrs = {}): Value =>
    b.apply(op, inputs, attrs)[0] as Value;
  const below = (n: number): number => Math.floor(random() * n);
  const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T;
  const weights = (dims: readonly number[]): Value => {
    const size = dims.reduce((n, dim) => n * dim, 1);
    const fan = Math.max(
      1,
      dims.slice(1).reduce((n, dim) => n * dim, 1),
    );
    return constant(
      b,
      "f32",
      Array.from({ length: size }, () => (random() * 2 - 1) / Math.sqrt(fan)),
      dims,
    );
  };
  switch (below(14)) {
    case 0:
    case 1:
      return one(pick(UNARY), [x], {});
    case 2:
    case 3:
      return one(pick(BINARY), [x, broadcastable(b, x, values, random)]);
    case 4:
      return one("tanh", [
        one(pick(REDUCE), [x], {
          axes: shape.map((_, axis) => axis).filter(() => random() < 0.5),
          keepDims: random() < 0.5,
        }),
      ]);
    case 5:
      return one("transpose", [x], {
        perm: shuffled(
          shape.map((_, axis) => axis),
          random,
        ),
      });
    case 6:
      return one("reshape", [x], { shape: random() < 0.5 ? [shape.reduce((n, dim) => n * dim, 1)] : [...shape, 1] });
    case 7: {
      const starts = shape.map((dim) => below(Math.max(1, dim)));
      const sizes = shape.map((dim, axis) => below(dim - (starts[axis] as number) + 1));
      return sizes.includes(0) && random() < 0.9
        ? undefined
        : one("slice", [x], {
            starts: starts.map((start, axis) => (shape[axis] === 0 ? 0 : start)),
            sizes,
            steps: shape.map(() => 1),
          });
    }
    case 8:
      return rank === 0 ? undefined : one("concat", [x, one("neg", [x])], { axis: below(rank) });
    case 9:
      return rank === 0 ? undefined : one(random() < 0.5 ? "softmax" : "logSoftmax", [x], { axis: below(rank) });
    case 10:
      return rank === 0 || shape.includes(0)
        ? undefined
        : one("layerNorm", [x, undefined, undefined], { axis: below(rank), epsilon: 1e-3 });
    case 11: {
      if (rank < 2 || shape.at(-1) === 0) return undefined;
      return one("tanh", [one("matmul", [x, weights([shape.at(-1) as number, 1 + below(40)])])]);
    }
    case 12: {
      if (rank !== 4 || shape.includes(0)) return undefined;
      const [, channels, height, width] = shape as [number, number, number, number];
      const kernel = [1 + below(Math.min(3, height)), 1 + below(Math.min(3, width))];
      const attrs = {
        strides: [1 + below(2), 1 + below(2)],
        dilations: [1, 1],
        padsBefore: [below(2), below(2)],
        padsAfter: [below(2), below(2)],
        groups: 1,
        layout: "nchw",
      };
      return one("tanh", [one("conv", [x, weights([1 + below(20), channels, ...kernel]), undefined], attrs)]);
    }
    default:
      return shape.includes(0)
        ? undefined
        : one("pad", [x], {
            before: shape.map(() => below(3)),
            after: shape.map(() => below(3)),
            mode: "constant",
            value: 0.5,
          });
  }
}

/** A second operand: the value itself, another of equal shape, or a constant that broadcasts. */
function broadcastable(b: GraphBuilder, x: Value, values: readonly Value[], random: Random): Value {
  const shape = x.type.shape as readonly number[];
  const equal = values.filter((value) => value.type.shape.join() === shape.join());
  if (random() < 0.4) return equal[Math.floor(random() * equal.length)] ?? x;
  const dims = shape.slice(Math.floor(random() * (shape.length + 1))).map((dim) => (random() < 0.5 ? 1 : dim));
  return constant(
    b,
    "f32",
    Array.from({ length: dims.reduce((n, dim) => n * dim, 1) }, () => random() * 2 - 1),
    dims,
  );
}

function constant(b: GraphBuilder, dtype: DType, values: readonly number[], shape: readonly number[]): Value {
  return b.constant({ dtype, shape, bytes: Tensor.from(dtype, values, shape).bytes() });
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  return items
    .map((item) => ({ item, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}
