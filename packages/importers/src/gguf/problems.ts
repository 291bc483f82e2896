/**
 * What is wrong with a model's files, collected while they are read and thrown as one error.
 *
 * A problem that leaves the rest readable is added; one that does not stops the file it is in, and the other parts of a
 * split model are still checked. Only the first `MAX_LISTED` are kept, so a hostile file cannot make a large message.
 */

import { type Unsupported, UnsupportedError, UserError } from "@quern/core";

const MAX_LISTED = 20;

/** With so many the file is hopeless: reading on would only take time. */
const MAX_COUNTED = 1000;

/** Text of the file shown in messages is cut there. */
const MAX_QUOTED = 80;

export interface Problem {
  readonly what: string;
  readonly where: string;
  readonly hint?: string | undefined;
}

/** Ends the reading of one file whose problem was added. Never leaves this folder. */
class FileStopped extends Error {}

export class Problems {
  readonly #listed: Problem[] = [];
  readonly #unsupported: Unsupported[] = [];
  #count = 0;

  get any(): boolean {
    return this.#count > 0;
  }

  /** Adds a problem. One too many stops the file. */
  add(problem: Problem): void {
    if (this.#listed.length < MAX_LISTED) this.#listed.push(problem);
    this.#counted();
  }

  /** Adds valid input that this build cannot read. One too many stops the file. */
  unsupported(item: Unsupported): void {
    if (this.#unsupported.length < MAX_LISTED) this.#unsupported.push(item);
    this.#counted();
  }

  #counted(): void {
    this.#count += 1;
    if (this.#count > MAX_COUNTED) throw new FileStopped("too many problems");
  }

  /** Adds a problem behind which nothing of the file can be read. */
  stop(problem: Problem): never {
    this.add(problem);
    throw new FileStopped(problem.what);
  }

  /** Throws what was found: an `UnsupportedError` when that is all of it, else a `UserError`. */
  throwIfAny(): void {
    if (this.#count === 0) return;
    const [first] = this.#listed;
    if (first === undefined) throw new UnsupportedError(this.#unsupported);
    if (this.#count === 1) throw new UserError(first.what, first);
    const lines = [
      ...this.#listed.map(({ what, where }) => `  ${what}\n    at ${where}`),
      ...new UnsupportedError(this.#unsupported).message
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => `  ${line}`),
    ].slice(0, MAX_LISTED);
    if (this.#count > lines.length) lines.push(`  and ${this.#count - lines.length} more`);
    throw new UserError(`${this.#count} problems:\n${lines.join("\n")}`, { hint: first.hint });
  }
}

/** What `read` gives, or undefined where a problem stopped it. */
export function untilStopped<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof FileStopped) return undefined;
    throw error;
  }
}

/** Text of the file for a message: quoted, escaped and cut. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text);
}
