/** The process of one language-model engine, asked in this one. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { synthGguf } from "@quern/llm";
import { afterAll, describe, expect, it } from "vitest";
import { noteCoreLoad } from "../harness/core-load.ts";
import type { LlmJob } from "./protocol.ts";
import { answerLlm } from "./session.ts";

const directory = mkdtempSync(join(tmpdir(), "quern-llm-session-test-"));
afterAll(() => rmSync(directory, { recursive: true }));

const MIB = 2 ** 20;

// The start of an engine's process does so.
noteCoreLoad(0);

describe("the peak of memory", () => {
  it("is what the model adds, without what the process held before", async (context) => {
    const modelPath = join(directory, "tiny.gguf");
    writeFileSync(modelPath, synthGguf({ model: "tiny-llama", quant: "Q8_0", changes: { layers: 1 } }));
    const before = Buffer.alloc(512 * MIB, 1);
    const job: LlmJob = {
      engine: "quern",
      options: { threads: 1, contextLength: 256, sequences: 1, cache: "f32", precision: "highest" },
      modelPath,
      vocabulary: 1024,
      seed: 1,
    };
    const open = await answerLlm({ kind: "llm-open", job });
    const finish = await answerLlm({ kind: "llm-finish" });
    if (open.kind !== "llm-open" || finish.kind !== "llm-finish") throw new Error("answered something else");
    const peaks = [open.opened.peakBytes, finish.peakBytes];
    if (peaks.includes(null)) context.skip("the system does not say how much memory a process holds");
    for (const bytes of peaks) {
      expect(bytes).toBeGreaterThan(0);
      expect(bytes).toBeLessThan(before.length);
    }
    expect(finish.peakBytes).toBeGreaterThanOrEqual(open.opened.peakBytes as number);
  });
});
