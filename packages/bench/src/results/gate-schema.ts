/**
 * What a run that compares two builds adds to a result file: its policy in `run`, which other runs have too, the arms, the
 * environment before and after, and per benchmark every sample, the estimate, and the verdict.
 *
 * Verdicts follow from the samples and the policy alone: who reads a file can judge again and must find the same.
 */

/** How a run was started and by which rules it judges. */
export const runSchema = {
  type: "object",
  required: ["kind", "id", "seed", "startedAt", "wallMs", "tool", "argv"],
  properties: {
    kind: { enum: ["engines", "gate", "ab", "llm", "solo"] },
    id: { type: "string" },
    seed: { type: "integer", description: "Every order and every input is drawn from it." },
    startedAt: { type: "string", format: "date-time" },
    wallMs: { type: "number", minimum: 0 },
    tool: {
      type: "object",
      required: ["name", "version"],
      properties: { name: { type: "string" }, version: { type: "string" } },
    },
    argv: { type: "array", items: { type: "string" } },
    aborted: { type: "boolean", description: "true: interrupted; what is here is part of what was asked for." },
    refused: {
      type: "string",
      description:
        "Why there are no samples: the run was refused, or failed, before it had measured all. That is no pass.",
    },
    outOfTime: { type: "boolean", description: "true: the budget was spent before all was measured." },
    cutShort: {
      type: "boolean",
      description: "true: the profile had no more time for suspects, of which some were measured less than planned.",
    },
    advisory: { type: "boolean", description: "true: verdicts are shown and never fail a build." },
    identical: {
      type: "boolean",
      description: "true: both builds load the same files, so that nothing was measured. That is no pass.",
    },
    allNew: {
      type: "boolean",
      description: "true: the base has no benches, so that nothing was measured. That is no pass.",
    },
    policy: {
      type: "object",
      required: ["profile", "delta", "delta0", "q", "screenPairs", "confirmPairs", "rounds", "sliceMs", "fdr"],
      properties: {
        profile: { type: "string" },
        delta: { type: "number", minimum: 0, description: "Smallest change that matters, as a share: 0.025 is 2.5 %." },
        delta0: { type: "number", minimum: 0, description: "Margin of the null hypothesis, as a share." },
        q: { type: "number", minimum: 0, description: "False discovery rate of confirmed suspects." },
        screenPairs: { type: "integer", minimum: 0 },
        confirmPairs: { type: "integer", minimum: 0 },
        rounds: {
          type: "integer",
          minimum: 0,
          description: "Rounds in one pair of processes of the screening; later stages may have more.",
        },
        sliceMs: { type: "number", minimum: 0 },
        fdr: { enum: ["bh", "by"], description: "Benjamini–Hochberg or Benjamini–Yekutieli" },
        screenAtLeast: {
          type: "integer",
          minimum: 0,
          description: "Pairs of the screening that were measured whatever they took; 0: screenPairs",
        },
        patienceS: {
          type: "number",
          minimum: 0,
          description:
            "Seconds of measuring per bench (of at least 20) after which no later stage goes on; 0: no limit",
        },
        strict: { type: "boolean", description: "true: INCONCLUSIVE fails the run." },
        extensionPairs: {
          type: "integer",
          minimum: 0,
          description: "Further pairs for what the confirmation leaves open; 0: none",
        },
        screenAlpha: { type: "number", minimum: 0, description: "A suspect has a smaller p against no change," },
        screenEffect: { type: "number", minimum: 0, description: "and a larger change." },
        beta: { type: "number", minimum: 0, description: "Chance of a miss at the minimum detectable effect" },
        recheck: {
          type: "boolean",
          description: "true: benches that the screening could not clear were measured again, like suspects.",
        },
        screenBand: { type: "number", minimum: 0, description: "Thresholds within which a bench passes the screening" },
        controlMargin: { type: "number", minimum: 0, description: "Change, as a share, that a control may show" },
        controlSpike: { type: "number", minimum: 0, description: "Least ratio of the slices of a disturbed round" },
        maxDisturbed: { type: "number", minimum: 0, description: "Largest share of disturbed rounds" },
        unstableRuns: { type: "integer", minimum: 0, description: "Runs too blind on end that make a bench unstable" },
        bootstrap: { type: "integer", minimum: 0, description: "Resamples of the interval that is only shown" },
      },
    },
  },
} as const;

