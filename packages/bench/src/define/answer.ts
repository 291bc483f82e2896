/** The other end of `isolated.ts`: what a worker does with its question. */

import type { Answer, Note } from "./isolated.ts";

const STACK_LINES = 6;

// Taken away from the code that is loaded here, which could otherwise answer in our place.
const sendMessage = process.send?.bind(process);
delete process.send;

function described(error: unknown): Answer {
  if (!(error instanceof Error)) return { error: String(error) };
  // A UserError says where and what to do in its message; of others, the place is in the stack.
  const stack = error.name === "UserError" ? "" : (error.stack ?? "");
  const places = stack
    .split("\n")
    .filter((line) => /^\s+at /.test(line) && !line.includes("node:internal"))
    .slice(0, STACK_LINES);
  return { error: error.message, ...(places.length === 0 ? {} : { hint: places.join("\n").trim() }) };
}

/** Answers the first question with what `work` makes of it, and ends the process. */
export function answer<Question>(work: (question: Question) => Promise<unknown>): void {
  process.once("message", (question) => {
    work(question as Question)
      .then((value): Answer => ({ value }), described)
      .then(send)
      // What cannot be cloned: a function, a class instance with private parts.
      .catch((error: unknown) => send({ error: `it holds more than plain data (${(error as Error).message})` }));
  });
}

/** Tells what is being done, for the error message should the process hang or end; and which bench is called by it. */
export function note(doing: string, bench?: string): void {
  sendMessage?.({ doing, bench } satisfies Note);
}

function send(message: Answer): void {
  sendMessage?.(message, () => process.exit(0));
}
