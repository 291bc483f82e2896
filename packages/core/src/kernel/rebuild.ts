/**
 * Copies a kernel statement by statement into a new builder: the base of passes on kernels.
 *
 * In: a kernel. Out: an equal kernel, simplified once more by recording it. Passes override `statement` (or the
 * methods it calls) for what they change, and `values` maps old values to new ones.
 */

import { InternalError } from "../errors.ts";
import { KernelBuilder } from "./builder.ts";
import { visitStatements } from "./finish.ts";
import type { Block, KValue, Kernel, Local, Stmt } from "./ir.ts";

export class Rebuilder {
  readonly kernel: Kernel;
  readonly k: KernelBuilder;
  readonly values: Map<KValue, KValue> = new Map();
  readonly locals: Map<Local, Local> = new Map();

  constructor(kernel: Kernel, k: KernelBuilder = new KernelBuilder(kernel.name)) {
    this.kernel = kernel;
    this.k = k;
  }

  /** The copy of the whole kernel. */
  run(): Kernel {
    this.k.adopt(this.kernel);
    this.block(this.kernel.body);
    return this.k.finish();
  }

  /** The new value for an old one. */
  value(value: KValue): KValue {
    if (value.def.kind === "const") return this.k.const(value.type, value.def.value);
    if (value.def.kind === "param") return this.k.param(value.def.name);
    const known = this.values.get(value);
    if (known === undefined)
      throw new InternalError(`kernel ${this.kernel.name}: %${value.id} is used before it is rebuilt`);
    return known;
  }

  optional(value: KValue | undefined): KValue | undefined {
    return value === undefined ? undefined : this.value(value);
  }

  local(local: Local): Local {
    let known = this.locals.get(local);
    if (known === undefined) {
      known = this.k.local(local.name, local.type);
      this.locals.set(local, known);
    }
    return known;
  }

  /** Rebuilds the body of an `each` or `reduce`; every copy has locals of its own for those that the body assigns. */
  elementBody(body: Block, record: () => void = () => this.block(body)): void {
    const forget = (): void =>
      visitStatements(body, (statement) => {
        if (statement.kind === "assign") this.locals.delete(statement.local);
      });
    forget();
    record();
    forget();
  }

  block(block: Block): void {
    for (const statement of block) this.statement(statement);
  }

  statement(statement: Stmt): void {
    const { k } = this;
    switch (statement.kind) {
      case "let":
        this.values.set(statement.value, this.define(statement.value));
        return;
      case "assign":
        return k.assign(this.local(statement.local), this.value(statement.value));
      case "store":
        return k.store(statement.buffer, this.value(statement.index), this.value(statement.value), {
          mask: this.optional(statement.mask),
        });
      case "tileStore":
        return k.tileStore(
          statement.buffer,
          this.value(statement.index),
          this.value(statement.stride),
          this.value(statement.value),
        );
      case "tileMma":
        return k.tileMma(this.local(statement.acc), this.value(statement.a), this.value(statement.b));
      case "for": {
        const { step, unroll } = statement;
        return k.for({ start: this.value(statement.start), end: this.value(statement.end), step, unroll }, (axis) => {
          this.values.set(statement.axis, axis);
          this.block(statement.body);
        });
      }
      case "if":
        return k.if(
          this.value(statement.condition),
          () => this.block(statement.then),
          () => this.block(statement.else),
        );
      case "parallel":
        return k.parallel(this.value(statement.count), (axis) => {
          this.values.set(statement.axis, axis);
          this.block(statement.body);
        });
      case "each":
        return k.each(this.value(statement.count), (axis) => {
          this.values.set(statement.axis, axis);
          this.elementBody(statement.body);
        });
      case "reduce": {
        const result = k.reduce(statement.combiner, this.value(statement.count), (axis) => {
          this.values.set(statement.axis, axis);
          this.elementBody(statement.body);
          return this.value(statement.yields);
        });
        this.values.set(statement.result, result);
        return;
      }
      case "barrier":
        return k.barrier();
      case "prefetch":
        return k.prefetch(statement.buffer, this.value(statement.index), statement.level);
    }
  }

  /** Records the definition of `value` on the new operands. */
  define(value: KValue): KValue {
    const { k } = this;
    const { def, type } = value;
    switch (def.kind) {
      case "prim":
        return k.prim(
          def.prim,
          def.args.map((arg) => this.value(arg)),
          type,
        );
      case "read":
        return k.read(this.local(def.local));
      case "load":
        return k.load(def.buffer, this.value(def.index), {
          lanes: type.lanes,
          mask: this.optional(def.mask),
          other: this.optional(def.other),
        });
      case "broadcast":
        return k.broadcast(this.value(def.value), type.lanes);
      case "iota":
        return k.iota(this.value(def.start), type.lanes);
      case "horizontal":
        return k.horizontal(def.combiner, this.value(def.value));
      case "shuffle":
        return k.shuffle(this.value(def.a), this.value(def.b), def.pattern);
      case "extract":
        return k.extract(this.value(def.value), def.lane);
      case "tileLoad":
        return k.tileLoad(def.buffer, this.value(def.index), this.value(def.stride), {
          rows: type.rows,
          lanes: type.lanes,
        });
      case "intrinsic":
        return k.intrinsic(
          def.name,
          def.args.map((arg) => this.value(arg)),
          type,
        );
      default:
        throw new InternalError(`kernel ${this.kernel.name}: a ${def.kind} value in a let`);
    }
  }
}
