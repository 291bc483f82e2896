/**
 * Statistics of benchmark samples: robust centres, honest intervals, tests, power, change points. Pure functions without
 * I/O; also the entry point `@quern/bench/statistics`.
 */
export * from "./basics.ts";
export * from "./bootstrap.ts";
export * from "./change-points.ts";
export * from "./distributions.ts";
export * from "./kolmogorov-smirnov.ts";
export * from "./multiple.ts";
export * from "./power.ts";
export * from "./ratios.ts";
export * from "./trimmed.ts";
