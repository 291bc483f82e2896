/**
 * Statements and values of a kernel body as WGSL text.
 *
 * In: blocks of the IR. Out: indented lines. At workgroup level every invocation runs the same statements: stores are
 * done by the first one, `each` and `reduce` are shared among all. Inside them (and in kernels with one invocation per
 * task) an invocation is on its own, and `reduce` is a loop.
 */

import {
  type Block,
  type Combiner,
  type KType,
  type KValue,
  type Stmt,
  UnsupportedError,
  InternalError,
  combinerIdentity,
} from "@quern/core";
import { fit, renderPrim } from "./expression.ts";
import type { Helpers } from "./helpers.ts";
import { type BufferPlan, readElement, writeElement } from "./memory.ts";
import { type ReductionTarget, combineText, workgroupReduction } from "./reduce.ts";
import { LANE_NAMES, literal, registerOf, wgslType, withLanes } from "./types.ts";

export interface BodyContext {
  readonly helpers: Helpers;
  readonly planOf: (value: BufferPlan["buffer"]) => BufferPlan;
  /** Text of a scalar parameter or symbol. */
  readonly paramOf: (name: string) => string;
  readonly reduction: ReductionTarget;
  /** True when one invocation is one task. */
  readonly alone: boolean;
}

type Level = "workgroup" | "invocation";

export class BodyRenderer {
  readonly #context: BodyContext;
  readonly #lines: string[] = [];
  #indent = "  ";

  constructor(context: BodyContext) {
    this.#context = context;
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  line(text: string): void {
    this.#lines.push(this.#indent + text);
  }

  body(block: Block): void {
    this.#block(block, this.#context.alone ? "invocation" : "workgroup");
  }

  /** The text of a value: a literal, a parameter or a name. May be repeated. */
  text(value: KValue): string {
    const { def, type } = value;
    if (def.kind === "const") return this.#literal(type, def.value);
    if (def.kind === "param") return this.#context.paramOf(def.name);
    return `v${value.id}`;
  }

  /** An index value of constants and symbols as one expression. */
  expression(value: KValue): string {
    const { def } = value;
    if (def.kind !== "prim") return this.text(value);
    return renderPrim(
      this.#context.helpers,
      value,
      def.prim,
      def.args,
      def.args.map((arg) => this.expression(arg)),
    );
  }

  #literal(type: KType, value: number | bigint | boolean): string {
    return literal(type, value, (bits) => `${this.#context.helpers.use("f32FromBits")}(${bits})`);
  }

