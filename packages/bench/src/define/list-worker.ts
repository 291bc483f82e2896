/**
 * Loads the bench files of one build, says which benches there are, tries each once where it is asked to, and says which
 * files all that has loaded, files of the harness that the benches import among them.
 */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Random } from "../harness/random.ts";
import { recordLoadedFiles } from "../paired/arms/loaded-files.ts";
import { answer, note } from "./answer.ts";
import { benchesOfModule, type Bench } from "./bench.ts";
import type { ListAnswer, ListedBench, ListQuestion } from "./list-benches.ts";
import { filterPart } from "./filter.ts";
import { resolveHarness } from "./own-harness.ts";

resolveHarness();
const recorder = recordLoadedFiles();
recorder.watchReads();

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
  const failures = new Map<Bench, string>();
  for (const { bench, file } of found) {
    if (!toTry.has(bench) || untried.includes(bench.id)) continue;
    note(`${bench.id} in ${file}`, bench.id);
    const failure = await tried(bench, directory, seed);
    if (failure !== undefined) failures.set(bench, failure);
  }
  note("the files that they load");
  return {
    benches: found.map(({ bench, file, index }) => listed(bench, file, index, failures.get(bench))),
    loaded: recorder.files(directory),
  };
});

function listed(bench: Bench, file: string, index: number, failure: string | undefined): ListedBench {
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
    ...(failure === undefined ? {} : { failure }),
  };
}

/** One call outside of measuring, so that what it loads late is recorded too; its error, if it has one. */
async function tried(bench: Bench, directory: string, seed: number): Promise<string | undefined> {
  try {
    const random = (label: string): Random => Random.of(seed, "attempt", bench.id, label);
    const state = await bench.setup?.({ params: bench.params ?? {}, directory, random });
    await bench.run(state, bench.inputs?.(random("inputs"), state));
    await bench.teardown?.(state);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
