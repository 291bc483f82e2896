/** The text form of kernels as lines of tokens, one line at a time. */

import { UserError } from "../errors.ts";

const TOKEN =
  /"(?:[^"\\]|\\.)*"|%\d+|\$[A-Za-z_$][\w.$]*|[A-Za-z_$][\w.$]*(?:#\d+)?|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|-inf|\+=|[-+*=:<,{}[\]()]/g;

export abstract class TokenReader {
  readonly #lines: readonly string[];
  #nextLine = 0;
  #tokens: readonly string[] = [];
  #at = 0;

  constructor(text: string) {
    this.#lines = text.split("\n");
  }

  protected fail(message: string): never {
    throw new UserError(`kernel text: ${message}`, {
      where: `line ${this.#nextLine}: ${this.#lines[this.#nextLine - 1] ?? "end"}`,
    });
  }

  /** Moves to the next line that is not empty. */
  protected line(): boolean {
    while (this.#nextLine < this.#lines.length) {
      const line = this.#lines[this.#nextLine++] as string;
      this.#tokens = line.match(TOKEN) ?? [];
      this.#at = 0;
      if (this.#tokens.join("") !== line.replaceAll(/\s+/g, "") && !line.includes('"')) this.fail("unknown character");
      if (this.#tokens.length > 0) return true;
    }
    return false;
  }

  protected peek(): string | undefined {
    return this.#tokens[this.#at];
  }

  protected take(expected?: string): string {
    const token = this.#tokens[this.#at++];
    if (token === undefined || (expected !== undefined && token !== expected))
      this.fail(`expected ${expected ?? "more"}, got ${token ?? "the end of the line"}`);
    return token;
  }

  protected skip(token: string): boolean {
    if (this.peek() !== token) return false;
    this.#at++;
    return true;
  }

  protected end(): void {
    if (this.#at < this.#tokens.length) this.fail(`unexpected ${this.peek()}`);
  }

  protected integer(): number {
    const token = this.take();
    const value = Number(token);
    if (!Number.isInteger(value)) this.fail(`expected an integer, got ${token}`);
    return value;
  }
}
