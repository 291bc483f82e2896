/** AT8: when the machine moved and not the code, the run is invalid, whatever the benches say. */

import { GATE_PARTS, type GateParts } from "../gate/gate-parts.ts";
import { EXIT } from "../gate/exit-codes.ts";
import { fingerprintOf } from "../paired/fingerprint.ts";
import type { Ended, MeasuredTest } from "./measured.ts";
import { runScenarios, type Scenario } from "./scenario-driver.ts";
import { GOOD, OTHER } from "./scenario-files.ts";

/** A control that is slower in one arm, as a machine that slows one of them makes it. It lies in the arm itself. */
function controlFile(repetitions: number): string {
  return `export default [{
  id: "ctl.fma",
  inputs: (random) => Float64Array.from({ length: 512 }, () => 0.5 + 0.25 * random.uniform()),
  run: (_, x) => { let a = 0.1; for (let r = 0; r < ${repetitions}; r++) for (let i = 0; i < 512; i++) a = a * x[i] + 0.25; return a; },
}];
`;
}

const CONTROL = "bench/control.js";

function invalid({ exitCode, results, refused }: Ended): string | undefined {
  const verdict = results?.summary?.verdict;
  if (exitCode === EXIT.invalid && verdict === "INVALID") return undefined;
  return `exit code ${exitCode}, verdict ${verdict ?? "none"}${refused === undefined ? "" : ` (${refused})`}`;
}

/** Facts about the machine of which one changes between the first look and the second. */
function changing(fact: string): GateParts {
  let looks = 0;
  return {
    ...GATE_PARTS,
    readFingerprint: (nodeOptions, more) => {
      const { facts } = GATE_PARTS.readFingerprint(nodeOptions, more);
      return fingerprintOf({ ...facts, [fact]: looks++ === 0 ? "max 100000" : "50000 100000" });
    },
  };
}

/** The speed of the machine, as the controls before and after the run find it. */
function slowing(): GateParts {
  let looks = 0;
  return { ...GATE_PARTS, measureSpeed: async () => (looks++ === 0 ? 1000 : 1300), wait: async () => {} };
}

const ownControl: GateParts = {
  ...GATE_PARTS,
  controlBenches: () => [{ id: "ctl.fma", file: CONTROL, control: true }],
};

export const movedMachine: MeasuredTest = async (options) => {
  const title = "a machine that moved makes the run invalid, never red";
  const scenario = (name: string, change: Partial<Scenario> = {}): Scenario => ({
    name,
    base: GOOD,
    head: OTHER,
    wrong: invalid,
    ...change,
  });
  const slowed = scenario("a control is 10 % slower in head", {
    base: { ...GOOD, [CONTROL]: controlFile(200) },
    head: { ...OTHER, [CONTROL]: controlFile(220) },
    flags: { pairs: [12, 3] },
  });
  const parts = [
    await runScenarios("AT8", title, [scenario("the quota of the control group changes")], options, changing("quota")),
    await runScenarios("AT8", title, [scenario("the affinity changes")], options, changing("affinity")),
    await runScenarios("AT8", title, [scenario("the clock is throttled")], options, slowing()),
    await runScenarios("AT8", title, [slowed], options, ownControl),
  ];
  return {
    test: "AT8",
    title,
    passed: parts.every(({ passed }) => passed),
    detail: parts.map(({ detail }) => detail).join("\n"),
    numbers: {
      scenarios: parts.length,
      wrong: parts.reduce((sum, { numbers }) => sum + (numbers["wrong"] ?? 0), 0),
    },
  };
};
