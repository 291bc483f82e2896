/**
 * The centre of a few times of which the slowest may be disturbed: the interquartile mean, the mean of the middle half.
 * A call that was preempted, or that a collection of garbage fell into, does not move it, while it uses more of the
 * sample than the median does and stands still where times have two modes.
 */

/** Below this the ends of the middle half would still weigh. */
const FEW = 4;

/**
 * Values at the ends of the middle half count by the part of them that lies in it. Of three values it is the middle one.
 * Sorts `values`.
 */
export function interquartileMean(values: number[]): number {
  values.sort((a, b) => a - b);
  if (values.length === FEW - 1) return values[1] as number;
  const from = values.length / 4;
  const to = values.length - from;
  let sum = 0;
  for (let i = Math.floor(from); i < to; i++) {
    sum += (values[i] as number) * (Math.min(i + 1, to) - Math.max(i, from));
  }
  return sum / (to - from);
}
