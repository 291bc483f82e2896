/**
 * The result of a gate that was refused, or that failed before it had a result: no bench, no sample, the reason, and its exit
 * code. It takes the place of what an earlier run has left, which would be taken for what this one found.
 */

import { createHash } from "node:crypto";
import { InternalError, UserError } from "@quern/core/errors";
import { describeMachine } from "../harness/machine.ts";
import { IDLE } from "../harness/worker-process.ts";
import { shorten } from "../report/escape.ts";
import type { Results } from "../results/schema.ts";
import { EXIT, exitCodeOfError } from "./exit-codes.ts";
import type { GateRequest } from "./gate-request.ts";

/** Of the reason: a build may say much before it fails. */
const MOST_CHARACTERS = 8000;

/**
 * What `runGate` has thrown, as a result file. One that Ctrl-C has ended is no refusal but interrupted, as where something was
 * measured. `startedAt` and `endedAt` in ms since 1970.
 */
export function refusedResults(request: GateRequest, error: unknown, startedAt: number, endedAt: number): Results {
  const { kind, tool, argv, flags, signal } = request;
  const aborted = signal?.aborted === true && !(error instanceof InternalError);
  const began = new Date(startedAt).toISOString();
  // None is drawn before the configuration is known.
  const given = Number(flags.seed ?? 0);
  const seed = Number.isSafeInteger(given) ? given : 0;
  const said = error instanceof Error ? error.message : String(error);
  const reason = error instanceof UserError ? said : `this is a defect of ${tool.name}: ${said}`;
  const id = createHash("sha256")
    .update([began, ...argv, reason].join(" "))
    .digest("hex");
  return {
    schema: "quern.results/1",
    createdAt: new Date(endedAt).toISOString(),
    machine: describeMachine(),
    engines: [],
    settings: {
      seed,
      secondsPerEngine: 0,
      processes: 0,
      sliceMs: 0,
      idle: IDLE,
      command: [tool.name, ...argv].join(" "),
    },
    results: [],
    comparisons: [],
    skipped: [],
    run: {
      kind,
      id: id.slice(0, 16),
      seed,
      startedAt: began,
      wallMs: Math.max(0, Math.round(endedAt - startedAt)),
      tool,
      argv: [...argv],
      ...(aborted ? { aborted } : { refused: shorten(reason, MOST_CHARACTERS) }),
    },
    benches: [],
    summary: aborted
      ? { verdict: "INCONCLUSIVE", exitCode: EXIT.interrupted, geomean: null }
      : { verdict: "ERROR", exitCode: exitCodeOfError(error), geomean: null },
  };
}