  #block(block: Block, level: Level): void {
    for (const statement of block) this.#statement(statement, level);
  }

  #nested(head: string, inner: () => void): void {
    this.line(`${head} {`);
    this.#indent += "  ";
    inner();
    this.#indent = this.#indent.slice(2);
    this.line("}");
  }

  #statement(statement: Stmt, level: Level): void {
    switch (statement.kind) {
      case "let": {
        const { value } = statement;
        return this.line(`let ${this.text(value)} = ${this.#definition(value)};`);
      }
      case "assign":
        return this.line(`l${statement.local.id} = ${this.text(statement.value)};`);
      case "store":
        if (level === "workgroup") return this.#nested("if (at.local == 0u)", () => this.#store(statement));
        return this.#store(statement);
      case "for": {
        const axis = this.text(statement.axis);
        const head = `for (var ${axis} = ${this.text(statement.start)}; ${axis} < ${this.text(statement.end)}; ${axis} += ${statement.step}i)`;
        return this.#nested(head, () => this.#block(statement.body, level));
      }
      case "if":
        this.#nested(`if (${this.text(statement.condition)})`, () => this.#block(statement.then, level));
        if (statement.else.length > 0) this.#nested("else", () => this.#block(statement.else, level));
        return;
      case "each":
        return this.#nested(this.#shared(statement.axis, statement.count, level), () =>
          this.#block(statement.body, "invocation"),
        );
      case "reduce":
        return this.#reduce(statement, level);
      case "barrier":
        if (level !== "workgroup")
          throw new UnsupportedError({
            op: "barrier",
            target: "wgsl",
            reason: "it must stand outside of each and reduce",
          });
        this.line("storageBarrier();");
        return this.line("workgroupBarrier();");
      case "prefetch":
        return;
      case "parallel":
        throw new InternalError("wgsl: parallel inside a task");
      case "tileStore":
      case "tileMma":
        throw new UnsupportedError({ op: statement.kind, target: "wgsl", reason: "matrix tiles are not rendered" });
    }
  }

  /** The loop of one invocation over its share of an axis, or over all of it. */
  #shared(axis: KValue, count: KValue, level: Level): string {
    const [start, step] =
      level === "workgroup" ? ["i32(at.local)", `${this.#context.reduction.workgroupSize}i`] : ["0i", "1i"];
    const name = this.text(axis);
    return `for (var ${name} = ${start}; ${name} < ${this.text(count)}; ${name} += ${step})`;
  }

  #reduce(statement: Stmt & { kind: "reduce" }, level: Level): void {
    const { result, combiner, axis, count, body, yields } = statement;
    const register = registerOf(result.type.dtype);
    const { dtype } = result.type;
    if (dtype === "f16" || dtype === "bf16") {
      throw new UnsupportedError({
        op: "reduce",
        dtype,
        target: "wgsl",
        reason: "cast to f32: partial results would be rounded differently by every target",
      });
    }
    const partial = `part${result.id}`;
    const { helpers, reduction } = this.#context;
    this.line(`var ${partial} = ${this.#identity(combiner, result.type)};`);
    this.#nested(this.#shared(axis, count, level), () => {
      this.#block(body, "invocation");
      this.line(`${partial} = ${combineText(helpers, combiner, register, partial, this.text(yields))};`);
    });
    const whole =
      level === "workgroup" ? `${workgroupReduction(helpers, combiner, register, reduction)}(${partial}, at)` : partial;
    // Narrow integers wrap at the end: every combiner agrees with itself modulo a power of two.
    this.line(`let ${this.text(result)} = ${fit(helpers, result.type, whole)};`);
  }

  #identity(combiner: Combiner, type: KType): string {
    const { dtype } = type;
    if (dtype !== "index") return this.#literal(type, combinerIdentity(combiner, dtype));
    return this.#literal({ ...type, dtype: "i32" }, combinerIdentity(combiner, "i32"));
  }

  #lane(value: KValue, lane: number): string {
    const text = this.text(value);
    if (value.type.lanes === 1) return text;
    return value.def.kind === "const"
      ? this.#literal({ ...value.type, lanes: 1 }, value.def.value)
      : `${text}.${LANE_NAMES[lane]}`;
  }

  #plan(buffer: BufferPlan["buffer"]): BufferPlan {
    return this.#context.planOf(buffer);
  }

  /** Element index of a lane of a vector access. */
  #indexOf(index: KValue, lane: number): string {
    if (index.type.lanes > 1) return this.#lane(index, lane);
    if (index.def.kind === "const") return `${Number(index.def.value) + lane}i`;
    return lane === 0 ? this.text(index) : `(${this.text(index)} + ${lane}i)`;
  }

  #store({ buffer, index, value, mask }: Stmt & { kind: "store" }): void {
    const plan = this.#plan(buffer);
    if (plan.form === "vec4") return this.line(`${plan.name}[${this.text(index)} / 4i] = ${this.text(value)};`);
    for (let lane = 0; lane < value.type.lanes; lane++) {
      const write = (): void =>
        this.line(writeElement(this.#context.helpers, plan, this.#indexOf(index, lane), this.#lane(value, lane)));
      if (mask === undefined) write();
      else this.#nested(`if (${this.#lane(mask, lane)})`, write);
    }
  }

  #load({ type, def }: KValue): string {
    if (def.kind !== "load") throw new InternalError("wgsl: not a load");
    const { buffer, index, mask, other } = def;
    const plan = this.#plan(buffer);
    if (plan.form === "vec4") return `${plan.name}[${this.text(index)} / 4i]`;
    const lanes: string[] = [];
    for (let lane = 0; lane < type.lanes; lane++) {
      const at = this.#indexOf(index, lane);
      if (mask === undefined) {
        lanes.push(readElement(plan, at));
        continue;
      }
      // Both sides of a select are computed: lanes without an element read the first one.
      const enabled = this.#lane(mask, lane);
      const zero = this.#literal({ ...type, lanes: 1 }, type.dtype === "bool" ? false : 0);
      lanes.push(
        `select(${other === undefined ? zero : this.#lane(other, lane)}, ${readElement(plan, `select(0i, ${at}, ${enabled})`)}, ${enabled})`,
      );
    }
    return type.lanes === 1 ? (lanes[0] as string) : `${wgslType(type)}(${lanes.join(", ")})`;
  }

  #definition(value: KValue): string {
    const { def, type } = value;
    const { helpers } = this.#context;
    const all = Array.from({ length: type.lanes }, (_, lane) => lane);
    switch (def.kind) {
      case "prim":
        return renderPrim(
          helpers,
          value,
          def.prim,
          def.args,
          def.args.map((arg) => this.text(arg)),
        );
      case "read":
        return `l${def.local.id}`;
      case "load":
        return this.#load(value);
      case "broadcast":
        return `${wgslType(type)}(${this.text(def.value)})`;
      case "iota": {
        const suffix = registerOf(type.dtype) === "u32" ? "u" : "i";
        return `${this.text(def.start)} + ${wgslType(type)}(${all.map((lane) => `${lane}${suffix}`).join(", ")})`;
      }
      case "horizontal": {
        const lanes = Array.from({ length: def.value.type.lanes }, (_, lane) => this.#lane(def.value, lane));
        return lanes.reduce(
          (sum, lane) => `(${combineText(helpers, def.combiner, registerOf(type.dtype), sum, lane)})`,
        );
      }
      case "shuffle": {
        const { a, b, pattern } = def;
        const picked = pattern.map((at) => (at < a.type.lanes ? this.#lane(a, at) : this.#lane(b, at - a.type.lanes)));
        return picked.length === 1 ? (picked[0] as string) : `${wgslType(type)}(${picked.join(", ")})`;
      }
      case "extract":
        return this.#lane(def.value, def.lane);
      case "intrinsic": {
        const argument = this.text(def.args[0] as KValue);
        if (def.name === "rcpApprox") return `${withLanes("f32", type.lanes)}(1.0f) / ${argument}`;
        if (def.name === "rsqrtApprox") return `inverseSqrt(${argument})`;
        throw new UnsupportedError({ op: def.name, target: "wgsl", reason: "an intrinsic of other targets" });
      }
      default:
        throw new InternalError(`wgsl: a ${def.kind} value in a let`);
    }
  }
}
