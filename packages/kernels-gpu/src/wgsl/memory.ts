/**
 * Buffers in WGSL: how elements are stored, read and written.
 *
 * 32-bit types are arrays of themselves. Narrower ones are packed into words: reads shift, writes clear and set the bits
 * of one element by two atomic operations, which leaves the neighbours of other invocations alone. f16 is an array of
 * f16 where the feature exists. Buffers that are only read and written as aligned vectors of 4 are arrays of vec4.
 */

import { type Buffer, DTYPE_INFO, type KValue, type Kernel, UnsupportedError, visitStatements } from "@quern/core";
import type { Helpers } from "./helpers.ts";
import { registerOf } from "./types.ts";

export type StorageForm = "native" | "vec4" | "packed";

export interface BufferPlan {
  readonly buffer: Buffer;
  /** Identifier in the module. */
  readonly name: string;
  readonly form: StorageForm;
  /** Element type in memory. */
  readonly element: string;
  readonly atomic: boolean;
}

export interface MemoryFeatures {
  readonly f16: boolean;
}

/** Chooses a form for every buffer of the kernel. */
export function planBuffers(kernel: Kernel, features: MemoryFeatures): Map<Buffer, BufferPlan> {
  const vectors = vectorBuffers(kernel);
  const plans = new Map<Buffer, BufferPlan>();
  const taken = new Set<string>();
  for (const buffer of [...kernel.buffers, ...kernel.scratch]) {
    const name = freshName(buffer.name, taken);
    const register = registerOf(buffer.dtype);
    const shared = buffer.space === "workgroup";
    const native = DTYPE_INFO[buffer.dtype].bytes === 4 || shared;
    if (native)
      plans.set(buffer, {
        buffer,
        name,
        element: register,
        atomic: false,
        form: vectors.has(buffer) ? "vec4" : "native",
      });
    else if (buffer.dtype === "f16" && features.f16)
      plans.set(buffer, { buffer, name, element: "f16", atomic: false, form: "native" });
    else plans.set(buffer, { buffer, name, element: "u32", atomic: buffer.access !== "read", form: "packed" });
  }
  return plans;
}

/** An identifier that no other buffer has; a trailing `_` keeps it apart from keywords and generated names. */
function freshName(name: string, taken: Set<string>): string {
  const base = `${name.replaceAll(/[^A-Za-z0-9_]/g, "_").replace(/^_+/, "")}_`;
  let fresh = base;
  for (let i = 2; taken.has(fresh); i++) fresh = `${base}${i}`;
  taken.add(fresh);
  return fresh;
}

/** f32, i32 and u32 parameters whose every access is an unmasked vector of 4 at a multiple of 4. */
function vectorBuffers(kernel: Kernel): Set<Buffer> {
  const multiple = new Multiples();
  const good = new Set(
    kernel.buffers.filter(
      ({ dtype, size }) => DTYPE_INFO[dtype].bytes === 4 && typeof size === "number" && size % 4 === 0,
    ),
  );
  visitStatements(kernel.body, (statement) => {
    multiple.visit(statement);
    if (
      statement.kind === "store" &&
      !(statement.value.type.lanes === 4 && statement.mask === undefined && multiple.of(statement.index) % 4 === 0)
    )
      good.delete(statement.buffer);
    if (statement.kind !== "let") return;
    const { def, type } = statement.value;
    if (def.kind !== "load") return;
    const aligned =
      type.lanes === 4 && def.index.type.lanes === 1 && def.mask === undefined && multiple.of(def.index) % 4 === 0;
    if (!aligned) good.delete(def.buffer);
  });
  return good;
}

/** A number that divides an index value, from the way it is computed. */
class Multiples {
  readonly #axes = new Map<KValue, number>();

  visit(statement: Parameters<Parameters<typeof visitStatements>[1]>[0]): void {
    if (statement.kind === "for") this.#axes.set(statement.axis, gcd(this.of(statement.start), statement.step));
  }

  of(value: KValue): number {
    const { def } = value;
    if (def.kind === "const") return Math.abs(Number(def.value));
    if (def.kind === "axis") return this.#axes.get(value) ?? 1;
    if (def.kind !== "prim" || value.type.lanes !== 1) return 1;
    const [a = 1, b = 1] = def.args.map((arg) => this.of(arg));
    switch (def.prim) {
      case "add":
      case "sub":
      case "min":
      case "max":
        return gcd(a, b);
      case "mul":
        return a * b;
      default:
        return 1;
    }
  }
}

/** The greatest common divisor; 0 divides by everything. */
function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** Type of the array of a buffer parameter. */
export function storageType({ form, element, atomic, buffer }: BufferPlan): string {
  if (form === "vec4") return `array<vec4<${element}>>`;
  if (buffer.space === "workgroup") {
    if (typeof buffer.size !== "number")
      throw new UnsupportedError({
        op: "scratch",
        target: "wgsl",
        reason: "workgroup memory of a size that is not known at compile time",
      });
    return `array<${element}, ${buffer.size}>`;
  }
  return `array<${atomic ? `atomic<${element}>` : element}>`;
}

/** The register value of the element at `index` (a text that may be repeated). */
export function readElement(plan: BufferPlan, index: string): string {
  const { buffer, name, form } = plan;
  const { dtype } = buffer;
  if (form !== "packed") return plan.element === "f16" ? `f32(${name}[${index}])` : `${name}[${index}]`;
  const bits = DTYPE_INFO[dtype].bytes * 8;
  const [shift, low] = bits === 8 ? ["2u", "3i"] : ["1u", "1i"];
  const slot = `${name}[${index} >> ${shift}]`;
  const word = plan.atomic ? `atomicLoad(&${slot})` : slot;
  const at = `u32(${index} & ${low}) * ${bits}u`;
  switch (dtype) {
    case "f16":
      return `unpack2x16float(${word} >> (${at})).x`;
    case "bf16":
      return `bitcast<f32>((${word} >> (${at})) << 16u)`;
    case "i8":
    case "i16":
      return `extractBits(bitcast<i32>(${word}), ${at}, ${bits}u)`;
    case "bool":
      return `(extractBits(${word}, ${at}, 8u) != 0u)`;
    default:
      return `extractBits(${word}, ${at}, ${bits}u)`;
  }
}

/** The statement that writes the element at `index`. */
export function writeElement(helpers: Helpers, plan: BufferPlan, index: string, value: string): string {
  const { name, form, buffer } = plan;
  if (form !== "packed") return `${name}[${index}] = ${plan.element === "f16" ? `f16(${value})` : value};`;
  const bits = DTYPE_INFO[buffer.dtype].bytes * 8;
  const store = helpers.add(`store_${name}`, () => {
    const [shift, low, mask] = bits === 8 ? ["2u", "3i", "0xffu"] : ["1u", "1i", "0xffffu"];
    return `fn store_${name}(index: i32, bits: u32) {
  let shift = u32(index & ${low}) * ${bits}u;
  atomicAnd(&${name}[index >> ${shift}], ~(${mask} << shift));
  atomicOr(&${name}[index >> ${shift}], (bits & ${mask}) << shift);
}`;
  });
  return `${store}(${index}, ${wordBits(helpers, buffer, value)});`;
}

function wordBits(helpers: Helpers, { dtype }: Buffer, value: string): string {
  switch (dtype) {
    case "f16":
      return `${helpers.use("bitsF16")}(${value})`;
    case "bf16":
      return `bitcast<u32>(${value}) >> 16u`;
    case "bool":
      return `u32(${value})`;
    case "i8":
    case "i16":
      return `bitcast<u32>(${value})`;
    default:
      return value;
  }
}
