/**
 * The state of instruction selection for one kernel, and access to values as registers or memory operands.
 *
 * Selection walks the statements in order. A value is a list of registers ("parts"): one for a scalar, a mask or a
 * vector that fits a register, several for longer vectors. Scalar integers, f16 and bf16 are in general registers,
 * sign- or zero-extended to 32 bits; `index` and 64-bit integers fill them; f32 and f64 are in xmm registers; vectors
 * are packed in their own element size. Masks are opmasks with AVX-512, else vectors of 32-bit lanes.
 */
import { InternalError, UnsupportedError } from "@quern/core";
import type { Block, Buffer, KDType, Kernel, KType, KValue, Local, Prim, Stmt } from "@quern/core/kernel";
import { mem, r32, r64, rdi } from "../asm/index.ts";
import type { Mem, Reg } from "../asm/index.ts";
import type { Abi } from "./abi.ts";
import { Addresses } from "./addresses.ts";
import { analyse, valueCount } from "./analysis.ts";
import type { Facts } from "./analysis.ts";
import { isFloating, laneBytesOf } from "./element.ts";
import { Code, GENERAL, MASK, TILE, VECTOR, vectorReg } from "./code.ts";
import { constantRegs, vectorConstant } from "./constants.ts";
import { IndexMath } from "./index-math.ts";
import { hasOpmasks } from "./target.ts";
import type { CpuTarget } from "./target.ts";
import { tileShape } from "./tiles.ts";

export interface Shape {
  readonly file: number;
  readonly parts: number;
  /** Lanes and bytes of one part. */
  readonly lanes: number;
  readonly bytes: number;
  /** Bytes of one lane in a vector register; 4 in an AVX2 mask. */
  readonly laneBytes: number;
}

export interface SlotUse {
  readonly name: string;
  readonly kind: "buffer" | "scalar" | "symbol" | "scratch";
}

/** The parts of selection that call each other in circles: given once, so that files import one way. */
export interface Operations {
  /** Emits what defines a value and gives its parts, in `into` when that is given. */
  materialise(s: Selector, value: KValue, into: readonly Reg[] | undefined): readonly Reg[];
  /** A primitive on vectors or scalar floats, on parts in registers. */
  vectorPrim(
    s: Selector,
    prim: Prim,
    type: KType,
    operands: readonly (readonly Reg[])[],
    into: readonly Reg[] | undefined,
  ): readonly Reg[];
  selectBlock(s: Selector, block: Block): void;
}

export class Selector {
  readonly kernel: Kernel;
  readonly target: CpuTarget;
  /** AVX-512: opmasks, 32 registers. */
  readonly wide: boolean;
  readonly code: Code = new Code();
  readonly facts: Facts;
  readonly index: IndexMath;
  readonly addresses: Addresses;
  readonly slots: readonly SlotUse[];
  /** Registers of values by id. */
  readonly values: (readonly Reg[] | undefined)[];
  /** Depth of the region where the value is defined. */
  readonly depths: Uint8Array;
  /** Values that wait for their use. */
  readonly pending: Uint8Array;
  readonly aliases: Uint8Array;
  /** Loops whose bodies have been selected before, so that values of theirs may be known. */
  readonly selectedLoops: Set<Stmt> = new Set();
  /** Bytes at the bottom of the stack frame that selected code uses itself. */
  frameBytes = 0;
  readonly args: Reg;
  readonly threadIndex: Reg;
  readonly taskBegin: Reg;
  readonly taskEnd: Reg;
  readonly operations: Operations;
  private readonly localRegs: (readonly Reg[] | undefined)[] = [];
  /** By dtype, then lanes and rows. */
  private readonly shapes = new Map<KDType, Map<number, Shape>>();

  constructor(kernel: Kernel, target: CpuTarget, abi: Abi, operations: Operations) {
    this.kernel = kernel;
    this.target = target;
    this.wide = hasOpmasks(target);
    this.operations = operations;
    const ids = valueCount(kernel);
    this.facts = analyse(kernel, ids);
    this.values = new Array<readonly Reg[] | undefined>(ids).fill(undefined);
    this.depths = new Uint8Array(ids);
    this.pending = new Uint8Array(ids);
    this.aliases = new Uint8Array(ids);
    this.slots = [
      ...kernel.buffers.map(({ name }) => ({ name, kind: "buffer" as const })),
      ...kernel.scalars.map(({ name }) => ({ name, kind: "scalar" as const })),
      ...kernel.symbols.map((name) => ({ name, kind: "symbol" as const })),
      ...(kernel.scratch.length > 0 ? [{ name: "scratch", kind: "scratch" as const }] : []),
    ];
    this.index = new IndexMath(this);
    this.addresses = new Addresses(this);
    const { code } = this;
    [this.args, this.taskBegin, this.taskEnd, this.threadIndex] = abi.args.map((id) => {
      const reg = code.general();
      code.emit("mov", reg, r64(id));
      return reg;
    }) as [Reg, Reg, Reg, Reg];
    if (abi.args[0] !== rdi.id && abi.name === "sysv") throw new InternalError("args are in rdi");
  }

