/**
 * Reference interpreter of kernels: the judge of every pass and target.
 *
 * In: a kernel of either level (`each`/`reduce`, or explicit vectors and tiles), host arrays for its buffers, values
 * for scalars and symbols. Out: the written arrays, or a `UserError` that names the statement and the enclosing axes
 * for accesses out of bounds, uninitialised reads and races. Arithmetic is exact per operation (`evaluate.ts`).
 * Slow on purpose: statements become closures over one value array.
 */

import type { DimBindings } from "../dim.ts";
import { InternalError, UserError } from "../errors.ts";
import { type Scalar, toElement } from "./element.ts";
import { COMBINER_PRIM, combinerIdentity, fmaF32, primEvaluator } from "./evaluate.ts";
import { operandsOfStatement, visitStatements } from "./finish.ts";
import { intrinsicEvaluator } from "./interpret-intrinsics.ts";
import { CheckedBuffer, type HostArray, type Strand, UNIFORM } from "./interpret-memory.ts";
import type { Block, Buffer, Def, KValue, Kernel, Stmt } from "./ir.ts";
import { printStatement } from "./print.ts";

export interface KernelInputs {
  readonly buffers: Readonly<Record<string, HostArray>>;
  readonly scalars?: Readonly<Record<string, Scalar>>;
  readonly symbols?: DimBindings;
}

export interface InterpretOptions {
  /** Runs `parallel` tasks and `each` iterations in a random order drawn from this seed. */
  readonly shuffleSeed?: number;
  /** Reports conflicting accesses of independent tasks and iterations; true by default. */
  readonly checkRaces?: boolean;
  /** GPU view: one `each` iteration sees the writes of others only after a barrier; false by default. */
  readonly workgroups?: boolean;
}

type Lanes = Scalar[];
type Step = () => void;

/** Runs `kernel` on the given arrays, in place. */
export function interpretKernel(kernel: Kernel, inputs: KernelInputs, options: InterpretOptions = {}): void {
  new Interpreter(kernel, inputs, options).run();
}

