/** Ctrl-C ends the work that goes on, not the process: what has been measured until then is kept. */

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
