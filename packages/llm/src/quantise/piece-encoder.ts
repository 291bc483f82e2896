/** Recodes pieces of tensors, here or on threads of their own. */

import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { InternalError, UserError } from "@quern/core";
import { type PieceJob, type PieceResult, recodePiece } from "./piece.ts";
import type { PieceAnswer } from "./piece-worker.ts";

export interface PieceEncoder {
  /** How many jobs keep it busy. */
  readonly width: number;
  /** Rejects with a `UserError` where weights cannot be encoded. */
  encode(job: PieceJob): Promise<PieceResult>;
  close(): Promise<void>;
}

/** With one thread the caller's own does the work, when a job is given. */
export function pieceEncoder(threads: number): PieceEncoder {
  if (threads > 1) return new ThreadedEncoder(threads);
  return { width: 1, encode: async (job) => recodePiece(job), close: async () => {} };
}

const workerPath = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "./piece-worker.ts" : "./piece-worker.js", import.meta.url),
);

interface Pending {
  readonly job: PieceJob;
  readonly resolve: (result: PieceResult) => void;
  readonly reject: (error: Error) => void;
}

class ThreadedEncoder implements PieceEncoder {
  readonly width: number;
  readonly #workers: readonly Worker[];
  readonly #idle: Worker[];
  readonly #waiting: Pending[] = [];
  readonly #running = new Map<Worker, Pending>();
  #failure: Error | undefined;

  constructor(threads: number) {
    // One more than threads: each has its next job at hand when it ends one.
    this.width = threads + 1;
    this.#workers = Array.from({ length: threads }, () => this.#start());
    this.#idle = [...this.#workers];
  }

  encode(job: PieceJob): Promise<PieceResult> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, resolve, reject });
      this.#next();
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #start(): Worker {
    const worker = new Worker(workerPath);
    worker.on("message", (answer: PieceAnswer) => {
      const pending = this.#running.get(worker);
      this.#running.delete(worker);
      this.#idle.push(worker);
      if ("result" in answer) pending?.resolve(answer.result);
      else pending?.reject(new UserError(answer.refused.what, { hint: answer.refused.hint }));
      this.#next();
    });
    worker.on("error", (cause) => {
      this.#failure = new InternalError("a thread that encodes weights failed", { cause });
      for (const { reject } of [...this.#running.values(), ...this.#waiting.splice(0)]) reject(this.#failure);
    });
    return worker;
  }

  #next(): void {
    while (this.#waiting.length > 0) {
      const worker = this.#idle.pop();
      if (worker === undefined) return;
      const pending = this.#waiting.shift()!;
      this.#running.set(worker, pending);
      // A copy that is handed over: the model's own memory, often a mapping, cannot be.
      const bytes = Uint8Array.from(pending.job.bytes);
      worker.postMessage({ ...pending.job, bytes }, [bytes.buffer]);
    }
  }
}
