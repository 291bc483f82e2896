/** What bench files and configuration files import: `@quern/bench/define`, light to load, also part of `@quern/bench`. */
export { defineBench, type Bench, type BenchContext, type BenchParams, type OutputNumbers } from "./bench.ts";
export { defineConfig, type BenchConfig } from "./config.ts";
export type { Random } from "../harness/random.ts";
export type { Profile, Settings } from "./settings.ts";
