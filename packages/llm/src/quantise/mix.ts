/**
 * Which tensor of a model gets which block type, under the names that model files carry ("Q4_K_M", "Q8_0", …).
 *
 * A mix is a base type for the matrices and exceptions for those where precision pays most: the output head (or the
 * embedding that serves as one), the values of attention and the second feed-forward matrix. The exceptions are those of
 * llama.cpp's quantisation without an importance matrix, so that files of one name have the same types and sizes.
 * Reference: `llama_tensor_get_type` in llama.cpp; numbers of `general.file_type` as in its `llama_ftype`.
 */

import { type BlockType, UserError, blockTypeNamed, encodingForRows } from "@quern/core";

/** A tensor of a model: its name as in GGUF files and its shape, outermost dimension first. */
export interface NamedShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** What the rules ask about a model. */
export interface MixModel {
  readonly layers: number;
  /** Query heads per key/value head. */
  readonly headsPerKv: number;
  /** Experts per feed-forward layer, 0 or 1 where there are none. */
  readonly experts: number;
  /** The embedding is the output head too: there is no `output.weight`. */
  readonly tied: boolean;
}

/** The type of a tensor in layer `layer`, or undefined for the base type. */
type Rule = (layer: number, model: MixModel) => string | undefined;

export interface QuantMix {
  readonly name: string;
  /** Value of `general.file_type`. */
  readonly fileType: number;
  readonly base: string;
  /** Of `output.weight`; by default Q6_K where the base type has blocks. */
  readonly output?: string;
  /** Exceptions by the part of the name between layer and `.weight`. */
  readonly rules?: Readonly<Record<string, Rule>>;
  /** Of matrices that have one more dimension for experts. */
  readonly experts?: string;
}

const always =
  (type: string): Rule =>
  () =>
    type;

/** The first and last eighth of the layers and every third between. */
const moreBits =
  (type: string): Rule =>
  (layer, { layers }) => {
    const eighth = Math.floor(layers / 8);
    return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2 ? type : undefined;
  };

/** The first layers, up to the share 1 / `parts` of them. */
const firstLayers =
  (type: string, parts: number): Rule =>
  (layer, { layers }) =>
    layer < Math.floor(layers / parts) ? type : undefined;

const first =
  (type: string, count: number): Rule =>
  (layer) =>
    layer < count ? type : undefined;

/** Where at least four query heads share a key/value head: then the matrix is small, and many read it. */
const shared =
  (type: string, otherwise?: string): Rule =>
  (_layer, { headsPerKv }) =>
    headsPerKv >= 4 ? type : otherwise;

const either =
  (...rules: readonly Rule[]): Rule =>
  (layer, model) => {
    for (const rule of rules) {
      const type = rule(layer, model);
      if (type !== undefined) return type;
    }
    return undefined;
  };

/** Every mix, by falling size. */
export const quantMixes: readonly QuantMix[] = [
  { name: "F32", fileType: 0, base: "F32" },
  { name: "BF16", fileType: 32, base: "BF16" },
  { name: "F16", fileType: 1, base: "F16" },
  { name: "Q8_0", fileType: 7, base: "Q8_0", output: "Q8_0" },
  { name: "Q6_K", fileType: 18, base: "Q6_K" },
  {
    name: "Q5_K_M",
    fileType: 17,
    base: "Q5_K",
    rules: { attn_v: moreBits("Q6_K"), ffn_down: moreBits("Q6_K"), attn_qkv: always("Q6_K") },
  },
  { name: "Q5_K_S", fileType: 16, base: "Q5_K" },
  { name: "Q5_1", fileType: 9, base: "Q5_1" },
  { name: "Q5_0", fileType: 8, base: "Q5_0" },
  {
    name: "Q4_K_M",
    fileType: 15,
    base: "Q4_K",
    rules: { attn_v: moreBits("Q6_K"), ffn_down: moreBits("Q6_K"), attn_qkv: always("Q5_K") },
  },
  {
    name: "Q4_K_S",
    fileType: 14,
    base: "Q4_K",
    rules: { attn_v: first("Q5_K", 4), ffn_down: firstLayers("Q5_K", 8) },
  },
  { name: "Q4_1", fileType: 3, base: "Q4_1" },
  { name: "Q4_0", fileType: 2, base: "Q4_0" },
  {
    name: "IQ4_NL",
    fileType: 25,
    base: "IQ4_NL",
    rules: { attn_v: shared("Q5_K"), ffn_down: firstLayers("Q5_K", 8) },
  },
  {
    name: "IQ4_XS",
    fileType: 30,
    base: "IQ4_XS",
    rules: { attn_v: shared("Q5_K"), ffn_down: firstLayers("Q5_K", 8) },
  },
  // Of every matrix; llama.cpp itself makes only the files of the next mix.
  { name: "MXFP4", fileType: 38, base: "MXFP4", output: "Q8_0" },
  { name: "MXFP4_MOE", fileType: 38, base: "Q8_0", output: "Q8_0", experts: "MXFP4" },
  {
    name: "Q3_K_L",
    fileType: 13,
    base: "Q3_K",
    rules: {
      attn_v: always("Q5_K"),
      ffn_down: always("Q5_K"),
      attn_output: always("Q5_K"),
      attn_qkv: always("Q4_K"),
    },
  },
  {
    name: "Q3_K_M",
    fileType: 12,
    base: "Q3_K",
    rules: {
      attn_v: either(first("Q5_K", 2), always("Q4_K")),
      ffn_down: either(firstLayers("Q5_K", 16), always("Q4_K")),
      attn_output: always("Q4_K"),
      attn_qkv: always("Q4_K"),
    },
  },
  { name: "Q3_K_S", fileType: 11, base: "Q3_K" },
  {
    name: "Q2_K",
    fileType: 10,
    base: "Q2_K",
    rules: { attn_v: shared("Q4_K", "Q3_K"), ffn_down: always("Q3_K"), attn_output: always("Q3_K") },
  },
];

