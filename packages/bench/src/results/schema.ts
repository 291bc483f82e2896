/**
 * The result file `quern.results/1`: one JSON Schema, from which the TypeScript types are derived.
 *
 * The same record is shipped as `schema/quern.results.1.schema.json`. Within version 1 members are only added, and
 * never required; a reader refuses a `schema` it does not know.
 */

/** JSON Schema (draft 2020-12) of a result file. */
export const resultsSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  $id: "urn:quern:results:1",
  title: "Results of quern bench",
  type: "object",
  required: ["schema", "createdAt", "machine", "engines", "settings", "results", "comparisons", "skipped"],
  properties: {
    schema: { const: "quern.results/1" },
    createdAt: { type: "string", format: "date-time" },
    machine: {
      type: "object",
      required: ["fingerprint", "cpu", "memoryBytes", "os", "kernel", "arch", "node", "roofline"],
      properties: {
        fingerprint: { type: "string", description: "Short hash; times of different fingerprints are not comparable." },
        cpu: {
          type: "object",
          required: ["brand", "vendor", "cores", "features", "caches"],
          properties: {
            brand: { type: "string" },
            vendor: { type: "string" },
            cores: { type: "integer", description: "Logical processors that this process may use." },
            features: { type: "array", items: { type: "string" } },
            caches: {
              type: "array",
              items: {
                type: "object",
                required: ["level", "type", "bytes"],
                properties: { level: { type: "integer" }, type: { type: "string" }, bytes: { type: "integer" } },
              },
            },
            hypervisor: { type: "boolean" },
            governor: { type: ["string", "null"] },
            quota: { type: ["string", "null"], description: "cgroup cpu.max" },
          },
        },
        memoryBytes: { type: "integer" },
        os: { type: "string" },
        kernel: { type: "string" },
        arch: { type: "string" },
        node: { type: "string" },
        roofline: {
          type: "array",
          description: "Measured peaks by thread count; empty where they could not be measured.",
          items: {
            type: "object",
            required: ["threads", "fmaGflops", "matrixGflops", "readGBps"],
            properties: {
              threads: { type: "integer" },
              fmaGflops: { type: ["number", "null"], description: "f32 multiply-add peak" },
              matrixGflops: { type: ["number", "null"], description: "bf16 matrix unit peak; null without one" },
              byteGops: { type: ["number", "null"], description: "8-bit integer dot product peak; null without such" },
              readGBps: { type: ["number", "null"], description: "memory read bandwidth" },
              l2ReadGBps: {
                type: ["number", "null"],
                description: "read bandwidth of data in the second-level caches",
              },
              l3ReadGBps: { type: ["number", "null"], description: "read bandwidth of data in the third-level cache" },
            },
          },
        },
      },
    },
    engines: {
      type: "array",
      items: {
        type: "object",
        required: ["name", "version", "library", "sha256", "settings"],
        properties: {
          name: { type: "string" },
          version: { type: "string" },
          library: { type: ["string", "null"], description: "File name of the native library" },
          sha256: { type: ["string", "null"] },
          settings: { type: "object", additionalProperties: { type: "string" } },
        },
      },
    },
    settings: {
      type: "object",
      required: ["seed", "secondsPerEngine", "processes", "sliceMs", "idle"],
      properties: {
        seed: { type: "integer" },
        secondsPerEngine: { type: "number" },
        processes: {
          type: "integer",
          description: "Processes per engine and case; each gives one sample of the cold phases.",
        },
        sliceMs: { type: "number" },
        idle: { enum: ["stopped", "blocked"], description: "What idle engines do while another one is timed." },
        command: { type: "string" },
      },
    },
    results: {
      type: "array",
      items: {
        type: "object",
        required: [
          "case",
          "phase",
          "engine",
          "threads",
          "precision",
          "dtype",
          "shape",
          "unit",
          "samples",
          "median",
          "low",
          "high",
          "verified",
          "maxError",
        ],
        properties: {
          case: { type: "string" },
          phase: { enum: ["load", "compile", "compile-cached", "first-run", "steady", "memory"] },
          engine: { type: "string" },
          threads: { type: "integer" },
          precision: { enum: ["highest", "high", "medium"] },
          weights: {
            type: "string",
            description: "Encoding that weights were quantised to when the model was loaded; absent: those of the file",
          },
          dtype: { type: "string" },
          shape: { type: "string" },
          unit: { enum: ["ms", "bytes"] },
          samples: {
            type: "array",
            items: { type: "number" },
            description: "Steady: one median per slice, in order of measurement.",
          },
          processes: {
            type: "array",
            items: { type: "integer" },
            description: "How many of the samples each process gave.",
          },
          calls: { type: "integer", description: "Timed calls behind the samples" },
          median: { type: ["number", "null"] },
          low: { type: ["number", "null"] },
          high: { type: ["number", "null"] },
          verified: { type: ["boolean", "null"], description: "null: there was nothing to compare with" },
          maxError: {
            type: ["number", "null"],
            description: "Largest error, as a share of max(|expected|, rms of the expected output)",
          },
          rmsError: { type: ["number", "null"], description: "rms error as a share of the rms of the expected output" },
          tolerance: { type: ["number", "null"], description: "Limit of maxError" },
          oracle: { type: ["string", "null"], description: "What the outputs were compared with" },
          checkedOutputs: { type: "integer" },
          flops: { type: ["number", "null"] },
          bytes: { type: ["number", "null"] },
          gflops: { type: ["number", "null"] },
          gbps: { type: ["number", "null"] },
          tokens: { type: "integer", description: "Language models: tokens of one call" },
          tokensPerSecond: { type: ["number", "null"], description: "Language models: of all sequences together" },
          nmse: {
            type: ["number", "null"],
            description: "Language models: worst normalised mean square error of a row of logits against the oracle's",
          },
          peakShare: { type: ["number", "null"], description: "Share of the measured roofline, 0 to 1" },
          device: { type: ["string", "null"], description: "What the engine says it ran on" },
          plannedPeakBytes: { type: ["number", "null"] },
          precisions: {
            type: "array",
            description:
              "Precisions at which f32 products were computed, where the engine says: `precision` or a higher one",
            items: { enum: ["highest", "high", "medium"] },
          },
          profile: {
            type: "array",
            items: {
              type: "object",
              required: ["name", "ms"],
              properties: { name: { type: "string" }, ms: { type: "number" } },
            },
          },
          note: { type: "string" },
        },
      },
    },
    comparisons: {
      type: "array",
      items: {
        type: "object",
        required: ["case", "phase", "threads", "precision", "engine", "baseline", "ratio", "low", "high"],
        properties: {
          case: { type: "string" },
          phase: { enum: ["load", "compile", "compile-cached", "first-run", "steady", "memory"] },
          threads: { type: "integer" },
          precision: { enum: ["highest", "high", "medium"] },
          weights: { type: "string", description: "Encoding of the engine's weights, as in its results" },
          engine: { type: "string" },
          baseline: { type: "string" },
          ratio: { type: "number", description: "> 1: engine is faster than baseline" },
          low: { type: ["number", "null"] },
          high: { type: ["number", "null"] },
          baselinePrecision: { enum: ["highest", "high", "medium"] },
          method: { enum: ["order-statistics", "trimmed-t", "bootstrap", "none"] },
        },
      },
    },
    skipped: {
      type: "array",
      description: "What was asked for and not measured, with the reason.",
      items: {
        type: "object",
        required: ["case", "engine", "threads", "precision", "reason"],
        properties: {
          case: { type: "string" },
          engine: { type: "string" },
          threads: { type: "integer" },
          precision: { enum: ["highest", "high", "medium"] },
          reason: { type: "string" },
          failed: {
            type: "boolean",
            description: "true: the engine failed; false or absent: it does not support the case",
          },
        },
      },
    },
  },
} as const;

