/**
 * One streaming request to `chat/completions`: sent, timed part by part, judged.
 *
 * A part is timed when it has arrived and was read; what it holds is looked at behind that. A request fails when the
 * connection does, the status is not 200, no text comes for `timeoutMs`, the stream ends without `[DONE]` and without a
 * reason to finish, a part is no JSON, an error or of another shape, there are more parts than the tokens asked for could be,
 * or no text came. So every request ends, whatever a server sends.
 */

import type { ReadableStreamDefaultReader } from "node:stream/web";
import { completionsUrl, headersOf, secretsOf, withoutSecrets } from "./address.ts";
import { EventTooLong, eventData } from "./event-stream.ts";
import type { Exchange, Failure, FailureKind, ServingPlan } from "./types.ts";

/** The members of a part that are looked at. */
interface Part {
  readonly choices?:
    | readonly { readonly delta?: Readonly<Record<string, unknown>>; readonly finish_reason?: string | null }[]
    | null;
  readonly usage?: { readonly completion_tokens?: unknown } | null;
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
  let ended: number | undefined;
  let failure: Failure | undefined;
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  try {
    const response = await fetch(completionsUrl(plan.url), {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream", ...headersOf(plan) },
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
    if (response.status !== 200)
      throw new ExchangeFailure("status", `${response.status} ${await beginningOf(response.body)}`);
    if (response.body === null) throw new ExchangeFailure("empty", "the answer has no body");
    reader = response.body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    const most = mostParts(plan);
    let count = 0;
    for await (const data of eventData(piecesOf(reader))) {
      const at = now();
      if (data.trim() === "[DONE]") {
        finished = true;
        break;
      }
      if (++count > most) throw new ExchangeFailure("invalid", `more than ${most} parts, which no answer has`);
      const part = read(data);
      if (holdsText(part)) {
        parts.push(at);
        // By nothing else: a server that sends empty parts for ever sends no answer.
        timer.refresh();
      }
      usage = tokenCount(part) ?? usage;
      finished ||= part.choices?.some(({ finish_reason: reason }) => reason != null) === true;
    }
    ended = now();
    if (!finished) throw new ExchangeFailure("broken", `the stream ended after ${parts.length} parts, without an end`);
    if (parts.length === 0) throw new ExchangeFailure("empty", "the answer holds no text");
    await drain(reader);
  } catch (error) {
    const { kind, message } = failureOf(error, patience.signal.aborted, stop.aborted, plan.timeoutMs, parts.length);
    failure = { kind, message: short(withoutSecrets(message, secretsOf(plan))) };
  } finally {
    clearTimeout(timer);
    // Of a body that was read to its end this is nothing; another one ends with its connection.
    reader?.cancel().catch(() => {});
  }
  return {
    index,
    scheduled,
    sent,
    parts,
    ended: ended ?? now(),
    tokens: usage ?? parts.length,
    counted: usage === undefined ? "parts" : "usage",
    ...(failure === undefined ? {} : { failure }),
  };
}

/** Enough of the body of a refusal to say why. */
const REFUSAL_LENGTH = 4096;

/** How a body begins, which may have no end. */
async function beginningOf(body: AsyncIterable<Uint8Array> | null): Promise<string> {
  if (body === null) return "";
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const piece of body) {
      text += decoder.decode(piece, { stream: true });
      if (text.length >= REFUSAL_LENGTH) break;
    }
  } catch {
    // The status says that the request failed; what came says more.
  }
  return text.slice(0, REFUSAL_LENGTH);
}

/** The rest of a body; whoever stops reading it leaves the body as it is. */
async function* piecesOf(reader: ReadableStreamDefaultReader<Uint8Array>): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

/** What a server may send behind the end, and how long it may take: the end of the body is hardly ever more than a packet. */
const DRAIN_BYTES = 65_536;
const DRAIN_MS = 250;

/** Reads on to the end of the body, so that the next request needs no connection of its own. */
async function drain(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  const timer = setTimeout(() => void reader.cancel().catch(() => {}), DRAIN_MS);
  try {
    let bytes = 0;
    for await (const piece of piecesOf(reader)) {
      bytes += piece.byteLength;
      if (bytes > DRAIN_BYTES) break;
    }
  } catch {
    // The answer is whole: what breaks behind it is no failure.
  } finally {
    clearTimeout(timer);
  }
}

/** A token may come in several parts, and some parts hold no text. */
const PARTS_PER_TOKEN = 4;
const FURTHER_PARTS = 64;
/** Where further members of the body ask for no number of tokens. */
const MOST_PARTS = 2 ** 16;

/** More parts than an answer has, by what the body asks for. */
function mostParts({ maxTokens, extraBody }: ServingPlan): number {
  const { max_tokens: tokens = maxTokens, max_completion_tokens: completion = maxTokens, n: choices = 1 } = extraBody;
  const asked = [tokens, completion, choices];
  if (!asked.every((count) => typeof count === "number" && count >= 1)) return MOST_PARTS;
  const [ofText, ofAll, times] = asked as [number, number, number];
  return times * PARTS_PER_TOKEN * Math.max(ofText, ofAll) + FURTHER_PARTS;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function read(data: string): Part {
  let part: unknown;
  try {
    part = JSON.parse(data);
  } catch {
    throw new ExchangeFailure("invalid", `a part is no JSON: ${data}`);
  }
  if (!isRecord(part)) throw new ExchangeFailure("invalid", `a part is ${data}`);
  const { error, choices } = part;
  if (error != null) throw new ExchangeFailure("invalid", JSON.stringify(error));
  if (choices != null && !(Array.isArray(choices) && choices.every(isRecord)))
    throw new ExchangeFailure("invalid", `the choices of a part are none: ${data}`);
  return part as Part;
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
  if (impatient) return { kind: "timeout", message: `no text came for ${timeoutMs} ms, after ${parts} parts` };
  const { message, cause } = error as Error;
  const reason = cause instanceof Error ? `${message}: ${cause.message}` : message;
  // undici says so when a socket closes within a body.
  return parts > 0 || /terminated|aborted|closed/.test(message)
    ? { kind: "broken", message: `the stream broke after ${parts} parts (${reason})` }
    : { kind: "connection", message: reason };
}
