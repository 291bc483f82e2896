/**
 * One progress line on standard error, only where somebody watches: on a terminal. Redrawn at most ten times a second.
 */

const REDRAW_MS = 100;

export class ProgressLine {
  readonly #shown: boolean = process.stderr.isTTY === true;
  #last = 0;

  /** `share` of the work is done, from 0 to 1; absent where nobody knows. */
  readonly update = (text: string, share?: number): void => {
    const now = Date.now();
    if (!this.#shown || now - this.#last < REDRAW_MS) return;
    this.#last = now;
    const room = Math.max(20, (process.stderr.columns ?? 80) - 1);
    const percent = share === undefined ? "" : `${Math.floor(100 * share)} % `.padStart(6);
    process.stderr.write(`\r\u001b[2K${`${percent}${text}`.slice(0, room)}`);
  };

  clear(): void {
    if (this.#shown) process.stderr.write("\r\u001b[2K");
  }
}
