/**
 * One measurement of one benchmark in the history, `quern.history/1`: a line of JSON that is appended and never changed.
 *
 * Times are absolute, so a record names the class of its machine, and carries the times of the control kernels that were
 * measured beside it: their ratio is what is compared over weeks.
 */

import type { FromSchema } from "../results/from-schema.ts";

/** JSON Schema (draft 2020-12) of a line. Within version 1 members are only added, and never required. */
export const recordSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  $id: "urn:quern:history:1",
  title: "A measurement in the history of quern history",
  type: "object",
  required: ["schema", "run", "at", "kind", "class", "fingerprint", "bench", "unit", "value", "controls"],
  properties: {
    schema: { const: "quern.history/1" },
    run: { type: "string", description: "Identifier of the run; with the bench it names the record." },
    at: { type: "string", format: "date-time", description: "When the run began" },
    kind: { enum: ["engines", "gate", "ab", "llm", "solo"] },
    tool: { type: "string", description: "Name and version of what measured" },
    class: { type: "string", description: "Class of the machine: times of different classes are never compared." },
    fingerprint: { type: "string" },
    bench: { type: "string" },
    params: { type: "object", additionalProperties: { anyOf: [{ type: "string" }, { type: "number" }] } },
    unit: { enum: ["ns", "bytes"] },
    value: { type: "number", exclusiveMinimum: 0, description: "Median over the processes, of one iteration" },
    low: { type: "number", minimum: 0, description: "Lower end of the 95 % interval of the median" },
    high: { type: "number", minimum: 0 },
    samples: { type: "integer", minimum: 0, description: "Processes, or slices, behind the value" },
    controls: {
      type: "object",
      additionalProperties: { type: "number", exclusiveMinimum: 0 },
      description: "ns of each control kernel in the same run",
    },
    commit: { type: "string" },
    committedAt: { type: "string", format: "date-time" },
    dirty: { type: "boolean", description: "true: with changes that are not committed" },
    source: { type: "string", description: "What was measured, as asked for" },
    base: {
      type: "object",
      required: ["ratio", "low", "high"],
      description: "What it was compared with in the same run",
      properties: {
        source: { type: "string" },
        commit: { type: "string" },
        ratio: { type: "number", exclusiveMinimum: 0, description: "Over the time of the base: > 1 is slower." },
        low: { type: "number", minimum: 0 },
        high: { type: "number", minimum: 0 },
      },
    },
    verdict: { type: "string" },
    accepted: { type: "string", description: "The trailer that allowed a regression" },
    change: {
      type: "object",
      required: ["ratio", "p"],
      description: "The level changed here, as found before earlier records were pruned.",
      properties: {
        ratio: { type: "number", exclusiveMinimum: 0 },
        p: { type: "number", minimum: 0, maximum: 1 },
      },
    },
  },
} as const;

export type HistoryRecord = FromSchema<typeof recordSchema>;

export const RECORD_VERSION: HistoryRecord["schema"] = recordSchema.properties.schema.const;

/** Parameters in a fixed order, for keys and for people: `n=64 dtype=f32`. */
export function paramText(params: HistoryRecord["params"]): string {
  return Object.entries(params ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

/** What records have in common that say the same of the same run. */
export function recordKey({ run, bench, params, unit, class: machine }: HistoryRecord): string {
  return JSON.stringify([run, machine, bench, paramText(params), unit]);
}

/** The line of a record, without its end. */
export function recordLine(record: HistoryRecord): string {
  return JSON.stringify(record);
}
