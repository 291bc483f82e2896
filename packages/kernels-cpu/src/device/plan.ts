/**
 * Memory planning: places buffers with known lifetimes into one arena.
 *
 * Greedy by size (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020): the largest
 * buffer first, each at the lowest offset that is free for its whole life. Lifetimes are in epochs (stretches between
 * barriers), since steps of one epoch may run at the same time.
 */

export interface PlannedBuffer {
  readonly sizeBytes: number;
  /** First and last epoch in which the buffer is touched, inclusive. */
  readonly first: number;
  readonly last: number;
}

export interface MemoryPlan {
  /** Byte offset of each buffer, in the order given; multiples of the alignment. */
  readonly offsets: readonly number[];
  /** Size of the arena. */
  readonly peakBytes: number;
}

const ALIGNMENT = 64;
/** Vectors may read (never write) up to one register beyond a buffer's last element when masks are not available. */
const SLACK = 64;

export function planMemory(buffers: readonly PlannedBuffer[]): MemoryPlan {
  const order = buffers.map((_, i) => i).sort((a, b) => at(buffers, b).sizeBytes - at(buffers, a).sizeBytes || a - b);
  const offsets = Array.from({ length: buffers.length }, () => 0);
  const placed: number[] = [];
  let peakBytes = 0;
  for (const i of order) {
    const buffer = at(buffers, i);
    const size = footprint(buffer);
    const busy = placed
      .filter((j) => overlaps(buffer, at(buffers, j)))
      .map((j) => ({ start: at(offsets, j), end: at(offsets, j) + footprint(at(buffers, j)) }))
      .sort((a, b) => a.start - b.start);
    let offset = 0;
    for (const { start, end } of busy) {
      if (start - offset >= size) break;
      offset = Math.max(offset, end);
    }
    offsets[i] = offset;
    placed.push(i);
    peakBytes = Math.max(peakBytes, offset + size);
  }
  return { offsets, peakBytes };
}

function footprint(buffer: PlannedBuffer): number {
  return Math.ceil((buffer.sizeBytes + SLACK) / ALIGNMENT) * ALIGNMENT;
}

function overlaps(a: PlannedBuffer, b: PlannedBuffer): boolean {
  return a.first <= b.last && b.first <= a.last;
}

function at<T>(items: readonly T[], i: number): T {
  return items[i] as T;
}