type NamedType = { string: string; number: number; integer: number; boolean: boolean; null: null };

/** The TypeScript type of the values that a JSON Schema of the form used here accepts. */
type FromSchema<S> = S extends { const: infer Value }
  ? Value
  : S extends { enum: readonly (infer Value)[] }
    ? Value
    : S extends { type: readonly (infer Name extends keyof NamedType)[] }
      ? NamedType[Name]
      : S extends { type: infer Name extends keyof NamedType }
        ? NamedType[Name]
        : S extends { type: "array"; items: infer Item }
          ? readonly FromSchema<Item>[]
          : S extends { properties: infer Members; required: readonly (infer Required)[] }
            ? { readonly [Key in keyof Members as Key extends Required ? Key : never]: FromSchema<Members[Key]> } & {
                readonly [Key in keyof Members as Key extends Required ? never : Key]?: FromSchema<Members[Key]>;
              }
            : S extends { additionalProperties: infer Value }
              ? Readonly<Record<string, FromSchema<Value>>>
              : never;

export type Results = FromSchema<typeof resultsSchema>;
export type Machine = Results["machine"];
export type EngineRecord = Results["engines"][number];
export type Settings = Results["settings"];
export type Result = Results["results"][number];
export type Comparison = Results["comparisons"][number];
export type Skipped = Results["skipped"][number];
export type Phase = Result["phase"];
export type RooflinePoint = Machine["roofline"][number];
