/** Versions of npm packages in their order (Semantic Versioning 2.0.0, section 11). */

interface Version {
  readonly numbers: readonly number[];
  /** Parts of a pre-release; empty for a release. */
  readonly pre: readonly string[];
}

const VERSION = /^v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/;

function parse(text: string): Version | undefined {
  const match = VERSION.exec(text);
  if (match === null) return undefined;
  return { numbers: match.slice(1, 4).map(Number), pre: match[4]?.split(".") ?? [] };
}

export function isVersion(text: string): boolean {
  return VERSION.test(text);
}

export function isPrerelease(text: string): boolean {
  return (parse(text)?.pre.length ?? 0) > 0;
}

function comparePart(a: string, b: string): number {
  const numeric = [a, b].map((part) => /^\d+$/.test(part));
  if (numeric[0] === true && numeric[1] === true) return Number(a) - Number(b);
  if (numeric[0] !== numeric[1]) return numeric[0] === true ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Below zero where `a` comes before `b`. Build metadata does not count. Both are versions. */
export function compareVersions(a: string, b: string): number {
  const [one, other] = [parse(a), parse(b)] as [Version, Version];
  for (let part = 0; part < 3; part++) {
    const difference = (one.numbers[part] as number) - (other.numbers[part] as number);
    if (difference !== 0) return difference;
  }
  // A release comes after its pre-releases.
  if (one.pre.length === 0 || other.pre.length === 0) return other.pre.length - one.pre.length;
  for (let part = 0; part < Math.max(one.pre.length, other.pre.length); part++) {
    const [left, right] = [one.pre[part], other.pre[part]];
    if (left === undefined || right === undefined) return left === undefined ? -1 : 1;
    const difference = comparePart(left, right);
    if (difference !== 0) return difference;
  }
  return 0;
}
