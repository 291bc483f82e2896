/**
 * The orchestrator's end of one engine process: start, ask, stop while others are timed, kill.
 *
 * An idle process is stopped (SIGSTOP) where the system can, so that an engine whose threads spin between calls takes
 * no processor from the engine being timed and may still use its own best settings. Elsewhere it waits on IPC.
 */

import { fork, type ChildProcess } from "node:child_process";
import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { InternalError, UnsupportedError, UserError } from "@quern/core";
import type { Request, Response, ResponseOf } from "./protocol.ts";

export const IDLE: "stopped" | "blocked" = process.platform === "win32" ? "blocked" : "stopped";

const fromSource = import.meta.url.endsWith(".ts");
const workerPath = fileURLToPath(new URL(fromSource ? "./worker.ts" : "./worker.js", import.meta.url));

/** An engine process failed; the benchmark of its case goes on without it. */
export class EngineFailure extends UserError {
  override readonly name: string = "EngineFailure";
  readonly unsupported: boolean;

  constructor(message: string, unsupported: boolean, cause?: unknown) {
    super(message, { cause });
    this.unsupported = unsupported;
  }
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

/** Kills all engine processes, since a stopped process would outlive its parent, and removes temporary files. */
function endAll(): void {
  for (const child of living) child.kill("SIGKILL");
  for (const cleanUp of cleanups) cleanUp();
}

let guarded = false;

function guardExit(): void {
  if (guarded) return;
  guarded = true;
  process.on("exit", endAll);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      endAll();
      process.kill(process.pid, signal);
    });
  }
}

const STDERR_TAIL = 2000;

/** Engines load their JavaScript as this process does: from Node's compile cache where that is on. */
function compileCache(): Record<string, string> {
  const folder = getCompileCacheDir();
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: dirname(folder) };
}

export class EngineProcess {
  readonly label: string;
  readonly #child: ChildProcess;
  #stderr = "";
  #pending: { resolve(response: Response): void; reject(error: Error): void } | undefined;
  #dead: EngineFailure | undefined;

  constructor(label: string) {
    guardExit();
    this.label = label;
    const { env } = process;
    const conditions = fromSource ? ["--conditions=quern-src"] : [];
    this.#child = fork(workerPath, [], {
      serialization: "advanced",
      execArgv: ["--expose-gc", "--disable-warning=ExperimentalWarning", ...conditions],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env: { ...env, ...compileCache() },
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
      this.#die(signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`);
    });
  }

  #die(how: string): void {
    const tail = this.#stderr.trim();
    this.#dead ??= new EngineFailure(`the process of ${this.label} ${how}${tail === "" ? "" : `\n${tail}`}`, false);
    this.#pending?.reject(this.#dead);
    this.#pending = undefined;
  }

  /** Sends a request and waits for its answer, `timeoutMs` at most. */
  async ask<R extends Request>(request: R, timeoutMs: number): Promise<ResponseOf<R["kind"]>> {
    if (this.#dead !== undefined) throw this.#dead;
    if (this.#pending !== undefined) throw new InternalError(`bench: ${this.label} was asked twice at once`);
    let timer: NodeJS.Timeout | undefined;
    const response = await new Promise<Response>((resolve, reject) => {
      this.#pending = { resolve, reject };
      timer = setTimeout(() => {
        reject(new EngineFailure(`${this.label} gave no answer within ${Math.round(timeoutMs / 1000)} s`, false));
        this.kill();
      }, timeoutMs);
      this.#child.send(request);
    }).finally(() => clearTimeout(timer));
    if (response.kind === "failed") {
      const cause = new Error(response.stack);
      throw new EngineFailure(response.message, response.unsupported, cause);
    }
    if (response.kind !== request.kind)
      throw new InternalError(`bench: asked for ${request.kind}, got ${response.kind}`);
    return response as ResponseOf<R["kind"]>;
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

/** Runs `use` with a fresh process and ends it. */
export async function withProcess<T>(label: string, use: (engine: EngineProcess) => Promise<T>): Promise<T> {
  const engine = new EngineProcess(label);
  try {
    return await use(engine);
  } finally {
    engine.kill();
  }
}

export function isUnsupported(error: unknown): boolean {
  return error instanceof UnsupportedError || (error instanceof EngineFailure && error.unsupported);
}