/** The mix of this name, in any case. Throws a `UserError` that lists the names. `where` names the option it came from. */
export function quantMixNamed(name: string, where?: string): QuantMix {
  const found = quantMixes.find((mix) => mix.name === name.toUpperCase());
  if (found !== undefined) return found;
  throw new UserError(`there is no quantisation "${name}"`, {
    where,
    hint: `Choose from: ${quantMixes.map((mix) => mix.name).join(", ")}.`,
  });
}

/** Matrices that keep the precision they have: they are small, and what they decide is not averaged over a row. */
const KEPT: ReadonlySet<string> = new Set(["ffn_gate_inp", "ffn_gate_inp_shexp", "position_embd", "token_types"]);

/** Whether a tensor is stored in the mix's types: a matrix of weights that is no norm. */
export function isQuantised({ name, shape }: NamedShape): boolean {
  const { part, suffix } = partsOf(name);
  return shape.length >= 2 && suffix === "weight" && !part.endsWith("_norm") && !KEPT.has(part);
}

/** `blk.<layer>.<part>.<suffix>` or `<part>.<suffix>`. */
function partsOf(name: string): { layer: number; part: string; suffix: string } {
  const { layer, part, suffix } = /^(?:blk\.(?<layer>\d+)\.)?(?<part>.*?)\.(?<suffix>[^.]*)$/s.exec(name)?.groups ?? {};
  return { layer: Number(layer ?? 0), part: part ?? name, suffix: suffix ?? "" };
}

export interface TypeChoice {
  readonly type: BlockType;
  /** The type that the mix wants where the rows are no multiple of its block. */
  readonly instead?: BlockType;
}

/** The type of a matrix for which `isQuantised` holds. */
export function typeInMix(mix: QuantMix, tensor: NamedShape, model: MixModel): TypeChoice {
  const wanted = typeNamed(wantedType(mix, tensor, model));
  const type = encodingForRows(wanted, tensor.shape.at(-1) ?? 1) ?? typeNamed("F16");
  return type === wanted ? { type } : { type, instead: wanted };
}

function wantedType(mix: QuantMix, { name, shape }: NamedShape, model: MixModel): string {
  const base = typeNamed(mix.base);
  if (base.blockWeights === 1) return mix.base;
  const { layer, part } = partsOf(name);
  if (part === "output" || (part === "token_embd" && model.tied)) {
    // Rows that the base type cannot hold: the head gets the largest type at once.
    return (shape.at(-1) ?? 1) % base.blockWeights === 0 ? (mix.output ?? "Q6_K") : "Q8_0";
  }
  const hasExperts = shape.length > 2;
  if (mix.experts !== undefined && hasExperts) return mix.experts;
  if (part === "attn_v" && model.experts === 8) return "Q8_0";
  const rule = mix.rules?.[hasExperts ? part.replace(/_exps$/, "") : part];
  return rule?.(layer, model) ?? mix.base;
}

function typeNamed(name: string): BlockType {
  const type = blockTypeNamed(name);
  if (type === undefined) throw new UserError(`there is no block type "${name}"`);
  return type;
}