/** Pseudo-random numbers in [0, 1), the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Interpreter {
  readonly #kernel: Kernel;
  readonly #inputs: KernelInputs;
  readonly #options: InterpretOptions;
  /** Values by id: a `Scalar`, or an array of them for vectors and tiles. */
  readonly #values: unknown[] = [];
  readonly #locals: unknown[] = [];
  readonly #buffers = new Map<number, CheckedBuffer>();
  readonly #strand: Strand = { task: 0, phase: 0, iteration: UNIFORM };
  readonly #random: (() => number) | undefined;
  readonly #axes: KValue[] = [];
  #tasks = 0;

  constructor(kernel: Kernel, inputs: KernelInputs, options: InterpretOptions) {
    this.#kernel = kernel;
    this.#inputs = inputs;
    this.#options = options;
    this.#random = options.shuffleSeed === undefined ? undefined : seededRandom(options.shuffleSeed);
    const { symbols = {} } = inputs;
    for (const buffer of [...kernel.buffers, ...kernel.scratch]) {
      const array = buffer.space === "global" ? inputs.buffers[buffer.name] : undefined;
      this.#buffers.set(buffer.id, new CheckedBuffer(buffer, array, symbols, this.#strand, options.checkRaces ?? true));
    }
    visitStatements(kernel.body, (statement) => {
      for (const operand of operandsOfStatement(statement)) this.#prepare(operand);
      if (statement.kind === "reduce") this.#prepare(statement.yields);
    });
  }

  /** Literals and parameters have their values before the kernel starts. */
  #prepare(value: KValue): void {
    if (value.def.kind !== "const" && value.def.kind !== "param") return;
    const element = value.def.kind === "const" ? value.def.value : this.#parameter(value.def.name);
    const scalar = toElement(value.type.dtype, element);
    const size = value.type.lanes * value.type.rows;
    this.#values[value.id] = size === 1 ? scalar : new Array(size).fill(scalar);
  }

  #parameter(name: string): Scalar {
    const given = this.#inputs.scalars?.[name] ?? this.#inputs.symbols?.[name];
    if (given === undefined)
      throw new UserError(`interpretKernel: parameter "${name}" of ${this.#kernel.name} is not given`);
    return given;
  }

  run(): void {
    const steps = this.#block(this.#kernel.body);
    this.#startTask();
    runSteps(steps);
  }

  #startTask(): void {
    this.#strand.task = this.#tasks++;
    this.#strand.phase++;
    for (const buffer of this.#buffers.values()) buffer.startTask();
  }

  #block(block: Block): Step[] {
    return block.map((statement) => this.#located(statement, this.#statement(statement)));
  }

  /** Adds the statement and the values of its axes to errors. */
  #located(statement: Stmt, step: Step): Step {
    const axes = [...this.#axes];
    return () => {
      try {
        step();
      } catch (error) {
        if (!(error instanceof UserError) || error.where !== undefined) throw error;
        const at = axes.map((axis) => `%${axis.id} = ${String(this.#values[axis.id])}`).join(", ");
        throw new UserError(error.message, {
          where: `${printStatement(statement)} of kernel ${this.#kernel.name}${at === "" ? "" : `, ${at}`}`,
        });
      }
    };
  }

  #memory(buffer: Buffer): CheckedBuffer {
    const memory = this.#buffers.get(buffer.id);
    if (memory === undefined) throw new InternalError(`interpretKernel: buffer ${buffer.name} is not declared`);
    return memory;
  }

  #lanesOf(value: KValue): () => Lanes {
    const values = this.#values;
    const { id } = value;
    if (value.type.lanes === 1 && value.type.rows === 1) return () => [values[id] as Scalar];
    return () => values[id] as Lanes;
  }

  #statement(statement: Stmt): Step {
    const values = this.#values;
    switch (statement.kind) {
      case "let":
        return this.#define(statement.value);
      case "assign": {
        const { local, value } = statement;
        return () => void (this.#locals[local.id] = values[value.id]);
      }
      case "store":
        return this.#store(statement);
      case "tileStore":
        return this.#tileStore(statement);
      case "tileMma":
        return this.#tileMma(statement);
      case "for": {
        const { axis, start, end, step } = statement;
        const body = this.#inside(axis, statement.body);
        return () => {
          const last = values[end.id] as number;
          for (let i = values[start.id] as number; i < last; i += step) {
            values[axis.id] = i;
            runSteps(body);
          }
        };
      }
      case "if": {
        const then = this.#block(statement.then);
        const otherwise = this.#block(statement.else);
        const { condition } = statement;
        return () => runSteps(values[condition.id] === true ? then : otherwise);
      }
      case "parallel": {
        const body = this.#inside(statement.axis, statement.body);
        return () => {
          for (const i of this.#order(values[statement.count.id] as number)) {
            values[statement.axis.id] = i;
            this.#startTask();
            runSteps(body);
          }
        };
      }
      case "each": {
        const body = this.#inside(statement.axis, statement.body);
        return () =>
          this.#iterations(this.#order(values[statement.count.id] as number), statement.axis, body, () => {});
      }
      case "reduce":
        return this.#reduce(statement);
      case "barrier":
        return () => void this.#strand.phase++;
      case "prefetch":
        return () => {};
    }
  }

  #inside(axis: KValue, block: Block): Step[] {
    this.#axes.push(axis);
    const steps = this.#block(block);
    this.#axes.pop();
    return steps;
  }

  #order(count: number): Iterable<number> {
    const order = Array.from({ length: Math.max(0, count) }, (_, i) => i);
    if (this.#random === undefined) return order;
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(this.#random() * (i + 1));
      const moved = order[i] as number;
      order[i] = order[j] as number;
      order[j] = moved;
    }
    return order;
  }

  /** Iterations of a nested `reduce` belong to the outer iteration. */
  #iterations(order: Iterable<number>, axis: KValue, body: Step[], after: () => void): void {
    const strand = this.#strand;
    const outer = strand.iteration;
    const nested = outer !== UNIFORM;
    if (!nested && !this.#options.workgroups) strand.phase++;
    for (const i of order) {
      this.#values[axis.id] = i;
      if (!nested) strand.iteration = i;
      runSteps(body);
      after();
    }
    strand.iteration = outer;
    if (!nested && !this.#options.workgroups) strand.phase++;
  }

  #reduce(statement: Stmt & { kind: "reduce" }): Step {
    const values = this.#values;
    const { axis, count, yields, result, combiner } = statement;
    const body = this.#inside(axis, statement.body);
    const { dtype } = yields.type;
    const combine = primEvaluator(COMBINER_PRIM[combiner], dtype, dtype) as (a: Scalar, b: Scalar) => Scalar;
    const identity = combinerIdentity(combiner, dtype);
    return () => {
      let partial = identity;
      const order = Array.from({ length: Math.max(0, values[count.id] as number) }, (_, i) => i);
      this.#iterations(order, axis, body, () => {
        partial = combine(partial, values[yields.id] as Scalar);
      });
      values[result.id] = partial;
    };
  }

  #store(statement: Stmt & { kind: "store" }): Step {
    const values = this.#values;
    const memory = this.#memory(statement.buffer);
    const { index, value, mask } = statement;
    const { lanes } = value.type;
    if (lanes === 1) {
      return () => {
        if (mask === undefined || values[mask.id] === true)
          memory.write(values[index.id] as number, values[value.id] as Scalar);
      };
    }
    const gathered = index.type.lanes > 1;
    return () => {
      const stored = values[value.id] as Lanes;
      const enabled = mask === undefined ? undefined : (values[mask.id] as Lanes);
      for (let lane = 0; lane < lanes; lane++) {
        if (enabled !== undefined && enabled[lane] !== true) continue;
        const at = gathered ? ((values[index.id] as Lanes)[lane] as number) : (values[index.id] as number) + lane;
        memory.write(at, stored[lane] as Scalar);
      }
    };
  }

  #tileStore(statement: Stmt & { kind: "tileStore" }): Step {
    const values = this.#values;
    const memory = this.#memory(statement.buffer);
    const { index, stride, value } = statement;
    const { rows, lanes } = value.type;
    return () => {
      const start = values[index.id] as number;
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < lanes; c++) {
          memory.write(
            start + r * (values[stride.id] as number) + c,
            (values[value.id] as Lanes)[r * lanes + c] as Scalar,
          );
        }
      }
    };
  }

  /** b holds `group` consecutive rows of the right operand interleaved in each of its rows. */
  #tileMma(statement: Stmt & { kind: "tileMma" }): Step {
    const { acc, a, b } = statement;
    const group = b.type.lanes / acc.type.lanes;
    const [m, n, depth] = [acc.type.rows, acc.type.lanes, a.type.lanes];
    if (a.type.rows !== m || depth !== b.type.rows * group)
      throw new UserError(`tileMma: shapes do not fit in kernel ${this.#kernel.name}`);
    const float = acc.type.dtype === "f32";
    return () => {
      const left = this.#values[a.id] as number[];
      const right = this.#values[b.id] as number[];
      const sums = this.#locals[acc.id] as number[] | undefined;
      if (sums === undefined) throw new UserError(`local ${acc.name} is read before it is assigned`);
      const next: number[] = [];
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = sums[i * n + j] as number;
          for (let p = 0; p < depth; p++) {
            const x = left[i * depth + p] as number;
            const y = right[Math.floor(p / group) * b.type.lanes + j * group + (p % group)] as number;
            sum = float ? fmaF32(x, y, sum) : (sum + Math.imul(x, y)) | 0;
          }
          next.push(sum);
        }
      }
      this.#locals[acc.id] = next;
    };
  }

  #define(value: KValue): Step {
    const values = this.#values;
    const { id, def, type } = value;
    switch (def.kind) {
      case "prim":
        return this.#prim(value, def);
      case "read":
        return () => {
          const current = this.#locals[def.local.id];
          if (current === undefined) throw new UserError(`local ${def.local.name} is read before it is assigned`);
          values[id] = current;
        };
      case "load":
        return this.#load(value, def);
      case "broadcast":
        return () => void (values[id] = new Array(type.lanes).fill(values[def.value.id]));
      case "iota": {
        const big = type.dtype === "i64" || type.dtype === "u64";
        const offsets = Array.from({ length: type.lanes }, (_, lane) => (big ? BigInt(lane) : lane));
        const add = primEvaluator("add", type.dtype, type.dtype) as (a: Scalar, b: Scalar) => Scalar;
        return () => void (values[id] = offsets.map((offset) => add(values[def.start.id] as Scalar, offset)));
      }
      case "horizontal": {
        const combine = primEvaluator(COMBINER_PRIM[def.combiner], type.dtype, type.dtype) as (
          a: Scalar,
          b: Scalar,
        ) => Scalar;
        // By halves, as targets do it.
        return () => {
          let lanes = values[def.value.id] as Lanes;
          while (lanes.length > 1) {
            const half = lanes.length / 2;
            lanes = lanes.slice(0, half).map((lane, i) => combine(lane, lanes[half + i] as Scalar));
          }
          values[id] = lanes[0];
        };
      }
      case "shuffle": {
        const [a, b] = [this.#lanesOf(def.a), this.#lanesOf(def.b)];
        const pick = (lanes: Lanes): unknown => (type.lanes === 1 ? lanes[0] : lanes);
        return () => {
          const both = [...a(), ...b()];
          values[id] = pick(def.pattern.map((at) => both[at] as Scalar));
        };
      }
      case "extract":
        return () => void (values[id] = (values[def.value.id] as Lanes)[def.lane]);
      case "tileLoad": {
        const memory = this.#memory(def.buffer);
        return () => {
          const tile: Lanes = [];
          for (let r = 0; r < type.rows; r++) {
            const row = (values[def.index.id] as number) + r * (values[def.stride.id] as number);
            for (let c = 0; c < type.lanes; c++) tile.push(memory.read(row + c));
          }
          values[id] = tile;
        };
      }
      case "intrinsic":
        return this.#intrinsic(value, def);
      default:
        throw new InternalError(`interpretKernel: a ${def.kind} value in a let`);
    }
  }

  #prim(value: KValue, def: Def & { kind: "prim" }): Step {
    const values = this.#values;
    const { id, type } = value;
    const [a, b, c] = def.args.map((arg) => arg.id) as [number, number, number];
    const operand = def.args.at(-1) as KValue;
    const f = primEvaluator(def.prim, operand.type.dtype, type.dtype) as (...args: Scalar[]) => Scalar;
    const count = def.args.length;
    if (type.lanes === 1) {
      if (count === 1) return () => void (values[id] = f(values[a] as Scalar));
      if (count === 2) return () => void (values[id] = f(values[a] as Scalar, values[b] as Scalar));
      return () => void (values[id] = f(values[a] as Scalar, values[b] as Scalar, values[c] as Scalar));
    }
    return () => {
      const x = values[a] as Lanes;
      const y = count > 1 ? (values[b] as Lanes) : x;
      const z = count > 2 ? (values[c] as Lanes) : x;
      const result: Lanes = [];
      for (let lane = 0; lane < type.lanes; lane++)
        result.push(f(x[lane] as Scalar, y[lane] as Scalar, z[lane] as Scalar));
      values[id] = result;
    };
  }

  #load(value: KValue, def: Def & { kind: "load" }): Step {
    const values = this.#values;
    const { id, type } = value;
    const memory = this.#memory(def.buffer);
    const { index, mask, other } = def;
    const zero = toElement(type.dtype, 0);
    if (type.lanes === 1) {
      return () => {
        const enabled = mask === undefined || values[mask.id] === true;
        values[id] = enabled ? memory.read(values[index.id] as number) : other === undefined ? zero : values[other.id];
      };
    }
    const gathered = index.type.lanes > 1;
    return () => {
      const enabled = mask === undefined ? undefined : (values[mask.id] as Lanes);
      const result: Lanes = [];
      for (let lane = 0; lane < type.lanes; lane++) {
        if (enabled === undefined || enabled[lane] === true) {
          const at = gathered ? ((values[index.id] as Lanes)[lane] as number) : (values[index.id] as number) + lane;
          result.push(memory.read(at));
        } else {
          result.push(other === undefined ? zero : ((values[other.id] as Lanes)[lane] as Scalar));
        }
      }
      values[id] = result;
    };
  }

  #intrinsic({ id, type }: KValue, def: Def & { kind: "intrinsic" }): Step {
    const args = def.args.map((arg) => this.#lanesOf(arg));
    const evaluate = intrinsicEvaluator(def.name, type.lanes);
    return () => {
      const lanes = evaluate(args.map((lanesOf) => lanesOf()));
      this.#values[id] = type.lanes === 1 ? lanes[0] : lanes;
    };
  }
}

function runSteps(steps: readonly Step[]): void {
  for (const step of steps) step();
}
