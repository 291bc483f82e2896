/**
 * A benchmark provider for vitest 5: what one `bench.compare` has is measured by turns in short slices, in random balanced
 * order. In the configuration of vitest:
 *
 *     test: { benchmark: { provider: "@quern/bench/vitest-provider" } }
 *
 * The interface of providers is experimental: this file alone knows it, and a test holds it against the installed vitest.
 */

import type { BenchmarkProvider } from "vitest";
import { measureInterleaved } from "./interleaved.ts";

type Group = Parameters<BenchmarkProvider["run"]>[0];
type Result = Awaited<ReturnType<BenchmarkProvider["run"]>>[number];

/** Orders follow from it and from the name of the test. */
const SEED = 1;

export const provider: BenchmarkProvider = {
  async run({ test, config, registrations, options = {} }: Group): Promise<Result[]> {
    const results = await measureInterleaved(registrations, options, {
      seed: SEED,
      label: test.fullTestName,
      signal: test.context.signal,
      retainSamples: options.retainSamples ?? config.retainSamples ?? false,
    });
    return results.map(({ name, result, slices }) => ({ ...result, name, slices }));
  },
};

// oxlint-disable-next-line import/no-default-export -- where vitest looks for it
export default provider;
