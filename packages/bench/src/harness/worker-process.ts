/**
 * The orchestrator's end of one measured process: start, ask, stop while others are timed, kill.
 *
 * An idle process is stopped (SIGSTOP) where the system can, so that one whose threads spin between calls takes no
 * processor from the one being timed and may still use its own best settings. Elsewhere it waits on IPC. What travels
 * is a request and the response of the same kind, or `failed`.
 */

import { fork, type ChildProcess } from "node:child_process";
import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { InternalError, UnsupportedError, UserError } from "@quern/core/errors";

export const IDLE: "stopped" | "blocked" = process.platform === "win32" ? "blocked" : "stopped";

/** True where this package runs from its TypeScript sources. */
export const fromSource: boolean = import.meta.url.endsWith(".ts");

/** Path of the worker program `name` beside the module at `moduleUrl`. */
export function workerPath(name: string, moduleUrl: string): string {
  return fileURLToPath(new URL(`./${name}.${fromSource ? "ts" : "js"}`, moduleUrl));
}

/** A measured process failed; the run goes on without it. */
export class EngineFailure extends UserError {
  override readonly name: string = "EngineFailure";
  readonly unsupported: boolean;
  /** Name of the error that the process reported; undefined: the process itself failed. */
  readonly reported: string | undefined;

  constructor(message: string, unsupported: boolean, cause?: unknown, reported?: string) {
    super(message, { cause });
    this.unsupported = unsupported;
    this.reported = reported;
  }
}

/** A measured process gave no answer in time, and was killed. */
export class EngineTimeout extends EngineFailure {
  override readonly name: string = "EngineTimeout";
}

const living = new Set<ChildProcess>();

const cleanups = new Set<() => void>();

/** Runs `cleanUp` when the process is interrupted; the returned function runs it now, and not again. */
export function cleanUpAtEnd(cleanUp: () => void): () => void {
  guardExit();
  cleanups.add(cleanUp);
  return () => {
    if (cleanups.delete(cleanUp)) cleanUp();
  };
}

/** Kills all measured processes, since a stopped process would outlive its parent, and removes temporary files. */
function endAll(): void {
  for (const child of living) child.kill("SIGKILL");
  // The last first: what is in a folder goes before the folder.
  for (const cleanUp of [...cleanups].reverse()) {
    try {
      cleanUp();
    } catch {
      // A process may write to its folder while it is being killed. Who made the folder tries again; the others go now.
    }
  }
}

let guarded = false;

function guardExit(): void {
  if (guarded) return;
  guarded = true;
  process.on("exit", endAll);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      endAll();
      // Who else listens ends the process in its own way, after it has written what it has.
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    });
  }
}

const STDERR_TAIL = 2000;
const LAST_LINES_MS = 300;

/** Measured processes load their JavaScript as this process does: from Node's compile cache where that is on. */
function compileCache(): Record<string, string> {
  const folder = getCompileCacheDir();
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: dirname(folder) };
}

/** Every response has a kind; that of a failure says what happened. */
export interface Failed {
  readonly kind: "failed";
  readonly message: string;
  readonly unsupported: boolean;
  readonly stack: string;
  /** Of the error. */
  readonly name?: string;
}

export interface WorkerOptions {
  /** Names the process in errors. */
  readonly label: string;
  /** Program that the process runs. */
  readonly path: string;
  readonly cwd?: string | undefined;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Arguments for Node itself, beside those that every measured process gets. */
  readonly execArgv?: readonly string[] | undefined;
}

/** A response as `failed` says it. */
export function failureOf(error: unknown): Failed {
  const given = error instanceof Error ? error : new Error(String(error));
  return {
    kind: "failed",
    message: given.message,
    unsupported: given instanceof UnsupportedError,
    stack: given.stack ?? given.message,
    name: given.name,
  };
}

export class WorkerProcess<Request extends { readonly kind: string }, Response extends { readonly kind: string }> {
  readonly label: string;
  readonly #child: ChildProcess;
  #stderr = "";
  #pending: { resolve(response: Response | Failed): void; reject(error: Error): void } | undefined;
  #dead: EngineFailure | undefined;

