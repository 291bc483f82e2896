/**
 * A kernel site: one node of the fused graph as kernels see it, whether it is a group or a single op.
 *
 * `GroupKernel` is what hand-written kernels build on: it declares buffers together with the operands they are bound
 * to, and computes the pointwise work behind the anchor (the epilogue) on vectors or scalars.
 */

import { type Dim, shapeSize } from "../dim.ts";
import { DTYPE_INFO, type DType } from "../dtype.ts";
import { invariant } from "../errors.ts";
import { GraphBuilder } from "../graph/builder.ts";
import { type ConstantData, type Graph, type Node, type Value, isGraph } from "../graph/graph.ts";
import { copyNode } from "../graph/rewrite.ts";
import { KernelBuilder } from "../kernel/builder.ts";
import type { Access, Buffer, KValue } from "../kernel/ir.ts";
import { printGraph } from "../graph/print.ts";
import { constantOf } from "../passes/fold-constants.ts";
import { isPointwise, isView } from "../passes/fuse.ts";
import { BodyEmitter, type Place, flatten, storeAs } from "./body.ts";
import type { MatmulPrecision } from "../runtime/device.ts";
import type { Launch, Temporary } from "./launch.ts";
import { type OperandRecipe, type Packer, type PackingArgs, launchFor, packData, sourceOf } from "./recipe.ts";

export interface KernelSite {
  /** The node of the fused graph. */
  readonly node: Node;
  /** The group's body, or a body with the single op. Its inputs are `operands`, its outputs the node's outputs. */
  readonly body: Graph;
  /** The op inside the body that decides the kernel; the last op where all are pointwise or views. */
  readonly anchor: Node;
  readonly operands: readonly Value[];
}

export function siteOf(node: Node): KernelSite {
  const body = isGraph(node.attrs["body"]) && node.op === "group" ? node.attrs["body"] : bodyOf(node);
  const anchor = body.nodes.find(
    (inner) => inner.op !== "input" && inner.op !== "constant" && !isPointwise(inner) && !isView(inner),
  );
  const last = body.nodes.at(-1);
  invariant(last !== undefined, "a kernel site without nodes");
  return { node, body, anchor: anchor ?? last, operands: node.inputs.filter((input) => input !== undefined) };
}

/** A body around one op; absent optional inputs stay absent. */
function bodyOf(node: Node): Graph {
  const builder = new GraphBuilder();
  const inputs = node.inputs.map((input, i) => input && builder.input(`x${i}`, input.type.dtype, input.type.shape));
  copyNode(builder, node, inputs).forEach((output, i) => builder.output(`y${i}`, output));
  return builder.build(node.op);
}

/** The graph value bound to an input of the body. */
export function operandOf(site: KernelSite, input: Value): Value {
  const at = site.body.inputs.findIndex(({ value }) => value === input);
  const operand = site.operands[at];
  invariant(
    operand !== undefined,
    () => `${site.body.name}: the result of ${input.node.op} is not an input of the body`,
  );
  return operand;
}

/** The data of a body value where it is a constant of the graph or the body. */
export function siteConstant(site: KernelSite, value: Value | undefined): ConstantData | undefined {
  if (value === undefined) return undefined;
  return constantOf(value.node.op === "input" ? operandOf(site, value) : value);
}

/** Constants of up to this many bytes may decide how a kernel is made, and are part of the signature. */
const SMALL_CONSTANT = 64;

/**
 * Text that is equal for sites whose kernels have the same code: the body without source names, and which operands are
 * constants. Large constants count as data.
 */
export function siteSignature(site: KernelSite): string {
  const operands = site.operands.map((operand) => {
    const data = constantOf(operand);
    if (data === undefined) return "v";
    if (data.encoding !== undefined) return `c ${data.encoding.name}`;
    return data.bytes.byteLength <= SMALL_CONSTANT ? `c${data.bytes.join(" ")}` : "c";
  });
  return `${operands.join(";")}\n${printGraph(site.body, { constants: [] }, { sourceNames: false })}`;
}

export interface LaunchFacts {
  readonly decision: string;
  readonly flops?: Dim;
  readonly bytes?: Dim;
  readonly precision?: MatmulPrecision;
  readonly scalars?: Readonly<Record<string, number>>;
}

/** One kernel of a site under construction. */
export class GroupKernel {
  readonly k: KernelBuilder;
  readonly site: KernelSite;
  readonly #recipes: OperandRecipe[] = [];
  readonly #inputs = new Map<Value, Buffer>();
  readonly #outputs = new Map<number, Buffer>();
  readonly #tables = new Map<string, Buffer>();
  readonly #packed = new Map<string, Buffer>();
  readonly #temporaries = new Map<Temporary, Buffer>();
  readonly #emitter: BodyEmitter;

  constructor(name: string, site: KernelSite) {
    this.k = new KernelBuilder(name);
    this.site = site;
    this.#emitter = new BodyEmitter(this.k, (input) => this.input(input));
  }

