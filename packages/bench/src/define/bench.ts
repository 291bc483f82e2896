/**
 * One benchmark as a record: what to prepare, what to time, what its outputs must be.
 *
 * A bench file's default export is one record or an array of them. The record is checked here, so that a misspelt key
 * is an error and not a setting without effect. Nothing here runs a bench, and nothing here is slow to load: every
 * measured process imports this module.
 */

import { UserError } from "@quern/core/errors";
import type { Random } from "../harness/random.ts";

/** Parts of the name of a bench that vary in a sweep, as `{ m: 512, dtype: "f32" }`. */
export type BenchParams = Readonly<Record<string, string | number>>;

/** What the functions of a bench may know of the run. */
export interface BenchContext {
  readonly params: BenchParams;
  /** Directory of the build that is measured: data files of the bench belong to it. */
  readonly directory: string;
  /** Stream of random numbers for one purpose. Both builds get equal streams. */
  random(label: string): Random;
}

/** Numbers that a bench has written: kept for checks, and overwritten with NaN between calls. */
export type OutputNumbers = number | ArrayLike<number> | ArrayLike<bigint>;

export interface Bench<State = unknown, Input = unknown, Output = unknown> {
  /** Unique name, as `sort/1e4`: letters, digits and `_./:=,+@-`. It names the bench in trailers, so it has no spaces. */
  readonly id: string;
  readonly params?: BenchParams;
  /**
   * Benches of one family share a process, and with it the type feedback of the code that they share. Default: the id up to
   * its first slash.
   */
  readonly family?: string;
  /**
   * The time is spent in native code with threads of its own: up to eight such benches share a process, whatever their family,
   * and their pairs are not pinned. Native code on the main thread alone is better off without.
   */
  readonly native?: boolean;
  /** Untimed, once for each process. */
  readonly setup?: (context: BenchContext) => State | Promise<State>;
  /**
   * One fresh set of inputs, made outside of timing. Called for every set of the pool and again to renew sets, whose
   * buffers are then overwritten: a bench that remembers an answer by its input's identity is found out.
   * Default: no input.
   */
  readonly inputs?: (random: Random, state: State) => Input;
  /** The timed call. It must not write to its input. */
  readonly run: (state: State, input: Input) => Output | Promise<Output>;
  /**
   * Numbers of an output: typed arrays that the bench may write again are poisoned with NaN between calls. Default:
   * the output itself where it is a number, a typed array, or an array or a plain record of such.
   */
  readonly outputs?: (output: Output) => OutputNumbers | readonly OutputNumbers[];
  /**
   * Compares a copy of an output of a timed call with what `input` asks for: returns the error, or throws. Never timed.
   * Typed arrays of `output` are as they were after the call.
   */
  readonly check?: (input: Input, output: Output, state: State) => number | void | Promise<number | void>;
  /** Largest error that passes, in the unit of `check`. Default 0. */
  readonly tolerance?: number;
  /**
   * Work of one call, in operations and bytes. Once `calibrate` has measured the peaks of the machine, a rate above what all of
   * it could do is an error.
   */
  readonly work?: { readonly flops?: number; readonly bytes?: number };
  /** Relative change that matters in practice, as 0.025 for 2.5 %. Default: that of the run. */
  readonly delta?: number;
  /** `run` returns a promise. Default: found out from the first call. */
  readonly async?: boolean;
  readonly teardown?: (state: State) => void | Promise<void>;
}

const ID = /^[\w./:=,+@-]{1,200}$/;
const KINDS: Readonly<Record<keyof Bench, "string" | "object" | "function" | "number" | "boolean">> = {
  id: "string",
  params: "object",
  family: "string",
  native: "boolean",
  setup: "function",
  inputs: "function",
  run: "function",
  outputs: "function",
  check: "function",
  tolerance: "number",
  work: "object",
  delta: "number",
  async: "boolean",
  teardown: "function",
};
const REQUIRED: readonly (keyof Bench)[] = ["id", "run"];
const RESERVED = "ctl.";

