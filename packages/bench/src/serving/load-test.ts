/**
 * Runs a load test: requests go out as the plan says, whatever comes back; nothing waits for the slow ones but the clients of
 * a closed loop.
 *
 * With an open loop each request has a timer of its own for the time at which it is due. A request that starts late, since this
 * process was busy, still counts from when it was due, and how late requests were is part of the result.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "@quern/core/errors";
import { dueTimes, promptOf } from "./arrivals.ts";
import { completionsUrl, exchange } from "./exchange.ts";
import type { Exchange, ServingPlan } from "./types.ts";

export interface LoadTest {
  readonly exchanges: readonly Exchange[];
  readonly startedAt: string;
  /** From the first request that counts to the end of the last. */
  readonly wallMs: number;
  readonly aborted: boolean;
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
  await warmUp(plan, stop);
  const startedAt = new Date().toISOString();
  const start = performance.now();
  const now = (): number => performance.now() - start;
  const exchanges: Exchange[] = [];
  let failed = 0;
  const send = async (index: number, due: number | undefined): Promise<void> => {
    const prompt = promptOf(index, plan.promptWords, plan.seed);
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
  return { exchanges, startedAt, wallMs, aborted: stop.aborted };
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
async function warmUp(plan: ServingPlan, stop: AbortSignal): Promise<void> {
  const start = performance.now();
  const now = (): number => performance.now() - start;
  const done: Exchange[] = [];
  while (done.length < plan.warmUp && !stop.aborted) {
    const index = plan.requests + done.length;
    const prompt = promptOf(index, plan.promptWords, plan.seed);
    done.push(await exchange(plan, { index, prompt, scheduled: now() }, now, stop));
  }
  const failure = done.at(-1)?.failure;
  if (stop.aborted || failure === undefined || done.some((one) => one.failure === undefined)) return;
  throw new UserError(`the server answers no request (${failure.kind}: ${failure.message})`, {
    where: completionsUrl(plan.url),
    hint: "Check the address, the name of the model, and whether it wants a key (--header).",
  });
}

function checkPlan(plan: ServingPlan): void {
  const { url, arrivals, requests } = plan;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new UserError("this is no address of a server", {
      where: url,
      hint: "For instance: http://localhost:8080/v1",
    });
  }
  if (requests < 1) throw new UserError("a load test needs at least one request", { where: "--requests" });
  if (arrivals.kind === "poisson" && !(arrivals.rate > 0 && Number.isFinite(arrivals.rate)))
    throw new UserError(`${arrivals.rate} is no rate`, {
      where: "--rate",
      hint: "Requests per second, above 0, or inf.",
    });
  if (arrivals.kind === "closed" && !(arrivals.concurrency >= 1))
    throw new UserError(`${arrivals.concurrency} is no number of clients`, { where: "--concurrency" });
}