/** One of the two builds. */
export const armSchema = {
  type: "object",
  required: ["name", "source", "directory", "artefactSha256", "files"],
  properties: {
    name: { enum: ["base", "head"] },
    source: { type: "string", description: "As asked for: a git reference, a directory, npm:package@version" },
    commit: { type: "string" },
    dirty: { type: "boolean", description: "true: with changes that are not committed" },
    directory: { type: "string" },
    artefactSha256: { type: "string", description: "Of the relative paths and hashes of all files that were loaded" },
    files: { type: "integer", minimum: 0, description: "How many files were loaded" },
  },
} as const;

/** Samples of one pair of processes. */
const pairSchema = {
  type: "object",
  required: ["index", "order", "base", "head"],
  properties: {
    index: { type: "integer", minimum: 0 },
    order: { enum: ["base-first", "head-first"], description: "Which process was started first" },
    base: {
      type: "array",
      items: { type: "number", exclusiveMinimum: 0 },
      description: "ns per iteration, one for each round; round r of base and of head were measured side by side.",
    },
    head: { type: "array", items: { type: "number", exclusiveMinimum: 0 }, description: "as base" },
  },
} as const;

const stagesSchema = {
  type: "array",
  items: {
    type: "object",
    required: ["stage", "pairs"],
    properties: {
      stage: { enum: ["screen", "confirm", "extension"] },
      pairs: { type: "array", items: pairSchema as typeof pairSchema },
    },
  },
} as const;

const estimateSchema = {
  type: "object",
  required: ["ratio", "low", "high", "p", "sw", "mde", "pairs", "stage"],
  properties: {
    ratio: { type: "number", exclusiveMinimum: 0, description: "Time of head over time of base: > 1 is slower." },
    low: { type: "number", minimum: 0, description: "Lower end of the 95 % interval of the ratio" },
    high: { type: "number", minimum: 0 },
    p: { type: "number", minimum: 0, maximum: 1, description: "One-sided, against the margin of the policy" },
    sw: { type: "number", minimum: 0, description: "Standard deviation of the winsorised log-ratios of pairs" },
    mde: {
      type: "number",
      minimum: 0,
      description: "Change, as a share, that these pairs would have found in 95 of 100 runs",
    },
    pairs: { type: "integer", minimum: 0 },
    stage: { type: "string" },
    bootstrap: {
      type: "object",
      required: ["low", "high"],
      description: "Hierarchical bootstrap interval of the ratio: shown, never judged",
      properties: { low: { type: "number", minimum: 0 }, high: { type: "number", minimum: 0 } },
    },
  },
} as const;

const nullableEstimate = { anyOf: [estimateSchema as typeof estimateSchema, { type: "null" }] } as const;

/** One benchmark of a gate run. */
export const benchSchema = {
  type: "object",
  required: ["id", "unit", "delta", "stages", "estimate", "verdict", "reason", "flags", "check"],
  properties: {
    id: { type: "string" },
    params: { type: "object", additionalProperties: { anyOf: [{ type: "string" }, { type: "number" }] } },
    unit: { enum: ["ns"] },
    delta: { type: "number", minimum: 0, description: "Smallest change that matters to this benchmark, as a share" },
    work: {
      type: "object",
      required: [],
      description: "Of one iteration",
      properties: { flops: { type: "number", minimum: 0 }, bytes: { type: "number", minimum: 0 } },
    },
    stages: stagesSchema as typeof stagesSchema,
    estimate: nullableEstimate as typeof nullableEstimate,
    verdict: { enum: ["REGRESSED", "IMPROVED", "EQUIVALENT", "INCONCLUSIVE", "INVALID", "ERROR"] },
    reason: { type: "string" },
    accepted: {
      type: "object",
      required: ["trailer", "limit", "reason"],
      description: "A reviewed trailer that allows the regression",
      properties: {
        trailer: { type: "string" },
        limit: { type: "number", description: "Largest change that it allows, as a share" },
        reason: { type: "string" },
      },
    },
    flags: {
      type: "array",
      items: { type: "string" },
      description: "timer-bound, empty-body, no-steady-state, unchecked, unstable, bench-changed",
    },
    failure: { type: "string", description: "Why it could not be measured, or not to the end" },
    recentMdes: {
      type: "array",
      items: { type: "number", minimum: 0 },
      description: "Minimum detectable effects of earlier runs, the latest last",
    },
    check: {
      anyOf: [
        {
          type: "object",
          required: ["checked", "maxError", "passed"],
          properties: {
            checked: { type: "integer", minimum: 0, description: "Timed calls whose output was compared" },
            maxError: { type: ["number", "null"] },
            passed: { type: "boolean" },
          },
        },
        { type: "null" },
      ],
    },
  },
} as const;

