/** AT16: stored samples and policy give the stored verdicts again, byte for byte. */

import { UserError } from "@quern/core/errors";
import { judge } from "../gate/judge.ts";
import { gatePolicy, storedPolicy } from "../gate/policy.ts";
import { gateRecord, type GateRecord, type Verdicts } from "../gate/types.ts";
import type { Results } from "../results/schema.ts";
import { readSeries, seriesIn } from "./kept-runs.ts";
import { scaled, type SelftestOptions, type SelftestResult } from "./result.ts";
import { heavyNoise, simulateRecord } from "./simulate.ts";

/** The part of a result file that verdicts come from. */
export type StoredRun = Pick<Results, "run" | "environment" | "benches">;

/** The judgement of a stored run as text, members in alphabetical order: equal samples and policy, equal text. */
export function verdictText(run: StoredRun): string {
  return canonicalJson(written(rejudge(run)));
}

/** Where the verdicts in a file differ from those of judging it again; undefined: nowhere. */
export function replayDifference(results: StoredRun & Pick<Results, "summary">): string | undefined {
  const { benches = [], environment, summary } = results;
  const stored = canonicalJson(written({ benches, controls: environment?.controls ?? [], summary }));
  const again = verdictText(results);
  if (again === stored) return undefined;
  let at = 0;
  while (stored[at] === again[at]) at++;
  const near = (text: string): string => text.slice(Math.max(0, at - 60), at + 60);
  return `stored:  …${near(stored)}…\nreplayed: …${near(again)}…`;
}

function rejudge(run: StoredRun): Verdicts {
  return judge(gateRecord(run), run.run?.policy === undefined ? gatePolicy() : storedPolicy(run.run.policy));
}

type Written = { readonly [Key in "benches" | "controls"]: readonly object[] } & { readonly summary: unknown };

/** What a judgement writes into a file, and nothing else of it. */
function written({ benches, controls, summary }: Written): unknown {
  const only = (keys: readonly string[]) => (record: object) =>
    Object.fromEntries(Object.entries(record).filter(([key]) => keys.includes(key)));
  return {
    benches: benches.map(only(["id", "verdict", "reason", "estimate", "flags"])),
    controls: controls.map(only(["id", "estimate", "disturbed", "moved"])),
    summary,
  };
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}

const RATIOS = [1, 1.05, 0.95, 1.025, 1.012, 1];

/**
 * Simulated runs, stored as JSON, read and judged again; with the bootstrap, so that its seed is replayed too. Then all runs that
 * were kept in a folder, if there is one.
 */
export async function testReplay(options: SelftestOptions): Promise<SelftestResult> {
  const runs = scaled(4, options);
  const policy = gatePolicy("ci", { extensionPairs: 48, bootstrap: 500 });
  const benches = RATIOS.map((ratio, i) => ({ id: `bench ${i}`, ratio, noise: heavyNoise(0.008) }));
  const controls = [{ id: "ctl.fma", ratio: 1, noise: heavyNoise(0.005) }];
  let differences = 0;
  let bytes = 0;
  for (let run = 0; run < runs; run++) {
    const simulation = { benches, controls, policy, seed: options.seed, run, rounds: 20, roundNoise: 0.02 };
    const stored = storedRun(simulateRecord(simulation), policy, options.seed);
    const first = verdictText(stored);
    const again = verdictText(JSON.parse(JSON.stringify(stored)) as StoredRun);
    if (first !== again) differences++;
    bytes += first.length;
  }
  const kept = options.keep === undefined ? undefined : replayKept(options.keep);
  const lines = [
    `${runs} runs were stored, read and judged again: ${differences} differ in ${bytes} bytes of verdicts`,
  ];
  if (kept !== undefined) lines.push(`of ${kept.runs} runs that were kept ${kept.different.length} differ`);
  return {
    test: "AT16",
    title: "stored samples give the same verdicts",
    passed: differences === 0 && (kept?.different ?? []).length === 0,
    detail: [...lines, ...(kept?.different ?? [])].join("\n"),
    numbers: { runs, differences, bytes, ...(kept === undefined ? {} : { kept: kept.runs }) },
  };
}

/** Judges all runs of all series in a folder again. */
function replayKept(folder: string): { readonly runs: number; readonly different: readonly string[] } {
  let runs = 0;
  const different: string[] = [];
  for (const file of seriesIn(folder)) {
    for (const results of readSeries(file)) {
      runs += 1;
      const difference = replayDifference(results);
      if (difference !== undefined) different.push(`${file}, ${results.run?.id ?? `run ${runs}`}\n${difference}`);
    }
  }
  if (runs === 0) throw new UserError("there are no kept runs", { where: folder, hint: "AT1 and others keep theirs." });
  return { runs, different };
}

/** A simulated run in the form of a result file. */
export function storedRun(record: GateRecord, policy: ReturnType<typeof gatePolicy>, seed: number): StoredRun {
  const fingerprint = { hash: "", class: "", facts: {} };
  const unjudged = { estimate: null, verdict: "INCONCLUSIVE", reason: "", unit: "ns" } as const;
  return {
    run: {
      kind: "gate",
      id: "simulated",
      seed,
      startedAt: new Date(0).toISOString(),
      wallMs: 0,
      tool: { name: "selftest", version: "0" },
      argv: [],
      policy,
    },
    environment: {
      before: fingerprint,
      after: fingerprint,
      controls: record.controls.map((control) => ({ ...control, estimate: null, disturbed: 0, moved: false })),
      changed: record.changed,
    },
    benches: record.benches.map((bench) => ({ ...bench, ...unjudged })),
  };
}
