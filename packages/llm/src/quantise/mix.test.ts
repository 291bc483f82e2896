/** Which tensor gets which type, against what published files have. */

import { describe, expect, it } from "vitest";
import { UserError } from "@quern/core";
import { type MixModel, isQuantised, quantMixNamed, quantMixes, typeInMix } from "./mix.ts";

const model: MixModel = { layers: 32, headsPerKv: 4, experts: 0, tied: false };

function typeOf(
  mix: string,
  name: string,
  shape: readonly number[] = [4096, 4096],
  more: Partial<MixModel> = {},
): string {
  return typeInMix(quantMixNamed(mix), { name: `${name}.weight`, shape }, { ...model, ...more }).type.name;
}

/** The layers, of `layers`, in which `part` has another type than the base type. */
function layersWith(type: string, mix: string, part: string, layers = 32): number[] {
  return [...Array(layers).keys()].filter(
    (layer) => typeOf(mix, `blk.${layer}.${part}`, undefined, { layers }) === type,
  );
}

describe("Q4_K_M", () => {
  it("has Q6_K in the first and last eighth and every third layer between", () => {
    // As in files of Llama models of 32 layers.
    const expected = [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31];
    expect(layersWith("Q6_K", "Q4_K_M", "attn_v")).toEqual(expected);
    expect(layersWith("Q6_K", "Q4_K_M", "ffn_down")).toEqual(expected);
    expect(layersWith("Q6_K", "Q4_K_M", "ffn_down", 16)).toEqual([0, 1, 4, 7, 10, 13, 14, 15]);
    expect(layersWith("Q6_K", "Q4_K_M", "attn_k")).toEqual([]);
  });

  it("has Q6_K in the output head, which may be the embedding", () => {
    expect(typeOf("Q4_K_M", "output")).toBe("Q6_K");
    expect(typeOf("Q4_K_M", "token_embd")).toBe("Q4_K");
    expect(typeOf("Q4_K_M", "token_embd", undefined, { tied: true })).toBe("Q6_K");
  });

  it("falls back where rows are no multiple of 256", () => {
    const choice = (name: string, width: number): string[] => {
      const tensor = { name: `${name}.weight`, shape: [64, width] };
      const { type, instead } = typeInMix(quantMixNamed("Q4_K_M"), tensor, model);
      return [type.name, instead?.name ?? ""];
    };
    expect(choice("blk.4.ffn_up", 896)).toEqual(["Q5_0", "Q4_K"]);
    expect(choice("blk.0.ffn_down", 896)).toEqual(["Q8_0", "Q6_K"]);
    expect(choice("output", 896)).toEqual(["Q8_0", ""]);
    expect(choice("blk.4.ffn_up", 100)).toEqual(["F16", "Q4_K"]);
    expect(choice("blk.4.ffn_up", 512)).toEqual(["Q4_K", ""]);
  });
});

describe("other mixes", () => {
  it("Q4_K_S has Q5_K in a few of the first layers", () => {
    expect(layersWith("Q5_K", "Q4_K_S", "attn_v")).toEqual([0, 1, 2, 3]);
    expect(layersWith("Q5_K", "Q4_K_S", "ffn_down")).toEqual([0, 1, 2, 3]);
    expect(layersWith("Q5_K", "Q4_K_S", "ffn_down", 16)).toEqual([0, 1]);
  });

  it.each([
    ["Q8_0", "output", "Q8_0"],
    ["Q8_0", "blk.3.ffn_down", "Q8_0"],
    ["Q4_0", "output", "Q6_K"],
    ["Q4_0", "blk.0.ffn_down", "Q4_0"],
    ["F16", "output", "F16"],
    ["F32", "blk.0.attn_v", "F32"],
    ["Q5_K_M", "blk.0.attn_v", "Q6_K"],
    ["Q4_K_M", "blk.9.attn_qkv", "Q5_K"],
    ["Q5_K_M", "blk.9.attn_qkv", "Q6_K"],
    ["Q3_K_M", "blk.1.attn_v", "Q5_K"],
    ["Q3_K_M", "blk.2.attn_v", "Q4_K"],
    ["Q3_K_M", "blk.9.attn_output", "Q4_K"],
    ["Q3_K_M", "blk.1.ffn_down", "Q5_K"],
    ["Q3_K_M", "blk.2.ffn_down", "Q4_K"],
    ["Q2_K", "blk.2.attn_v", "Q4_K"],
    ["Q2_K", "blk.2.ffn_up", "Q2_K"],
    ["IQ4_XS", "blk.3.ffn_down", "Q5_K"],
    ["IQ4_XS", "blk.4.ffn_down", "IQ4_XS"],
    ["MXFP4", "blk.0.attn_q", "MXFP4"],
  ])("%s: %s is %s", (mix, name, type) => {
    expect(typeOf(mix, name)).toBe(type);
  });

  it("IQ4_XS and Q2_K ask how many heads share a key/value head", () => {
    expect(typeOf("IQ4_XS", "blk.9.attn_v", undefined, { headsPerKv: 2 })).toBe("IQ4_XS");
    expect(typeOf("Q2_K", "blk.9.attn_v", undefined, { headsPerKv: 1 })).toBe("Q3_K");
  });

  it("experts", () => {
    expect(typeOf("MXFP4_MOE", "blk.0.ffn_up_exps", [8, 256, 256])).toBe("MXFP4");
    expect(typeOf("MXFP4_MOE", "blk.0.attn_q")).toBe("Q8_0");
    expect(typeOf("Q4_K_M", "blk.0.ffn_down_exps", [4, 256, 256])).toBe("Q6_K");
    expect(typeOf("Q4_K_M", "blk.9.attn_v", undefined, { experts: 8 })).toBe("Q8_0");
  });
});

it("norms, biases, routers and learned positions keep their type", () => {
  const quantised = (name: string, shape: readonly number[] = [32, 32]): boolean => isQuantised({ name, shape });
  expect(quantised("token_embd.weight")).toBe(true);
  expect(quantised("blk.10.ffn_up_exps.weight", [4, 32, 32])).toBe(true);
  expect(quantised("blk.10.attn_q.weight", [32])).toBe(false);
  for (const name of [
    "blk.0.attn_norm.weight",
    "blk.0.attn_q.bias",
    "blk.0.ffn_gate_inp.weight",
    "position_embd.weight",
    "token_types.weight",
  ])
    expect(quantised(name), name).toBe(false);
});

it("names are found in any case, others are refused with the list", () => {
  expect(quantMixNamed("q4_k_m").name).toBe("Q4_K_M");
  expect(new Set(quantMixes.map(({ name }) => name)).size).toBe(quantMixes.length);
  expect(() => quantMixNamed("Q9", "--quant")).toThrow(UserError);
  expect(() => quantMixNamed("Q9", "--quant")).toThrow("Q4_K_M");
});
