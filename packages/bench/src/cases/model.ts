/**
 * ONNX model files as cases. Inputs come from the `case-K` folders beside the file (`in-<name>.npy`, expected
 * `out-<name>.npy`; names are percent-encoded), and further sets are variations of them; a file without
 * such folders gets random inputs, and `--dim name=size` sets its symbolic dimensions; sizes that were given are in the
 * identifier of the case, others are 1.
 */

import { createHash } from "node:crypto";
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { UserError, type DType } from "@quern/core";
import { randomRecipe } from "./inputs.ts";
import { modelName } from "./model-name.ts";
import { readNpy } from "./npy.ts";
import { setsFor, type CacheState } from "./caches.ts";
import type { InputRecipe, Workload } from "./workload.ts";

/** An input or output as an engine reports it; dimensions without a size have a name or nothing. */
export interface ModelValue {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly (number | string | null)[];
}

export interface ModelOptions {
  readonly seed: number;
  /** What it is called; its own name unless told. */
  readonly name?: string | undefined;
  readonly dims: Readonly<Record<string, number>>;
  /** What the caches hold when a call begins; "rotating" unless told. The weights of a model are one set, and never cold. */
  readonly cache?: CacheState | undefined;
  /** Where the oracle's outputs will lie. */
  readonly directory: string;
  /** Asked only when there are no case folders. */
  readonly describeInputs: (file: string) => Promise<readonly ModelValue[]>;
}

const NOISE = 0.02;

/** Case folders beside a model file, in order. Throws a `UserError` where one cannot be looked at. */
export function caseFolders(file: string): string[] {
  const folder = dirname(file);
  const isFolder = (path: string): boolean => lookAt(path, () => statSync(path).isDirectory());
  return lookAt(folder, () => readdirSync(folder))
    .filter((name) => /^case-\d+$/.test(name) && isFolder(join(folder, name)))
    .sort((a, b) => Number(a.slice(5)) - Number(b.slice(5)))
    .map((name) => join(folder, name));
}

/** Tensor files of a case folder by tensor name. Throws a `UserError` where the folder cannot be read, or a file is not named so. */
export function tensorFiles(folder: string, prefix: "in-" | "out-"): Record<string, string> {
  const files = lookAt(folder, () => readdirSync(folder)).filter(
    (name) => name.startsWith(prefix) && name.endsWith(".npy"),
  );
  return Object.fromEntries(files.map((name) => [tensorName(join(folder, name), prefix), join(folder, name)]));
}

/** What `look` sees at `path`; a link to nothing, for instance, is what the user has to mend. */
function lookAt<T>(path: string, look: () => T): T {
  try {
    return look();
  } catch (cause) {
    throw new UserError(`the folder of case files cannot be read (${(cause as Error).message})`, {
      where: path,
      hint: "Mend it, or take it away: cases are the folders case-0, case-1, … beside a model.",
      cause,
    });
  }
}

function tensorName(path: string, prefix: string): string {
  try {
    return decodeURIComponent(basename(path, ".npy").slice(prefix.length));
  } catch (cause) {
    throw new UserError("the name of the file is no percent-encoded name of a tensor", {
      where: path,
      hint: "Write % as %25, and other characters that file names cannot have in the same way.",
      cause,
    });
  }
}

/** Throws a `UserError` unless `path` is a file. */
export function requireModelFile(path: string, hint = "Give the path of an .onnx file."): void {
  if (!existsSync(path)) throw new UserError("the model file does not exist", { where: path, hint });
  if (!statSync(path).isFile()) throw new UserError("this is a folder, not a model file", { where: path, hint });
}

/** Throws a `UserError` for caches that a model cannot have. */
export function requireWarmWeights(cache: CacheState | undefined): void {
  if (cache !== "soft-cold") return;
  throw new UserError("the weights of a model do not rotate, so their caches cannot be made cold", {
    where: "--cache soft-cold",
    hint: "Choose warm or rotating.",
  });
}

/** The workload of a model file. */
export async function modelWorkload(path: string, options: ModelOptions): Promise<Workload> {
  const { cache = "rotating" } = options;
  const file = resolve(path);
  requireModelFile(path);
  requireWarmWeights(cache);
  const folders = caseFolders(file);
  const first = folders[0];
  const values = first === undefined ? await options.describeInputs(file) : [];
  const inputs = first === undefined ? randomInputs(values, options.dims) : recipesOfFolders(folders);
  const bytes = inputs.reduce((sum, recipe) => sum + recipe.shape.reduce((size, dim) => size * dim, 8), 0);
  const sizes = symbolsOf(values)
    .filter((symbol) => Object.hasOwn(options.dims, symbol))
    .map((symbol) => `${symbol}=${options.dims[symbol]}`);
  const id = ["model", options.name ?? modelName(file), ...sizes, ...(cache === "rotating" ? [] : [cache])].join("/");
  const digest = createHash("sha256").update(file).digest("hex").slice(0, 8);
  return {
    id,
    kind: "model",
    dtype: "f32",
    shape: inputs.map((recipe) => recipe.shape.join("x") || "scalar").join(" "),
    modelPath: file,
    inputs,
    sets: Math.max(folders.length, setsFor(cache, bytes, id)),
    cache,
    check: {
      kind: "files",
      directory: join(options.directory, `${id.replaceAll("/", "-")}-${digest}`),
      oracle: "onnxruntime, no optimisation, 1 thread",
    },
    flops: null,
    bytes: null,
  };
}

/** Sets of a pool must have one shape: cases of another shape than the first are left out. */
function recipesOfFolders(folders: readonly string[]): InputRecipe[] {
  const cases = folders.map((folder) => tensorFiles(folder, "in-"));
  const shapeKey = (files: Record<string, string>): string =>
    Object.keys(files)
      .sort()
      .map((name) => `${name} ${readNpy(files[name] as string).shape.join()}`)
      .join(";");
  const first = cases[0] as Record<string, string>;
  const alike = cases.filter((files) => shapeKey(files) === shapeKey(first));
  return Object.entries(first).map(([name, file]) => {
    const { dtype, shape } = readNpy(file);
    return {
      name,
      dtype,
      shape,
      fill: { kind: "files", files: alike.map((files) => files[name] as string), noise: NOISE },
    };
  });
}

/** Names of the dimensions of inputs that have no size of their own, in the order of the alphabet. */
export function symbolsOf(values: readonly ModelValue[]): string[] {
  const symbols = values.flatMap(({ shape }) => shape.filter((dim) => typeof dim === "string"));
  return [...new Set(symbols)].toSorted();
}

function randomInputs(values: readonly ModelValue[], dims: ModelOptions["dims"]): InputRecipe[] {
  const sizeOf = (symbol: string | null): number =>
    symbol !== null && Object.hasOwn(dims, symbol) ? (dims[symbol] ?? 1) : 1;
  return values.map(({ name, dtype, shape }) =>
    randomRecipe(
      name,
      dtype,
      shape.map((dim) => (typeof dim === "number" ? dim : sizeOf(dim))),
    ),
  );
}
