/** A model in llama.cpp with a context for its sequences: batches in, logits out. */

import { InternalError, UserError } from "@quern/core";
import type { AddonContext, AddonModel, AddonSampler, Bindings } from "./llama-cpp-bindings.ts";
import type { LlmModel, LlmPart } from "./llm-engine.ts";

export class LlamaModel implements LlmModel {
  readonly #model: AddonModel;
  readonly #context: AddonContext;
  readonly #greedy: AddonSampler;
  readonly #about: () => string;
  /** Places in the last batch of the last token of each part. */
  #places: number[] = [];

  constructor(bindings: Bindings, model: AddonModel, context: AddonContext, about: () => string) {
    this.#model = model;
    this.#context = context;
    this.#about = about;
    this.#greedy = new bindings.AddonSampler(model);
    this.#greedy.applyConfig({ temperature: 0 });
  }

  async evaluate(parts: readonly LlmPart[]): Promise<void> {
    const context = this.#context;
    context.initBatch(parts.reduce((sum, { tokens }) => sum + tokens.length, 0));
    this.#places = parts.map(({ sequence, position, tokens }) => {
      const ids = new Uint32Array(tokens.buffer, tokens.byteOffset, tokens.length);
      return context.addToBatch(sequence, position, ids, Uint32Array.of(tokens.length - 1))[0] as number;
    });
    await context.decodeBatch();
  }

  async logits(part: number): Promise<Float32Array> {
    const [, , , pairs] = await this.#context.sampleToken(this.#place(part), this.#greedy, false, false, true);
    const logits = new Float32Array(pairs.length / 2);
    for (let i = 0; i < pairs.length; i += 2) logits[pairs[i] as number] = pairs[i + 1] as number;
    return logits;
  }

  greedy(part: number): Promise<number> {
    return this.#context.sampleToken(this.#place(part), this.#greedy);
  }

  #place(part: number): number {
    const place = this.#places[part];
    if (place === undefined) throw new InternalError(`llama.cpp: the last step had no part ${part}`);
    return place;
  }

  truncate(sequence: number, length: number): void {
    if (!this.#context.removeTokenCellsFromSequence(sequence, length, -1))
      throw new UserError(`llama.cpp could not take a sequence back to ${length} tokens`);
  }

  about(): string {
    return this.#about();
  }

  async close(): Promise<void> {
    this.#greedy.dispose();
    await this.#context.dispose();
    await this.#model.dispose();
  }
}
