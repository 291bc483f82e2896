/**
 * Memory of the kernel interpreter: buffers whose every access is checked.
 *
 * Checks bounds, reads of elements nobody wrote (write-only parameters and scratch), and conflicting accesses of
 * independent tasks or iterations. Element offsets only; values are in the host form of `element.ts`.
 */

import { type DimBindings, evaluateDim } from "../dim.ts";
import { DTYPE_INFO, type DType } from "../dtype.ts";
import { UserError } from "../errors.ts";
import { type Scalar, readElement, writeElement } from "./element.ts";
import type { Buffer } from "./ir.ts";

/** Any typed array, or a view on raw bytes. */
export type HostArray = ArrayBufferView;

/** Who is executing: set by the interpreter, compared by the race checks. */
export interface Strand {
  /** Number of the current `parallel` task. */
  task: number;
  /** Changes where all iterations are known to have met: at barriers, and around `each` unless workgroups are modelled. */
  phase: number;
  /** Iteration of the current `each` or `reduce`, or `UNIFORM` outside. */
  iteration: number;
}

export const UNIFORM = -1;

const NOBODY = -2;
const SEVERAL = -3;

/** Who read and wrote each element last, within one scope of independence. */
class Accesses {
  readonly #writer: Float64Array;
  readonly #reader: Float64Array;

  constructor(size: number) {
    this.#writer = new Float64Array(size).fill(NOBODY);
    this.#reader = new Float64Array(size).fill(NOBODY);
  }

  clear(at: number): void {
    this.#writer[at] = NOBODY;
    this.#reader[at] = NOBODY;
  }

  /** The kind of conflict, if any. */
  write(at: number, who: number): "write-write" | "read-write" | undefined {
    const writer = this.#writer[at];
    const reader = this.#reader[at];
    this.#writer[at] = who;
    if (writer !== NOBODY && writer !== who) return "write-write";
    return reader !== NOBODY && reader !== who ? "read-write" : undefined;
  }

  read(at: number, who: number): "read-write" | undefined {
    const reader = this.#reader[at];
    this.#reader[at] = reader === NOBODY || reader === who ? who : SEVERAL;
    const writer = this.#writer[at];
    return writer !== NOBODY && writer !== who ? "read-write" : undefined;
  }
}

export class CheckedBuffer {
  readonly buffer: Buffer;
  readonly size: number;
  readonly #dtype: DType;
  readonly #bytes: number;
  readonly #view: DataView;
  readonly #strand: Strand;
  /** One byte per element: written (1) or not; absent where everything is initialised. */
  readonly #written: Uint8Array | undefined;
  readonly #tasks: Accesses | undefined;
  readonly #iterations: Accesses | undefined;
  readonly #phases: Float64Array;

  constructor(buffer: Buffer, array: HostArray | undefined, symbols: DimBindings, strand: Strand, checkRaces: boolean) {
    this.buffer = buffer;
    this.size = evaluateDim(buffer.size, symbols);
    this.#dtype = buffer.dtype;
    this.#bytes = DTYPE_INFO[buffer.dtype].bytes;
    this.#strand = strand;
    const where = `buffer "${buffer.name}"`;
    if (array === undefined && buffer.space === "global") throw new UserError(`interpretKernel: ${where} is not given`);
    const memory = array ?? new Uint8Array(this.size * this.#bytes).fill(0xff);
    if (memory.byteLength < this.size * this.#bytes) {
      throw new UserError(
        `interpretKernel: ${where} needs ${this.size} elements of ${buffer.dtype}, got ${memory.byteLength} bytes`,
      );
    }
    if (memory.byteOffset % buffer.alignBytes !== 0) {
      throw new UserError(
        `interpretKernel: ${where} starts at byte ${memory.byteOffset}, which is not aligned to ${buffer.alignBytes}`,
      );
    }
    this.#view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
    const undefinedAtStart = buffer.space === "workgroup" || buffer.access === "write";
    this.#written = undefinedAtStart ? new Uint8Array(this.size) : undefined;
    // Scratch belongs to one task, so tasks cannot meet there.
    this.#tasks =
      checkRaces && buffer.space === "global" && buffer.access !== "read" ? new Accesses(this.size) : undefined;
    this.#iterations = checkRaces && buffer.access !== "read" ? new Accesses(this.size) : undefined;
    this.#phases = new Float64Array(this.#iterations === undefined ? 0 : this.size).fill(-1);
  }

  /** Scratch is undefined at the start of each task. */
  startTask(): void {
    if (this.buffer.space === "workgroup") this.#written?.fill(0);
  }

  #check(at: number, access: string): void {
    if (!(at >= 0 && at < this.size)) {
      throw new UserError(`${access} of "${this.buffer.name}" at element ${at}, outside 0..${this.size - 1}`);
    }
  }

  #currentIterations(at: number): Accesses | undefined {
    if (this.#iterations !== undefined && this.#phases[at] !== this.#strand.phase) {
      this.#phases[at] = this.#strand.phase;
      this.#iterations.clear(at);
    }
    return this.#iterations;
  }

  #report(conflict: string | undefined, at: number, between: string): void {
    if (conflict !== undefined)
      throw new UserError(`${conflict} race between ${between} on element ${at} of "${this.buffer.name}"`);
  }

  read(at: number): Scalar {
    this.#check(at, "load");
    if (this.#written !== undefined && this.#written[at] === 0) {
      throw new UserError(`load of "${this.buffer.name}" at element ${at}, which was never written`);
    }
    this.#report(this.#tasks?.read(at, this.#strand.task), at, "parallel tasks");
    this.#report(this.#currentIterations(at)?.read(at, this.#strand.iteration), at, "iterations");
    return readElement(this.#view, at * this.#bytes, this.#dtype);
  }

  write(at: number, value: Scalar): void {
    this.#check(at, "store");
    if (this.#written !== undefined) this.#written[at] = 1;
    this.#report(this.#tasks?.write(at, this.#strand.task), at, "parallel tasks");
    this.#report(this.#currentIterations(at)?.write(at, this.#strand.iteration), at, "iterations");
    writeElement(this.#view, at * this.#bytes, this.#dtype, value);
  }
}
