/**
 * Quantises the weights of any graph: constant matrices of linear layers and tables of embeddings become constants stored
 * in blocks.
 *
 * In: a graph as imported or built. Out: the same graph where `matmul(x, W)` with a constant W of [K, N], or [N, K] with
 * transposeB, is `matmul(x, W', { transposeB: true })` with W' [N, K] in blocks along K, and where `gather(W, ids)` on axis 0
 * reads rows in blocks. That is the form in which kernels read blocks; a device without such kernels decodes the constants.
 * It is no part of the pipeline, since it changes what the graph computes: whoever loads a model asks for it.
 */

import { isStatic } from "../dim.ts";
import type { BlockType } from "../encoding/block.ts";
import { encodeWeights, encodingForRows, weightEncodingNamed } from "../encoding/weight-encodings.ts";
import { constantBytes, decodeConstant } from "../encoding/encoded.ts";
import { UserError } from "../errors.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import type { ConstantData, Graph, Node, Value } from "../graph/graph.ts";
import { rewriteGraph } from "../graph/rewrite.ts";
import { elementCount } from "../runtime/tensor.ts";
import { evaluateConstantNode } from "../runtime/reference.ts";
import { constantOf } from "./fold-constants.ts";
import { transposeConstant } from "./move-constant.ts";

/** What is known of a matrix of weights before it is quantised. */
export interface WeightFacts {
  /** What reads it. A matrix that several nodes read is described, and quantised, at the first of them. */
  readonly op: "matmul" | "gather";
  /** Name of that node in the source model, or nothing. */
  readonly name: string;
  /** Outputs of a linear layer; entries of a table. */
  readonly rows: number;
  /** Inputs of a linear layer, along which blocks lie; width of a table. */
  readonly columns: number;
}

/** One encoding for all weights, by name in any case ("Q4_K"), or a choice for each; undefined leaves the matrix as it is. */
export type EncodingChoice = string | BlockType | ((weight: WeightFacts) => string | BlockType | undefined);

export interface QuantiseOptions {
  /** Matrices with fewer weights stay as they are: they decide much and weigh little. Default: 16384. */
  readonly minWeights?: number;
  /** The option that the choice came from, for errors. */
  readonly where?: string;
}

