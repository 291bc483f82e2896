/**
 * Memory operands of buffer elements.
 *
 * In an innermost loop an address that moves by a constant 1, 2, 4 or 8 bytes per unit of the loop variable uses it as
 * the index register; any other linear address becomes a pointer that the loop increments. Addresses a few symbolic
 * strides apart (the rows of a matrix) share a pointer.
 */
import { DTYPE_INFO } from "@quern/core";
import type { Buffer, KValue } from "@quern/core/kernel";
import { mem } from "../asm/index.ts";
import type { Item, Mem, Reg } from "../asm/index.ts";
import type { Affine, Term } from "./affine.ts";
import {
  ZERO,
  addAffine,
  atomAffine,
  constantAffine,
  isConstant,
  multiplyAffine,
  scaleAffine,
  termsKey,
} from "./affine.ts";
import type { Region } from "./code.ts";
import { fits32 } from "./index-math.ts";
import type { LoopAxis } from "./index-math.ts";
import type { Selector } from "./selector.ts";

interface Place {
  readonly base: Reg;
  readonly index?: Reg;
  readonly scale?: 1 | 2 | 4 | 8;
}

/** An address that was used, without its constant. */
interface Seen {
  readonly sum: Affine;
  readonly buffer: number;
  /** The loop it moves with. */
  readonly loop: LoopAxis | undefined;
  readonly region: Region;
}

/** One whose register serves others a multiple of `stride` away. */
interface Row extends Seen {
  readonly reg: Reg;
  readonly stride: Term;
}
export class Addresses {
  private readonly s: Selector;
  private readonly seen: Seen[] = [];
  private readonly rows: Row[] = [];

  constructor(s: Selector) {
    this.s = s;
  }

  /** The memory operand of element `at` of the buffer, `bytes` bytes further. `size` is given where the instruction leaves it open. */
  address(buffer: Buffer, at: KValue, bytes: number, size: 0 | 1 | 2 | 4 | 8): Mem {
    const scaled = scaleAffine(this.s.index.affine(at), DTYPE_INFO[buffer.dtype].bytes);
    const sum = addAffine(addAffine(atomAffine(this.s.index.bufferAtom(buffer)), scaled), constantAffine(bytes));
    return this.memory(sum, size, buffer.id);
  }

  /** As {@link address}, without an index register. */
  addressInBase(buffer: Buffer, at: KValue): Mem {
    const place = this.address(buffer, at, 0, 0);
    if (place.index === undefined) return place;
    const reg = this.s.code.general();
    this.s.code.emit("lea", reg, mem({ ...place, disp: 0 }));
    return mem({ base: reg, disp: place.disp });
  }

  private memory(sum: Affine, size: 0 | 1 | 2 | 4 | 8, buffer: number): Mem {
    if (!fits32(sum.constant)) return mem({ base: this.s.index.sum(sum), size: size || undefined });
    const terms: Affine = { constant: 0, terms: sum.terms };
    const place = { disp: sum.constant, size: size || undefined };
    const loop = this.s.index.loops.at(-1);
    const fixed = (): Mem => mem({ ...place, ...(this.nearRow(terms, buffer, undefined) ?? this.baseAndIndex(terms)) });
    if (loop === undefined || !loop.innermost) return fixed();
    const moving = terms.terms.filter((term) => term.atoms.includes(loop.atom));
    if (moving.length === 0) return fixed();
    const still = terms.terms.filter((term) => !term.atoms.includes(loop.atom));
    const isLinear = moving.every(
      (term) =>
        term.atoms.every((atom) => atom === loop.atom || this.s.index.atomDepth(atom) < loop.region.depth) &&
        term.atoms.indexOf(loop.atom) === term.atoms.lastIndexOf(loop.atom),
    );
    const isStill = still.every((term) => this.s.index.termDepth(term) < loop.region.depth);
    if (!isLinear || !isStill) return fixed();
    const near = this.nearRow(terms, buffer, loop);
    if (near !== undefined) return mem({ ...place, ...near });
    const [only] = moving as [Term];
    if (moving.length === 1 && only.atoms.length === 1 && isScale(only.coefficient) && still.length > 0) {
      return mem({
        ...place,
        base: this.s.index.sum({ constant: 0, terms: still }),
        index: this.s.index.atomReg(loop.atom),
        scale: only.coefficient,
      });
    }
    return mem({ ...place, base: this.pointer(loop, terms) });
  }

  /** [base + index * scale] for a sum that is not strength-reduced: the cheapest split into two registers. */
  private baseAndIndex(sum: Affine): Place {
    const depth = this.s.index.depthOfSum(sum);
    if (this.s.code.lookUp(`${termsKey(sum.terms)}0`, depth) !== undefined) return { base: this.s.index.sum(sum) };
    const inner = sum.terms.filter((term) => this.s.index.termDepth(term) === depth);
    const [only] = inner as [Term];
    if (inner.length === 1 && sum.terms.length > 1 && only.atoms.length === 1 && isScale(only.coefficient)) {
      const outer = sum.terms.filter((term) => term !== only);
      return {
        base: this.s.index.sum({ constant: 0, terms: outer }),
        index: this.s.index.atomReg(only.atoms[0]!),
        scale: only.coefficient,
      };
    }
    return { base: this.s.index.sum(sum) };
  }

