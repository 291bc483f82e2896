/**
 * Runs a load test: requests go out as the plan says, whatever comes back; nothing waits for the slow ones but the clients of
 * a closed loop.
 *
 * With an open loop each request has a timer of its own for the time at which it is due. A request that starts late, since this
 * process was busy, still counts from when it was due, and how late requests were is part of the result.
 */

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "@quern/core/errors";
import { completionsUrl, publicUrl } from "./address.ts";
import { dueTimes, promptOf } from "./arrivals.ts";
import { exchange } from "./exchange.ts";
import type { Exchange, ServingPlan } from "./types.ts";

export interface LoadTest {
  readonly exchanges: readonly Exchange[];
  readonly startedAt: string;
  /** From the first request that counts to the end of the last. */
  readonly wallMs: number;
  readonly aborted: boolean;
  /** By what the prompts differ from those of other runs. */
  readonly nonce: string;
}

/** Called as requests end. */
export type ServingProgress = (done: number, failed: number, total: number) => void;

/** Throws a `UserError` where the server answers none of the requests of the warm-up; later failures are results. */
export async function runLoadTest(
  plan: ServingPlan,
  progress: ServingProgress = () => {},
  stop: AbortSignal = new AbortController().signal,
): Promise<LoadTest> {
  checkPlan(plan);
  const nonce = plan.nonce ?? randomBytes(4).toString("hex");
  await warmUp(plan, nonce, stop);
  const startedAt = new Date().toISOString();
  const start = performance.now();
  const now = (): number => performance.now() - start;
  const exchanges: Exchange[] = [];
  let failed = 0;
  const send = async (index: number, due: number | undefined): Promise<void> => {
    const prompt = promptOf(index, plan.promptWords, plan.seed, nonce);
    const scheduled = due ?? now();
    const done = await exchange(plan, { index, prompt, scheduled }, now, stop);
    if (done.failure?.kind === "aborted") return;
    exchanges.push(done);
    if (done.failure !== undefined) failed++;
    progress(exchanges.length, failed, plan.requests);
  };
  const due = dueTimes(plan.arrivals, plan.requests, plan.seed);
  if (plan.arrivals.kind === "closed") await closedLoop(plan.arrivals.concurrency, due.length, send, stop);
  else {
    await Promise.all(
      due.map(async (at, index) => {
        // Timers count in whole milliseconds and may be one early.
        for (let wait = (at ?? 0) - now(); wait > 0 && !stop.aborted; wait = (at ?? 0) - now()) {
          await sleep(Math.ceil(wait), undefined, { signal: stop }).catch(() => {});
        }
        if (!stop.aborted) await send(index, at);
      }),
    );
  }
  exchanges.sort((a, b) => a.index - b.index);
  // Not by spreading: a call may have fewer arguments than a test has requests.
  const first = exchanges.reduce((least, { scheduled }) => Math.min(least, scheduled), Infinity);
  const last = exchanges.reduce((most, { ended }) => Math.max(most, ended), -Infinity);
  const wallMs = exchanges.length === 0 ? 0 : last - first;
  return { exchanges, startedAt, wallMs, aborted: stop.aborted, nonce };
}

async function closedLoop(
  concurrency: number,
  count: number,
  send: (index: number, due: undefined) => Promise<void>,
  stop: AbortSignal,
): Promise<void> {
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < count && !stop.aborted) await send(next++, undefined);
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, client));
}

/** One after the other; a server that answers none of them ends the test. Their prompts are none of the test's. */
async function warmUp(plan: ServingPlan, nonce: string, stop: AbortSignal): Promise<void> {
  const start = performance.now();
  const now = (): number => performance.now() - start;
  const done: Exchange[] = [];
  while (done.length < plan.warmUp && !stop.aborted) {
    const index = plan.requests + done.length;
    const prompt = promptOf(index, plan.promptWords, plan.seed, nonce);
    done.push(await exchange(plan, { index, prompt, scheduled: now() }, now, stop));
  }
  const failure = done.at(-1)?.failure;
  if (stop.aborted || failure === undefined || done.some((one) => one.failure === undefined)) return;
  throw new UserError(`the server answers no request (${failure.kind}: ${failure.message})`, {
    where: publicUrl(completionsUrl(plan.url)),
    hint: "Check the address, the name of the model, and whether it wants a key (--header).",
  });
}

/** Node's `fetch` ends a request by itself that is silent for so long. */
const MOST_TIMEOUT_MS = 300_000;

function checkPlan(plan: ServingPlan): void {
  const { url, arrivals, requests, goals, timeoutMs } = plan;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new UserError("this is no address of a server", {
      where: url,
      hint: "For instance: http://localhost:8080/v1",
    });
  }
  if (requests < 1) throw new UserError("a load test needs at least one request", { where: "--requests" });
  if (timeoutMs > MOST_TIMEOUT_MS)
    throw new UserError(`nobody can wait ${timeoutMs} ms for the next text of an answer`, {
      where: "--timeout",
      hint: `Node ends requests that are silent for ${MOST_TIMEOUT_MS} ms: choose that or less.`,
    });
  if (arrivals.kind === "burst" && Object.keys(goals).length > 0)
    throw new UserError("requests that are sent all at once have no latencies that could keep limits", {
      where: "--rate inf, --goodput",
      hint: "Choose a rate or --concurrency, or leave the limits out.",
    });
  if (arrivals.kind === "poisson" && !(arrivals.rate > 0 && Number.isFinite(arrivals.rate)))
    throw new UserError(`${arrivals.rate} is no rate`, {
      where: "--rate",
      hint: "Requests per second, above 0, or inf.",
    });
  if (arrivals.kind === "closed" && !(arrivals.concurrency >= 1))
    throw new UserError(`${arrivals.concurrency} is no number of clients`, { where: "--concurrency" });
}
