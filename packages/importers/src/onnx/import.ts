/**
 * Entry of the ONNX importer: bytes of a model to a graph.
 *
 * Initialisers become constants on the given memory, including those that are also listed as graph inputs (their
 * defaults cannot be overridden). Nothing in a file is executed, and every length is bounded by the file's size.
 */

import {
  type ConstantData,
  type EncodingChoice,
  type Graph,
  type QuantiseReport,
  type Shape,
  UnsupportedError,
  UserError,
  quantiseWeights,
} from "@quern/core";
import { Scope } from "./importer.ts";
import { decodeMessage } from "./proto/decode.ts";
import { modelSpec } from "./proto/schema.ts";
import { ImportSession, opsetsOf } from "./session.ts";
import type { ResolveExternal } from "./tensor.ts";

export interface ImportOptions {
  /** Name of the file, for errors. */
  readonly name?: string;
  /** Reads external data files. Without it, models that have some are refused. */
  readonly external?: ResolveExternal;
  /** Shapes of graph inputs, instead of those in the file: for files that leave them out. */
  readonly shapes?: Readonly<Record<string, Shape>>;
  /**
   * Values of graph inputs that are known when the model is imported, such as axes and sizes. They are no inputs of the
   * graph any more; defaults in the file give way to them.
   */
  readonly constants?: Readonly<Record<string, ConstantData>>;
  /**
   * Quantises the weights of linear layers and embeddings, for instance to "Q4_K", as `quantiseWeights` of the core does.
   * CPU kernels compute on blocks where the graph is compiled with `matmulPrecision: "medium"`.
   */
  readonly quantize?: EncodingChoice;
}

export interface ImportResult {
  readonly graph: Graph;
  /** `metadata_props` of the model. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Opset version by domain; "" is the default domain. */
  readonly opsets: Readonly<Record<string, number>>;
  /** Program that wrote the file. */
  readonly producer: string;
  readonly irVersion: number;
  /** What became of the weights, where `quantize` was asked for. */
  readonly quantised?: QuantiseReport;
}

/**
 * Imports an ONNX model. Throws a `UserError` where the file is damaged or breaks a rule, and one `UnsupportedError`
 * with every node that is not supported.
 */
export function importOnnx(bytes: Uint8Array, options: ImportOptions = {}): ImportResult {
  const { name: file = "model", external, shapes = {}, constants = {}, quantize } = options;
  const model = inFile(file, () => decodeMessage(modelSpec, bytes));
  const { graph, irVersion } = model;
  if (graph === undefined) {
    throw new UserError("the file holds no graph", {
      where: file,
      hint: "it is empty, truncated, or not an ONNX model",
    });
  }
  const opsets = opsetsOf(model.opsetImport, file);
  if (opsets.size === 0) {
    if (irVersion >= 3)
      throw new UserError("the model imports no operator set", {
        where: file,
        hint: "opset_import is required since IR version 3",
      });
    opsets.set("", 1);
  }
  const session = new ImportSession(file, model, { external, shapes, constants });
  const result = Scope.importModel(session, graph, opsets);
  if (session.unsupported.length > 0) throw new UnsupportedError(session.unsupported);
  const quantised =
    quantize === undefined ? undefined : quantiseWeights(result, quantize, { where: `quantize (${file})` });
  return {
    graph: quantised?.graph ?? result,
    ...(quantised === undefined ? {} : { quantised: quantised.report }),
    metadata: Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value])),
    opsets: Object.fromEntries(opsets),
    producer: `${model.producerName} ${model.producerVersion}`.trim(),
    irVersion,
  };
}

function inFile<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof UserError && error.where === undefined)
      throw new UserError(error.message, { where: file, cause: error });
    throw error;
  }
}
