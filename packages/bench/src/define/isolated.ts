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
  /** The bench that it calls, if it calls one. */
  readonly bench?: string | undefined;
}

/** How the code of the user failed: it threw, or its process ended or gave no answer. */
export class IsolatedFailure extends UserError {
  override readonly name: string = "IsolatedFailure";
  readonly kind: "threw" | "ended" | "hung";
  /** "ended with exit code 3" */
  readonly how: string;
  /** The message without place and hint. */
  readonly what: string;
  /** What it was at when it failed. */
  readonly note: Note | undefined;

  constructor(
    kind: IsolatedFailure["kind"],
    how: string,
    note: Note | undefined,
    { what, where, hint }: { readonly what: string; readonly where: string; readonly hint?: string | undefined },
  ) {
    super(what, { where, hint });
    this.kind = kind;
    this.how = how;
    this.what = what;
    this.note = note;
  }
}

const TAIL = 2000;

/** Asks the worker and gives what it answers. Throws an `IsolatedFailure` where the code fails, or its process. */
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
  let note: Note | undefined;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => (printed = (printed + chunk.toString()).slice(-TAIL)));
  }
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const at = (): string => (note === undefined ? "" : ` at ${note.doing}`);
  const fail = (kind: "ended" | "hung", how: string): void => {
    const hint = printed.trim() || undefined;
    reject(new IsolatedFailure(kind, how, note, { what: `${what} ${how}${at()}`, where, hint }));
  };
  const timer = setTimeout(() => fail("hung", `gave no answer within ${Math.round(timeoutMs / 1000)} s`), timeoutMs);
  const abort = (): void => reject(signal?.reason as Error);
  signal?.addEventListener("abort", abort, { once: true });
  child.on("message", (message: Answer | Note) => {
    if ("doing" in message) {
      note = message;
      timer.refresh();
    } else resolve(message);
  });
  child.on("error", (error) => reject(new UserError(`${what} could not be asked (${error.message})`, { where })));
  // Not "exit": an answer and the last lines may still be on their way then.
  child.on("close", (code, ended) =>
    fail("ended", ended === null ? `ended with exit code ${code}` : `was ended by ${ended}`),
  );
  child.send(question);
  try {
    const answer = await promise;
    if ("error" in answer) {
      const { error, hint } = answer;
      throw new IsolatedFailure("threw", error, note, { what: `${what} failed${at()}: ${error}`, where, hint });
    }
    return answer.value;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    kill();
  }
}
