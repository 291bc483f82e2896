/**
 * Merging neighbours by rank, the heart of BPE and of SentencePiece's bigram merging: again and again the pair of the
 * lowest rank is joined, the leftmost of equals first. A heap finds it, so that a text without any place to split costs
 * n log n lookups.
 */

/** Called when two symbols become the one that begins at `start`, before its neighbours are looked at. */
export type Joined = (start: number, rank: number) => void;

/** The rank of joining `[start, middle)` with `[middle, end)`, or undefined when the two do not join. */
export type RankOf = (start: number, middle: number, end: number) => number | undefined;

interface Candidate {
  readonly rank: number;
  readonly start: number;
  readonly middle: number;
  readonly end: number;
}

function before(a: Candidate, b: Candidate): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.start < b.start);
}

class CandidateHeap {
  readonly #items: Candidate[] = [];

  push(item: Candidate): void {
    const items = this.#items;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(item, items[parent]!)) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  pop(): Candidate | undefined {
    const items = this.#items;
    const top = items[0];
    const last = items.pop();
    if (top === undefined || last === undefined || items.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && before(items[child + 1]!, items[child]!)) child += 1;
      if (!before(items[child]!, last)) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = last;
    return top;
  }
}

/**
 * Merges until no pair joins. `starts` are the ascending offsets at which the first symbols begin, `end` is where the last one
 * ends. Returns the offsets at which the merged symbols begin.
 */
export function mergeSymbols(starts: readonly number[], end: number, rankOf: RankOf, joined?: Joined): number[] {
  const count = starts.length;
  const next = Int32Array.from({ length: count }, (_, index) => (index + 1 < count ? index + 1 : -1));
  const previous = Int32Array.from({ length: count }, (_, index) => index - 1);
  const indexOf = new Map(starts.map((start, index) => [start, index]));
  const merged = new Uint8Array(count);
  const endOf = (index: number): number => (next[index] === -1 ? end : starts[next[index]!]!);

  const heap = new CandidateHeap();
  const consider = (left: number): void => {
    const right = left === -1 ? -1 : next[left]!;
    if (right === -1) return;
    const candidate = { start: starts[left]!, middle: starts[right]!, end: endOf(right) };
    const rank = rankOf(candidate.start, candidate.middle, candidate.end);
    if (rank !== undefined) heap.push({ rank, ...candidate });
  };
  for (let index = 0; index + 1 < count; index++) consider(index);

  for (let best = heap.pop(); best !== undefined; best = heap.pop()) {
    const left = indexOf.get(best.start)!;
    const right = indexOf.get(best.middle)!;
    // Either side may have been merged since the candidate was found.
    if (merged[left] === 1 || merged[right] === 1 || endOf(right) !== best.end || next[left] !== right) continue;
    merged[right] = 1;
    next[left] = next[right]!;
    if (next[left] !== -1) previous[next[left]!] = left;
    joined?.(best.start, best.rank);
    consider(previous[left]!);
    consider(left);
  }
  return starts.filter((_, index) => merged[index] === 0);
}

/** The offsets at which the characters of a text in UTF-8 begin. */
export function characterStarts(text: Uint8Array): number[] {
  const starts: number[] = [];
  for (let at = 0; at < text.length; at++) if ((text[at]! & 0xc0) !== 0x80) starts.push(at);
  return starts;
}
