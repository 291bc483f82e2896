/** Ctrl-C ends the work that goes on, not the process: what has been made until then is kept, or taken away in order. */

/** As shells say it: 128 and the number of the signal. */
export const INTERRUPTED = 130;

/** Launchers pass on the signal that the terminal has given to all of them: within this time it is one Ctrl-C. */
const SAME_MS = 250;

/**
 * Runs `work` with a signal that the first Ctrl-C aborts. The second one ends the process, as it does outside of work. Says
 * whether there was a Ctrl-C.
 */
export async function interruptible(work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
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
    await work(controller.signal);
  } finally {
    process.removeListener("SIGINT", interrupt);
  }
  return controller.signal.aborted;
}

/**
 * Runs `work` that is of no use half done: on Ctrl-C it rejects with the reason of its signal, having taken back what it made.
 * True where it came to its end.
 */
export async function whole(work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
  let done = false;
  await interruptible(async (signal) => {
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