  unsupported(op: string, dtype: KDType, reason: string): never {
    throw new UnsupportedError({ op, dtype, target: this.target.name, where: `kernel ${this.kernel.name}`, reason });
  }

  shape(type: KType): Shape {
    const { dtype, lanes, rows } = type;
    let ofType = this.shapes.get(dtype);
    if (ofType === undefined) this.shapes.set(dtype, (ofType = new Map()));
    const key = lanes * 65536 + rows;
    let shape = ofType.get(key);
    if (shape === undefined) ofType.set(key, (shape = this.makeShape(dtype, lanes, rows)));
    return shape;
  }

  private makeShape(dtype: KDType, lanes: number, rows: number): Shape {
    const laneBytes = laneBytesOf(dtype);
    if (rows > 1) return { file: TILE, parts: 1, lanes, bytes: lanes * laneBytes, laneBytes };
    if (lanes === 1) {
      return isFloating(dtype)
        ? { file: VECTOR, parts: 1, lanes: 1, bytes: laneBytes, laneBytes }
        : { file: GENERAL, parts: 1, lanes: 1, bytes: 8, laneBytes };
    }
    if (dtype === "bool") {
      if (this.wide) {
        if (lanes > 64) return this.unsupported("vector", dtype, `${lanes} lanes do not fit an opmask`);
        return { file: MASK, parts: 1, lanes, bytes: 8, laneBytes: 1 };
      }
      const perPart = Math.min(lanes, this.target.vectorBytes / 4);
      return { file: VECTOR, parts: lanes / perPart, lanes: perPart, bytes: perPart * 4, laneBytes: 4 };
    }
    const bytes = Math.min(lanes * laneBytes, this.target.vectorBytes);
    return { file: VECTOR, parts: (lanes * laneBytes) / bytes, lanes: bytes / laneBytes, bytes, laneBytes };
  }

  /** New registers for a value of this type. */
  fresh(type: KType): Reg[] {
    const { file, parts, bytes } = this.shape(type);
    const regs: Reg[] = [];
    for (let i = 0; i < parts; i++)
      regs.push(file === TILE ? this.code.tile(tileShape(type)) : this.freshPart(file, bytes));
    return regs;
  }

  private freshPart(file: number, bytes: number): Reg {
    switch (file) {
      case GENERAL:
        return this.code.general();
      case VECTOR:
        return this.code.vector(bytes);
      default:
        return this.code.mask();
    }
  }

  local(local: Local): readonly Reg[] {
    return (this.localRegs[local.id] ??= this.fresh(local.type));
  }

  /** Makes `value` known as these registers, defined in the current region. */
  bind(value: KValue, regs: readonly Reg[]): void {
    this.values[value.id] = regs;
    this.depths[value.id] = this.code.depth;
  }

  /** The depth of the outermost region where the value can be computed. */
  depthOf(value: KValue): number {
    const { kind } = value.def;
    if (kind === "const" || kind === "param") return 0;
    if (this.pending[value.id] === 1) return this.code.depth;
    if (this.index.isLazy(value)) return this.index.depth(value);
    return this.depths[value.id]!;
  }

  /** The parts of a value. Code that makes it, where it is not there yet, is emitted now. */
  regs(value: KValue): readonly Reg[] {
    const known = this.values[value.id];
    if (known !== undefined) return known;
    const { def } = value;
    if (this.pending[value.id] === 1) {
      this.pending[value.id] = 0;
      const regs = this.operations.materialise(this, value, undefined);
      this.bind(value, regs);
      return regs;
    }
    if (def.kind === "const") return constantRegs(this, value.type, def.value);
    if (this.index.isLazy(value)) return [this.index.register(value)];
    if (def.kind === "param") {
      const regs = this.code.at(0, () => this.loadParam(value.type, def.name));
      this.values[value.id] = regs;
      return regs;
    }
    throw new InternalError(`kernel ${this.kernel.name}: %${value.id} (${def.kind}) is used before it is defined`);
  }

  /** The only part of a scalar, mask or short vector. */
  reg(value: KValue): Reg {
    const regs = this.regs(value);
    return regs[0] as Reg;
  }

