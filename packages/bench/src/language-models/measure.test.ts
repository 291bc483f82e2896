/** The order of events and what is held against what, with processes that answer at once. */

import { describe, expect, it, vi } from "vitest";
import { EngineFailure } from "../harness/engine-process.ts";
import type { GroupSettings, Progress } from "../harness/interleave.ts";
import { agreementLines } from "../report/engine-facts.ts";
import { sampleResults } from "../results/sample-results.ts";
import { facts, step } from "./made-up-model.test-support.ts";
import { measureLlm, type LlmProcess } from "./measure.ts";
import type { LlmRequest, LlmResponse } from "./protocol.ts";
import { llmRows, type LlmMeasured } from "./rows.ts";

const right = Float32Array.of(1, -2, 3, 0.5);
const wrong = Float32Array.of(-3, 2, -1, 4);

/** Logits of an engine in its process number `start`, from 0 on. */
type Logits = (engine: string, start: number, request: LlmRequest["kind"]) => Float32Array;

function answer(request: LlmRequest, row: Float32Array): LlmResponse {
  switch (request.kind) {
    case "llm-open":
      return {
        kind: "llm-open",
        opened: { loadMs: 1, openMs: 1, firstTokenMs: 1, peakBytes: 1, row, about: "made up" },
      };
    case "llm-test":
      return { kind: "llm-test", ready: { callMs: 1, rows: [row], busyThreads: 1 } };
    case "llm-slice":
      return { kind: "llm-slice", slice: { ms: request.count, ...(request.keep ? { row } : {}) } };
    case "llm-finish":
      return { kind: "llm-finish", peakBytes: 1 };
    default:
      throw new Error(`nobody asks for ${request.kind} here`);
  }
}

async function measure(
  engines: readonly string[],
  logits: Logits,
  changes: Partial<GroupSettings> = {},
  progress: Progress = () => {},
): Promise<LlmMeasured> {
  const starts = new Map<string, number>();
  const start = (engine: string): LlmProcess => {
    const number = starts.get(engine) ?? 0;
    starts.set(engine, number + 1);
    const ask: LlmProcess["ask"] = async (request) => {
      const asked = request as LlmRequest;
      return answer(asked, logits(engine, number, asked.kind)) as never;
    };
    return { ask, pause: () => {}, resume: () => {}, kill: () => {} };
  };
  const options = { threads: 1, contextLength: 256, sequences: 1, cache: "f16", precision: "medium" } as const;
  const settings = { seed: 1, secondsPerEngine: 0.01, processes: 1, sliceMs: 5, timeoutMs: 1000, ...changes };
  const group = { facts, tests: [step], engines, options, settings };
  return { facts, options, tests: [step], outcomes: await measureLlm(group, progress, start) };
}

/** What the steady rows say of their outputs. */
function verified(measured: LlmMeasured): string[] {
  return llmRows(measured, undefined)
    .filter(({ phase }) => phase === "steady")
    .map((row) => `${row.case.slice("llm/m/".length)} ${row.engine} ${row.verified}`);
}

function lines(measured: LlmMeasured): string[] {
  return agreementLines({ ...sampleResults(), results: llmRows(measured, undefined) });
}

describe("measureLlm", () => {
  it("verifies engines by others that run other code", async () => {
    const measured = await measure(["quern", "llama.cpp"], () => right);
    expect(verified(measured)).toEqual([
      "first-token quern true",
      "first-token llama.cpp true",
      "tg8 quern true",
      "tg8 llama.cpp true",
    ]);
    expect(measured.outcomes.flatMap(({ wrong: why, failure }) => [why, failure])).toEqual(Array(4).fill(undefined));
    expect(lines(measured)).toEqual([expect.stringMatching(/^logits of quern, .* the baseline's most likely token/)]);
  });

  it("compares what a later start computes, whose time the row of the first token has", async () => {
    const measured = await measure(["quern", "llama.cpp"], (engine, start) =>
      engine === "quern" && start === 1 ? wrong : right,
    );
    expect(measured.outcomes[0]?.wrong).toMatch(
      /^logits behind the first prompt of a later start differ from those of llama\.cpp: /,
    );
    expect(measured.outcomes[0]?.runs[0]?.tests.size).toBe(0);
    const [row] = llmRows(measured, undefined);
    expect(row).toMatchObject({ engine: "quern", phase: "steady", verified: false, samples: [], median: null });
    expect(measured.outcomes[1]?.wrong).toBeUndefined();
  });

  it("names the first start where that is wrong already", async () => {
    const measured = await measure(["quern", "llama.cpp"], (engine) => (engine === "quern" ? wrong : right));
    expect(measured.outcomes[0]?.wrong).toMatch(/^logits behind the first prompt differ from those of llama\.cpp: /);
  });

  it("verifies nothing where all engines run the same code, and says so", async () => {
    for (const row of [right, wrong]) {
      const measured = await measure(["quern", "quern-defaults"], () => row);
      expect(verified(measured)).toEqual([
        "first-token quern null",
        "first-token quern-defaults null",
        "tg8 quern null",
        "tg8 quern-defaults null",
      ]);
      expect(measured.outcomes.flatMap(({ runs }) => runs.flatMap(({ agreements }) => agreements))).toEqual([]);
      expect(lines(measured)).toEqual([]);
    }
  });

  it("the same code with other results is wrong all the same", async () => {
    const measured = await measure(["quern", "quern-defaults"], (engine) => (engine === "quern" ? right : wrong));
    expect(measured.outcomes[1]?.wrong).toMatch(/^logits behind the first prompt differ from those of quern: /);
    expect(verified(measured)).toContain("first-token quern-defaults false");
  });

  it("leaves open what is measured after the only other code has failed", async () => {
    const measured = await measure(["quern", "quern-defaults", "llama.cpp"], (engine, _, request) => {
      if (engine === "llama.cpp" && request === "llm-test") throw new EngineFailure("it crashed", false);
      return right;
    });
    expect(measured.outcomes[2]?.failure?.reason).toBe("it crashed");
    expect(verified(measured).slice(0, 5)).toEqual([
      "first-token quern true",
      "first-token quern-defaults true",
      "first-token llama.cpp true",
      "tg8 quern null",
      "tg8 quern-defaults null",
    ]);
  });

  it("measures as long as was asked for", async () => {
    const measured = await measure(["quern", "llama.cpp"], () => right, { secondsPerEngine: 5 });
    // Calls of 1 ms.
    const calls = measured.outcomes.map(({ runs }) => runs[0]?.tests.get(step)?.calls);
    expect(calls).toEqual([5000, 5000]);
  });

  it("a repeat that cannot begin leaves what the repeats before it gave", async () => {
    try {
      const measured = await measure(
        ["quern", "llama.cpp"],
        () => right,
        { processes: 2 },
        (text, share) => {
          // From the second repeat on there is no place for files.
          if (text.includes("round") && share < 0.5) vi.stubEnv("TMPDIR", "/nowhere/at/all");
        },
      );
      for (const { runs, failure } of measured.outcomes) {
        expect(runs).toHaveLength(1);
        expect(failure).toMatchObject({ unsupported: false, reason: expect.stringContaining("Set TMPDIR") });
      }
    } finally {
      vi.unstubAllEnvs();
    }
  });
});
