/**
 * Kernels chosen and compiled so far, by the signature of their site. A program and those of its sub-graphs share one,
 * so that an op that occurs in several of them is compiled once; behind it may stand a cache on disk.
 */

import {
  type Kernel,
  type KernelSite,
  type LaunchPlan,
  type LaunchRecipe,
  type Temporary,
  debug,
  envFlag,
  launchFor,
  legaliseKernel,
  printKernel,
  siteSignature,
} from "@quern/core";
import type { CodeArena } from "../host/index.ts";
import type { KernelEnvironment } from "../kernels/kernel.ts";
import { type CompiledKernel, compileKernel } from "../select/index.ts";
import { type Choice, chooseKernel, printCandidates } from "./choose.ts";
import { type KernelFace, faceOf } from "./kernel-face.ts";
import type { SiteStore } from "./site-store.ts";

export interface ReadyKernel {
  readonly face: KernelFace;
  readonly bytes: Uint8Array;
  /** 0 until it is published. */
  address: bigint;
  /** What it was compiled from and to; absent where the code comes from the disk. */
  readonly source: KernelSource | undefined;
}

export interface KernelSource {
  /** As recorded, and for the target: vectors are explicit. */
  readonly recorded: Kernel;
  readonly kernel: Kernel;
  readonly code: CompiledKernel;
}

/** How sites of one signature are computed. */
export type SitePlan =
  | { readonly kind: "host"; readonly reason: string; readonly rivals: string }
  | { readonly kind: "kernels"; readonly launches: readonly PlannedLaunch[]; readonly rivals: string };

export interface PlannedLaunch {
  readonly recipe: LaunchRecipe;
  readonly kernel: ReadyKernel;
}

/** The plan with the operands of one site. */
export type Served =
  | Extract<SitePlan, { kind: "host" }>
  | {
      readonly kind: "kernels";
      readonly launches: readonly { readonly launch: LaunchPlan; readonly kernel: ReadyKernel }[];
      readonly rivals: string;
    };

export class KernelCache {
  readonly #environment: KernelEnvironment;
  readonly #arena: CodeArena;
  readonly #store: SiteStore | undefined;
  readonly #plans = new Map<string, SitePlan>();
  /** Kernels by their text: sites of different signatures may need the same, to quantise or pack their operands. */
  readonly #compiled = new Map<string, ReadyKernel>();
  #unpublished = new Set<ReadyKernel>();

  /** The arena must live as long as any program whose kernels are in it. */
  constructor(environment: KernelEnvironment, arena: CodeArena, store?: SiteStore) {
    this.#environment = environment;
    this.#arena = arena;
    this.#store = store;
  }

  /** Throws an `UnsupportedError` where not even the host can compute the site. */
  serve(site: KernelSite): Served {
    const plan = this.#plan(site);
    if (plan.kind === "host") return plan;
    const temporaries = new Map<Temporary, Temporary>();
    for (const { recipe } of plan.launches) {
      for (const operand of recipe.recipes)
        if (operand.kind === "temporary") temporaries.set(operand.temporary, { ...operand.temporary });
    }
    const launches = plan.launches.map(({ recipe, kernel }) => ({
      launch: launchFor(recipe, site, temporaries),
      kernel,
    }));
    return { ...plan, launches };
  }

  #plan(site: KernelSite): SitePlan {
    const signature = siteSignature(site);
    const known = this.#plans.get(signature);
    if (known !== undefined) return known;
    const plan = this.#store?.read(signature) ?? this.#make(signature, site);
    this.#plans.set(signature, plan);
    if (plan.kind === "kernels")
      for (const { kernel } of plan.launches) if (kernel.address === 0n) this.#unpublished.add(kernel);
    return plan;
  }

  #make(signature: string, site: KernelSite): SitePlan {
    const plan = this.#compile(chooseKernel(site, this.#environment));
    this.#store?.add(signature, plan);
    return plan;
  }

  #compile(choice: Choice): SitePlan {
    const rivals = printCandidates(choice.candidates);
    if (choice.kind === "host") return { kind: "host", reason: choice.reason, rivals };
    const launches = choice.launches.map(({ kernel, operands: _, nodes: __, ...recipe }) => ({
      recipe,
      kernel: this.#compileKernel(kernel),
    }));
    return { kind: "kernels", launches, rivals };
  }

  #compileKernel(recorded: Kernel): ReadyKernel {
    const text = printKernel(recorded);
    const known = this.#compiled.get(text);
    if (known !== undefined) return known;
    const { target } = this.#environment;
    const vectors = { vectorBytes: target.vectorBytes, masks: target.maskRegisters > 0 };
    const kernel = legaliseKernel(recorded, { vectors, verify: envFlag("QUERN_VERIFY") });
    const code = compileKernel(kernel, target);
    debug(4, () => `; ${kernel.name}\n${code.listing()}`, [kernel.name]);
    const ready = { face: faceOf(kernel), bytes: code.bytes, address: 0n, source: { recorded, kernel, code } };
    this.#compiled.set(text, ready);
    return ready;
  }

  /** Makes the kernels added since the last call executable and keeps the new ones; gives their size in bytes. */
  publish(): number {
    const batch = [...this.#unpublished];
    this.#unpublished = new Set();
    const addresses = this.#arena.publish(batch.map(({ bytes }) => bytes));
    batch.forEach((one, i) => (one.address = addresses[i] as bigint));
    this.#store?.flush();
    return batch.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }
}
