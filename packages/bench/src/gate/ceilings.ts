/**
 * Rates that no bench reaches, from the peaks that `calibrate` has measured: above them the work was not done.
 *
 * What a bench counts as an operation or a byte is its own affair, and nobody knows how many threads it has or which cache its
 * data stay in. Honest code must never be above a ceiling, so there is one for all benches: that of the whole machine, of its
 * densest arithmetic and of the caches nearest to it.
 */

import { productPeak } from "../harness/roofline.ts";
import type { Peaks } from "../paired/plan.ts";
import type { RooflinePoint } from "../results/schema.ts";

/** Numbers of 8 bits in the place of one of 32 that the peak of multiply-adds is about, and of one of 16 of the matrix unit. */
const BYTES_PER_FLOAT = 4;
const BYTES_PER_HALF = 2;
/** Bytes count that are written too; a processor writes no more than it reads at the same time. */
const READ_AND_WRITTEN = 2;
/** The clock, and what neighbours took, may have been others when the peaks were measured. */
const OTHER_DAY = 1.25;

/** Undefined where there is no peak: nothing is judged by it then. */
export function ceilingsOf(points: readonly RooflinePoint[]): Peaks {
  const threads = Math.max(1, ...points.map((point) => point.threads));
  // A peak of many threads that was measured beside a neighbour is no bound; as many single ones are.
  const highest = (peakOf: (point: RooflinePoint) => number | null): number | undefined => {
    const peaks = points.flatMap((point) => {
      const peak = peakOf(point);
      return peak === null ? [] : [(OTHER_DAY * threads * peak) / point.threads];
    });
    return peaks.length === 0 ? undefined : Math.max(...peaks);
  };
  return {
    gflops: highest(densestPeak),
    gbps: highest(({ l1ReadGBps }) => (l1ReadGBps == null ? null : READ_AND_WRITTEN * l1ReadGBps)),
  };
}

function densestPeak(point: RooflinePoint): number | null {
  const { fmaGflops, matrixGflops } = point;
  return productPeak({
    ...point,
    fmaGflops: fmaGflops === null ? null : BYTES_PER_FLOAT * fmaGflops,
    matrixGflops: matrixGflops === null ? null : BYTES_PER_HALF * matrixGflops,
  });
}
