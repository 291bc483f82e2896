/**
 * Progress on standard error, so that standard output is the result alone. On a terminal one line that is redrawn; elsewhere, as
 * in the log of a build, a line when the text begins anew and every half minute.
 */

const REDRAW_MS = 100;
const LOG_MS = 30_000;

export class GateProgress {
  readonly #terminal: boolean = process.stderr.isTTY === true;
  readonly #quiet: boolean;
  #last = 0;
  #stage = "";

  constructor(quiet: boolean) {
    this.#quiet = quiet;
  }

  /** `stage` is what goes on for minutes, `text` what goes on now; `share` from 0 to 1; `leftMs` of the stage. */
  readonly update = (stage: string, text = "", share?: number, leftMs?: number): void => {
    if (this.#quiet) return;
    const now = Date.now();
    const began = stage !== this.#stage;
    if (!began && now - this.#last < (this.#terminal ? REDRAW_MS : LOG_MS)) return;
    this.#last = now;
    this.#stage = stage;
    const percent = share === undefined ? "" : `${Math.floor(100 * share)} % `.padStart(6);
    const left = leftMs === undefined ? "" : `, ${duration(leftMs)} left`;
    const line = `${percent}${stage}${text === "" ? "" : `: ${text}`}${left}`;
    if (!this.#terminal) {
      process.stderr.write(`${line}\n`);
      return;
    }
    const room = Math.max(20, (process.stderr.columns ?? 80) - 1);
    process.stderr.write(`\r\u001b[2K${line.slice(0, room)}`);
  };

  clear(): void {
    if (this.#terminal && !this.#quiet) process.stderr.write("\r\u001b[2K");
  }
}

/** "8 s", "3 min". */
export function duration(ms: number): string {
  return ms < 90_000 ? `${Math.max(1, Math.round(ms / 1000))} s` : `${Math.round(ms / 60_000)} min`;
}
