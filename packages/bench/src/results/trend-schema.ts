/** A benchmark over time, as the history gives it to reports. */

export const trendSchema = {
  type: "object",
  required: ["bench", "unit", "points", "changes"],
  properties: {
    bench: { type: "string" },
    class: { type: "string", description: "Class of the machine: only times of one class are in one series." },
    unit: {
      enum: ["ns", "ratio", "bytes"],
      description: "ratio: time of the benchmark over that of the control kernel",
    },
    points: {
      type: "array",
      items: {
        type: "object",
        required: ["at", "value"],
        properties: {
          at: { type: "string", format: "date-time" },
          value: { type: "number", exclusiveMinimum: 0 },
          low: { type: "number", minimum: 0 },
          high: { type: "number", minimum: 0 },
          commit: { type: "string" },
        },
      },
    },
    changes: {
      type: "array",
      description: "Where the level changed: the first point of the new level",
      items: {
        type: "object",
        required: ["index", "ratio", "p"],
        properties: {
          index: { type: "integer", minimum: 0 },
          ratio: { type: "number", exclusiveMinimum: 0, description: "New level over old" },
          p: { type: "number", minimum: 0, maximum: 1 },
        },
      },
    },
  },
} as const;
