/**
 * One question to code of the user, asked in a process of its own: what it prints, ends or loops for ever stays there.
 * The child loads `worker`, which answers through `answer.ts`; the answer is structured-cloned.
 */

import { fork } from "node:child_process";
import { UserError } from "@quern/core/errors";
import { cleanUpAtEnd, fromSource } from "../harness/worker-process.ts";

export interface Isolated {
  readonly cwd: string;
  /** For the answer, or from one thing that the child says it is at to the next. */
  readonly timeoutMs: number;
  /** For errors: "the configuration", "the benches of base". */
  readonly what: string;
  readonly where: string;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly nodeOptions?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type Answer = { readonly value: unknown } | { readonly error: string; readonly hint?: string | undefined };

/** What the child is at. */
export interface Note {
  readonly doing: string;
}

const TAIL = 2000;

/** Asks the worker and gives what it answers. All failures, that of the code itself included, are `UserError`s. */
export async function askIsolated(worker: string, question: object, options: Isolated): Promise<unknown> {
  const { what, where, timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const { env } = process;
  const child = fork(worker, [], {
    cwd: options.cwd,
    serialization: "advanced",
    execArgv: [
      "--disable-warning=ExperimentalWarning",
      ...(fromSource ? ["--conditions=quern-src"] : []),
      ...(options.nodeOptions ?? []),
    ],
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { ...env, ...options.env },
  });
  const kill = cleanUpAtEnd(() => child.kill("SIGKILL"));
  let printed = "";
  let doing = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => (printed = (printed + chunk.toString()).slice(-TAIL)));
  }
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const fail = (how: string): void => {
    const tail = printed.trim();
    reject(
      new UserError(`${what} ${how}${doing === "" ? "" : ` at ${doing}`}`, {
        where,
        ...(tail === "" ? {} : { hint: tail }),
      }),
    );
  };
  const timer = setTimeout(() => fail(`gave no answer within ${Math.round(timeoutMs / 1000)} s`), timeoutMs);
  const abort = (): void => reject(signal?.reason as Error);
  signal?.addEventListener("abort", abort, { once: true });
  child.on("message", (message: Answer | Note) => {
    if ("doing" in message) {
      doing = message.doing;
      timer.refresh();
    } else resolve(message);
  });
  child.on("error", (error) => fail(`could not be asked (${error.message})`));
  // Not "exit": an answer and the last lines may still be on their way then.
  child.on("close", (code, ended) => fail(ended === null ? `ended with exit code ${code}` : `was ended by ${ended}`));
  child.send(question);
  try {
    const answer = await promise;
    if ("error" in answer) {
      throw new UserError(`${what} failed${doing === "" ? "" : ` at ${doing}`}: ${answer.error}`, {
        where,
        hint: answer.hint,
      });
    }
    return answer.value;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    kill();
  }
}
