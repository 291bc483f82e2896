/**
 * What both launches of attention share: the buffers of a node, the runs of a step, and where a page lies in the cache.
 *
 * Numbers that index tensors (tokens, sequences, pages) are clamped, as in every kernel: a wrong one gives wrong
 * results, never an access outside of a tensor.
 */

import {
  type AttentionProblem,
  type Buffer,
  type Dim,
  type KValue,
  type KernelBuilder,
  type KernelSite,
  type Value,
  ATTENTION_INPUTS,
  GroupKernel,
  RUN_FIELDS,
  SCALED_BLOCK,
  attentionProblem,
} from "@quern/core";

export type AttentionInput = keyof typeof ATTENTION_INPUTS;

/** A kernel of an attention node with its buffers by name. */
export class AttentionKernel {
  readonly kernel: GroupKernel;
  readonly problem: AttentionProblem;
  readonly #access: "read" | "readwrite";

  /** `access` is that of the cache. */
  constructor(name: string, site: KernelSite, access: "read" | "readwrite") {
    this.kernel = new GroupKernel(name, site);
    this.problem = problemOf(site);
    this.#access = access;
  }

  get k(): KernelBuilder {
    return this.kernel.k;
  }

  buffer(name: AttentionInput): Buffer {
    const value = this.kernel.site.anchor.inputs[ATTENTION_INPUTS[name]] as Value;
    const state = name === "keys" || name === "values" || name === "keyScales" || name === "valueScales";
    return this.kernel.input(value, value.type.dtype, state ? this.#access : "read");
  }

  /** The run of row `row`. */
  run(row: KValue): TokenRun {
    const { k } = this;
    const { tokens, sequences } = this.problem;
    const runs = this.buffer("runs");
    const field = (at: number): KValue => k.cast(k.load(runs, k.add(k.mul(row, RUN_FIELDS), at)), "index");
    const first = k.max(0, k.min(field(0), k.index(tokens)));
    return {
      first,
      count: k.max(0, k.min(field(1), k.sub(k.index(tokens), first))),
      sequence: clampTo(k, field(2), sequences),
      position: k.max(0, field(3)),
    };
  }

  /** The part of page `page` of a sequence that belongs to a head of the cache. */
  page(sequence: KValue, page: KValue, head: KValue): CachePage {
    const { k } = this;
    const { pagesPerSequence, pool, kvHeads, head: elements, pageSize } = this.problem;
    const entry = k.add(k.mul(sequence, k.index(pagesPerSequence)), clampTo(k, page, pagesPerSequence));
    const id = clampTo(k, k.cast(k.load(this.buffer("pages"), entry), "index"), pool);
    const at = k.add(k.mul(id, kvHeads), head);
    const scales = k.mul(at, Math.floor(elements / SCALED_BLOCK) * pageSize);
    return { elements: k.mul(at, elements * pageSize), scales };
  }
}

export interface TokenRun {
  readonly first: KValue;
  readonly count: KValue;
  readonly sequence: KValue;
  readonly position: KValue;
}

/** Offsets of the first element and the first scale of a head in a page; the same in keys and values. */
export interface CachePage {
  readonly elements: KValue;
  readonly scales: KValue;
}

export function problemOf({ anchor }: KernelSite): AttentionProblem {
  return attentionProblem(
    anchor.inputs.map((input) => input?.type),
    anchor.attrs,
  );
}

function clampTo(k: KernelBuilder, index: KValue, size: Dim): KValue {
  return k.max(0, k.min(index, k.sub(k.index(size), 1)));
}
