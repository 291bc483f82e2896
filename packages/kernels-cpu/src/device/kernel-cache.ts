/**
 * Kernels chosen and compiled so far, by the signature of their site. A program and those of its sub-graphs share one,
 * so that an op that occurs in several of them is compiled once; behind it may stand a cache on disk. Plans are made first
 * and code last (`publish`): weights can be packed as soon as it is known how.
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
import { type SiteStore, kernelsWatched } from "./site-store.ts";

export interface ReadyKernel {
  readonly face: KernelFace;
  /** Empty until it is published. */
  bytes: Uint8Array;
  /** 0 until it is published. */
  address: bigint;
  /** True for code from the disk. */
  readonly cached: boolean;
  /** What it is compiled from. Given away when it is published, unless somebody looks at how kernels are made. */
  source: KernelSource | undefined;
}

export interface KernelSource {
  /** As recorded, and for the target: vectors are explicit. */
  readonly recorded: Kernel;
  readonly kernel: Kernel;
  /** Absent until it is compiled. */
  code: CompiledKernel | undefined;
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
  readonly #keepSources: boolean;
  readonly #plans = new Map<string, SitePlan>();
  /** Kernels by their text: sites of different signatures may need the same, to quantise or pack their operands. */
  readonly #prepared = new Map<string, ReadyKernel>();
  #unpublished = new Set<ReadyKernel>();

  /**
   * The arena must live as long as any program whose kernels are in it. `keepSources`: they stay with their kernels,
   * megabytes that a program does not need to run.
   */
  constructor(
    environment: KernelEnvironment,
    arena: CodeArena,
    store?: SiteStore,
    keepSources: boolean = kernelsWatched(),
  ) {
    this.#environment = environment;
    this.#arena = arena;
    this.#store = store;
    this.#keepSources = keepSources;
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
    const plan = this.#planOf(chooseKernel(site, this.#environment));
    this.#store?.add(signature, plan);
    return plan;
  }

  #planOf(choice: Choice): SitePlan {
    const rivals = printCandidates(choice.candidates);
    if (choice.kind === "host") return { kind: "host", reason: choice.reason, rivals };
    const launches = choice.launches.map(({ kernel, operands: _, nodes: __, ...recipe }) => ({
      recipe,
      kernel: this.#prepare(kernel),
    }));
    return { kind: "kernels", launches, rivals };
  }

  #prepare(recorded: Kernel): ReadyKernel {
    const text = printKernel(recorded);
    const known = this.#prepared.get(text);
    if (known !== undefined) return known;
    const { target } = this.#environment;
    const vectors = { vectorBytes: target.vectorBytes, masks: target.maskRegisters > 0 };
    const kernel = legaliseKernel(recorded, { vectors, verify: envFlag("QUERN_VERIFY") });
    const source = { recorded, kernel, code: undefined };
    const ready = { face: faceOf(kernel), bytes: new Uint8Array(0), address: 0n, cached: false, source };
    this.#prepared.set(text, ready);
    return ready;
  }

  #compileCode(ready: ReadyKernel): void {
    const { source } = ready;
    if (source === undefined) return;
    const { kernel } = source;
    const code = (source.code = compileKernel(kernel, this.#environment.target));
    ready.bytes = code.bytes;
    debug(4, () => `; ${kernel.name}\n${code.listing()}`, [kernel.name]);
    if (!this.#keepSources) ready.source = undefined;
  }

  /** Compiles the kernels added since the last call and makes them executable; gives the size of the new ones in bytes. */
  publish(): number {
    const batch = [...this.#unpublished];
    this.#unpublished = new Set();
    for (const one of batch) this.#compileCode(one);
    const addresses = this.#arena.publish(batch.map(({ bytes }) => bytes));
    batch.forEach((one, i) => (one.address = addresses[i] as bigint));
    this.#store?.flush();
    // Texts are as large as what they are of.
    this.#prepared.clear();
    return batch.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }
}
