/**
 * Which way of sampling a series of gate runs was measured by. **Raise it with every change of what a sample is**: loops, warm-up,
 * orders, collection of garbage, stopping and pinning of processes, controls, and the suite of the acceptance tests. A series of runs
 * is then not continued by another sampler than the one that began it; reading and judging stored runs does not depend on it.
 */
export const SAMPLER_VERSION = "2";
