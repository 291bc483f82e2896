/** Facts of a row that decide whether its ratio to another is a claim: which model, which inputs, what state of caches. */

import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { distributionOf } from "../cases/draws.ts";
import { externalDataFiles } from "../cases/external-data.ts";
import type { Workload } from "../cases/workload.ts";
import type { Result } from "../results/schema.ts";

export type ClaimFacts = Pick<Result, "modelSha256" | "inputsSha256" | "inputDistribution" | "cacheState">;

const CHUNK_BYTES = 4 * 2 ** 20;

/** Hash of a file of any size. */
export function fileSha256(path: string): string {
  const hash = createHash("sha256");
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  const file = openSync(path, "r");
  try {
    for (let size = readSync(file, chunk); size > 0; size = readSync(file, chunk)) hash.update(chunk.subarray(0, size));
  } finally {
    closeSync(file);
  }
  return hash.digest("hex");
}

/** Hash of the files of a model: of one file its own, of several that of their hashes in order. */
export function filesSha256(paths: readonly string[]): string {
  const hashes = paths.map(fileSha256);
  const [first] = hashes;
  return first !== undefined && hashes.length === 1
    ? first
    : createHash("sha256").update(hashes.join("\n")).digest("hex");
}

/** Hash of all that decides what the inputs are: every process makes the same ones of it. */
export function recipeSha256(recipe: unknown): string {
  return createHash("sha256").update(JSON.stringify(recipe)).digest("hex");
}

/** Of the steady state; phases before it find all files in the system's cache, which the harness does not drop. */
export function workloadFacts(workload: Workload, seed: number): ClaimFacts {
  const inputDistribution = [...new Set(workload.inputs.map(({ fill }) => distributionOf(fill)))].join("; ");
  const files = workload.inputs.flatMap(({ fill }) => (fill.kind === "files" ? fill.files : []));
  return {
    modelSha256: filesSha256([
      workload.modelPath,
      ...(workload.kind === "model" ? externalDataFiles(workload.modelPath) : []),
    ]),
    inputsSha256: recipeSha256([
      seed,
      workload.id,
      workload.inputs,
      inputDistribution,
      workload.sets,
      files.map(fileSha256),
    ]),
    inputDistribution,
    cacheState: workload.cache ?? "rotating",
  };
}
