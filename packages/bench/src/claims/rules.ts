/**
 * The rules by which two rows may stand in one sentence: "n times faster". Each rule is one record; it gives the reason
 * why the rows are not comparable, or nothing. A fact that is needed and not recorded is a reason too.
 *
 * The rules judge what was measured, not how fast it was.
 */

import { IMPOSSIBLE } from "../results/notes.ts";
import type { Result } from "../results/schema.ts";
import { isaLevel } from "./isa.ts";

/** One of the two rows, with what its file says about the engine and the machine. */
export interface ClaimSide {
  readonly row: Result;
  /** Of the engine; undefined where the file has no record of it. */
  readonly version: string | undefined;
  /** Fingerprint of the machine */
  readonly machine: string;
  /** What happened to the machine while it was measured. */
  readonly disturbed: readonly string[];
}

/** The ratio that is to be claimed. */
export interface ClaimInterval {
  readonly low: number | null;
  readonly high: number | null;
}

export interface ClaimRule {
  readonly name: string;
  /** The reason against a claim, as it continues "not comparable because …". */
  readonly against: (a: ClaimSide, b: ClaimSide, interval: ClaimInterval) => string | undefined;
}

/** Bytes per weight differ in headers and padding by less than this share. */
const SAME_BYTES = 0.01;

/** Fresh processes that a claim needs of each side: slices of one process are not independent. */
const LEAST_PROCESSES = 3;

/** Quern on any device, at any settings. */
const QUERN = /^quern(?:-|$)/;

/** Loading Quern as files of earlier versions have it: its core was there before the clock started. */
function lacksCore({ phase, engine, coreIncluded = false }: Result): boolean {
  return phase === "load" && QUERN.test(engine) && !coreIncluded;
}

/** Phases that are over before the first input is seen. */
const WITHOUT_INPUTS: ReadonlySet<Result["phase"]> = new Set(["load", "compile", "compile-cached"]);

function differ(what: string, a: string | number, b: string | number): string | undefined {
  return a === b ? undefined : `${what} differ: ${a} and ${b}`;
}

/** A reason where a fact of either side is missing or where the two differ. */
function mustAgree(
  what: string,
  [a, b]: readonly [ClaimSide, ClaimSide],
  fact: (row: Result) => string | null | undefined,
): string | undefined {
  const [ofA, ofB] = [fact(a.row), fact(b.row)];
  if (ofA == null || ofB == null) return notRecorded(what, a, b, (row) => fact(row) == null);
  return differ(what, ofA, ofB);
}

function notRecorded(what: string, a: ClaimSide, b: ClaimSide, misses: (row: Result) => boolean): string {
  const names = [...new Set([a, b].filter(({ row }) => misses(row)).map(({ row }) => row.engine))];
  return `${what} not recorded (${names.join(", ")})`;
}

/** What follows from the long parts of a row: it may stand beside any number of others, and is read once. */
interface RowFacts {
  readonly isa: string | null;
  /** The lowest precision that products were computed at: what was asked for or chosen, unless the engine says otherwise. */
  readonly computedAt: string;
}

const factsOfRows = new WeakMap<Result, RowFacts>();

function factsOf(row: Result): RowFacts {
  const known = factsOfRows.get(row);
  if (known !== undefined) return known;
  const { isa, precision, precisions } = row;
  const computedAt = PRECISIONS.findLast((one) => precisions?.includes(one)) ?? precision;
  const facts: RowFacts = { isa: isaLevel(isa), computedAt };
  factsOfRows.set(row, facts);
  return facts;
}

/** Threads of the processor that feed a GPU are no part of a budget. */
function onGpu(row: Result): boolean {
  return ["webgpu", "cuda"].includes(factsOf(row).isa ?? "");
}

function shortHash(sha256: string | undefined): string | undefined {
  return sha256?.slice(0, 12);
}

/** Highest first. */
const PRECISIONS: readonly Result["precision"][] = ["highest", "high", "medium"];

/** Processes that gave samples of a row; undefined where slices are the samples and nothing says whose they are. */
function processesOf({ processes, phase, samples }: Result): number | undefined {
  // Withheld times leave no samples; that is said by itself.
  const whole = samples.length === 0 ? processes : processes?.filter((count) => count > 0);
  // Phases before the steady state have one sample of each process.
  return whole?.length ?? (phase === "steady" ? undefined : samples.length);
}

function weightsOf({ weights }: Result): string {
  return weights ?? "those of the file";
}

function weightsDiffer({ row: a }: ClaimSide, { row: b }: ClaimSide): string | undefined {
  if (a.bytesPerWeight != null && b.bytesPerWeight != null) {
    const [less, more] = [a.bytesPerWeight, b.bytesPerWeight].toSorted((x, y) => x - y) as [number, number];
    if (more - less <= SAME_BYTES * more) return undefined;
    return `bytes per weight differ: ${Number(a.bytesPerWeight.toPrecision(3))} and ${Number(b.bytesPerWeight.toPrecision(3))}`;
  }
  // The same file, of which both use the weights as they are: whatever their size is, it is the same.
  return differ("encodings of the weights", weightsOf(a), weightsOf(b));
}

