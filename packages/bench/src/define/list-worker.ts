/**
 * Loads the bench files of one build, says which benches there are, tries each once where it is asked to, and says which
 * files all that has loaded, files of the harness that the benches import among them, and whether code ran elsewhere.
 */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Random } from "../harness/random.ts";
import { recordLoadedFiles } from "../paired/arms/loaded-files.ts";
import { watchUnseenCode } from "../paired/arms/unseen-code.ts";
import { INPUT_CHANGED } from "../paired/output-fault.ts";
import { faultOfNumbers, numbersOf } from "../paired/outputs.ts";
import { checksum } from "../paired/values.ts";
import { answer, note } from "./answer.ts";
import { benchesOfModule, type Bench } from "./bench.ts";
import type { ListAnswer, ListedBench, ListQuestion } from "./list-benches.ts";
import { filterPart } from "./filter.ts";
import { resolveHarness } from "./own-harness.ts";

resolveHarness();
const recorder = recordLoadedFiles();
recorder.watchReads();
const unseen = watchUnseenCode();

answer(async (question: ListQuestion): Promise<ListAnswer> => {
  const { directory, project, files, attempt, filter, untried, seed } = question;
  const found: { readonly bench: Bench; readonly file: string; readonly index: number }[] = [];
  for (const file of files) {
    note(file);
    const loaded = (await import(pathToFileURL(join(project, file)).href)) as { readonly default?: unknown };
    for (const [index, bench] of benchesOfModule(await loaded.default, file).entries())
      found.push({ bench, file, index });
  }
  const benches = found.map(({ bench }) => bench);
  const toTry = new Set(attempt ? filterPart(benches, filter) : []);
  const faults = new Map<Bench, Fault>();
  for (const { bench, file } of found) {
    if (!toTry.has(bench) || untried.includes(bench.id)) continue;
    note(`${bench.id} in ${file}`, bench.id);
    faults.set(bench, await tried(bench, directory, seed));
  }
  note("the files that they load");
  return {
    benches: found.map(({ bench, file, index }) => listed(bench, file, index, faults.get(bench))),
    loaded: recorder.files(directory),
    unseen: [...unseen].sort(),
  };
});

function listed(bench: Bench, file: string, index: number, fault: Fault | undefined): ListedBench {
  const { id, params, family, native, delta, work } = bench;
  return {
    file,
    index,
    id,
    ...(params === undefined ? {} : { params }),
    ...(family === undefined ? {} : { family }),
    ...(native === undefined ? {} : { native }),
    ...(delta === undefined ? {} : { delta }),
    ...(work === undefined ? {} : { work }),
    ...fault,
  };
}

type Fault = Pick<ListedBench, "failure" | "wrong">;

/** One call outside of measuring, so that what it loads late is recorded too; its error, if it has one, or that of its output. */
async function tried(bench: Bench, directory: string, seed: number): Promise<Fault> {
  const random = (label: string): Random => Random.of(seed, "attempt", bench.id, label);
  let state: unknown;
  try {
    state = await bench.setup?.({ params: bench.params ?? {}, directory, random });
  } catch (error) {
    return { failure: messageOf(error) };
  }
  const fault = await called(bench, state, random("inputs"));
  try {
    await bench.teardown?.(state);
    return fault;
  } catch (error) {
    return { failure: fault.failure ?? messageOf(error) };
  }
}

async function called(bench: Bench, state: unknown, random: Random): Promise<Fault> {
  try {
    const input = bench.inputs?.(random, state);
    const before = checksum(input);
    const output = await bench.run(state, input);
    const wrong = checksum(input) === before ? await faultOfOutput(bench, input, output, state) : INPUT_CHANGED;
    return wrong === undefined ? {} : { wrong };
  } catch (error) {
    return { failure: messageOf(error) };
  }
}

/** Measured processes look at many more outputs; one of the base that is wrong already cannot be compared. */
async function faultOfOutput(
  { check, outputs, tolerance = 0 }: Bench,
  input: unknown,
  output: unknown,
  state: unknown,
): Promise<string | undefined> {
  try {
    const fault = faultOfNumbers(numbersOf(output, outputs));
    if (fault !== undefined) return fault;
    const error = (await check?.(input, output, state)) ?? 0;
    return error <= tolerance ? undefined : `wrong output: its error is ${error}, the tolerance ${tolerance}`;
  } catch (error) {
    return messageOf(error);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