  /**
   * Addresses a few symbolic strides behind one that has been used: `[row + stride]`, `[row + stride * 2]`,
   * `[row + 3 strides]`, and a register of its own for every fourth row.
   */
  private nearRow(sum: Affine, buffer: number, loop: LoopAxis | undefined): Place | undefined {
    const { code } = this.s;
    const isOpen = (seen: Seen): boolean =>
      seen.buffer === buffer &&
      seen.loop === loop &&
      code.regions[seen.region.depth] === seen.region &&
      seen.region.depth <= code.depth;
    for (let i = this.rows.length - 1; i >= 0; i--) {
      const row = this.rows[i]!;
      if (!isOpen(row)) continue;
      const step = singleDifference(sum, row.sum);
      if (step === undefined || step.key !== row.stride.key) continue;
      const count = step.coefficient / row.stride.coefficient;
      const stride: Affine = { constant: 0, terms: [row.stride] };
      if (count === 1 || count === 2) return { base: row.reg, index: this.s.index.sum(stride), scale: count };
      if (count === 3) return { base: row.reg, index: this.s.index.sum(scaleAffine(stride, 3)) };
      if (count === 4 || count === 8) {
        let reg: Reg;
        if (loop !== undefined) reg = this.pointer(loop, sum);
        else {
          const index = this.s.index.sum(stride);
          reg = code.general();
          code.emit("lea", reg, mem({ base: row.reg, index, scale: count }));
        }
        this.rows.push({ sum, buffer, loop, region: code.region, reg, stride: row.stride });
        return { base: reg };
      }
    }
    for (let i = this.seen.length - 1; i >= Math.max(0, this.seen.length - 24); i--) {
      const seen = this.seen[i]!;
      if (!isOpen(seen)) continue;
      const stride = singleDifference(sum, seen.sum);
      if (stride === undefined || stride.coefficient <= 0 || this.s.index.termDepth(stride) > 0) continue;
      const reg = loop === undefined ? this.s.index.sum(seen.sum) : this.pointer(loop, seen.sum);
      this.rows.push({ ...seen, region: code.region, reg, stride });
      return { base: reg, index: this.s.index.sum({ constant: 0, terms: [stride] }) };
    }
    this.seen.push({ sum, buffer, loop, region: code.region });
    return undefined;
  }

  private pointer(loop: LoopAxis, sum: Affine): Reg {
    const key = termsKey(sum.terms);
    const known = loop.pointers.get(key);
    if (known !== undefined) return known;
    const { code } = this.s;
    const moving = sum.terms.filter((term) => term.atoms.includes(loop.atom));
    const still = sum.terms.filter((term) => !term.atoms.includes(loop.atom));
    const reg = code.general();
    const outside = loop.region.depth - 1;
    let start: Affine = { constant: 0, terms: still };
    let step: Affine = ZERO;
    for (const term of moving) {
      const atoms = term.atoms.filter((atom) => atom !== loop.atom);
      const slope: Affine =
        atoms.length === 0
          ? constantAffine(term.coefficient)
          : { constant: 0, terms: [{ coefficient: term.coefficient, atoms, key: atoms.join(".") }] };
      start = addAffine(start, multiplyAffine(slope, loop.start) as Affine);
      step = addAffine(step, slope, loop.step);
    }
    code.at(outside, () => {
      const first = this.s.index.sum(start);
      code.emit("mov", reg, first);
      const by = isConstant(step) && fits32(step.constant) ? step.constant : this.s.index.sum(step);
      const latch: Item[] = [];
      const saved = code.region.items.length;
      code.emit("add", reg, by);
      latch.push(...code.region.items.splice(saved));
      loop.region.latch.push(...latch);
    });
    loop.pointers.set(key, reg);
    return reg;
  }
}

/** The only term in which two sums differ, with the difference of its coefficients. */
function singleDifference(a: Affine, b: Affine): Term | undefined {
  const [x, y] = [a.terms, b.terms];
  if (Math.abs(x.length - y.length) > 1) return undefined;
  let found: Term | undefined;
  let i = 0;
  let j = 0;
  while (i < x.length || j < y.length) {
    const p = x[i];
    const q = y[j];
    let term: Term | undefined;
    if (q === undefined || (p !== undefined && p.key < q.key)) {
      term = p as Term;
      i += 1;
    } else if (p === undefined || q.key < p.key) {
      term = { coefficient: -q.coefficient, atoms: q.atoms, key: q.key };
      j += 1;
    } else {
      const coefficient = p.coefficient - q.coefficient;
      if (coefficient !== 0) term = { coefficient, atoms: p.atoms, key: p.key };
      i += 1;
      j += 1;
    }
    if (term === undefined) continue;
    if (found !== undefined) return undefined;
    found = term;
  }
  return found;
}

function isScale(value: number): value is 1 | 2 | 4 | 8 {
  return value === 1 || value === 2 || value === 4 || value === 8;
}
