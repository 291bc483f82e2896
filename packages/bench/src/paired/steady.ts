/**
 * Has a warm-up come to a steady speed? At most 43.5 % of programs reach a steady peak at all (Barrett et al., "Virtual
 * machine warmup blows hot and cold", OOPSLA 2017), so it is checked and not assumed.
 */

const STEADY_WITHIN = 0.01;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** True if the median of the last `third` times is within 1 % of the median of the `third` before them. */
export function steadyTail(times: readonly number[], third: number): boolean {
  const last = median(times.slice(-third));
  const before = median(times.slice(-2 * third, -third));
  return Math.abs(last - before) <= STEADY_WITHIN * before;
}
