/**
 * Counts the threads of this process that compute while something runs, so that an engine's thread budget can be verified.
 *
 * Linux says of each task how long it was on a processor (`/proc/self/task/<tid>/schedstat`, in ns). A thread counts as busy
 * when it had at least a fifth of the time of the busiest: that does not depend on how much of the machine others take.
 * The workers of V8, which collect garbage and compile now and then for every engine, are left out. Asynchronous calls take
 * turns on the threads of Node's pool: these count as one, or as many as were on processors at a time. Threads that ended
 * meanwhile have left their time to the process alone: what it used beyond its living threads counts as so many more.
 */

import { readFileSync, readdirSync } from "node:fs";

const TASKS = "/proc/self/task";
const BUSY_SHARE = 0.2;
const V8_WORKER = "V8Worker";
const POOL_WORKER = "libuv-worker";

/** Times on a processor, in ns. */
interface Times {
  /** By thread, those of Node's pool together. */
  readonly threads: ReadonlyMap<string, number>;
  /** Of the workers of V8. */
  readonly v8: number;
  /** Of the whole process, with threads that have ended. */
  readonly all: number;
}

/** Undefined where the system does not say. */
function times(): Times | undefined {
  try {
    const { user, system } = process.cpuUsage();
    const found = new Map<string, number>();
    let v8 = 0;
    for (const task of readdirSync(TASKS)) {
      try {
        const name = readFileSync(`${TASKS}/${task}/comm`, "utf8").trim();
        const time = Number(readFileSync(`${TASKS}/${task}/schedstat`, "utf8").split(" ")[0]);
        if (name === V8_WORKER) {
          v8 += time;
          continue;
        }
        const key = name === POOL_WORKER ? POOL_WORKER : task;
        found.set(key, (found.get(key) ?? 0) + time);
      } catch (error) {
        // Threads may end meanwhile; a kernel without these statistics has the files of none.
        if (task === String(process.pid)) throw error;
      }
    }
    return { threads: found, v8, all: 1000 * (user + system) };
  } catch {
    return undefined;
  }
}

/** What most processes used: the median of their counts, the lower one of two; undefined where none says. */
function usualCount(counts: readonly (number | null)[]): number | undefined {
  const known = counts.filter((count) => count !== null).toSorted((a, b) => a - b);
  return known[(known.length - 1) >> 1];
}

/** Of a row: the threads that were busy, and a note where they were more than allowed. */
export function budgetFacts(
  counts: readonly (number | null)[],
  threads: number,
): { readonly busyThreads?: number; readonly note?: string } {
  const busyThreads = usualCount(counts);
  if (busyThreads === undefined) return {};
  if (busyThreads <= threads) return { busyThreads };
  return { busyThreads, note: `used ${busyThreads} threads, ${threads} ${threads === 1 ? "was" : "were"} allowed` };
}

/** Threads that were busy during `run`, which should last some hundredths of a second; null where the system does not say. */
export async function countBusyThreads(run: () => Promise<unknown>): Promise<number | null> {
  const before = times();
  const start = performance.now();
  await run();
  const ns = 1e6 * (performance.now() - start);
  const after = times();
  if (before === undefined || after === undefined) return null;
  const spent = [...after.threads].map(([key, time]) => ({ key, time: time - (before.threads.get(key) ?? 0) }));
  const living = spent.reduce((sum, { time }) => sum + time, after.v8 - before.v8);
  const ended = Math.max(0, after.all - before.all - living);
  const most = Math.max(...spent.map(({ time }) => time));
  if (most <= 0) return null;
  const busy = spent.filter(({ time }) => time >= BUSY_SHARE * most);
  return busy.reduce(
    (sum, { key, time }) => sum + (key === POOL_WORKER ? Math.max(1, Math.round(time / ns)) : 1),
    Math.round(ended / most),
  );
}
