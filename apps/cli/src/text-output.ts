/** Text of models on standard output, as it comes. */

import { once } from "node:events";

// oxlint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Models and their files may say anything: control characters become U+FFFD, so that they cannot command a terminal. */
export function forTerminal(text: string): string {
  return text.replace(CONTROL, "\ufffd");
}

/** Writes to standard output no faster than it is read, and keeps whether the last line has ended. */
export class TextOutput {
  #lineOpen = false;

  async write(text: string): Promise<void> {
    if (text === "") return;
    this.#lineOpen = !text.endsWith("\n");
    const { stdout } = process;
    if (!stdout.write(stdout.isTTY === true ? forTerminal(text) : text)) await once(stdout, "drain");
  }

  async endLine(): Promise<void> {
    if (this.#lineOpen) await this.write("\n");
  }
}

/** For people, beside the output: statistics only where somebody watches. */
export function writeStatistics(lines: readonly string[], quiet: boolean | undefined): void {
  if (quiet !== true && process.stderr.isTTY === true) process.stderr.write(`${lines.join("\n")}\n`);
}

/** What users should know wherever standard error goes. */
export function writeNotice(text: string, quiet: boolean | undefined): void {
  if (quiet !== true) process.stderr.write(`quern: ${text}\n`);
}
