/**
 * Where a file is written to, piece by piece: memory, or a file of Node that appears whole or not at all.
 */

import { closeSync, fsyncSync, openSync, realpathSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import { UserError } from "@quern/core";

/** Takes bytes one piece after another. After `finish` or `abandon` it is used up. */
export interface ByteSink {
  /** Name of what is written, for messages. */
  readonly name: string;
  /** Takes a copy of `bytes`, or has written them when it returns. */
  write(bytes: Uint8Array): void;
  /** All is there: makes it visible under its name. */
  finish(): void;
  /** Gives up: nothing is left behind. Does nothing after `finish`. */
  abandon(): void;
}

/** Collects bytes in memory. */
export class MemorySink implements ByteSink {
  readonly name: string;
  readonly #pieces: Uint8Array[] = [];
  #size = 0;

  constructor(name = "model.gguf") {
    this.name = name;
  }

  write(bytes: Uint8Array): void {
    this.#pieces.push(Uint8Array.from(bytes));
    this.#size += bytes.byteLength;
  }

  finish(): void {}

  abandon(): void {
    this.#pieces.length = 0;
    this.#size = 0;
  }

  /** All bytes written so far, in new memory. */
  bytes(): Uint8Array {
    const whole = new Uint8Array(this.#size);
    let at = 0;
    for (const piece of this.#pieces) {
      whole.set(piece, at);
      at += piece.byteLength;
    }
    return whole;
  }
}

/** What the system says about files is the user's to mend: no space, no permission, no such folder. */
function attempt<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    throw new UserError(`the file cannot be written (${(cause as Error).message})`, { where: path, cause });
  }
}

/**
 * Writes a file under a temporary name in the same folder and renames it at the end. Devices and pipes are written to and not
 * replaced. Throws a `UserError` where the system refuses.
 */
export class FileSink implements ByteSink {
  readonly name: string;
  readonly #target: string;
  readonly #part: string;
  #descriptor: number | undefined;

  constructor(path: string) {
    this.name = path;
    const given = resolve(path);
    const found = statSync(given, { throwIfNoEntry: false });
    this.#target = found === undefined ? given : attempt(path, () => realpathSync(given));
    const replaced = found === undefined || found.isFile() || found.isDirectory();
    this.#part = replaced ? `${this.#target}.${process.pid}.part` : this.#target;
    this.#descriptor = attempt(path, () => openSync(this.#part, "w"));
  }

  write(bytes: Uint8Array): void {
    const descriptor = this.#open();
    attempt(this.name, () => {
      // The system may take less than it is given.
      for (let at = 0; at < bytes.byteLength;) at += writeSync(descriptor, bytes, at, bytes.byteLength - at);
    });
  }

  finish(): void {
    const descriptor = this.#open();
    attempt(this.name, () => {
      // A rename that survives a crash which the content did not would leave a file of holes.
      if (this.#part !== this.#target) fsyncSync(descriptor);
      closeSync(descriptor);
      this.#descriptor = undefined;
      if (this.#part !== this.#target) renameSync(this.#part, this.#target);
    });
  }

  abandon(): void {
    if (this.#descriptor !== undefined) {
      closeSync(this.#descriptor);
      this.#descriptor = undefined;
    }
    if (this.#part !== this.#target) rmSync(this.#part, { force: true });
  }

  #open(): number {
    if (this.#descriptor === undefined) throw new UserError("the file was closed", { where: this.name });
    return this.#descriptor;
  }
}
