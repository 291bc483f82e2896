/**
 * The models of a plan, before they become workloads: what each is called, what an engine says of its inputs, and whether
 * every size that was given is the size of something.
 */

import { resolve } from "node:path";
import { UserError } from "@quern/core";
import { distinctNames, modelName, modelNameParts } from "../cases/model-name.ts";
import { caseFolders, symbolsOf, type ModelValue } from "../cases/model.ts";

export class PlannedModels {
  readonly #files: readonly string[];
  readonly #names: ReadonlyMap<string, string>;
  readonly #inspect: (file: string) => Promise<readonly ModelValue[]>;
  readonly #inputs = new Map<string, Promise<readonly ModelValue[]>>();

  /** `inspect` asks an engine for the inputs of a file. */
  constructor(files: readonly string[], inspect: (file: string) => Promise<readonly ModelValue[]>) {
    this.#files = [...new Set(files.map((file) => resolve(file)))];
    this.#names = distinctNames(files, modelNameParts);
    this.#inspect = inspect;
  }

  /** In reports: no two models of the plan have the same name. */
  nameOf(file: string): string {
    return this.#names.get(resolve(file)) ?? modelName(file);
  }

  /** Asked of an engine once. */
  inputsOf(file: string): Promise<readonly ModelValue[]> {
    const path = resolve(file);
    const known = this.#inputs.get(path) ?? this.#inspect(path);
    this.#inputs.set(path, known);
    return known;
  }

  /**
   * Throws a `UserError` where a dimension of `dims` is none of any model whose inputs are made up: its size would be taken for
   * measured.
   */
  async requireUse(dims: Readonly<Record<string, number>>): Promise<void> {
    const given = Object.keys(dims);
    if (given.length === 0) return;
    const known = new Set<string>();
    for (const file of this.#files) {
      try {
        // The files of its inputs have their own sizes.
        if (caseFolders(file).length > 0) continue;
        for (const symbol of symbolsOf(await this.inputsOf(file))) known.add(symbol);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        // What is wrong with the file is said when it is measured; which dimensions it has, nobody knows.
        return;
      }
    }
    const unused = given.find((name) => !known.has(name));
    if (unused === undefined) return;
    throw new UserError(`nothing that is measured has a dimension "${unused}" to choose`, {
      where: `--dim ${unused}=${dims[unused]}`,
      hint:
        known.size === 0
          ? "Sizes are chosen for symbolic dimensions of models without case folders; there are none here."
          : `Symbolic dimensions here: ${[...known].toSorted().join(", ")}.`,
    });
  }
}