  slot(name: string, kind: SlotUse["kind"] | undefined): Mem {
    const at = this.slots.findIndex((slot) => slot.name === name && (kind === undefined || slot.kind === kind));
    if (at < 0) throw new InternalError(`kernel ${this.kernel.name} has no parameter "${name}"`);
    return mem({ base: this.args, disp: 8 * at });
  }

  private loadParam(type: KType, name: string): readonly Reg[] {
    const { code } = this;
    const place = this.slot(name, undefined);
    const [reg] = this.fresh(type) as [Reg];
    if (type.dtype === "f32") code.emit("vmovss", reg, place);
    else if (type.dtype === "f64") code.emit("vmovsd", reg, place);
    else if (laneBytesOf(type.dtype) === 8) code.emit("mov", reg, place);
    else code.emit("mov", r32(reg.id), place);
    return [reg];
  }

  /** Is this use the last of a value whose register may be overwritten? */
  dies(value: KValue): boolean {
    const { id } = value;
    return (
      this.facts.uses[id] === 1 &&
      this.facts.usedInBlock[id] === 1 &&
      this.aliases[id] === 0 &&
      this.depths[id] === this.code.depth &&
      value.def.kind !== "const" &&
      value.def.kind !== "param"
    );
  }

  /** The memory operand of each part of a load that waits, where an instruction can take it; clears its waiting. */
  foldable(value: KValue, allowBroadcast: boolean): Mem[] | undefined {
    if (this.pending[value.id] !== 1) return undefined;
    const { def, type } = value;
    const shape = this.shape(type);
    if (def.kind === "load") {
      if (def.mask !== undefined || def.index.type.lanes > 1 || def.buffer.dtype === "bool") return undefined;
      if (shape.file !== VECTOR || (shape.bytes < 16 && type.lanes > 1)) return undefined;
      this.pending[value.id] = 0;
      return this.parts(def.buffer, def.index, shape);
    }
    if (def.kind !== "broadcast" || !allowBroadcast || !this.wide || shape.file !== VECTOR || shape.bytes < 16)
      return undefined;
    const { value: scalar } = def;
    if (
      this.pending[scalar.id] !== 1 ||
      scalar.def.kind !== "load" ||
      scalar.def.mask !== undefined ||
      shape.laneBytes < 4
    )
      return undefined;
    this.pending[value.id] = 0;
    this.pending[scalar.id] = 0;
    const place = this.addresses.address(scalar.def.buffer, scalar.def.index, 0, 0);
    const one = mem({ ...place, broadcast: shape.lanes as 2 | 4 | 8 | 16 });
    return Array.from({ length: shape.parts }, () => one);
  }

  /** Memory operands of consecutive parts. */
  parts(buffer: Buffer, at: KValue, shape: Shape): Mem[] {
    return Array.from({ length: shape.parts }, (_, part) => this.addresses.address(buffer, at, part * shape.bytes, 0));
  }

  /** Memory operands of a waiting load, else registers. */
  operands(value: KValue, allowBroadcast = true): readonly (Reg | Mem)[] {
    return this.foldable(value, allowBroadcast) ?? this.regs(value);
  }

  /** Copies between registers of one file. */
  move(to: Reg, from: Reg): void {
    if (to.id === from.id) return;
    if (to.cls === "r64") this.code.emit("mov", to, from);
    else if (to.cls === "k") this.code.emit("kmovq", to, from);
    else if (to.cls === "tmm") throw new InternalError("matrix tiles cannot be copied");
    else this.code.emit("vmovaps", to, from.cls === to.cls ? from : { ...from, cls: to.cls });
  }

  moveAll(to: readonly Reg[], from: readonly Reg[]): void {
    to.forEach((reg, i) => this.move(reg, from[i] as Reg));
  }

  /** The registers themselves, or copied to where they are wanted. */
  copy(regs: readonly Reg[], into: readonly Reg[] | undefined): readonly Reg[] {
    if (into === undefined) return regs;
    this.moveAll(into, regs);
    return into;
  }

  /** The register as an xmm, ymm or zmm of this many bytes. */
  resize(reg: Reg, bytes: number): Reg {
    return vectorReg(reg.id, bytes);
  }

  /** The registers to compute a value in. */
  results(type: KType, into: readonly Reg[] | undefined): readonly Reg[] {
    return into ?? this.fresh(type);
  }

  /** Offset from rsp of `bytes` bytes of the stack frame, shared by all that use them briefly. */
  frame(bytes: number): number {
    this.frameBytes = Math.max(this.frameBytes, Math.ceil(bytes / 64) * 64);
    return 0;
  }

  /** A constant with lanes of its own, kept in a register. */
  vectorConstant(bytes: Uint8Array): Reg {
    return vectorConstant(this, bytes);
  }

  /** A fresh vector register. */
  vector(bytes: number): Reg {
    return this.code.vector(bytes);
  }
}
