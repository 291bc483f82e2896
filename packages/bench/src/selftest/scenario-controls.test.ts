import { expect, it } from "vitest";
import { EXIT } from "../gate/exit-codes.ts";
import { judged } from "../gate/gate-results.ts";
import { gatePolicy } from "../gate/policy.ts";
import { partsOf } from "../gate/fake-gate.test-support.ts";
import { Random } from "../harness/random.ts";
import { sampleGate, samplePairs } from "../results/sample-gate.ts";
import type { Results } from "../results/schema.ts";
import { invalidBut, tooNoisy } from "./scenario-controls.ts";
import { runScenarios } from "./scenario-driver.ts";

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

it("what a noisy machine leaves undecided is measured again, three times at most", async () => {
  const noisy = { ratio: 1.25, spread: 0.5 };
  const calm = { ratio: 1.25, spread: 0.01 };
  const attempted = async (...attempts: readonly (typeof noisy)[]): Promise<readonly [boolean, string, number]> => {
    let made = 0;
    const scenario = {
      name: "a quota that changes",
      base: {},
      head: {},
      flags: { pairs: [8, 8, 0] as const },
      wrong: invalidBut(/quota/),
      undecided: tooNoisy,
    };
    const { passed, detail } = await runScenarios("AT8", "title", [scenario], { progress: () => {} }, () => {
      const look = attempts[made++] ?? noisy;
      return partsOf({ ratios: { sum: 1 }, stages: { sum: [look, look] }, quotaChanges: true });
    });
    return [passed, detail, made];
  };
  expect(await attempted(calm)).toEqual([true, "ok: a quota that changes, exit code 3", 1]);
  expect(await attempted(noisy, calm)).toEqual([
    true,
    "ok: a quota that changes, exit code 3, undecided before (1 of 3 attempts)",
    2,
  ]);
  const [passed, detail, made] = await attempted(noisy, noisy, noisy, calm);
  expect([passed, made]).toEqual([false, 3]);
  expect(detail).toContain("nothing was held back: on a calm machine it would be INCONCLUSIVE");
});
