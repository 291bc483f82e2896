/** Runs git on one repository, without questions, and without what a hook or a shell has set for another one. */

import { spawn } from "node:child_process";
import { UserError } from "@quern/core/errors";

/** What git said when it ended with another code than 0. */
export class GitError extends UserError {
  override readonly name: string = "GitError";
  /** Exit code or signal. */
  readonly end: number | string | null;

  constructor(args: readonly string[], end: number | string | null, stderr: string, where: string) {
    const said = stderr.trim() === "" ? `it ended with ${end}` : stderr.trim();
    super(`git ${args[0]}: ${said}`, { where });
    this.end = end;
  }
}

/** Variables that would lead to another repository or index than the one asked for. */
const FOREIGN = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"];

const MOST_BYTES = 512 * 2 ** 20;

export class Git {
  /** A folder in the work tree, or a bare repository. */
  readonly folder: string;
  readonly #more: Readonly<Record<string, string>>;

  constructor(folder: string, environment: Readonly<Record<string, string>> = {}) {
    this.folder = folder;
    this.#more = environment;
  }

  /** The same repository with more in the environment. */
  with(environment: Readonly<Record<string, string>>): Git {
    return new Git(this.folder, { ...this.#more, ...environment });
  }

  /** Standard output as text without white space at its end. Rejects with a `GitError`. */
  async text(args: readonly string[], input?: string | Uint8Array): Promise<string> {
    return (await this.bytes(args, input)).toString("utf8").trimEnd();
  }

  /** The same, or undefined where git ends with another code than 0. */
  async textOrNothing(args: readonly string[]): Promise<string | undefined> {
    try {
      return await this.text(args);
    } catch (error) {
      if (error instanceof GitError) return undefined;
      throw error;
    }
  }

  bytes(args: readonly string[], input?: string | Uint8Array): Promise<Buffer> {
    const { folder } = this;
    return new Promise((resolve, reject) => {
      const child = spawn("git", ["-C", folder, ...args], { env: this.#environment(), stdio: "pipe" });
      const chunks: Buffer[] = [];
      let size = 0;
      let stderr = "";
      child.stdout.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > MOST_BYTES) child.kill();
        else chunks.push(chunk);
      });
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
      child.on("error", (cause: NodeJS.ErrnoException) => {
        const missing = cause.code === "ENOENT";
        const what = missing ? "git is not installed, or the folder does not exist" : `git: ${cause.message}`;
        reject(new UserError(what, { where: folder, cause }));
      });
      child.on("close", (code, signal) => {
        if (size > MOST_BYTES)
          reject(new UserError(`git ${args[0]} gives more than ${MOST_BYTES} bytes`, { where: folder }));
        else if (code === 0) resolve(Buffer.concat(chunks));
        else reject(new GitError(args, code ?? signal, stderr, folder));
      });
      // Git may end without having read all.
      child.stdin.on("error", () => {});
      child.stdin.end(input);
    });
  }

  #environment(): NodeJS.ProcessEnv {
    const { env } = process;
    const own = Object.fromEntries(Object.entries(env).filter(([name]) => !FOREIGN.includes(name)));
    return { ...own, LC_ALL: "C", GIT_TERMINAL_PROMPT: "0", ...this.#more };
  }
}
