/** What a user types on a terminal, message by message, with the history of the conversation at the arrow keys. */

import { createInterface } from "node:readline";

const CONTINUED = "… ";

/**
 * Asks with `prompt` until the user ends it: by Ctrl-D, or by Ctrl-C on an empty line. A line that ends in a backslash goes on
 * in the next. Between the messages the terminal is in its own mode: Ctrl-C is a signal there, and what is typed ahead waits.
 */
export async function* terminalLines(prompt: string): AsyncGenerator<string, void, undefined> {
  const lines = new LineReader();
  for (;;) {
    let line = await lines.next(prompt);
    let message = "";
    while (line?.endsWith("\\") === true) {
      message += `${line.slice(0, -1)}\n`;
      line = await lines.next(CONTINUED);
    }
    if (line === undefined) return;
    yield message + line;
  }
}

class LineReader {
  /** Lines that were pasted with the one asked for. */
  readonly #ahead: string[] = [];
  /** The beginning of one more. */
  #begun = "";
  #history: string[] = [];

  /** The next line; undefined when the user has ended. */
  async next(prompt: string): Promise<string | undefined> {
    if (this.#ahead.length === 0) await this.#ask(prompt);
    return this.#ahead.shift();
  }

  #ask(prompt: string): Promise<void> {
    const reader = createInterface({ input: process.stdin, output: process.stdout, prompt, history: this.#history });
    reader.on("history", (history: string[]) => (this.#history = history));
    reader.on("SIGINT", () => {
      if (reader.line === "") reader.close();
      else {
        reader.write(null, { ctrl: true, name: "e" });
        reader.write(null, { ctrl: true, name: "u" });
      }
    });
    reader.on("line", (line) => {
      // Lines of one paste come one after the other, before anything else.
      if (this.#ahead.push(line) === 1) setImmediate(() => reader.close());
    });
    reader.prompt();
    if (this.#begun !== "") reader.write(this.#begun);
    return new Promise((resolve) => {
      reader.once("close", () => {
        this.#begun = this.#ahead.length > 0 ? reader.line : "";
        if (this.#ahead.length === 0) process.stdout.write("\n");
        resolve();
      });
    });
  }
}
