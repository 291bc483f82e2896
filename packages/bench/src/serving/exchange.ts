/**
 * One streaming request to `chat/completions`: sent, timed part by part, judged.
 *
 * A part is timed when it has arrived and was read; what it holds is looked at behind that. A request fails when the
 * connection does, the status is not 200, no part comes for `timeoutMs`, the stream ends without `[DONE]` and without a
 * reason to finish, a part is no JSON or an error, or no text came.
 */

import { EventTooLong, eventData } from "./event-stream.ts";
import type { Exchange, Failure, FailureKind, ServingPlan } from "./types.ts";

/** The members of a part that are looked at. */
interface Part {
  readonly choices?: readonly {
    readonly delta?: Readonly<Record<string, unknown>>;
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly completion_tokens?: unknown } | null;
  readonly error?: unknown;
}

class ExchangeFailure extends Error {
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

const MESSAGE_LENGTH = 200;

/** Text of a failure that fits a line. */
function short(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim().slice(0, MESSAGE_LENGTH);
}

export interface Clock {
  /** Milliseconds from the start of the test. */
  (): number;
}

/** Where requests go: the base with or without the path of the interface. */
export function completionsUrl(base: string): string {
  const url = new URL(base);
  if (!url.pathname.endsWith("/chat/completions"))
    url.pathname = `${url.pathname.replace(/\/+$/, "")}/chat/completions`;
  return url.href;
}

/** Sends one request; never rejects. */
export async function exchange(
  plan: ServingPlan,
  { index, prompt, scheduled }: { readonly index: number; readonly prompt: string; readonly scheduled: number },
  now: Clock,
  stop: AbortSignal,
): Promise<Exchange> {
  const sent = now();
  const parts: number[] = [];
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), plan.timeoutMs);
  let usage: number | undefined;
  let finished = false;
  let failure: Failure | undefined;
  try {
    const response = await fetch(completionsUrl(plan.url), {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream", ...plan.headers },
      body: JSON.stringify({
        model: plan.model,
        messages: [{ role: "user", content: prompt }],
        max_tokens: plan.maxTokens,
        temperature: 0,
        stream: true,
        stream_options: { include_usage: true },
        ...plan.extraBody,
      }),
      signal: AbortSignal.any([patience.signal, stop]),
    });
    timer.refresh();
    if (response.status !== 200)
      throw new ExchangeFailure("status", `${response.status} ${short(await response.text())}`.trim());
    if (response.body === null) throw new ExchangeFailure("empty", "the answer has no body");
    for await (const data of eventData(response.body)) {
      const at = now();
      timer.refresh();
      if (data.trim() === "[DONE]") {
        finished = true;
        break;
      }
      const part = read(data);
      if (holdsText(part)) parts.push(at);
      usage = tokenCount(part) ?? usage;
      finished ||= part.choices?.some(({ finish_reason: reason }) => reason != null) === true;
    }
    if (!finished) throw new ExchangeFailure("broken", `the stream ended after ${parts.length} parts, without an end`);
    if (parts.length === 0) throw new ExchangeFailure("empty", "the answer holds no text");
  } catch (error) {
    failure = failureOf(error, patience.signal.aborted, stop.aborted, plan.timeoutMs, parts.length);
  } finally {
    clearTimeout(timer);
  }
  return {
    index,
    scheduled,
    sent,
    parts,
    ended: now(),
    tokens: usage ?? parts.length,
    counted: usage === undefined ? "parts" : "usage",
    ...(failure === undefined ? {} : { failure }),
  };
}

function read(data: string): Part {
  let part: Part | null;
  try {
    part = JSON.parse(data) as Part | null;
  } catch {
    throw new ExchangeFailure("invalid", `a part is no JSON: ${short(data)}`);
  }
  if (typeof part !== "object" || part === null) throw new ExchangeFailure("invalid", `a part is ${short(data)}`);
  if (part.error !== undefined) throw new ExchangeFailure("invalid", short(JSON.stringify(part.error)));
  return part;
}

/** As the server counts; what is no count is none. */
function tokenCount({ usage }: Part): number | undefined {
  const count = usage?.completion_tokens;
  return typeof count === "number" && Number.isSafeInteger(count) && count >= 0 ? count : undefined;
}

/** Text of the answer, or of the thoughts before it. The part that only names the role holds none. */
function holdsText({ choices }: Part): boolean {
  return (
    choices?.some(({ delta }) =>
      ["content", "reasoning_content", "reasoning"].some((member) => {
        const text = delta?.[member];
        return typeof text === "string" && text !== "";
      }),
    ) === true
  );
}

function failureOf(error: unknown, impatient: boolean, stopped: boolean, timeoutMs: number, parts: number): Failure {
  if (error instanceof ExchangeFailure) return { kind: error.kind, message: error.message };
  if (error instanceof EventTooLong) return { kind: "invalid", message: error.message };
  if (stopped) return { kind: "aborted", message: "the test was stopped" };
  if (impatient) return { kind: "timeout", message: `nothing came for ${timeoutMs} ms, after ${parts} parts` };
  const { message, cause } = error as Error;
  const reason = cause instanceof Error ? `${message}: ${cause.message}` : message;
  // undici says so when a socket closes within a body.
  return parts > 0 || /terminated|aborted|closed/.test(message)
    ? { kind: "broken", message: short(`the stream broke after ${parts} parts (${reason})`) }
    : { kind: "connection", message: short(reason) };
}
