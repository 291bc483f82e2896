import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { withinBudget } from "./within-budget.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Work without an end of its own. */
const untilEnded = (signal: AbortSignal | undefined): Promise<never> =>
  new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error)));

const limits = { budgetMs: 60_000, spentMs: 20_000, signal: undefined };

describe("work within a budget", () => {
  it("ends when what is left of it is spent, and says what went on", async () => {
    let ended: unknown;
    const work = withinBudget(limits, (signal, at) => {
      at("preparing base: npm ci");
      at("preparing head: npm ci");
      return untilEnded(signal);
    }).catch((error: unknown) => (ended = error));
    await vi.advanceTimersByTimeAsync(39_999);
    expect(ended).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    await work;
    expect(ended).toMatchObject({ reason: "budget-spent", exitCode: 6, where: "preparing head: npm ci" });
    expect((ended as Error).message).toMatch(/^the budget of 1 min 0 s was spent before anything was measured/);
  });

  it("ends by another signal with the reason of that", async () => {
    const interrupt = new AbortController();
    const work = withinBudget({ ...limits, signal: interrupt.signal }, untilEnded);
    interrupt.abort(new Error("Ctrl-C"));
    await expect(work).rejects.toThrow("Ctrl-C");
  });

  it("gives what the work gives, and leaves no timer", async () => {
    await expect(withinBudget(limits, async () => 3)).resolves.toBe(3);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("has no end where there is no budget", async () => {
    await expect(withinBudget({ ...limits, budgetMs: null }, async (signal) => signal)).resolves.toBeUndefined();
  });
});
