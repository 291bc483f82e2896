/** Ctrl-C ends the work that goes on, not the process: what has been made until then is kept, or taken away in order. */

import { interruptible } from "@quern/bench/commands";

/** As shells say it: 128 and the number of the signal. */
export const INTERRUPTED = 130;

/** Runs `work` with a signal that the first Ctrl-C aborts. Says whether there was a Ctrl-C. */
export function wasInterrupted(work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
  return interruptible(async (signal) => {
    await work(signal);
    return signal.aborted;
  });
}

/**
 * Runs `work` that is of no use half done: on Ctrl-C it rejects with the reason of its signal, having taken back what it made.
 * True where it came to its end.
 */
export async function whole(work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
  let done = false;
  await wasInterrupted(async (signal) => {
    try {
      await work(signal);
      done = true;
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error;
    }
  });
  if (!done) process.exitCode = INTERRUPTED;
  return done;
}
