/** What requests and streams are made of: latencies, limits, arrivals, events. */

import { describe, expect, it } from "vitest";
import { poissonTimes, promptOf } from "./arrivals.ts";
import { eventData } from "./event-stream.ts";
import { keepsGoals, parseGoals } from "./goals.ts";
import { latenciesOf } from "./latencies.ts";
import { quantile } from "../statistics/basics.ts";
import { latencyRecord } from "./summary.ts";
import type { Exchange } from "./types.ts";

/** A request as if it had been answered: parts at these times. */
function answered(parts: readonly number[], changes: Partial<Exchange> = {}): Exchange {
  const ended = parts.at(-1) ?? 0;
  return { index: 0, scheduled: 0, sent: 0, parts, ended, tokens: parts.length, counted: "usage", ...changes };
}

describe("latencies", () => {
  it("count from when the request was due", () => {
    const late = answered([150, 170, 200], { scheduled: 40, sent: 90 });
    expect(latenciesOf(late)).toEqual({ ttft: 110, tpot: 25, e2e: 160, gaps: [20, 30], late: 50 });
    expect(latenciesOf(answered([7])).tpot).toBeUndefined();
    // Two tokens to a part.
    expect(latenciesOf(answered([10, 50], { tokens: 5 })).tpot).toBe(10);
    // All of them in one part: nobody knows how long each took.
    expect(latenciesOf(answered([900], { tokens: 64 })).tpot).toBeUndefined();
  });

  it("percentiles are told where ten samples lie beyond them", () => {
    const told = (count: number): string[] => {
      const record = latencyRecord(Array.from({ length: count }, (_, i) => i));
      return (["p50", "p90", "p95", "p99"] as const).filter((name) => record[name] !== null);
    };
    expect(told(0)).toEqual([]);
    expect(told(19)).toEqual([]);
    expect(told(20)).toEqual(["p50"]);
    expect(told(99)).toEqual(["p50"]);
    expect(told(100)).toEqual(["p50", "p90"]);
    expect(told(200)).toEqual(["p50", "p90", "p95"]);
    expect(told(999)).toEqual(["p50", "p90", "p95"]);
    expect(told(1000)).toEqual(["p50", "p90", "p95", "p99"]);
    const { mean, p90 } = latencyRecord(Array.from({ length: 101 }, (_, i) => 100 - i));
    expect([mean, p90]).toEqual([50, 90]);
    expect(quantile([1, 2], 0.25)).toBe(1.25);
    expect(quantile([3], 0.9)).toBe(3);
  });
});

describe("goals", () => {
  it("are read", () => {
    expect(parseGoals("ttft:200,tpot:50")).toEqual({ ttft: 200, tpot: 50 });
    expect(parseGoals(" e2e : 1500.5ms ")).toEqual({ e2e: 1500.5 });
    for (const bad of ["", "ttft", "ttft:0", "ttft:-1", "itl:3", "ttft:1,ttft:2", "ttft:1s", "ttft:NaN"]) {
      expect(() => parseGoals(bad), bad).toThrow("--goodput");
    }
  });

  it("are kept by a request within all of them", () => {
    const request = answered([100, 120, 140]); // ttft 100, tpot 20, e2e 140
    expect(keepsGoals(request, { ttft: 100, tpot: 20, e2e: 140 })).toBe(true);
    expect(keepsGoals(request, { ttft: 99 })).toBe(false);
    expect(keepsGoals(request, { tpot: 19 })).toBe(false);
    expect(keepsGoals(request, { e2e: 139 })).toBe(false);
    expect(keepsGoals({ ...request, failure: { kind: "broken", message: "" } }, {})).toBe(false);
    // One token has no time per token; 64 in one part have one that is not known.
    expect(keepsGoals(answered([100]), { tpot: 20 })).toBe(true);
    expect(keepsGoals(answered([100], { tokens: 64 }), { tpot: 20 })).toBe(false);
    expect(keepsGoals(answered([100], { tokens: 64 }), { ttft: 100 })).toBe(true);
    // Due earlier than sent: the wait counts.
    expect(keepsGoals({ ...request, scheduled: -1 }, { ttft: 100 })).toBe(false);
  });
});

describe("arrivals", () => {
  it("are those of a Poisson process, from the seed", () => {
    const times = poissonTimes(4, 20_000, 3);
    expect(times).toEqual(poissonTimes(4, 20_000, 3));
    expect(times.slice(0, 5)).not.toEqual(poissonTimes(4, 5, 4));
    const gaps = times.slice(1).map((at, i) => at - (times[i] as number));
    const mean = gaps.reduce((a, b) => a + b, 0) / gaps.length;
    const squares = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
    // Mean 250 ms and a standard deviation as large; within four standard errors (1.8 ms, 2.5 ms).
    expect(Math.abs(mean - 250)).toBeLessThan(7.2);
    expect(Math.abs(Math.sqrt(squares) - 250)).toBeLessThan(10);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(0);
  });

  it("prompts have their length, and the first word of each differs from all others", () => {
    expect([1, 2, 12].map((words) => promptOf(0, words, 1, "a").split(" ").length)).toEqual([1, 2, 12]);
    expect(promptOf(3, 12, 1, "a")).toBe(promptOf(3, 12, 1, "a"));
    expect(promptOf(3, 12, 1, "a")).not.toBe(promptOf(3, 12, 2, "a"));
    const firsts = ["a", "b"].flatMap((nonce) =>
      Array.from({ length: 3000 }, (_, i) => promptOf(i, 12, 1, nonce).split(" ")[0]),
    );
    expect(new Set(firsts).size).toBe(6000);
  });
});

describe("event streams", () => {
  async function read(pieces: readonly (string | Uint8Array)[]): Promise<string[]> {
    async function* body(): AsyncGenerator<Uint8Array> {
      for (const piece of pieces) yield typeof piece === "string" ? new TextEncoder().encode(piece) : piece;
    }
    const found: string[] = [];
    for await (const data of eventData(body())) found.push(data);
    return found;
  }

  it("are read in whatever pieces they come", async () => {
    const whole = ': hello\r\nevent: x\r\ndata: {"a":"ü€𝄞"}\r\n\r\ndata:b\ndata: c\n\nid: 7\r\rdata: d\r\rdata: cut';
    const bytes = new TextEncoder().encode(whole);
    const expected = ['{"a":"ü€𝄞"}', "b\nc", "d"];
    expect(await read([whole])).toEqual(expected);
    for (const size of [1, 2, 3, 7]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      );
      expect(await read(pieces), `pieces of ${size}`).toEqual(expected);
    }
  });

  it.each(["data: ", "data: x\n"])("without an end, of %j, are refused and not kept", async (piece) => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      const bytes = new TextEncoder().encode(piece.repeat(10_000));
      for (;;) yield bytes;
    }
    const reading = (async () => {
      for await (const data of eventData(endless())) expect(data).toBe("no event ends here");
    })();
    await expect(reading).rejects.toThrow("an event is longer than");
  });
});
