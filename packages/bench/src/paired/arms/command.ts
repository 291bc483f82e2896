/**
 * Programs that staging needs: git, npm and the commands of the configuration. A program and all that it starts end with
 * the run, and the end of what it printed is kept for the error message.
 */

import { spawn } from "node:child_process";
import { UserError } from "@quern/core/errors";
import { cleanUpAtEnd } from "../../harness/worker-process.ts";

export interface Command {
  readonly program: string;
  /** Undefined: `program` is a line for the shell. */
  readonly args?: readonly string[];
  readonly cwd: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** How a program failed. */
export class CommandFailure extends UserError {
  override readonly name: string = "CommandFailure";
  /** The end of what it printed. */
  readonly output: string;
  readonly code: number | null;

  constructor(what: string, where: string, output: string, code: number | null) {
    super(what, { where, ...(output === "" ? {} : { hint: output }) });
    this.output = output;
    this.code = code;
  }
}

// As git names them in `rev-parse --local-env-vars`. A hook sets them, and they would lead every git command of an arm
// to the repository of the hook.
const GIT_PLACES = new Set([
  "GIT_ALTERNATE_OBJECT_DIRECTORIES",
  "GIT_OBJECT_DIRECTORY",
  "GIT_DIR",
  "GIT_WORK_TREE",
  "GIT_IMPLICIT_WORK_TREE",
  "GIT_INDEX_FILE",
  "GIT_PREFIX",
  "GIT_COMMON_DIR",
]);

/** The environment of this process without what ties git to one repository. */
export function environmentOfCommands(): NodeJS.ProcessEnv {
  const { env } = process;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !GIT_PLACES.has(name)));
}

const TAIL = 4000;
const WINDOWS = process.platform === "win32";

/** Runs a program to its end and gives what it wrote to standard output. Throws `CommandFailure`. */
export async function runCommand({ program, args, cwd, timeoutMs, signal }: Command): Promise<string> {
  signal?.throwIfAborted();
  const child = spawn(program, args ?? [], {
    cwd,
    env: environmentOfCommands(),
    // On Windows, npm is a batch file.
    shell: args === undefined || (WINDOWS && program === "npm"),
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own, so that what a build has started ends with it.
    detached: !WINDOWS,
  });
  const kill = cleanUpAtEnd(() => {
    try {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
        process.kill(WINDOWS ? child.pid : -child.pid, "SIGKILL");
      }
    } catch {
      // It has ended by itself.
    }
  });
  const stdout: Buffer[] = [];
  let printed = "";
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => (printed = (printed + chunk.toString()).slice(-TAIL)));
  }
  const line = [program, ...(args ?? [])].join(" ");
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const fail = (how: string, code: number | null = null): void =>
    reject(new CommandFailure(`\`${line}\` ${how}`, cwd, printed.trim(), code));
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => fail(`did not end within ${Math.round(timeoutMs / 1000)} s`), timeoutMs);
  const abort = (): void => reject(signal?.reason as Error);
  signal?.addEventListener("abort", abort, { once: true });
  child.on("error", (error) => fail(`could not be started (${error.message})`));
  child.on("close", (code, ended) => {
    if (code === 0) resolve(Buffer.concat(stdout).toString());
    else fail(ended === null ? `ended with exit code ${code}` : `was ended by ${ended}`, code);
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    kill();
  }
}
