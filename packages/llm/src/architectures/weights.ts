/**
 * Tensors of a GGUF file as constants of a graph, each checked against the shape that the hyperparameters ask for.
 *
 * In: names and shapes. Out: constants on the file's memory, in its encoding. What is missing, misshapen or left over is
 * collected and said in one error, so an architecture asks for its tensors while it builds: in the place of one that does
 * not fit a stand-in of the right type goes into the graph, which is then never used.
 */

import { type ConstantData, type GraphScope, UserError, type Var, rowsOf } from "@quern/core";
import { type GgufFile, type GgufTensor, tensorData } from "@quern/importers/gguf";

type Shape = readonly number[];

const PROBLEMS_SHOWN = 12;
/** A file with so many problems is looked at no further. */
const MOST_PROBLEMS = 500;

/** Tables that old converters wrote although they follow from the metadata. */
const IGNORED = /(^|\.)(attn_rot_embd|rotary_emb\.inv_freq)(\.weight)?$/;

/** What all views of the weights of one file share. */
class Table {
  readonly file: GgufFile;
  readonly scope: GraphScope;
  readonly architecture: string;
  readonly problems: string[] = [];
  readonly #asked = new Set<string>();
  readonly #data = new Map<string, ConstantData>();
  #standIns = 0;

  constructor(file: GgufFile, scope: GraphScope, architecture: string) {
    this.file = file;
    this.scope = scope;
    this.architecture = architecture;
  }

  ask(name: string): GgufTensor | undefined {
    this.#asked.add(name);
    return this.file.tensors.get(name);
  }

  /** The constant, or undefined when a problem was noted. */
  constant(name: string, shape: Shape): ConstantData | undefined {
    const tensor = this.ask(name);
    const expected = `[${shape.join(", ")}] is expected`;
    if (tensor === undefined) this.problems.push(`${name} is missing, ${expected}`);
    else if (tensor.shape.length !== shape.length || tensor.shape.some((size, axis) => size !== shape[axis]))
      this.problems.push(`${name} is [${tensor.shape.join(", ")}], ${expected}`);
    else return this.#stored(tensor);
    if (this.problems.length >= MOST_PROBLEMS) this.refuse(this.problems);
    return undefined;
  }

  refuse(problems: readonly string[]): never {
    const shown = problems.slice(0, PROBLEMS_SHOWN);
    if (problems.length > shown.length) shown.push(`and ${problems.length - shown.length} more`);
    throw new UserError(
      `the tensors do not fit the metadata of architecture "${this.architecture}":\n  ${shown.join("\n  ")}`,
      {
        where: this.file.name,
        hint: "the file is damaged, or holds a variant of the architecture that is not supported",
      },
    );
  }

  standIn(shape: Shape): Var {
    return this.scope.input(`weights.${this.#standIns++}`, "f32", shape);
  }

  unexpected(): string[] {
    return [...this.file.tensors.keys()].filter((name) => !this.#asked.has(name) && !IGNORED.test(name));
  }

  #stored(tensor: GgufTensor): ConstantData {
    const { name, shape, type, bytes, littleEndian } = tensor;
    let data = this.#data.get(name);
    if (data === undefined) {
      const plain = { dtype: "f32", shape } as const;
      if (type.name === "F32" && littleEndian) data = { ...plain, bytes };
      else if (littleEndian) data = { ...plain, bytes, encoding: type };
      // Graphs are little endian.
      else data = { ...plain, bytes: new Uint8Array(tensorData(this.file, name).buffer) };
      this.#data.set(name, data);
    }
    return data;
  }
}

export class Weights {
  readonly #table: Table;
  readonly #prefix: string;

  private constructor(table: Table, prefix: string) {
    this.#table = table;
    this.#prefix = prefix;
  }

  /** The weights of `file`, a model of `architecture`, for a graph in the making. */
  static of(file: GgufFile, scope: GraphScope, architecture: string): Weights {
    return new Weights(new Table(file, scope, architecture), "");
  }

  get scope(): GraphScope {
    return this.#table.scope;
  }

  /** Those whose names begin with `blk.<index>.`, to be asked for without it. */
  block(index: number): Weights {
    return new Weights(this.#table, `blk.${index}.`);
  }

  has(name: string): boolean {
    return this.#table.file.tensors.has(this.#prefix + name);
  }

  /** The tensor, f32 of `shape`, outermost axis first. */
  get(name: string, shape: Shape): Var {
    const data = this.#table.constant(this.#prefix + name, shape);
    return data === undefined ? this.#table.standIn(shape) : this.scope.weights(data);
  }

  /** The tensor, or undefined where the file has none. */
  find(name: string, shape: Shape): Var | undefined {
    return this.has(name) ? this.get(name, shape) : undefined;
  }

  /** A matrix that holds several on top of each other, with `rows` rows each and `columns` columns, as views on its memory. */
  stacked(name: string, rows: readonly number[], columns: number): Var[] {
    const total = rows.reduce((sum, count) => sum + count, 0);
    const data = this.#table.constant(this.#prefix + name, [total, columns]);
    let first = 0;
    return rows.map((count) => {
      first += count;
      return data === undefined
        ? this.#table.standIn([count, columns])
        : this.scope.weights(rowsOf(data, first - count, count));
    });
  }

  /** The elements of a small tensor from which constants are computed, or undefined where the file has none. */
  numbers(name: string, shape: Shape): Float32Array | undefined {
    const { file } = this.#table;
    const full = this.#prefix + name;
    if (!this.has(name) || this.#table.constant(full, shape) === undefined) return undefined;
    return tensorData(file, full);
  }

  /** Notes that a tensor belongs to the model although this graph does not use it. */
  skip(name: string): void {
    this.#table.ask(this.#prefix + name);
  }

  /** Names the nodes that `build` makes after a tensor, for reports and errors. */
  named<T>(name: string, build: () => T): T {
    const { builder } = this.scope;
    const outer = builder.sourceName;
    builder.sourceName = this.#prefix + name;
    const result = build();
    builder.sourceName = outer;
    return result;
  }

  /**
   * Called when all tensors were asked for. Throws a `UserError` with every tensor that is missing, misshapen or left over.
   */
  throwProblems(): void {
    const table = this.#table;
    const unexpected = table.unexpected().map((name) => `${name} does not belong to this architecture`);
    const all = [...table.problems, ...unexpected];
    if (all.length > 0) table.refuse(all);
  }
}
