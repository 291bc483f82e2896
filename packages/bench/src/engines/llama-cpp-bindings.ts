/**
 * The parts of node-llama-cpp's native addon that the benchmark calls, as its sources declare them. They are not part of the
 * package's public interface, so a new version of it wants a look at `dist/bindings/AddonTypes.d.ts`.
 */

export interface Bindings {
  readonly AddonModel: new (
    path: string,
    params: { readonly gpuLayers: number; readonly useMmap: boolean; readonly addonExports: Bindings },
  ) => AddonModel;
  readonly AddonContext: new (model: AddonModel, params: ContextParams) => AddonContext;
  readonly AddonSampler: new (model: AddonModel) => AddonSampler;
  systemInfo(): string;
  /** Number of a tensor type by its name, in any case. */
  getGgmlType(name: string): number | undefined;
  /** Without a function: ends the logger. That is complete some turns of the event loop later, and takes a new one with it. */
  setLogger(logger?: (level: number, message: string) => void): void;
  setLoggerLogLevel(level: number): void;
}

export interface ContextParams {
  /** Tokens of all sequences together. */
  readonly contextSize: number;
  /** Tokens of a batch, of the logical and of the physical one. */
  readonly batchSize?: number;
  readonly sequences: number;
  readonly flashAttention?: boolean | "auto";
  readonly threads?: number;
  readonly performanceTracking?: boolean;
  readonly swaFullCache: boolean;
  readonly kvCacheKeyType?: number;
  readonly kvCacheValueType?: number;
}

export interface AddonModel {
  init(): Promise<boolean>;
  dispose(): Promise<void>;
}

export interface AddonContext {
  init(): Promise<boolean>;
  dispose(): Promise<void>;
  /** Begins an empty batch of up to `size` tokens. */
  initBatch(size: number): void;
  /** Adds tokens of a sequence; gives the places in the batch of those whose logits are wanted. */
  addToBatch(sequence: number, position: number, tokens: Uint32Array, wanted: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  sampleToken(place: number, sampler: AddonSampler): Promise<number>;
  sampleToken(
    place: number,
    sampler: AddonSampler,
    probabilities: false,
    confidence: false,
    logits: true,
  ): Promise<readonly [token: number, probabilities: undefined, confidence: undefined, logits: readonly number[]]>;
  removeTokenCellsFromSequence(sequence: number, start: number, end: number): boolean;
}

export interface AddonSampler {
  applyConfig(config: { readonly temperature: number }): void;
  dispose(): void;
}