  constructor(options: WorkerOptions) {
    guardExit();
    this.label = options.label;
    const { env } = process;
    const conditions = fromSource ? ["--conditions=quern-src"] : [];
    this.#child = fork(options.path, [], {
      serialization: "advanced",
      execArgv: ["--expose-gc", "--disable-warning=ExperimentalWarning", ...conditions, ...(options.execArgv ?? [])],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env: { ...env, ...compileCache(), ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    living.add(this.#child);
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-STDERR_TAIL);
    });
    this.#child.on("message", (response: Response) => {
      this.#pending?.resolve(response);
      this.#pending = undefined;
    });
    this.#child.on("error", (error) => this.#die(`could not be started (${error.message})`));
    this.#child.on("exit", (code, signal) => {
      living.delete(this.#child);
      const how = signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
      // The last lines of standard error may still be on their way; a process that the child left may keep it open.
      const late = setTimeout(() => this.#die(how), LAST_LINES_MS);
      this.#child.once("close", () => {
        clearTimeout(late);
        this.#die(how);
      });
    });
  }

  /** Undefined where the process could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** False once the process has ended, or was killed. A request that failed leaves it alive. */
  get alive(): boolean {
    return this.#dead === undefined;
  }

  #die(how: string): void {
    const tail = this.#stderr.trim();
    this.#dead ??= new EngineFailure(`the process of ${this.label} ${how}${tail === "" ? "" : `\n${tail}`}`, false);
    this.#pending?.reject(this.#dead);
    this.#pending = undefined;
  }

  /** Sends a request and waits for its answer, `timeoutMs` at most. */
  async ask<R extends Request>(request: R, timeoutMs: number): Promise<Extract<Response, { kind: R["kind"] }>> {
    if (this.#dead !== undefined) throw this.#dead;
    if (this.#pending !== undefined) throw new InternalError(`bench: ${this.label} was asked twice at once`);
    let timer: NodeJS.Timeout | undefined;
    const response = await new Promise<Response | Failed>((resolve, reject) => {
      this.#pending = { resolve, reject };
      timer = setTimeout(() => {
        const seconds = timeoutMs < 1000 ? timeoutMs / 1000 : Math.round(timeoutMs / 1000);
        const tail = this.#stderr.trim();
        const said = tail === "" ? "" : `\n${tail}`;
        reject(new EngineTimeout(`${this.label} gave no answer within ${seconds} s${said}`, false));
        this.kill();
      }, timeoutMs);
      // A failure to send is reported by "close" or by the timeout.
      this.#child.send(request, () => {});
    }).finally(() => clearTimeout(timer));
    if (response.kind === "failed") {
      const failed = response as Failed;
      throw new EngineFailure(failed.message, failed.unsupported, new Error(failed.stack), failed.name ?? "Error");
    }
    if (response.kind !== request.kind) {
      this.kill();
      throw new EngineFailure(`${this.label} sent something else than the answer to "${request.kind}"`, false);
    }
    return response as Extract<Response, { kind: R["kind"] }>;
  }

  /** Stops the process until `resume`, where the system can. */
  pause(): void {
    if (IDLE === "stopped") this.#child.kill("SIGSTOP");
  }

  resume(): void {
    if (IDLE === "stopped") this.#child.kill("SIGCONT");
  }

  kill(): void {
    this.#dead ??= new EngineFailure(`the process of ${this.label} was ended`, false);
    this.#child.kill("SIGKILL");
  }
}

/** Answers requests of the orchestrator in a measured process, one at a time; ends with the orchestrator. */
export function serve<Request, Response>(answer: (request: Request) => Promise<Response>): void {
  // Taken away from the code under test, which could otherwise answer in our place.
  const send = process.send?.bind(process);
  delete process.send;
  process.on("message", (request: Request) => {
    void answer(request)
      .catch(failureOf)
      .then((response) => send?.(response));
  });
  // The orchestrator is gone: there is nobody left to measure for.
  process.on("disconnect", () => process.exit(0));
}

export function isUnsupported(error: unknown): boolean {
  return error instanceof UnsupportedError || (error instanceof EngineFailure && error.unsupported);
}
