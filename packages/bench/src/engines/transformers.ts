/**
 * transformers.js in Node: `AutoModel` on a folder with a `config.json` beside `onnx/model.onnx` (or beside the file).
 *
 * It runs models through an onnxruntime-node of its own; what is measured is the call of the model object with tensors,
 * which checks and picks inputs and wraps outputs, without tokenisers. Best documented settings: device cpu, the weights of
 * the file, session options as onnxruntime's. The record `transformers.js-defaults` gives no session options. The package is
 * looked for beside this one and then in the working directory, since it is too large to come along: it brings
 * two onnxruntimes and an image library.
 */

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, extname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UserError, type Tensor } from "@quern/core";
import type { Tensor as OrtTensor } from "onnxruntime-node";
import type { TensorSet } from "../cases/inputs.ts";
import type { ModelValue } from "../cases/model.ts";
import { missingPeer } from "../harness/peers.ts";
import type { CompiledModel, Engine, EngineOptions, OpenEngine } from "./engine.ts";
import { bestOnCpu, fromOrt, recordOfBest, sessionValues, toOrt, unknownInput, type Ort } from "./ort-session.ts";

const PACKAGE = "@huggingface/transformers";

/** The parts of the package that are used here. */
interface Transformers {
  readonly env: { version: string; allowRemoteModels: boolean; allowLocalModels: boolean; localModelPath: string };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor;
  readonly AutoModel: { from_pretrained(id: string, options: Readonly<Record<string, unknown>>): Promise<Model> };
}

type Session = Parameters<typeof sessionValues>[0];

interface Model {
  (inputs: Readonly<Record<string, OrtTensor>>): Promise<Readonly<Record<string, unknown>>>;
  readonly sessions: Readonly<Record<string, Session | undefined>>;
  dispose(): Promise<unknown>;
}

/** Where the package's code is, from the first of `bases` that has it. */
function entryFrom(bases: readonly string[]): string {
  let last: unknown;
  for (const base of bases) {
    try {
      return createRequire(join(base, "from.js")).resolve(PACKAGE);
    } catch (error) {
      last = error;
    }
  }
  throw missingPeer(PACKAGE, "the engine transformers.js", last);
}

async function load(bases: readonly string[]): Promise<Transformers> {
  const module = (await import(pathToFileURL(entryFrom(bases)).href)) as Transformers & { default?: Transformers };
  return module.AutoModel === undefined && module.default !== undefined ? module.default : module;
}

/** The folder that holds `config.json`, and where the model file lies in it; undefined where there is none. */
function modelFolder(modelPath: string): { readonly root: string; readonly subfolder: string } | undefined {
  const folder = dirname(resolve(modelPath));
  for (const root of [folder, dirname(folder)]) {
    if (existsSync(join(root, "config.json"))) return { root, subfolder: root === folder ? "" : basename(folder) };
  }
  return undefined;
}

async function compile(
  { AutoModel, Tensor: TensorOf, env }: Transformers,
  path: string,
  options: EngineOptions,
  best: boolean,
): Promise<CompiledModel> {
  const found = modelFolder(path);
  if (found === undefined) throw new UserError("there is no config.json beside the model", { where: path });
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = `${dirname(found.root)}/`;
  const model = await AutoModel.from_pretrained(basename(found.root), {
    local_files_only: true,
    subfolder: found.subfolder,
    model_file_name: basename(path, extname(path)),
    device: "cpu",
    dtype: "fp32", // no suffix to the file's name: its weights are what they are
    ...(best ? { session_options: bestOnCpu(options, "cpu") } : {}),
  });
  const ort = { Tensor: TensorOf } as unknown as Pick<Ort, "Tensor">;
  const only = Object.values(model.sessions)[0];
  if (only === undefined || Object.keys(model.sessions).length !== 1) {
    await model.dispose();
    throw new UserError("transformers.js makes several sessions of this model", {
      where: path,
      hint: "Only models of one ONNX file can be measured beside other engines.",
    });
  }
  const { inputs, outputs } = sessionValues(only, path);
  return {
    inputs,
    outputs,
    async: true,
    bind: (set: TensorSet) =>
      Object.fromEntries(Object.entries(set).map(([name, tensor]: [string, Tensor]) => [name, toOrt(ort, tensor)])),
    call: (feeds) => model(feeds as Record<string, OrtTensor>),
    tensors: (fetched) => fromOrt(Object.fromEntries(namedOutputs(fetched as Record<string, unknown>, outputs))),
    release: () => {},
    facts: () => ({ device: "cpu", plannedPeakBytes: null, flops: null }),
    close: async () => {
      await model.dispose();
    },
  };
}

/** Those outputs of the graph that the model object gives, under the graph's names. */
function namedOutputs(fetched: Readonly<Record<string, unknown>>, outputs: readonly ModelValue[]): [string, unknown][] {
  return outputs.flatMap(({ name }): [string, unknown][] => (name in fetched ? [[name, fetched[name]]] : []));
}

/** The engine's records. `bases`: folders from which the package is looked for. */
export function transformersEngine(best: boolean, bases?: readonly string[]): Engine {
  const from = (): readonly string[] => bases ?? [dirname(fileURLToPath(import.meta.url)), process.cwd()];
  const name = best ? "transformers.js" : "transformers.js-defaults";
  return {
    name,
    about: best ? "transformers.js on onnxruntime-node, models with a config.json" : "the same without session options",
    ...(best ? {} : { variantOf: "transformers.js" }),
    precisions: ["highest"],
    keepsKernels: false,
    quantises: false,

    async describe(options) {
      const { env } = await load(from());
      const settings = best ? recordOfBest(options, "cpu") : { sessionOptions: "none", threads: "the library's own" };
      return {
        name,
        version: env.version,
        library: null,
        sha256: null,
        settings: {
          ...settings,
          dtype: "as in the file",
          onnxruntime: nativeVersion(from()),
          isa: "chosen by the library, which does not say",
          call: "the model object, without tokenisers",
        },
      };
    },

    supports(workload) {
      if (workload.kind !== "model" || modelFolder(workload.modelPath) === undefined)
        return "transformers.js loads models with a config.json";
      return unknownInput(workload, "transformers.js");
    },

    async open(options): Promise<OpenEngine> {
      const transformers = await load(from());
      return { compile: (path) => compile(transformers, path, options, best), close: async () => {} };
    },
  };
}

/** Version of the onnxruntime-node that the package brings. */
function nativeVersion(bases: readonly string[]): string {
  try {
    const file = createRequire(entryFrom(bases)).resolve("onnxruntime-node/package.json");
    return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
  } catch {
    return "unknown";
  }
}

export const transformersJs: Engine = transformersEngine(true);
export const transformersJsDefaults: Engine = transformersEngine(false);
