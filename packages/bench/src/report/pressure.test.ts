import { describe, expect, it } from "vitest";
import { sampleGate } from "../results/sample-gate.ts";
import type { Pressure, Results } from "../results/schema.ts";
import { renderHtml } from "./html.ts";
import { renderMarkdown } from "./markdown.ts";
import { pressureLines, pressureText } from "./pressure.ts";
import { renderTerminal } from "./terminal.ts";

const CALM: Pressure = { stealMs: 10, throttledPeriods: 0, involuntarySwitches: 7, stalledMs: 900 };

/** A run of 183 s. */
function under(pressure: Pressure): Results {
  const gate = sampleGate();
  if (gate.environment === undefined) throw new Error("the sample has no environment");
  return { ...gate, environment: { ...gate.environment, pressure } };
}

describe("what others took while a run measured", () => {
  it("is a line of every report where it is notable", () => {
    const { cores } = sampleGate().machine.cpu;
    const results = under({ ...CALM, stealMs: 0.2 * 183_000 * cores, throttledPeriods: 12 });
    const line =
      "while it measured: 20.0 % of the processors' time went to other machines, quota used up in 12 periods";
    expect(pressureLines(results)).toEqual([line]);
    expect(renderTerminal(results)).toContain(line);
    expect(renderMarkdown(results)).toContain("quota used up in 12 periods");
    expect(renderHtml(results)).toContain("quota used up in 12 periods");
  });

  it("is told on the page alone where it is not", () => {
    const results = under(CALM);
    expect(pressureLines(results)).toEqual([]);
    expect(renderTerminal(results)).not.toContain("quota");
    expect(renderHtml(results)).toContain("the orchestrator was interrupted 7 times");
  });

  it("is nothing where nothing was told", () => {
    expect(pressureText(sampleGate())).toBeUndefined();
    const unknown = { stealMs: null, throttledPeriods: null, involuntarySwitches: null, stalledMs: null };
    expect(pressureText(under(unknown))).toBeUndefined();
    expect(pressureText(under({ ...unknown, stalledMs: 60_000 }))).toBe("tasks waited for a processor for 1 min 0 s");
    expect(pressureLines(under({ ...unknown, stalledMs: 60_000 }))).toHaveLength(1);
  });
});
