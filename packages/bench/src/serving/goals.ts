/** Limits of latencies as they are written on the command line, and whether a request keeps them. */

import { UserError } from "@quern/core/errors";
import { latenciesOf } from "./latencies.ts";
import type { Exchange, Goals } from "./types.ts";

const NAMES = ["ttft", "tpot", "e2e"] as const;

/** Reads "ttft:200,tpot:50" (milliseconds). */
export function parseGoals(text: string): Goals {
  const goals: Partial<Record<(typeof NAMES)[number], number>> = {};
  for (const item of text.split(",")) {
    const [, given, value] = /^\s*(\w+)\s*:\s*(\d+(?:\.\d+)?)\s*(?:ms)?\s*$/.exec(item) ?? [];
    const name = NAMES.find((known) => known === given);
    const limit = Number(value);
    if (name === undefined || !(limit > 0) || goals[name] !== undefined) {
      throw new UserError(`"${item}" is no limit of a latency`, {
        where: "--goodput",
        hint: `Write each of ${NAMES.join(", ")} at most once, in milliseconds: --goodput ttft:200,tpot:50`,
      });
    }
    goals[name] = limit;
  }
  return goals;
}

/**
 * Whether the request was answered, within all limits. An answer of one token has no time per token, and keeps its limit; one of
 * several tokens whose time per token is not known does not.
 */
export function keepsGoals(exchange: Exchange, goals: Goals): boolean {
  if (exchange.failure !== undefined) return false;
  const latencies = latenciesOf(exchange);
  return NAMES.every((name) => {
    const limit = goals[name];
    const latency = latencies[name];
    if (limit === undefined) return true;
    return latency === undefined ? exchange.tokens <= 1 : latency <= limit;
  });
}
