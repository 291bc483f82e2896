/**
 * Programs that staging needs: git, npm and the commands of the configuration. A program ends with the run, and what it has
 * left in the background ends with the program. The end of what it printed is kept for the error message.
 */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { UserError } from "@quern/core/errors";
import { cleanUpAtEnd } from "../../harness/worker-process.ts";

export interface Command {
  readonly program: string;
  /** Undefined: `program` is a line for the shell. */
  readonly args?: readonly string[];
  readonly cwd: string;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** How a program failed. */
export class CommandFailure extends UserError {
  override readonly name: string = "CommandFailure";
  /** The end of what it printed. */
  readonly output: string;
  readonly code: number | null;

  constructor(what: string, where: string, output: string, code: number | null, cause?: unknown) {
    super(what, { where, ...(output === "" ? {} : { hint: output }), cause });
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
/** How long after the end of a program its last lines may take. */
const LAST_LINES_MS = 1000;
const WINDOWS = process.platform === "win32";

/** As `spawn` takes it. */
interface Call {
  readonly program: string;
  readonly args: readonly string[];
  readonly shell: boolean;
}

function callOf(program: string, args: readonly string[] | undefined): Call {
  return { program, args: args ?? [], shell: args === undefined };
}

/** What cmd.exe does not hand on as it is. */
const READ_BY_CMD = /[\s"%&()<>^|!]/;

/**
 * How npm is called on Windows, where it is a batch file: cmd.exe would read what `a@^1.2.3` has. Its program beside Node needs
 * no shell; where that lies elsewhere, such a text is refused. `node`: path of Node's program.
 */
export function npmOnWindows(args: readonly string[], node: string = process.execPath): Call {
  const program = join(dirname(node), "node_modules", "npm", "bin", "npm-cli.js");
  if (existsSync(program)) return { program: node, args: [program, ...args], shell: false };
  const odd = args.find((arg) => READ_BY_CMD.test(arg));
  if (odd === undefined) return { program: "npm", args, shell: true };
  throw new UserError(`npm cannot be given "${odd}" here, since cmd.exe would read its signs`, {
    where: program,
    hint: "npm does not lie beside Node. Name an exact version, such as name@1.2.3, or a tarball by a path without spaces.",
  });
}

/** Runs a program to its end and gives what it wrote to standard output. Throws `CommandFailure`. */
export async function runCommand({ program, args, cwd, env, timeoutMs, signal }: Command): Promise<string> {
  signal?.throwIfAborted();
  const call = WINDOWS && program === "npm" && args !== undefined ? npmOnWindows(args) : callOf(program, args);
  const child = spawn(call.program, call.args, {
    cwd,
    env: { ...environmentOfCommands(), ...env },
    shell: call.shell,
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own, so that what a build has started ends with it.
    detached: !WINDOWS,
  });
  const kill = cleanUpAtEnd(() => {
    if (child.exitCode === null && child.signalCode === null) killGroup(child.pid);
  });
  const stdout: Buffer[] = [];
  let printed = "";
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => (printed = (printed + chunk.toString()).slice(-TAIL)));
  }
  const line = [program, ...(args ?? [])].join(" ");
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const fail = (how: string, code: number | null = null, cause?: unknown): void =>
    reject(new CommandFailure(`\`${line}\` ${how}`, cwd, printed.trim(), code, cause));
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => fail(`did not end within ${Math.round(timeoutMs / 1000)} s`), timeoutMs);
  const abort = (): void => reject(signal?.reason as Error);
  signal?.addEventListener("abort", abort, { once: true });
  child.on("error", (error) => fail(`could not be started (${error.message})`, null, error));
  child.on("exit", (code, ended) => {
    const settle = (): void => {
      if (code === 0) resolve(Buffer.concat(stdout).toString());
      else fail(ended === null ? `ended with exit code ${code}` : `was ended by ${ended}`, code);
    };
    // What it has left in the background would take time from what is measured, or change files of the build.
    if (!WINDOWS) killGroup(child.pid);
    // A process that left the group may hold the pipes. What is in them by now is read first, however late this is.
    const late = setTimeout(() => setImmediate(settle), LAST_LINES_MS);
    child.once("close", () => {
      clearTimeout(late);
      settle();
    });
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    kill();
    // Whoever else holds them must not keep this process from ending.
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

/** Ends a program and all that it has started and that has not left its group; on Windows the program alone. */
function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(WINDOWS ? pid : -pid, "SIGKILL");
  } catch {
    // Nobody is left in it.
  }
}
