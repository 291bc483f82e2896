/**
 * Kernels chosen and compiled so far. A program and those of its sub-graphs share one, so that an op that occurs in
 * several of them is compiled once.
 */

import { type Kernel, debug, envFlag, legaliseKernel } from "@quern/core";
import type { CodeArena } from "../host/index.ts";
import type { KernelEnvironment } from "../kernels/kernel.ts";
import { type CompiledKernel, compileKernel } from "../select/index.ts";
import { Chooser } from "./choose.ts";

export interface CachedKernel {
  /** For the target: vectors are explicit. */
  readonly kernel: Kernel;
  readonly code: CompiledKernel;
  /** 0 until it is published. */
  address: bigint;
}

export class KernelCache {
  readonly chooser: Chooser;
  readonly #environment: KernelEnvironment;
  readonly #arena: CodeArena;
  readonly #compiled = new Map<Kernel, CachedKernel>();
  #unpublished: CachedKernel[] = [];

  /** The arena must live as long as any program whose kernels are in it. */
  constructor(environment: KernelEnvironment, arena: CodeArena) {
    this.chooser = new Chooser(environment);
    this.#environment = environment;
    this.#arena = arena;
  }

  compile(kernel: Kernel): CachedKernel {
    let one = this.#compiled.get(kernel);
    if (one === undefined) {
      const { target } = this.#environment;
      const vectors = { vectorBytes: target.vectorBytes, masks: target.maskRegisters > 0 };
      const legal = legaliseKernel(kernel, { vectors, verify: envFlag("QUERN_VERIFY") });
      const code = compileKernel(legal, target);
      debug(4, () => `; ${kernel.name}\n${code.listing()}`, [kernel.name]);
      one = { kernel: legal, code, address: 0n };
      this.#compiled.set(kernel, one);
      this.#unpublished.push(one);
    }
    return one;
  }

  /** Makes the kernels compiled since the last call executable; gives their size. */
  publish(): number {
    const batch = this.#unpublished;
    this.#unpublished = [];
    const addresses = this.#arena.publish(batch.map(({ code }) => code.bytes));
    batch.forEach((one, i) => (one.address = addresses[i] as bigint));
    return batch.reduce((sum, { code }) => sum + code.bytes.length, 0);
  }
}
