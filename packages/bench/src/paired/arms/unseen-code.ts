/**
 * Whether code runs where the record of loaded files does not reach: in processes and worker threads that a bench starts.
 * Only that it happened is found out, and not which files it took.
 */

import childProcess from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
import workerThreads from "node:worker_threads";

/** Those that give no `ChildProcess`; all others start one by its method `spawn`, also in promises and in `node:cluster`. */
const SYNCHRONOUS = ["spawnSync", "execSync", "execFileSync"] as const;

/**
 * From now on the set given back has "a child process" and "a worker thread" where this process has started one. Called before
 * the code that is watched is loaded.
 */
export function watchUnseenCode(): ReadonlySet<string> {
  const ways = new Set<string>();
  const started = (): void => void ways.add("a child process");
  for (const name of SYNCHRONOUS) watchCalls(childProcess, name, started);
  watchCalls(childProcess.ChildProcess.prototype, "spawn", started);
  const threads = workerThreads as unknown as { Worker: typeof workerThreads.Worker };
  threads.Worker = new Proxy(threads.Worker, {
    construct(target, args, newTarget): object {
      ways.add("a worker thread");
      return Reflect.construct(target, args, newTarget) as object;
    },
  });
  // For those who import them by name.
  syncBuiltinESMExports();
  return ways;
}

/** A proxy and no wrapper: what else a function has, such as its form for promises, stays. */
function watchCalls(holder: object, name: string, note: () => void): void {
  const functions = holder as Record<string, (...args: unknown[]) => unknown>;
  const original = functions[name];
  if (original === undefined) return;
  functions[name] = new Proxy(original, {
    apply(target, self, args): unknown {
      note();
      return Reflect.apply(target, self, args);
    },
  });
}
