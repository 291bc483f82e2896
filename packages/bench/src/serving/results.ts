/** A load test as a result file. */

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { describeMachine } from "../harness/machine.ts";
import type { Results } from "../results/schema.ts";
import type { LoadTest } from "./load-test.ts";
import { publicUrl, summarise } from "./summary.ts";
import type { ServingPlan } from "./types.ts";

function toolVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** `argv`: the command line, for the record; credentials must not be in it. */
export function servingResults(plan: ServingPlan, test: LoadTest, argv: readonly string[]): Results {
  const record = summarise(plan, test);
  return {
    schema: "quern.results/1",
    createdAt: new Date().toISOString(),
    machine: describeMachine(),
    engines: [
      {
        name: "openai-url",
        version: "unknown",
        library: null,
        sha256: null,
        settings: {
          url: publicUrl(plan.url),
          model: plan.model,
          call: "chat/completions, streamed, temperature 0",
          body: JSON.stringify(plan.extraBody),
        },
      },
    ],
    // Of one process that sends requests; the other settings of engine comparisons have no meaning here.
    settings: { seed: plan.seed, secondsPerEngine: test.wallMs / 1000, processes: 1, sliceMs: 0, idle: "blocked" },
    results: [],
    comparisons: [],
    skipped: [],
    serving: [record],
    run: {
      kind: "llm",
      id: randomUUID(),
      seed: plan.seed,
      startedAt: test.startedAt,
      wallMs: test.wallMs,
      tool: { name: "@quern/bench", version: toolVersion() },
      argv: [...argv],
      ...(test.aborted ? { aborted: true } : {}),
    },
  };
}
