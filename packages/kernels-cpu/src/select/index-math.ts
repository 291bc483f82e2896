/**
 * Index values.
 *
 * `add`, `sub`, `mul` and constant `shl` of indices emit nothing: they build polynomials (`affine.ts`), and code
 * appears where a register is needed. A sum is computed in the outermost region where it pays, once per region.
 */
import { InternalError } from "@quern/core";
import type { SymbolicDim } from "@quern/core";
import type { Buffer, KValue } from "@quern/core/kernel";
import { mem } from "../asm/index.ts";
import type { Reg } from "../asm/index.ts";
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
import { integerConstant, integerInstr } from "./constants.ts";
import type { Selector } from "./selector.ts";
import { scratchBase } from "./scratch.ts";

interface Atom {
  depth: number;
  reg: Reg | undefined;
  /** Emits what makes it, for atoms that are made on first use. */
  readonly make: (() => Reg) | undefined;
}

/** A loop that addresses may be strength-reduced in. */
export interface LoopAxis {
  readonly region: Region;
  readonly atom: number;
  readonly step: number;
  /** Where the variable starts, known outside the loop. */
  readonly start: Affine;
  readonly register: Reg;
  readonly innermost: boolean;
  /** The variable itself is needed in a register. */
  used: boolean;
  /** Registers that move with the loop, by the key of what they point to. */
  readonly pointers: Map<string, Reg>;
}

export class IndexMath {
  readonly loops: LoopAxis[] = [];
  private readonly s: Selector;
  private readonly atoms: Atom[] = [];
  private readonly polynomials: (Affine | undefined)[] = [];
  private readonly params = new Map<string, number>();
  private readonly buffers = new Map<number, number>();

  constructor(s: Selector) {
    this.s = s;
  }

  /** Scalar indices are computed when a register is needed. */
  isLazy(value: KValue): boolean {
    return value.type.dtype === "index" && value.type.lanes === 1 && this.s.pending[value.id] !== 1;
  }

  private newAtom(depth: number, reg: Reg | undefined, make?: () => Reg): number {
    this.atoms.push({ depth, reg, make });
    return this.atoms.length - 1;
  }

  /** The polynomial of a scalar index value. */
  affine(value: KValue): Affine {
    const known = this.polynomials[value.id];
    if (known !== undefined) return known;
    const made = this.build(value);
    this.polynomials[value.id] = made;
    return made;
  }

  private build(value: KValue): Affine {
    const { def } = value;
    if (def.kind === "const") return constantAffine(Number(def.value));
    if (def.kind === "param") return atomAffine(this.param(def.name));
    if (def.kind === "prim" && this.s.values[value.id] === undefined) {
      const sum = this.buildPrim(def.prim, def.args);
      if (sum !== undefined) return sum;
    }
    // Anything else is an atom; what made it has bound its register.
    const regs = this.s.pending[value.id] === 1 ? this.s.regs(value) : this.s.values[value.id];
    if (regs === undefined) throw new InternalError(`index %${value.id} (${def.kind}) is used before it is defined`);
    return atomAffine(this.newAtom(this.s.depths[value.id]!, regs[0] as Reg));
  }

  private buildPrim(prim: string, args: readonly KValue[]): Affine | undefined {
    const [a, b] = args as [KValue, KValue | undefined];
    if (a.type.dtype !== "index") return undefined;
    switch (prim) {
      case "add":
        return addAffine(this.affine(a), this.affine(b!));
      case "sub":
        return addAffine(this.affine(a), this.affine(b!), -1);
      case "neg":
        return scaleAffine(this.affine(a), -1);
      case "mul":
        return multiplyAffine(this.affine(a), this.affine(b!));
      case "shl": {
        const by = this.affine(b!);
        return isConstant(by) && by.constant < 31 ? scaleAffine(this.affine(a), 2 ** by.constant) : undefined;
      }
      case "min":
      case "max":
      case "div":
      case "rem":
        return this.fold(prim, this.affine(a), this.affine(b!));
      default:
        return undefined;
    }
  }

  /** Operations without a formula are known for literals, which variables become in unrolled loops. */
  private fold(prim: "min" | "max" | "div" | "rem", a: Affine, b: Affine): Affine | undefined {
    if (!isConstant(a) || !isConstant(b)) return undefined;
    const [x, y] = [a.constant, b.constant];
    if (prim === "min" || prim === "max") return constantAffine(Math[prim](x, y));
    if (y === 0) return undefined;
    return constantAffine(prim === "div" ? Math.trunc(x / y) : x - y * Math.trunc(x / y));
  }

