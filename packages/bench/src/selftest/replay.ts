/** AT16: stored samples and policy give the stored verdicts again, byte for byte. */

import { judge } from "../gate/judge.ts";
import { gatePolicy, storedPolicy } from "../gate/policy.ts";
import { gateRecord, type GateRecord, type Verdicts } from "../gate/types.ts";
import type { Results } from "../results/schema.ts";
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

/** Simulated runs, stored as JSON, read and judged again; with the bootstrap, so that its seed is replayed too. */
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
  return {
    test: "AT16",
    title: "stored samples give the same verdicts",
    passed: differences === 0,
    detail: `${runs} runs were stored, read and judged again: ${differences} differ in ${bytes} bytes of verdicts`,
    numbers: { runs, differences, bytes },
  };
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
