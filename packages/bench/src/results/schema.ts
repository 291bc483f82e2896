/**
 * The result file `quern.results/1`: one JSON Schema, from which the TypeScript types are derived. Its parts lie beside
 * this file.
 *
 * The same record is shipped as `schema/quern.results.1.schema.json`. Within version 1 members are only added, and
 * never required; a reader refuses a `schema` it does not know.
 */

import { comparisonSchema, engineSchema, resultSchema, settingsSchema, skippedSchema } from "./engines-schema.ts";
import type { FromSchema } from "./from-schema.ts";
import { armSchema, benchSchema, environmentSchema, runSchema, summarySchema } from "./gate-schema.ts";
import { machineSchema } from "./machine-schema.ts";
import { servingSchema } from "./serving-schema.ts";
import { trendSchema } from "./trend-schema.ts";

/** JSON Schema (draft 2020-12) of a result file. */
export const resultsSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  $id: "urn:quern:results:1",
  title: "Results of quern bench and quern gate",
  type: "object",
  required: ["schema", "createdAt", "machine", "engines", "settings", "results", "comparisons", "skipped"],
  properties: {
    schema: { const: "quern.results/1" },
    createdAt: { type: "string", format: "date-time" },
    machine: machineSchema as typeof machineSchema,
    engines: { type: "array", items: engineSchema as typeof engineSchema },
    settings: settingsSchema as typeof settingsSchema,
    results: { type: "array", items: resultSchema as typeof resultSchema },
    comparisons: { type: "array", items: comparisonSchema as typeof comparisonSchema },
    skipped: {
      type: "array",
      description: "What was asked for and not measured, with the reason.",
      items: skippedSchema as typeof skippedSchema,
    },
    serving: { type: "array", items: servingSchema as typeof servingSchema },
    run: runSchema as typeof runSchema,
    arms: { type: "array", items: armSchema as typeof armSchema },
    environment: environmentSchema as typeof environmentSchema,
    benches: { type: "array", items: benchSchema as typeof benchSchema },
    summary: summarySchema as typeof summarySchema,
    trends: { type: "array", items: trendSchema as typeof trendSchema },
  },
} as const;

export type Results = FromSchema<typeof resultsSchema>;
export type Machine = Results["machine"];
export type EngineRecord = Results["engines"][number];
export type Settings = Results["settings"];
export type Result = Results["results"][number];
export type Comparison = Results["comparisons"][number];
export type Skipped = Results["skipped"][number];
export type Phase = Result["phase"];
export type RooflinePoint = Machine["roofline"][number];

export type ServingRecord = NonNullable<Results["serving"]>[number];

export type Run = NonNullable<Results["run"]>;
export type Policy = NonNullable<Run["policy"]>;
export type ArmRecord = NonNullable<Results["arms"]>[number];
export type Environment = NonNullable<Results["environment"]>;
export type Fingerprint = Environment["before"];
export type Pressure = NonNullable<Environment["pressure"]>;
export type ControlRecord = Environment["controls"][number];
export type BenchRecord = NonNullable<Results["benches"]>[number];
export type Verdict = BenchRecord["verdict"];
export type StageRecord = BenchRecord["stages"][number];
export type PairRecord = StageRecord["pairs"][number];
export type RatioEstimate = NonNullable<BenchRecord["estimate"]>;
export type Summary = NonNullable<Results["summary"]>;
export type Trend = NonNullable<Results["trends"]>[number];