  /**
   * The buffer of a body input or of a constant inside the body, declared when first asked for; `as` another dtype of the
   * same size, for kernels that only move elements. Kernels write none but the state that their node updates.
   */
  input(value: Value, as: DType = value.type.dtype, access: Access = "read"): Buffer {
    let buffer = this.#inputs.get(value);
    if (buffer === undefined) {
      const source = sourceOf(this.site, value);
      invariant(
        source.kind === "operand" || constantOf(value) !== undefined,
        () => `${this.site.body.name}: the result of ${value.node.op} is not an input of the body`,
      );
      buffer = this.#declare(`x${this.#inputs.size}`, as, shapeSize(value.type.shape), access, source);
      this.#inputs.set(value, buffer);
    }
    return buffer;
  }

  /**
   * The constant `value` of the body in the kernel's own layout, which `packer` makes when the program is made. What is
   * packed on the device is seen as elements of type `as`, and may be seen as several. Declared when first asked for.
   */
  packed<Args extends PackingArgs>(
    name: string,
    value: Value,
    packer: Packer<Args>,
    args: Args,
    as: DType = "u8",
  ): Buffer {
    const known = this.#packed.get(`${name} ${as}`);
    if (known !== undefined) return known;
    const data = siteConstant(this.site, value);
    invariant(data !== undefined, () => `${this.k.name}: packed "${name}" is no constant`);
    // What a recipe holds, a packer of the same name reads.
    const own = packer as unknown as Packer;
    const recipe: OperandRecipe = { kind: "packed", packer: own, source: sourceOf(this.site, value), args };
    const bytes = own.onDevice?.byteLength(data, args);
    const buffer =
      bytes === undefined
        ? this.#declareConstant(name, packData(own, data, args), recipe)
        : this.#declare(`${name}_${as}`, as, bytes / DTYPE_INFO[as].bytes, "read", recipe, 64);
    this.#packed.set(`${name} ${as}`, buffer);
    return buffer;
  }

  /** Data that follows from the signature of the site, such as positions and weights of a resize; one per name. */
  table(name: string, data: ConstantData): Buffer {
    let buffer = this.#tables.get(name);
    if (buffer === undefined) {
      buffer = this.#declareConstant(name, data, { kind: "table", data });
      this.#tables.set(name, buffer);
    }
    return buffer;
  }

  /** Memory shared with other launches of this site. */
  temporary(temporary: Temporary, access: Access): Buffer {
    let buffer = this.#temporaries.get(temporary);
    if (buffer === undefined) {
      buffer = this.#declare(
        temporary.name,
        temporary.dtype,
        temporary.size,
        access,
        { kind: "temporary", temporary },
        64,
      );
      this.#temporaries.set(temporary, buffer);
    }
    return buffer;
  }

  /** The buffer of result `at` of the site, declared when first asked for; `as` another dtype of the same size. */
  output(at = 0, access: Access = "write", as?: DType): Buffer {
    let buffer = this.#outputs.get(at);
    if (buffer === undefined) {
      const value = this.site.node.outputs[at];
      invariant(value !== undefined, () => `${this.k.name}: the site has no result ${at}`);
      const recipe: OperandRecipe = { kind: "output", at };
      buffer = this.#declare(`y${at}`, as ?? value.type.dtype, shapeSize(value.type.shape), access, recipe);
      this.#outputs.set(at, buffer);
    }
    return buffer;
  }

  /** The site's result from the anchor's result `acc` at `place`: the work behind the anchor, in compute types. */
  epilogue(acc: KValue, place: Place): KValue {
    this.#emitter.give(this.site.anchor.outputs[0] as Value, acc);
    const result = this.#emitter.at((this.site.body.outputs[0] as { value: Value }).value, place);
    this.#emitter.leaveBlock();
    return result;
  }

  /** Computes the epilogue on `acc` and stores it: `lanes` consecutive elements along the last axis from `place`. */
  store(acc: KValue, place: Place): void {
    const { type } = this.site.node.outputs[0] as Value;
    storeAs(this.k, this.output(), flatten(this.k, place.index, type.shape), this.epilogue(acc, place), place.mask);
  }

  /** The element of a body value at `place`, with everything in front of it computed inside. */
  element(value: Value, place: Place): KValue {
    const element = this.#emitter.at(value, place);
    this.#emitter.leaveBlock();
    return element;
  }

  launch(facts: LaunchFacts): Launch {
    return launchFor({ kernel: this.k.finish(), recipes: this.#recipes, ...facts }, this.site);
  }

  #declareConstant(name: string, { dtype, shape }: ConstantData, recipe: OperandRecipe): Buffer {
    const size = shape.reduce((n, dim) => n * dim, 1);
    return this.#declare(name, dtype, size, "read", recipe, 64);
  }

  #declare(name: string, dtype: DType, size: Dim, access: Access, recipe: OperandRecipe, alignBytes?: number): Buffer {
    this.#recipes.push(recipe);
    // Symbols of the model share the names of a kernel's parameters; none begins with "$".
    return this.k.buffer(`$${name}`, dtype, size, alignBytes === undefined ? { access } : { access, alignBytes });
  }
}
