/**
 * Site plans as bytes: a JSON header that says how launches find their operands and what programs must know of their
 * kernels, then the machine code. Dimensions are in their canonical text.
 */

import {
  type ConstantData,
  type ConstantSource,
  type DType,
  type Dim,
  type LaunchRecipe,
  type MatmulPrecision,
  type OperandRecipe,
  type Packer,
  type PackingArgs,
  type Temporary,
  parseDim,
  printDim,
} from "@quern/core";
import { PACKERS } from "../../kernels/packers.ts";
import type { PlannedLaunch, SitePlan } from "../kernel-cache.ts";
import type { KernelFace } from "../kernel-face.ts";

interface TableText {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly base64: string;
}

type RecipeText =
  | Exclude<OperandRecipe, { kind: "temporary" | "table" | "packed" }>
  | { readonly kind: "temporary"; readonly at: number }
  | { readonly kind: "table"; readonly table: TableText }
  | {
      readonly kind: "packed";
      readonly packer: string;
      readonly source: ConstantSource;
      readonly args: PackingArgs;
    };

interface LaunchText {
  readonly face: Omit<KernelFace, "scratch" | "tasks"> & {
    readonly scratch: readonly { readonly dtype: DType; readonly size: string }[];
    readonly tasks: string;
  };
  readonly codeBytes: number;
  readonly recipes: readonly RecipeText[];
  readonly decision: string;
  readonly flops?: string;
  readonly bytes?: string;
  readonly precision?: MatmulPrecision;
  readonly scalars?: Readonly<Record<string, number>>;
}

interface SiteText {
  readonly rivals: string;
  readonly temporaries: readonly { readonly name: string; readonly dtype: DType; readonly size: string }[];
  readonly launches: readonly LaunchText[];
}

type KernelsPlan = Extract<SitePlan, { kind: "kernels" }>;

export function encodeSite(plan: KernelsPlan): Uint8Array {
  const temporaries: Temporary[] = [];
  const recipeText = (recipe: OperandRecipe): RecipeText => {
    switch (recipe.kind) {
      case "temporary": {
        if (!temporaries.includes(recipe.temporary)) temporaries.push(recipe.temporary);
        return { kind: "temporary", at: temporaries.indexOf(recipe.temporary) };
      }
      case "table": {
        const { dtype, shape, bytes } = recipe.data;
        return { kind: "table", table: { dtype, shape, base64: Buffer.from(bytes).toString("base64") } };
      }
      case "packed":
        return { ...recipe, packer: recipe.packer.name };
      default:
        return recipe;
    }
  };
  const launches = plan.launches.map(({ recipe, kernel: { face, bytes } }): LaunchText => {
    const { recipes, flops, bytes: traffic, ...facts } = recipe;
    return {
      ...facts,
      face: { ...face, tasks: printDim(face.tasks), scratch: face.scratch.map(sizeText) },
      codeBytes: bytes.length,
      recipes: recipes.map(recipeText),
      ...(flops === undefined ? {} : { flops: printDim(flops) }),
      ...(traffic === undefined ? {} : { bytes: printDim(traffic) }),
    };
  });
  const text: SiteText = {
    rivals: plan.rivals,
    launches,
    temporaries: temporaries.map((one) => ({ name: one.name, ...sizeText(one) })),
  };
  const header = new TextEncoder().encode(JSON.stringify(text));
  const length = new Uint8Array(Uint32Array.of(header.length).buffer);
  return Buffer.concat([length, header, ...plan.launches.map(({ kernel }) => kernel.bytes)]);
}

/** Throws where a packer or a form is not known. */
export function decodeSite(bytes: Uint8Array): SitePlan {
  const headerBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const text = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + headerBytes))) as SiteText;
  const temporaries = text.temporaries.map((one): Temporary => ({ ...one, size: parseDim(one.size) }));
  let at = 4 + headerBytes;
  const launches = text.launches.map(({ face, codeBytes, recipes, flops, bytes: traffic, ...facts }): PlannedLaunch => {
    const code = bytes.subarray(at, (at += codeBytes));
    const recipe: LaunchRecipe = {
      ...facts,
      recipes: recipes.map((one) => recipeOf(one, temporaries)),
      ...(flops === undefined ? {} : { flops: parseDim(flops) }),
      ...(traffic === undefined ? {} : { bytes: parseDim(traffic) }),
    };
    const scratch = face.scratch.map(({ dtype, size }) => ({ dtype, size: parseDim(size) }));
    const kernel = {
      face: { ...face, scratch, tasks: parseDim(face.tasks) },
      bytes: code,
      address: 0n,
      cached: true,
      source: undefined,
    };
    return { recipe, kernel };
  });
  return { kind: "kernels", launches, rivals: text.rivals };
}

function sizeText({ dtype, size }: { readonly dtype: DType; readonly size: Dim }): { dtype: DType; size: string } {
  return { dtype, size: printDim(size) };
}

function recipeOf(text: RecipeText, temporaries: readonly Temporary[]): OperandRecipe {
  switch (text.kind) {
    case "temporary":
      return { kind: "temporary", temporary: temporaries[text.at] as Temporary };
    case "table": {
      const { dtype, shape, base64 } = text.table;
      const data: ConstantData = { dtype, shape, bytes: new Uint8Array(Buffer.from(base64, "base64")) };
      return { kind: "table", data };
    }
    case "packed":
      return { ...text, packer: packerOf(text.packer) };
    default:
      return text;
  }
}

function packerOf(name: string): Packer {
  const packer = PACKERS.find((one) => one.name === name);
  if (packer === undefined) throw new Error(`no packer "${name}"`);
  return packer;
}
