/** Ctrl-C ends the work that goes on, not the process: what has been made until then is kept. */

/** As shells say it: 128 and the number of the signal. */
export const INTERRUPTED = 130;

/**
 * Runs `work` with a signal that the first Ctrl-C aborts. The second one ends the process, as it does outside of work. Says
 * whether there was a Ctrl-C.
 */
export async function interruptible(work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  process.once("SIGINT", abort);
  try {
    await work(controller.signal);
  } finally {
    process.removeListener("SIGINT", abort);
  }
  return controller.signal.aborted;
}
