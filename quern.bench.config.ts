/**
 * What gates the speed of this repository: `npm run --silent quern -- gate --base main`.
 *
 * Benches import sources (`quern-src`), so that an arm needs its dependencies and no build.
 */
import { defineConfig, type BenchConfig } from "./packages/bench/src/define/index.ts";

const config: BenchConfig = defineConfig({
  version: 1,
  benches: ["bench/**/*.bench.ts"],
  prepare: ["node scripts/bootstrap.mjs node --eval 0"],
  nodeOptions: ["--conditions=quern-src", "--disable-warning=ExperimentalWarning"],
  // They have other names now: compile/matmul, graph/import, graph/passes.
  removed: ["compiled/compile", "onnx/import", "graph/optimise"],
  // Compiled kernels of one arm are nothing for the other; checks of the compiler, which CI turns on, are not to be timed.
  env: { QUERN_CACHE: "0", QUERN_VERIFY: "0" },
});

export default config;
