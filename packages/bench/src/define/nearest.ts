/** The known name that a mistyped one is nearest to, for error messages. */

/** Edits (insert, remove, replace, swap two neighbours) from `a` to `b`: optimal string alignment. */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, (row[j - 1] as number) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, (before[j - 2] as number) + 1);
      }
      next.push(least);
    }
    before = row;
    row = next;
  }
  return row[b.length] as number;
}

/** The nearest of `known`, letters' case apart, or undefined where none is near enough to be meant. */
export function nearestName(given: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Infinity;
  for (const name of known) {
    const distance = editDistance(given.toLowerCase(), name.toLowerCase());
    if (distance < least && distance <= Math.max(1, Math.floor(Math.max(given.length, name.length) / 3))) {
      best = name;
      least = distance;
    }
  }
  return best;
}

/** ` Did you mean "x"?` or, where nothing is near, the list of what there is. */
export function meantInstead(given: string, known: readonly string[], most = 12): string {
  const nearest = nearestName(given, known);
  if (nearest !== undefined) return `Did you mean "${nearest}"?`;
  if (known.length === 0) return "There is none.";
  const more = known.length > most ? ` and ${known.length - most} more` : "";
  return `There ${known.length === 1 ? "is" : "are"}: ${known.slice(0, most).join(", ")}${more}.`;
}
