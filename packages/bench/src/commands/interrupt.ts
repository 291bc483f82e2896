/** Ctrl-C ends the work that goes on, not the process: what has been measured until then is kept. */

import { InternalError } from "@quern/core/errors";
import { EXIT } from "../gate/exit-codes.ts";

/** Launchers pass on the signal that the terminal has given to all of them: within this time it is one Ctrl-C. */
const SAME_MS = 250;

/** Runs `work` with a signal that the first Ctrl-C aborts; the second one ends the process. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let first = 0;
  const interrupt = (): void => {
    if (!controller.signal.aborted) {
      first = performance.now();
      controller.abort();
    } else if (performance.now() - first > SAME_MS) {
      process.removeListener("SIGINT", interrupt);
      process.kill(process.pid, "SIGINT");
    }
  };
  process.on("SIGINT", interrupt);
  try {
    return await work(controller.signal);
  } finally {
    process.removeListener("SIGINT", interrupt);
  }
}

/**
 * Runs `work` until its end or the first Ctrl-C, after which it gives what it has. Where it has nothing to give it throws: then
 * the result is undefined, standard error says so, and the exit code is 130. What `progress` shows is gone then.
 */
export function untilInterrupted<T>(
  tool: string,
  progress: { clear(): void },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  return interruptible(async (signal) => {
    try {
      return await work(signal);
    } catch (error) {
      if (!signal.aborted || error instanceof InternalError) throw error;
      progress.clear();
      sayInterrupted(tool);
      return undefined;
    } finally {
      progress.clear();
    }
  });
}

/** Ctrl-C came before there was anything to report. */
export function sayInterrupted(tool: string): void {
  process.stderr.write(`${tool}: interrupted before anything was measured\n`);
  process.exitCode = EXIT.interrupted;
}