export interface QuantisedWeight extends WeightFacts {
  /** Name of the encoding. */
  readonly encoding: string;
  /** The one that was chosen, where its blocks do not fill rows of this size. */
  readonly insteadOf?: string;
  /** Root mean square of the differences over that of the weights. */
  readonly error: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

export interface KeptWeight extends WeightFacts {
  readonly reason: string;
}

export interface QuantiseReport {
  readonly quantised: readonly QuantisedWeight[];
  /** Matrices that stayed as they were. */
  readonly kept: readonly KeptWeight[];
  /** Of the quantised matrices. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

export interface QuantisedGraph {
  readonly graph: Graph;
  readonly report: QuantiseReport;
}

const MIN_WEIGHTS = 1 << 14;

/**
 * The graph with its weights quantised, those of sub-graphs too. Where blocks do not fill the rows of a matrix, an encoding
 * with smaller blocks takes its place (Q4_K: Q5_0), or the matrix stays. Throws a `UserError` listing the encodings for a name
 * that is none. The bytes of the given graph are not changed, and still used by what was not quantised.
 */
export function quantiseWeights(graph: Graph, choice: EncodingChoice, options: QuantiseOptions = {}): QuantisedGraph {
  const quantiser = new Quantiser(choice, options);
  const rewritten = rewriteGraph(graph, ({ op, attrs, name = "" }, inputs, builder) => {
    if (op === "matmul") return linear(quantiser, builder, name, inputs as readonly [Value, Value], attrs);
    if (op === "gather" && (attrs["axis"] ?? 0) === 0)
      return rows(quantiser, builder, name, inputs as readonly [Value, Value], attrs);
    return undefined;
  });
  return { graph: rewritten, report: quantiser.report() };
}

function linear(
  quantiser: Quantiser,
  b: GraphBuilder,
  name: string,
  [x, w]: readonly [Value, Value],
  attrs: Node["attrs"],
): readonly Value[] | undefined {
  const rank = x.type.shape.length;
  const stored = rank === 0 || foldsAway(x) ? undefined : matrixOf(w, rank);
  if (stored === undefined) return undefined;
  const rowsFirst = stored.transposed !== (attrs["transposeB"] === true);
  const encoded = quantiser.quantise({ op: "matmul", name }, stored.data, rowsFirst);
  if (encoded === undefined) return undefined;
  const weights = b.constant(encoded);
  const product = (left: Value): Value => b.apply("matmul", [left, weights], { transposeB: true })[0] as Value;
  if (rank === 1) {
    const row = b.apply("reshape", [x], { shape: [1, ...x.type.shape] })[0] as Value;
    return b.apply("reshape", [product(row)], { shape: [encoded.shape[0] as number] });
  }
  if (attrs["transposeA"] !== true) return [product(x)];
  const perm = x.type.shape.map((_, axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis));
  return [product(b.apply("transpose", [x], { perm })[0] as Value)];
}

function rows(
  quantiser: Quantiser,
  b: GraphBuilder,
  name: string,
  [table, ids]: readonly [Value, Value],
  attrs: Node["attrs"],
): readonly Value[] | undefined {
  const stored = foldsAway(ids) ? undefined : matrixOf(table, 2);
  if (stored === undefined) return undefined;
  const encoded = quantiser.quantise({ op: "gather", name }, stored.data, !stored.transposed);
  return encoded === undefined ? undefined : b.apply("gather", [b.constant(encoded), ids], attrs);
}

/** True for what is computed when the graph is compiled. */
const foldsAway = (value: Value): boolean => constantOf(value) !== undefined;

interface StoredMatrix {
  readonly data: ConstantData;
  /** The last two axes are to be exchanged. */
  readonly transposed: boolean;
}

/**
 * The constant of two axes that `value` is, seen through what exporters leave between a weight and its use. Leading axes
 * of size 1 are dropped where the other operand, of `rank` axes, has at least as many.
 */
function matrixOf(value: Value, rank: number): StoredMatrix | undefined {
  const { node, type } = value;
  const { shape } = type;
  if (shape.length < 2 || shape.includes(0)) return undefined;
  if (shape.length > 2 && (shape.length > rank || !shape.slice(0, -2).every((dim) => dim === 1))) return undefined;
  const data = constantOf(value);
  if (data !== undefined) return { data: { ...data, shape: data.shape.slice(-2) }, transposed: false };
  const [source] = node.inputs;
  if (source === undefined) return undefined;
  if (node.op === "identity") return matrixOf(source, rank);
  if (node.op === "transpose") {
    const perm = node.attrs["perm"] as readonly number[];
    const last = perm.length - 1;
    const swaps = perm.every((axis, at) => axis === (at < last - 1 ? at : 2 * last - 1 - at));
    const inner = swaps ? matrixOf(source, rank) : undefined;
    return inner && { ...inner, transposed: !inner.transposed };
  }
  if (node.op !== "cast" && node.op !== "reshape") return undefined;
  const operand = constantOf(source);
  if (operand === undefined || operand.encoding !== undefined || !isStatic(shape)) return undefined;
  return { data: { ...evaluated(node, operand), shape: shape.slice(-2) as number[] }, transposed: false };
}

const evaluations = new WeakMap<Node, ConstantData>();

/** Evaluated once, so that all uses of the node share the memory. */
function evaluated(node: Node, operand: ConstantData): ConstantData {
  let data = evaluations.get(node);
  if (data === undefined) {
    data = node.op === "reshape" ? operand : (evaluateConstantNode(node, [operand])[0] as ConstantData);
    evaluations.set(node, data);
  }
  return data;
}

/** Quantises each matrix once, however many nodes read it, and keeps the books. */
class Quantiser {
  readonly #choice: (weight: WeightFacts) => BlockType | undefined;
  readonly #minWeights: number;
  readonly #made = new Map<Uint8Array, Map<string, ConstantData | undefined>>();
  readonly #quantised: QuantisedWeight[] = [];
  readonly #kept: KeptWeight[] = [];