/** What claims need, in the order in which reasons are given. */
export const claimRules: readonly ClaimRule[] = [
  { name: "machine", against: (a, b) => differ("machines", a.machine, b.machine) },
  {
    name: "calm",
    against: (a, b) => {
      const first = a.disturbed[0] ?? b.disturbed[0];
      return first === undefined ? undefined : `the machine was disturbed (${first})`;
    },
  },
  { name: "case", against: ({ row: a }, { row: b }) => differ("cases", a.case, b.case) },
  { name: "phase", against: ({ row: a }, { row: b }) => differ("phases", a.phase, b.phase) },
  {
    name: "loading",
    against: (a, b) => {
      const [first] = [a.row, b.row].filter(lacksCore);
      return first === undefined || [a.row, b.row].every(lacksCore)
        ? undefined
        : `a part of ${first.engine} is loaded before it is timed`;
    },
  },
  { name: "shape", against: ({ row: a }, { row: b }) => differ("shapes", a.shape, b.shape) },
  { name: "model", against: (a, b) => mustAgree("model hashes", [a, b], (row) => shortHash(row.modelSha256)) },
  {
    name: "inputs",
    against: (a, b) =>
      WITHOUT_INPUTS.has(a.row.phase)
        ? undefined
        : mustAgree("hashes of the inputs", [a, b], (row) => shortHash(row.inputsSha256)),
  },
  { name: "dtype", against: ({ row: a }, { row: b }) => differ("dtypes", a.dtype, b.dtype) },
  {
    name: "precision",
    against: ({ row: a }, { row: b }) => differ("precisions of products", factsOf(a).computedAt, factsOf(b).computedAt),
  },
  { name: "weights", against: weightsDiffer },
  {
    name: "keys and values",
    against: ({ row: a }, { row: b }) => differ("forms of keys and values", a.keyValues ?? "–", b.keyValues ?? "–"),
  },
  { name: "cache", against: (a, b) => mustAgree("states of the caches", [a, b], (row) => row.cacheState) },
  {
    name: "kept kernels",
    against: ({ row: a }, { row: b }) => {
      if ((a.keptKernels ?? false) === (b.keptKernels ?? false)) return undefined;
      return `only ${(a.keptKernels === true ? a : b).engine} found kernels that an earlier process had kept`;
    },
  },
  { name: "threads", against: ({ row: a }, { row: b }) => differ("threads", a.threads, b.threads) },
  {
    name: "thread budget",
    against: (a, b) => {
      // They are counted while calls are warm.
      const unknown = (row: Result): boolean => row.phase === "steady" && row.busyThreads === undefined && !onGpu(row);
      if (unknown(a.row) || unknown(b.row)) return notRecorded("numbers of busy threads", a, b, unknown);
      const over = [a.row, b.row].find((row) => (row.busyThreads ?? 0) > row.threads && !onGpu(row));
      return over === undefined
        ? undefined
        : `${over.engine} used ${over.busyThreads} threads instead of ${over.threads}`;
    },
  },
  {
    name: "instruction set",
    against: (a, b) => mustAgree("instruction sets", [a, b], (row) => factsOf(row).isa),
  },
  {
    name: "versions",
    against: (a, b) => {
      const unknown = [...new Set([a, b].filter(({ version }) => !version).map(({ row }) => row.engine))];
      if (unknown.length > 0) return `versions not recorded (${unknown.join(", ")})`;
      return a.row.engine === b.row.engine ? differ("versions", a.version ?? "", b.version ?? "") : undefined;
    },
  },
  {
    name: "outputs",
    against: ({ row: a }, { row: b }) => {
      const impossible = [a, b].filter(({ note = "" }) => note.startsWith(IMPOSSIBLE)).map(({ engine }) => engine);
      if (impossible.length > 0) return `rates are impossible (${impossible.join(", ")})`;
      const wrong = [a, b].filter(({ verified }) => verified === false).map(({ engine }) => engine);
      if (wrong.length > 0) return `outputs are wrong (${wrong.join(", ")})`;
      const open = [a, b].filter(({ verified }) => verified === null).map(({ engine }) => engine);
      return open.length === 0 ? undefined : `outputs were not compared (${[...new Set(open)].join(", ")})`;
    },
  },
  {
    name: "processes",
    against: (a, b) => {
      const counts = [a, b].map(({ row }) => ({ engine: row.engine, count: processesOf(row) }));
      if (counts.some(({ count }) => count === undefined))
        return notRecorded("numbers of processes", a, b, (row) => processesOf(row) === undefined);
      const few = counts.filter(({ count = 0 }) => count < LEAST_PROCESSES);
      if (few.length > 0)
        return `fewer than ${LEAST_PROCESSES} processes (${few.map(({ engine, count }) => `${engine}: ${count}`).join(", ")})`;
      return differ("numbers of processes", counts[0]?.count ?? 0, counts[1]?.count ?? 0);
    },
  },
  {
    name: "interval",
    against: (_a, _b, { low, high }) => (low === null || high === null ? "the ratio has no interval" : undefined),
  },
];
