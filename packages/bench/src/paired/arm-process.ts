/** The process of one arm: a `WorkerProcess` that runs the benches of the arm's directory. */

import { totalmem } from "node:os";
import { EngineFailure, EngineTimeout, WorkerProcess, workerPath } from "../harness/worker-process.ts";
import type { ArmName } from "./arms/arm.ts";
import type { BenchError, MeasuredArm } from "./plan.ts";
import type { PairedRequest, PairedResponse } from "./protocol.ts";

const program = workerPath("worker", import.meta.url);

const MIB = 2 ** 20;
const LARGEST_HEAP_MIB = 1024;
/** Two processes at most are measured side by side, and need room for more than garbage. */
const SHARE_OF_MEMORY = 1 / 16;

/**
 * Argument with which V8 collects no old garbage before there is so much of it. A full collection clears what optimised code refers to
 * weakly, and so throws much of that code away: a body of much code was up to three times slower after one, for a tenth of a
 * second of running, in whichever processes it happened to fall into. What the harness itself wants collected it collects before
 * the warm-up.
 */
function heapOption(): string {
  const memory = Math.min(totalmem(), process.constrainedMemory() || Infinity);
  return `--initial-old-space-size=${Math.round(Math.min(LARGEST_HEAP_MIB, (SHARE_OF_MEMORY * memory) / MIB))}`;
}

export interface ArmProcessOptions {
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly nodeOptions?: readonly string[] | undefined;
}

/** What went wrong while one bench was asked for. */
export class BenchFailure extends Error {
  override readonly name: string = "BenchFailure";
  readonly ids: readonly string[];
  readonly error: BenchError;

  constructor(ids: readonly string[], error: BenchError) {
    super(error.reason);
    this.ids = ids;
    this.error = error;
  }
}

export class ArmProcess {
  readonly arm: MeasuredArm;
  readonly #process: WorkerProcess<PairedRequest, PairedResponse>;
  #lastAsked: readonly string[] = [];

  constructor(arm: MeasuredArm, what: string, options: ArmProcessOptions) {
    this.arm = arm;
    this.#process = new WorkerProcess({
      label: `${what} of ${arm.name}`,
      path: program,
      cwd: arm.project,
      env: options.env,
      // Options of the repository may say otherwise.
      execArgv: [heapOption(), ...(options.nodeOptions ?? [])],
    });
  }

  get alive(): boolean {
    return this.#process.alive;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Asks about some benches; all failures are `BenchFailure`s of those, or of whom the process died of before. */
  async ask<R extends PairedRequest>(
    ids: readonly string[],
    request: R,
    timeoutMs: number,
  ): Promise<Extract<PairedResponse, { kind: R["kind"] }>> {
    const guilty = this.alive || this.#lastAsked.length === 0 ? ids : this.#lastAsked;
    this.#lastAsked = guilty;
    try {
      return await this.#process.ask(request, timeoutMs);
    } catch (error) {
      throw new BenchFailure(guilty, benchErrorOf(error, this.arm.name));
    }
  }

  /** Tears down what is still open where the process lives; how that ends matters to nobody any more. */
  async close(timeoutMs: number): Promise<void> {
    if (!this.alive) return;
    this.resume();
    await this.#process.ask({ kind: "close" }, timeoutMs).catch(() => {});
  }

  pause(): void {
    this.#process.pause();
  }

  resume(): void {
    this.#process.resume();
  }

  kill(): void {
    this.#process.kill();
  }
}

function benchErrorOf(error: unknown, arm: ArmName): BenchError {
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof EngineTimeout) return { kind: "timeout", arm, reason };
  if (!(error instanceof EngineFailure) || error.reported === undefined) return { kind: "crash", arm, reason };
  return { kind: error.reported === "OutputFault" ? "output" : "failed", arm, reason };
}
