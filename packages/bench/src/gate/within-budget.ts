/**
 * The budget of a run while both builds are prepared. Commands that build, installations and the first calls of benches end when
 * it is spent: nothing has been measured then, and there is no result but a refusal.
 */

import { Refusal } from "../paired/arms/refusal.ts";
import { formatDuration } from "../report/format.ts";

export interface PreparationLimits {
  /** null: none. */
  readonly budgetMs: number | null;
  /** Of the budget, until now. */
  readonly spentMs: number;
  /** Ends the work for another reason. */
  readonly signal: AbortSignal | undefined;
}

/**
 * Runs `work`, which must end with the signal that it is given and tells through `at` what goes on. Throws a `Refusal` once the
 * budget is spent, and what `work` throws.
 */
export async function withinBudget<T>(
  { budgetMs, spentMs, signal }: PreparationLimits,
  work: (signal: AbortSignal | undefined, at: (doing: string) => void) => Promise<T>,
): Promise<T> {
  if (budgetMs === null) return await work(signal, () => {});
  let doing = "reading the configuration";
  const budget = new AbortController();
  const end = (): void =>
    budget.abort(
      new Refusal("budget-spent", `the budget of ${formatDuration(budgetMs)} was spent before anything was measured`, {
        where: doing,
        hint: "--budget bounds the whole run, builds among it: raise it, or build before and name the folders.",
      }),
    );
  const timer = setTimeout(end, Math.max(0, budgetMs - spentMs));
  try {
    return await work(AbortSignal.any(signal === undefined ? [budget.signal] : [budget.signal, signal]), (text) => {
      doing = text;
    });
  } finally {
    clearTimeout(timer);
  }
}
