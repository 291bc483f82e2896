/**
 * The optimiser's table of contents: the ordered list of passes, each named, verified, timed and dumped.
 *
 * In: a graph as imported or built. Out: a graph of `group` nodes and single ops that the device runs as they are.
 */

import { debug, debugLevel, envFlag } from "../debug/env.ts";
import type { Graph } from "../graph/graph.ts";
import { printGraph } from "../graph/print.ts";
import { verifyGraph } from "../graph/verify.ts";
import { specialise } from "./specialise.ts";
import { decompose, foldBranches } from "./decompose.ts";
import { foldConstants } from "./fold-constants.ts";
import { foldShapes } from "./fold-shapes.ts";
import { encodings } from "./encodings.ts";
import { fuse } from "./fuse.ts";
import { layout } from "./layout.ts";
import { foldNormalisation } from "./normalisation.ts";
import type { Pass, PassContext } from "./pass.ts";
import { simplify } from "./simplify.ts";

export const PASSES: readonly Pass[] = [
  { name: "specialise", run: specialise },
  { name: "encodings", run: encodings },
  { name: "foldShapes", run: foldShapes },
  { name: "foldBranches", run: foldBranches },
  { name: "foldConstants", run: foldConstants },
  { name: "simplify", run: simplify },
  { name: "normalisation", run: foldNormalisation },
  { name: "decompose", run: decompose },
  { name: "layout", run: layout },
  { name: "foldConstants", run: foldConstants },
  { name: "simplify", run: simplify },
  { name: "fuse", run: fuse },
];

export interface PassReport {
  readonly name: string;
  readonly ms: number;
  readonly changed: boolean;
}

export interface Optimised {
  readonly graph: Graph;
  readonly passes: readonly PassReport[];
  /** The graph before the last pass (fusion), for `quern inspect --stage graph`. */
  readonly unfused: Graph;
}

/** Runs every pass. `clock` gives milliseconds. */
export function optimise(graph: Graph, context: PassContext, clock: () => number = () => performanceNow()): Optimised {
  const everyPass = envFlag("QUERN_VERIFY");
  verifyGraph(graph, "input graph");
  const reports: PassReport[] = [];
  let current = graph;
  let unfused = graph;
  for (const pass of PASSES) {
    const start = clock();
    const next = pass.run(current, context);
    const changed =
      debugLevel() >= 5 ? printGraph(next) !== printGraph(current) : next.nodes.length !== current.nodes.length;
    reports.push({ name: pass.name, ms: clock() - start, changed });
    debug(5, () => `after ${pass.name}: ${changed ? `\n${printGraph(next)}` : "(unchanged)"}`);
    if (everyPass) verifyGraph(next, pass.name);
    unfused = current;
    current = next;
  }
  verifyGraph(current, "optimised graph");
  return { graph: current, passes: reports, unfused };
}

function performanceNow(): number {
  const { performance } = globalThis as unknown as { performance: { now(): number } };
  return performance.now();
}
