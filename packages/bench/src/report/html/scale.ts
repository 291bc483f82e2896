/** Axes: where a value lies on an axis, as a share of its length, and which values are written beside it. */

export interface Scale {
  /** 0 at the low end, 1 at the high one; values beyond the ends are put at the end. */
  at(value: number): number;
  readonly low: number;
  readonly high: number;
  readonly ticks: readonly number[];
}

/** Least and largest of values, of which there may be more than a call takes arguments. */
export function extent(values: Iterable<number>): [low: number, high: number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

function clamp(share: number): number {
  return Math.max(0, Math.min(1, share));
}

/** Multiples of 1, 2 or 5 times a power of ten within the range, at most about `most`. */
function evenTicks(low: number, high: number, most: number): number[] {
  const rough = (high - low) / most;
  if (!(rough > 0) || !Number.isFinite(rough)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-12); i++)
    ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

/** Within what differences and quotients of ends can be computed with. */
function bounded(value: number): number {
  return Math.max(-1e150, Math.min(1e150, value));
}

export function linearScale(least: number, greatest: number, most = 6): Scale {
  const [low, high] = [bounded(least), bounded(greatest)];
  const top = high > low ? high : low + 1;
  return {
    low,
    high: top,
    ticks: evenTicks(low, top, most),
    at: (value) => clamp((bounded(value) - low) / (top - low)),
  };
}

/** Both ends must be positive. Ticks are powers of ten, with 2 and 5 times them where there is room, or even steps. */
export function logScale(least: number, greatest: number, most = 8): Scale {
  const [low, high] = [Math.max(1e-150, bounded(least)), bounded(greatest)];
  const top = high > low ? high : low * 1.1;
  const at = (value: number): number => (value <= 0 ? 0 : clamp(Math.log(value / low) / Math.log(top / low)));
  return { low, high: top, at, ticks: logTicks(low, top, most) };
}

function logTicks(low: number, high: number, most: number): number[] {
  if (high / low < 4) return evenTicks(low, high, most);
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const within = (ticks: readonly number[]): number[] =>
    ticks.filter((tick) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9));
  const powers = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    const ticks = within(
      powers.flatMap((power) => factors.map((factor) => Number((factor * 10 ** power).toPrecision(3)))),
    );
    if (ticks.length <= most) return ticks;
  }
  const step = Math.ceil(powers.length / most);
  return within(powers.filter((power) => power % step === 0).map((power) => Number((10 ** power).toPrecision(3))));
}

/** Powers of two, for ratios: at most about `most`. */
export function ratioTicks(low: number, high: number, most = 7): number[] {
  const first = Math.ceil(Math.log2(low) - 1e-9);
  const last = Math.floor(Math.log2(high) + 1e-9);
  const step = Math.max(1, Math.ceil((last - first + 1) / most));
  const ticks: number[] = [];
  for (let power = Math.ceil(first / step) * step; power <= last; power += step) ticks.push(2 ** power);
  return ticks;
}
