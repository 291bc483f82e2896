import { expect, it } from "vitest";
import { EXIT } from "../gate/exit-codes.ts";
import { judged } from "../gate/gate-results.ts";
import { gatePolicy } from "../gate/policy.ts";
import { Random } from "../harness/random.ts";
import { sampleGate, samplePairs } from "../results/sample-gate.ts";
import type { Results } from "../results/schema.ts";
import { invalidBut } from "./scenario-controls.ts";

const policy = gatePolicy("ci", { screenPairs: 6, confirmPairs: 12, extensionPairs: 0, bootstrap: 0 });

/** A run whose quota changed, judged, with one bench whose head takes `ratio` times as long. */
function ran(ratio: number, changed: readonly string[] = ["quota"]): Results {
  const random = new Random(3);
  const sample = sampleGate();
  const [bench] = sample.benches ?? [];
  const stages = (["screen", "confirm"] as const).map((stage, i) => ({
    stage,
    pairs: samplePairs(random, 6 + 6 * i, 4, 1e6, ratio),
  }));
  return judged(
    {
      ...sample,
      run: { ...(sample.run as NonNullable<Results["run"]>), policy },
      environment: {
        ...(sample.environment as NonNullable<Results["environment"]>),
        controls: [],
        changed: [...changed],
      },
      benches: [{ ...(bench as NonNullable<typeof bench>), stages }],
    },
    policy,
  );
}

function wrong(results: Results): string | undefined {
  const exitCode = results.summary?.exitCode ?? EXIT.internal;
  return invalidBut(/quota/)({ exitCode, results, refused: undefined });
}

it("an invalid run must have held back a regression, for the reason that was made", () => {
  expect(wrong(ran(1.25))).toBeUndefined();
  expect(wrong(ran(1.25, []))).toBe("exit code 1, verdict REGRESSED");
  expect(wrong(ran(1.25, ["affinity"]))).toBe(
    "invalid for another reason: the machine changed during the run: affinity",
  );
  expect(wrong(ran(1))).toBe("nothing was held back: on a calm machine it would be EQUIVALENT");
  expect(invalidBut(/quota/)({ exitCode: EXIT.usage, results: undefined, refused: "no such thing" })).toBe(
    "exit code 2, verdict none (no such thing)",
  );
});
