/**
 * The machine code under construction: instructions over virtual registers, in nested regions.
 *
 * A region is the body of a loop, one side of an `if`, or the entry of the kernel. Code selected inside a loop may be
 * appended to an outer region while the loop is still open: it then stands right before the loop, which is how
 * invariants are hoisted. Closing a region appends its items to its parent.
 */
import { FIRST_VIRTUAL, imm, isInstr, k, label, r64, tmm, xmm, ymm, zmm } from "../asm/index.ts";
import type { Data, Instr, Item, Label, Mnemonic, Operand, Reg } from "../asm/index.ts";

/** Register files, in the order of the allocator's tables. */
export const GENERAL = 0;
export const VECTOR = 1;
export const MASK = 2;
export const TILE = 3;

export interface Virtual {
  readonly file: number;
  /** Bytes of a spill slot; of a tile the shape. */
  readonly bytes: number;
  /** The instruction that makes the value from nothing but constants, where there is one. */
  recreate: Instr | undefined;
  /** Made by spilling: has the shortest possible life and cannot be spilled again. */
  readonly temporary: boolean;
}

export interface Region {
  readonly kind: "entry" | "loop" | "branch";
  readonly depth: number;
  /** Entered often enough that moving code out of it pays: loops, except those over tasks that have loops inside. */
  readonly repeats: boolean;
  readonly items: Item[];
  /** Loops: what runs at the end of each iteration. */
  readonly latch: Item[];
  /** Sums of products that are in a register here, by key. */
  readonly sums: Map<string, Reg>;
}

export interface Decoration {
  readonly mask?: Reg | undefined;
  readonly zeroing?: boolean | undefined;
}

export class Code {
  readonly virtuals: Virtual[] = [];
  readonly regions: Region[] = [];
  region: Region;
  private readonly pool = new Map<string, Label>();
  private readonly poolItems: Data[] = [];
  private labels = 0;

  constructor() {
    this.region = this.open("entry");
  }

  open(kind: Region["kind"], repeats: boolean = kind === "loop"): Region {
    const region: Region = { kind, repeats, depth: this.regions.length, items: [], latch: [], sums: new Map() };
    this.regions.push(region);
    this.region = region;
    return region;
  }

  /** Leaves the innermost region; the caller places its items. */
  close(): Region {
    const region = this.regions.pop() as Region;
    this.region = this.regions.at(-1) as Region;
    return region;
  }

  get depth(): number {
    return this.region.depth;
  }

  /**
   * Where code goes that could stand at `depth`: out of all loops, but no further, so that values live no longer than
   * needed. `outOfTasks` leaves the loops over tasks as well, for values of which there are few.
   */
  placeFor(depth: number, outOfTasks = false): number {
    let place = depth;
    while (place < this.depth) {
      const inner = this.regions[place + 1]!;
      if (inner.repeats || (outOfTasks && inner.kind === "loop")) break;
      place += 1;
    }
    return place;
  }

  /** What is known under `key` in the current region or an outer one down to `depth`. */
  lookUp(key: string, depth: number): Reg | undefined {
    for (let at = this.depth; at >= depth; at--) {
      const known = this.regions[at]!.sums.get(key);
      if (known !== undefined) return known;
    }
    return undefined;
  }

  /** Runs `build` with an outer region of the given depth as the place where code goes. */
  at<T>(depth: number, build: () => T): T {
    const saved = this.region;
    this.region = this.regions[depth] as Region;
    const result = build();
    this.region = saved;
    return result;
  }

  emit(op: string, ...operands: (Operand | number | bigint)[]): Instr {
    return this.append(op, operands, undefined, undefined);
  }

  emitMasked(mask: Reg | undefined, zeroing: boolean, op: string, ...operands: (Operand | number | bigint)[]): Instr {
    return this.append(op, operands, mask, mask === undefined ? undefined : zeroing);
  }

  private append(
    op: string,
    operands: (Operand | number | bigint)[],
    mask: Reg | undefined,
    zeroing: boolean | undefined,
  ): Instr {
    const instr = makeInstr(op, operands, mask, zeroing);
    this.region.items.push(instr);
    return instr;
  }

  push(...items: Item[]): void {
    for (const item of items) this.region.items.push(item);
  }

  bind(at: Label): void {
    this.region.items.push({ label: at });
  }

  label(name: string): Label {
    return label(`${name}${this.labels++}`);
  }

  private virtual(file: number, bytes: number, temporary = false): number {
    this.virtuals.push({ file, bytes, recreate: undefined, temporary });
    return FIRST_VIRTUAL + this.virtuals.length - 1;
  }

  general(): Reg {
    return r64(this.virtual(GENERAL, 8));
  }

  /** A vector register that holds `bytes` bytes; anything up to 16 is an xmm. */
  vector(bytes: number): Reg {
    return vectorReg(this.virtual(VECTOR, Math.max(16, bytes)), bytes);
  }

  mask(): Reg {
    return k(this.virtual(MASK, 8));
  }

  /** A tile register; `shape` tells tiles apart that cannot share a register (see `tiles.ts`). */
  tile(shape: number): Reg {
    return tmm(this.virtual(TILE, shape));
  }

  /** A register like `reg` for the few instructions around a spilled use. */
  temporary(file: number, bytes: number): number {
    return this.virtual(file, bytes, true);
  }

  /** States that `instr` alone makes the value of `reg`, so that it need not be kept. */
  recreatable(reg: Reg, instr: Instr): void {
    (this.virtuals[reg.id - FIRST_VIRTUAL] as Virtual).recreate = instr;
  }

  /** A label for these bytes in the constant pool. */
  constant(data: Uint8Array, alignment: number = data.length): Label {
    const key = `${alignment}:${data.join()}`;
    let at = this.pool.get(key);
    if (at === undefined) {
      at = label(`c${this.pool.size}`);
      this.pool.set(key, at);
      this.poolItems.push({ data, alignment, at });
    }
    return at;
  }

  get constants(): readonly Data[] {
    return this.poolItems;
  }
}

export function makeInstr(
  op: string,
  operands: readonly (Operand | number | bigint)[],
  mask?: Reg,
  zeroing?: boolean,
): Instr {
  const list = operands.map((o) => (typeof o === "object" ? o : imm(o)));
  return mask === undefined
    ? { op: op as Mnemonic, operands: list }
    : { op: op as Mnemonic, operands: list, mask, zeroing };
}

export function vectorReg(id: number, bytes: number): Reg {
  return bytes <= 16 ? xmm(id) : bytes === 32 ? ymm(id) : zmm(id);
}

export { isInstr };
