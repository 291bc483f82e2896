/** A load test as a result file. */

import { randomUUID } from "node:crypto";
import { describeMachine } from "../harness/machine.ts";
import type { Results, Run } from "../results/schema.ts";
import { packageVersion } from "../version.ts";
import { publicUrl } from "./address.ts";
import type { LoadTest } from "./load-test.ts";
import { summarise } from "./summary.ts";
import type { ServingPlan } from "./types.ts";

/** `argv`: the command line, for the record; credentials must not be in it. `tool`: the program that was called. */
export function servingResults(
  plan: ServingPlan,
  test: LoadTest,
  argv: readonly string[],
  tool: Run["tool"] = { name: "quern-bench", version: packageVersion() },
): Results {
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
      tool,
      argv: [...argv],
      ...(test.aborted ? { aborted: true } : {}),
    },
  };
}