const fingerprintSchema = {
  type: "object",
  required: ["hash", "class", "facts"],
  properties: {
    hash: { type: "string" },
    class: { type: "string", description: "Times of different classes are never compared." },
    facts: { type: "object", additionalProperties: { type: "string" } },
  },
} as const;

/** A frozen kernel, the same file in both arms: what moves it moved the machine, not the code under test. */
const controlSchema = {
  type: "object",
  required: ["id", "stages", "estimate", "disturbed", "moved"],
  properties: {
    id: { type: "string" },
    stages: stagesSchema as typeof stagesSchema,
    estimate: nullableEstimate as typeof nullableEstimate,
    disturbed: { type: "number", minimum: 0, maximum: 1, description: "Share of rounds with a slow control slice" },
    moved: { type: "boolean", description: "true: the run is INVALID" },
    shared: {
      type: "boolean",
      description: "true: measured in the processes of the benches, in the same rounds; otherwise in its own",
    },
  },
} as const;

/** What others took from the machine; numbers that the system does not tell are null. */
const pressureSchema = {
  type: "object",
  required: ["stealMs", "throttledPeriods", "involuntarySwitches", "stalledMs"],
  description: "What others took from the machine while it measured: recorded, never judged",
  properties: {
    stealMs: {
      type: ["number", "null"],
      description: "Time of all processors that the hypervisor gave to other machines",
    },
    throttledPeriods: {
      type: ["number", "null"],
      description: "Periods in which the control group had used up its quota",
    },
    involuntarySwitches: {
      type: ["number", "null"],
      description: "Times that the orchestrator had to give up its processor",
    },
    stalledMs: { type: ["number", "null"], description: "Time in which some task waited for a processor" },
  },
} as const;

/** The machine before and after, and what changed. */
export const environmentSchema = {
  type: "object",
  required: ["before", "after", "controls", "changed"],
  properties: {
    before: fingerprintSchema as typeof fingerprintSchema,
    after: fingerprintSchema as typeof fingerprintSchema,
    controls: { type: "array", items: controlSchema as typeof controlSchema },
    changed: { type: "array", items: { type: "string" }, description: "Names of the facts that differ" },
    pressure: pressureSchema as typeof pressureSchema,
    foreignCalibration: {
      type: "boolean",
      description: "true: the calibration that was there is of another class of machine, and counted for nothing.",
    },
    disturbances: { type: "array", items: { type: "string" }, description: "Other reasons why the run is INVALID" },
    foreignFiles: {
      type: "array",
      items: { type: "string" },
      description: "Why all is an ERROR: files that were loaded while measuring and are not those of the arm",
    },
  },
} as const;

/** The run as a whole. */
export const summarySchema = {
  type: "object",
  required: ["verdict", "exitCode", "geomean"],
  properties: {
    verdict: {
      type: "string",
      description:
        "The gravest verdict of a benchmark, or why nothing was measured: IDENTICAL, both builds load the same files; NEW, the base has no benches",
    },
    exitCode: { type: "integer", minimum: 0, maximum: 255 },
    geomean: { type: ["number", "null"], description: "Geometric mean of the ratios: shown, never judged" },
  },
} as const;