function fail(what: string, where: string | undefined, hint?: string): never {
  throw new UserError(what, { where, hint });
}

function checkNumbers(bench: Record<string, unknown>, name: string, where: string | undefined): void {
  const { tolerance, delta, work } = bench as unknown as Bench;
  if (tolerance !== undefined && !(tolerance >= 0)) fail(`bench ${name}: tolerance must be 0 or more`, where);
  if (delta !== undefined && !(delta > 0 && delta < 1)) fail(`bench ${name}: delta must lie between 0 and 1`, where);
  for (const [key, amount] of Object.entries(work ?? {})) {
    if (key !== "flops" && key !== "bytes") fail(`bench ${name}: work has no "${key}"`, where, "flops and bytes exist");
    if (!(typeof amount === "number" && amount > 0 && Number.isFinite(amount)))
      fail(`bench ${name}: work.${key} must be a positive number`, where);
  }
}

/**
 * `value` as a bench; throws a `UserError` that names the wrong key. `reserved`: accept the names of control kernels.
 */
export function checkBench(value: unknown, where?: string, reserved = false): Bench {
  if (typeof value !== "object" || value === null) fail("a bench must be an object made by defineBench", where);
  const bench = value as Record<string, unknown>;
  const name = typeof bench["id"] === "string" ? `"${bench["id"]}"` : "without an id";
  for (const key of REQUIRED) {
    if (bench[key] === undefined) fail(`bench ${name}: "${key}" is missing`, where);
  }
  for (const [key, given] of Object.entries(bench)) {
    const kind = (KINDS as Record<string, string | undefined>)[key];
    if (kind === undefined) fail(`bench ${name} has no "${key}"`, where, `known: ${Object.keys(KINDS).join(", ")}`);
    if (given !== undefined && (typeof given !== kind || given === null))
      fail(`bench ${name}: "${key}" must be of type ${kind}, not ${given === null ? "null" : typeof given}`, where);
  }
  const id = bench["id"] as string;
  if (!ID.test(id)) fail(`bench ${name}: not a usable id`, where, "letters, digits and _./:=,+@- are allowed");
  if (!reserved && id.startsWith(RESERVED)) fail(`bench ${name}: ids with "${RESERVED}" are control kernels`, where);
  for (const [key, given] of Object.entries((bench["params"] ?? {}) as object)) {
    if (typeof given !== "string" && typeof given !== "number")
      fail(`bench ${name}: parameter "${key}" must be a string or a number`, where);
  }
  checkNumbers(bench, name, where);
  return value as Bench;
}

/** Benches of a module's default export. `where` names the file in errors. */
export function benchesOfModule(exported: unknown, where: string, reserved = false): Bench[] {
  if (exported === undefined)
    fail("the bench file has no default export", where, "export default defineBench({ ... })");
  const benches = (Array.isArray(exported) ? exported : [exported]).map((item) => checkBench(item, where, reserved));
  if (benches.length === 0) fail("the bench file exports no bench", where);
  const seen = new Set<string>();
  for (const { id } of benches) {
    if (seen.has(id)) fail(`bench "${id}" is defined twice`, where);
    seen.add(id);
  }
  return benches;
}

/**
 * Checks a bench and gives it back, with its types tied together. Throws a `UserError` that names a wrong or missing key.
 *
 * @example
 * export default defineBench({
 *   id: "sort/1e4",
 *   inputs: (random) => Float64Array.from({ length: 1e4 }, () => random.normal()),
 *   run: (_, input) => input.toSorted(),
 *   check: (input, output) => (output.every((x, i) => i === 0 || x >= output[i - 1]!) ? 0 : 1),
 * });
 */
export function defineBench<State = undefined, Input = undefined, Output = unknown>(
  bench: Bench<State, Input, Output>,
): Bench<State, Input, Output> {
  checkBench(bench);
  return bench;
}