  /** Is the value a formula of others, so that its `let` emits nothing? */
  isFormula(value: KValue): boolean {
    const { def } = value;
    if (value.type.dtype !== "index" || value.type.lanes !== 1 || def.kind !== "prim") return false;
    const sum = this.buildPrim(def.prim, def.args);
    if (sum === undefined) return false;
    this.polynomials[value.id] = sum;
    return true;
  }

  /** Forgets what belongs to a value, whose statement will be selected again. */
  forget(value: KValue): void {
    this.polynomials[value.id] = undefined;
  }

  /** Fixes the polynomial of a loop variable. */
  define(value: KValue, as: Affine): void {
    this.polynomials[value.id] = as;
  }

  /** An atom whose register is known. */
  atomOf(reg: Reg, depth: number): number {
    return this.newAtom(depth, reg);
  }

  private param(name: string): number {
    let atom = this.params.get(name);
    if (atom === undefined) {
      atom = this.newAtom(0, undefined, () => {
        const reg = this.s.code.general();
        this.s.code.at(0, () => this.s.code.emit("mov", reg, this.s.slot(name, undefined)));
        return reg;
      });
      this.params.set(name, atom);
    }
    return atom;
  }

  bufferAtom(buffer: Buffer): number {
    let atom = this.buffers.get(buffer.id);
    if (atom === undefined) {
      atom = this.newAtom(0, undefined, () => {
        const { code } = this.s;
        return code.at(0, () => {
          if (buffer.space === "workgroup") return scratchBase(this.s, buffer);
          const reg = code.general();
          code.emit("mov", reg, this.s.slot(buffer.name, "buffer"));
          return reg;
        });
      });
      this.buffers.set(buffer.id, atom);
    }
    return atom;
  }

  /** The address of a buffer. */
  bufferRegister(buffer: Buffer): Reg {
    return this.atomReg(this.bufferAtom(buffer));
  }

  /** A dimension in a register, computed at the entry. */
  dimRegister(dim: SymbolicDim): Reg {
    let sum: Affine = ZERO;
    for (const term of dim.terms) {
      let product: Affine | undefined = constantAffine(term.coefficient);
      for (const atom of term.atoms) {
        if (atom.kind !== "symbol")
          return this.s.unsupported("scratch", "index", `the size ${dim.key} is not a polynomial`);
        product = product && multiplyAffine(product, atomAffine(this.param(atom.name)));
      }
      if (product === undefined)
        return this.s.unsupported("scratch", "index", `the size ${dim.key} has too many terms`);
      sum = addAffine(sum, product);
    }
    return this.sum(sum);
  }

  atomReg(atom: number): Reg {
    const record = this.atoms[atom]!;
    const axis = this.loops.find((loop) => loop.atom === atom);
    if (axis !== undefined) axis.used = true;
    return (record.reg ??= record.make!());
  }

  termDepth(term: Term): number {
    let depth = 0;
    for (const atom of term.atoms) depth = Math.max(depth, this.atoms[atom]!.depth);
    return depth;
  }

  atomDepth(atom: number): number {
    return this.atoms[atom]!.depth;
  }

  depthOfSum(sum: Affine): number {
    let depth = 0;
    for (const term of sum.terms) depth = Math.max(depth, this.termDepth(term));
    return depth;
  }

  depth(value: KValue): number {
    return this.depthOfSum(this.affine(value));
  }

  register(value: KValue): Reg {
    return this.sum(this.affine(value));
  }

  /** Sets a register of its own to the sum. */
  setTo(reg: Reg, sum: Affine): void {
    if (isConstant(sum)) this.s.code.push(integerInstr(reg, sum.constant));
    else this.s.code.emit("mov", reg, this.sum(sum));
  }

  /** A register that holds the sum; shared, so it must not be written. */
  sum(sum: Affine): Reg {
    const { code } = this.s;
    if (isConstant(sum)) return integerConstant(this.s, sum.constant);
    if (sum.constant === 0 && sum.terms.length === 1) {
      const [term] = sum.terms as [Term];
      if (term.coefficient === 1 && term.atoms.length === 1) return this.atomReg(term.atoms[0]!);
    }
    const depth = Math.min(this.depthOfSum(sum), code.depth);
    const key = `${termsKey(sum.terms)}${sum.constant}`;
    const known = code.lookUp(key, depth);
    if (known !== undefined) return known;
    const place = code.placeFor(depth);
    const reg = code.at(place, () => this.compute(sum));
    code.regions[place]!.sums.set(key, reg);
    return reg;
  }

