/** What a run that measures engines puts into a result file: the engines, one row per phase, ratios, what was left out. */

const phaseSchema = { enum: ["load", "compile", "compile-cached", "first-run", "steady", "memory"] } as const;
const precisionSchema = { enum: ["highest", "high", "medium"] } as const;

export const engineSchema = {
  type: "object",
  required: ["name", "version", "library", "sha256", "settings"],
  properties: {
    name: { type: "string" },
    version: { type: "string" },
    library: { type: ["string", "null"], description: "File name of the native library" },
    sha256: { type: ["string", "null"] },
    settings: { type: "object", additionalProperties: { type: "string" } },
  },
} as const;

export const settingsSchema = {
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
    affinity: { type: "string", description: "Which processors engines are pinned to while they are timed." },
    command: { type: "string" },
  },
} as const;

export const resultSchema = {
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
    phase: phaseSchema as typeof phaseSchema,
    engine: { type: "string" },
    threads: { type: "integer" },
    precision: precisionSchema as typeof precisionSchema,
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
    cosine: {
      type: ["number", "null"],
      description: "Lowest cosine similarity of an output, or of a row of logits, with the one expected",
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
    sameTokens: {
      type: "integer",
      description:
        "Language models: in how many of the rows of logits that were compared the most likely token is the same",
    },
    peakShare: { type: ["number", "null"], description: "Share of the measured roofline, 0 to 1" },
    device: { type: ["string", "null"], description: "What the engine says it ran on" },
    plannedPeakBytes: { type: ["number", "null"] },
    precisions: {
      type: "array",
      description: "Precisions at which f32 products were computed, where the engine says: `precision` or a higher one",
      items: precisionSchema as typeof precisionSchema,
    },
    chosenPrecision: {
      type: "boolean",
      description: "true: the engine chooses `precision` by the types of the weights, and cannot be asked for another",
    },
    modelSha256: { type: "string", description: "Of the model file, or of all files of a model" },
    inputsSha256: {
      type: "string",
      description: "Of the inputs or tokens of the timed calls, or of what they follow from",
    },
    inputDistribution: { type: "string", description: "How the values of the inputs were drawn" },
    bytesPerWeight: { type: ["number", "null"], description: "Bytes of the weights in use by their number" },
    busyThreads: { type: "integer", description: "Threads of the engine's process that computed during warm calls" },
    cacheState: {
      enum: ["warm", "rotating", "soft-cold", "cold"],
      description:
        "warm: the same data again, before the steady state: all files are in the system's cache; rotating: new data from a small pool; soft-cold: data rotates through more than the last cache holds; cold: caches of files dropped",
    },
    keptKernels: {
      type: "boolean",
      description: "true: the process found compiled kernels that an earlier one had kept; absent: it found none",
    },
    coreIncluded: {
      type: "boolean",
      description: "true: loading Quern includes its core, which the harness needs too; absent: that was there before",
    },
    isa: {
      type: ["string", "null"],
      description:
        "Instruction set that the engine dispatched to, as it names it; one that is assumed since the library does not say is marked so",
    },
    keyValues: { type: "string", description: "Language models: how keys and values are kept" },
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
} as const;

export const comparisonSchema = {
  type: "object",
  required: ["case", "phase", "threads", "precision", "engine", "baseline", "ratio", "low", "high"],
  properties: {
    case: { type: "string" },
    phase: phaseSchema as typeof phaseSchema,
    threads: { type: "integer" },
    precision: precisionSchema as typeof precisionSchema,
    weights: { type: "string", description: "Encoding of the engine's weights, as in its results" },
    engine: { type: "string" },
    baseline: { type: "string" },
    ratio: { type: "number", description: "> 1: engine is faster than baseline" },
    low: { type: ["number", "null"] },
    high: { type: ["number", "null"] },
    baselinePrecision: precisionSchema as typeof precisionSchema,
    method: { enum: ["order-statistics", "trimmed-t", "bootstrap", "none"] },
    notComparable: {
      type: "array",
      items: { type: "string" },
      description: "Why the ratio is no claim; empty: it is one; absent: not decided",
    },
  },
} as const;

export const skippedSchema = {
  type: "object",
  required: ["case", "engine", "threads", "precision", "reason"],
  properties: {
    case: { type: "string" },
    engine: { type: "string" },
    threads: { type: "integer" },
    precision: precisionSchema as typeof precisionSchema,
    reason: { type: "string" },
    failed: {
      type: "boolean",
      description: "true: the engine failed; false or absent: it does not support the case",
    },
  },
} as const;
