/**
 * What the caches hold when a timed call begins: a choice of the case, carried out by how many input sets rotate and when.
 *
 * - "rotating": other inputs with every call, from a pool of eight sets, or of three at least where eight would take more than
 *   256 MB. Small inputs stay in the caches, as they do in a program that works on them again and again.
 * - "warm": one set for all calls of a slice, the next set with the next slice. What fits into the caches is there.
 * - "soft-cold": other inputs with every call, from so many sets that a set comes round after three times the last-level
 *   cache was read. "Soft", since code, constants and outputs may stay.
 *
 * The sets are made once in each process, before anything is timed.
 */

import { UserError } from "@quern/core";
import { describeMachine } from "../harness/machine.ts";

export const CACHE_STATES = ["rotating", "warm", "soft-cold"] as const;
export type CacheState = (typeof CACHE_STATES)[number];

const POOL_BYTES = 256 * 2 ** 20;
const POOL_SETS = 8;
const LEAST_SETS = 3;
const LAST_LEVELS = 3;
/** Where the system does not say how large its last-level cache is. */
const ASSUMED_LAST_LEVEL_BYTES = 32 * 2 ** 20;
const MOST_SETS = 4096;

/** Enough sets that no engine can reuse a result, few enough to stay within memory. */
function poolSize(inputBytes: number): number {
  return Math.max(LEAST_SETS, Math.min(POOL_SETS, Math.floor(POOL_BYTES / Math.max(1, inputBytes))));
}

let knownLastLevel: number | undefined;

/** Bytes of the largest cache of this machine. */
function lastLevelBytes(): number {
  knownLastLevel ??= Math.max(0, ...describeMachine().cpu.caches.map(({ bytes }) => bytes)) || ASSUMED_LAST_LEVEL_BYTES;
  return knownLastLevel;
}

/** Input sets of a case whose inputs have `inputBytes`. `where`: for errors. `lastLevel`: bytes of the largest cache; this machine's unless told. */
export function setsFor(cache: CacheState, inputBytes: number, where: string, lastLevel?: number): number {
  if (cache !== "soft-cold") return poolSize(inputBytes);
  const cacheBytes = lastLevel ?? lastLevelBytes();
  const sets = Math.max(LEAST_SETS, Math.ceil((LAST_LEVELS * cacheBytes) / Math.max(1, inputBytes)));
  if (sets <= MOST_SETS) return sets;
  throw new UserError(`soft-cold caches would take ${sets} sets of inputs of ${inputBytes} bytes`, {
    where,
    hint: `${MOST_SETS} sets are the most: choose larger sizes, or another --cache.`,
  });
}

/** Reads the option `--cache`. */
export function parseCacheState(text: string): CacheState {
  const found = CACHE_STATES.find((state) => state === text);
  if (found !== undefined) return found;
  throw new UserError(`there is no cache state "${text}"`, {
    where: "--cache",
    hint: `Choose from: ${CACHE_STATES.join(", ")}.`,
  });
}