  private compute(sum: Affine): Reg {
    const { code } = this.s;
    const depth = this.depthOfSum(sum);
    if (sum.constant !== 0) {
      const base = this.sum({ constant: 0, terms: sum.terms });
      const reg = code.general();
      if (fits32(sum.constant)) code.emit("lea", reg, mem({ base, disp: sum.constant }));
      else code.emit("lea", reg, mem({ base, index: integerConstant(this.s, sum.constant) }));
      return reg;
    }
    const inner = sum.terms.filter((term) => this.termDepth(term) === depth);
    const outer = sum.terms.filter((term) => this.termDepth(term) < depth);
    let total = outer.length > 0 ? this.sum({ constant: 0, terms: outer }) : undefined;
    // Positive coefficients first: a leading negative one would need a negation.
    for (const term of inner.toSorted((a, b) => b.coefficient - a.coefficient))
      total = this.accumulate(total, term, depth);
    return total as Reg;
  }

  /** total + term in a new register (or the register of the term when it is alone and plain). */
  private accumulate(total: Reg | undefined, term: Term, depth: number): Reg {
    const { code } = this.s;
    const { reg: factor, coefficient } = this.product(term, depth);
    if (total === undefined) return this.scaled(factor, coefficient);
    const reg = code.general();
    if (coefficient === 1 || coefficient === 2 || coefficient === 4 || coefficient === 8) {
      code.emit("lea", reg, mem({ base: total, index: factor, scale: coefficient }));
    } else if (coefficient === -1) {
      code.emit("mov", reg, total);
      code.emit("sub", reg, factor);
    } else code.emit("lea", reg, mem({ base: total, index: this.scaled(factor, coefficient) }));
    return reg;
  }

  /** A term as register × remaining coefficient: factors known outside are multiplied outside. */
  private product(term: Term, depth: number): { reg: Reg; coefficient: number } {
    const { code } = this.s;
    const inner = term.atoms.filter((atom) => this.atoms[atom]!.depth === depth);
    const outer = term.atoms.filter((atom) => this.atoms[atom]!.depth < depth);
    let coefficient = term.coefficient;
    let product: Reg | undefined;
    if (outer.length > 0) {
      product = this.sum({ constant: 0, terms: [{ coefficient, atoms: outer, key: outer.join(".") }] });
      coefficient = 1;
    }
    const key = `product ${coefficient === 1 ? term.coefficient : 1}*${term.key}`;
    const known = outer.length + inner.length > 1 ? code.lookUp(key, depth) : undefined;
    if (known !== undefined) return { reg: known, coefficient };
    for (const atom of inner) {
      const factor = this.atomReg(atom);
      if (product === undefined) product = factor;
      else {
        const reg = code.general();
        code.emit("mov", reg, product);
        code.emit("imul", reg, factor);
        product = reg;
      }
    }
    if (outer.length + inner.length > 1) code.region.sums.set(key, product as Reg);
    return { reg: product as Reg, coefficient };
  }

  private scaled(factor: Reg, coefficient: number): Reg {
    const { code } = this.s;
    if (coefficient === 1) return factor;
    const key = `scaled ${factor.id} ${coefficient}`;
    const known = code.lookUp(key, 0);
    if (known !== undefined) return known;
    const reg = code.general();
    code.region.sums.set(key, reg);
    const shift = Math.log2(coefficient);
    if (coefficient === 2) code.emit("lea", reg, mem({ base: factor, index: factor }));
    else if (coefficient === 3 || coefficient === 5 || coefficient === 9)
      code.emit("lea", reg, mem({ base: factor, index: factor, scale: (coefficient - 1) as 2 | 4 | 8 }));
    else if (Number.isInteger(shift)) {
      code.emit("mov", reg, factor);
      code.emit("shl", reg, shift);
    } else if (coefficient === -1) {
      code.emit("mov", reg, factor);
      code.emit("neg", reg);
    } else if (fits32(coefficient)) code.emit("imul", reg, factor, coefficient);
    else {
      code.push(integerInstr(reg, coefficient));
      code.emit("imul", reg, factor);
    }
    return reg;
  }
}

export function fits32(value: number): boolean {
  return value >= -0x80000000 && value <= 0x7fffffff;
}