  constructor(choice: EncodingChoice, { minWeights = MIN_WEIGHTS, where }: QuantiseOptions) {
    const named = (encoding: string | BlockType): BlockType =>
      weightEncodingNamed(typeof encoding === "string" ? encoding : encoding.name, where);
    if (typeof choice === "function") {
      this.#choice = (weight) => {
        const encoding = choice(weight);
        return encoding === undefined ? undefined : named(encoding);
      };
    } else {
      const encoding = named(choice);
      this.#choice = () => encoding;
    }
    this.#minWeights = minWeights;
  }

  /** The matrix [rows, columns] in blocks along the columns, or undefined where it stays. Without `rowsFirst`, `data` is [columns, rows]. */
  quantise(use: Pick<WeightFacts, "op" | "name">, data: ConstantData, rowsFirst: boolean): ConstantData | undefined {
    let made = this.#made.get(data.bytes);
    if (made === undefined) this.#made.set(data.bytes, (made = new Map()));
    const key = `${data.dtype}[${data.shape.join()}]${rowsFirst}`;
    if (made.has(key)) return made.get(key);
    const [rows, columns] = (rowsFirst ? data.shape : data.shape.toReversed()) as [number, number];
    const result = this.#encode({ ...use, rows, columns }, data, rowsFirst);
    made.set(key, result);
    return result;
  }

  #encode(facts: WeightFacts, data: ConstantData, rowsFirst: boolean): ConstantData | undefined {
    const { rows, columns } = facts;
    const keep = (reason: string): undefined => {
      this.#kept.push({ ...facts, reason });
    };
    if (data.dtype !== "f32") return keep(`the weights are ${data.dtype}`);
    const weights = rows * columns;
    if (weights < this.#minWeights) return keep(`${weights} weights are fewer than ${this.#minWeights}`);
    if ((data.encoding?.blockWeights ?? 1) > 1) return keep(`stored as ${data.encoding!.name} already`);
    const wanted = this.#choice(facts);
    if (wanted === undefined) return keep("not chosen");
    const type = encodingForRows(wanted, columns);
    if (type === undefined)
      return keep(`rows of ${columns} weights are no multiple of a block of ${wanted.name} (${wanted.blockWeights})`);
    const plain = decodeConstant(data);
    const turned = rowsFirst ? plain : transposeConstant(plain, [1, 0]);
    try {
      const { bytes, error } = encodeWeights(type, floatsOf(turned));
      this.#quantised.push({
        ...facts,
        encoding: type.name,
        ...(type === wanted ? {} : { insteadOf: wanted.name }),
        error,
        bytesBefore: constantBytes(data),
        bytesAfter: bytes.byteLength,
      });
      return { dtype: "f32", shape: [rows, columns], bytes, encoding: type };
    } catch (cause) {
      if (!(cause instanceof UserError)) throw cause;
      return keep(cause.message.split("\n")[0] as string);
    }
  }

  report(): QuantiseReport {
    const sum = (pick: (weight: QuantisedWeight) => number): number =>
      this.#quantised.reduce((total, weight) => total + pick(weight), 0);
    return {
      quantised: this.#quantised,
      kept: this.#kept,
      bytesBefore: sum((weight) => weight.bytesBefore),
      bytesAfter: sum((weight) => weight.bytesAfter),
    };
  }
}

/** The elements, on the same memory where that is aligned. */
function floatsOf({ bytes, shape }: ConstantData): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Float32Array(aligned.buffer, aligned.byteOffset, elementCount(shape));
}
