/** The process of one engine: a `WorkerProcess` that runs the engines' worker. */

import type { Request, Response } from "./protocol.ts";
import { WorkerProcess, workerPath } from "./worker-process.ts";

export { EngineFailure, IDLE, cleanUpAtEnd, isUnsupported } from "./worker-process.ts";

const program = workerPath("worker-start", import.meta.url);

export class EngineProcess extends WorkerProcess<Request, Response> {
  constructor(label: string) {
    super({ label, path: program });
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
