/**
 * Mutated GGUF files: whatever is in the bytes, the reader gives a model or a `UserError`, soon and in little memory.
 *
 * `QUERN_FUZZ` sets the number of files, `QUERN_SEED` the seed; a failure prints the seed and the number of the file, and
 * `QUERN_FUZZ_FIRST` with that number repeats it alone.
 */

import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { UserError } from "@quern/core";
import { sampleFile } from "./encode.test-support.ts";
import { mutatedFile } from "./mutate.test-support.ts";
import { type GgufFile, parseGguf } from "./parse.ts";
import { tensorData } from "./tensor-data.ts";

const COUNT = Number(process.env["QUERN_FUZZ"] ?? 2000);
const FIRST = Number(process.env["QUERN_FUZZ_FIRST"] ?? 0);
const SEED = Number(process.env["QUERN_SEED"] ?? Date.now() % 2 ** 31);
const FOLDER = resolve(import.meta.dirname, "../../../../../shared/data/gguf");

/** Own files and, where the data folder is there, a real one. */
function corpus(): Uint8Array[] {
  const real = ["stories260K-q4_0.gguf"].map((name) => join(FOLDER, name)).filter((path) => existsSync(path));
  // Own files several times: they are small, and most of their bytes mean something.
  return [
    ...Array.from({ length: 4 }, () => [sampleFile(true), sampleFile(false)]).flat(),
    ...real.map((path) => new Uint8Array(readFileSync(path))),
  ];
}

/** Uses all of a model: what could be read can be decoded. */
function use(file: GgufFile, bytes: Uint8Array): void {
  for (const { name, offset, bytes: view } of file.tensors.values()) {
    expect(view.buffer).toBe(bytes.buffer);
    expect(offset + view.length).toBeLessThanOrEqual(bytes.length);
    expect(() => tensorData(file, name)).not.toThrow();
  }
}

describe("mutated files", () => {
  it(`${COUNT} files give a model or a UserError (seed ${SEED})`, () => {
    const files = corpus();
    const outcomes = { model: 0, error: 0 };
    const slow: string[] = [];
    const before = process.memoryUsage().rss;
    for (let i = FIRST; i < FIRST + COUNT; i++) {
      const bytes = mutatedFile(files, SEED, i);
      const start = performance.now();
      try {
        use(parseGguf(bytes), bytes);
        outcomes.model += 1;
      } catch (error) {
        if (!(error instanceof UserError)) throw new Error(`file ${i} of seed ${SEED} failed`, { cause: error });
        expect(error.message.length).toBeLessThan(10_000);
        outcomes.error += 1;
      }
      if (performance.now() - start > 2000)
        slow.push(`file ${i} of seed ${SEED} took ${Math.round(performance.now() - start)} ms`);
    }
    console.log(`seed ${SEED}: ${outcomes.model} models, ${outcomes.error} errors`);
    expect(slow).toEqual([]);
    if (COUNT >= 100) {
      expect(outcomes.error).toBeGreaterThan(COUNT / 10);
      expect(outcomes.model).toBeGreaterThan(COUNT / 10);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(512 * 2 ** 20);
  }, 600_000);
});
