/**
 * AT8: when the machine moved, the run is invalid, and never red: whatever the benches say. In every scenario the head is really
 * slower, by a quarter more work, and the same samples without what moved the machine must be judged REGRESSED.
 *
 * Controls that are slow are real: their file lies in the arm. Facts and speed of the machine are faked, since to change a quota, an
 * affinity or a clock would need rights over the machine.
 */

import { GATE_PARTS, type GateParts } from "../gate/gate-parts.ts";
import { EXIT } from "../gate/exit-codes.ts";
import { judge } from "../gate/judge.ts";
import { storedPolicy, type GatePolicy } from "../gate/policy.ts";
import { gateRecord } from "../gate/types.ts";
import { fingerprintOf } from "../paired/fingerprint.ts";
import type { Results } from "../results/schema.ts";
import type { Ended, MeasuredTest } from "./measured.ts";
import { runScenarios, type Scenario } from "./scenario-driver.ts";
import { FILE, GOOD, benchFile } from "./scenario-files.ts";

const SLOWER: Readonly<Record<string, string>> = {
  [FILE]: benchFile(
    "run: (state, input) => { state.more = more(input); state.out[0] = sum(input); return state.out; },",
    "const more = (input) => { let s = 0; for (let i = 0; i < input.length; i++) s += input[i] * 2; return s; };",
  ),
};

const CONTROL = "bench/control.js";
const REPETITIONS = 200;

/** A control; `now` is the text of an expression for its repetitions, `setup` that of what makes its state. */
function controlFile(now: string, setup = ""): string {
  return `import { appendFileSync, statSync } from "node:fs";
export default [{
  id: "ctl.fma",
  setup: ({ directory }) => { ${setup} },
  inputs: (random) => Float64Array.from({ length: 512 }, () => 0.5 + 0.25 * random.uniform()),
  run: (state, x) => { const n = ${now}; let a = 0.1; for (let r = 0; r < n; r++) for (let i = 0; i < 512; i++) a = a * x[i] + 0.25; return a; },
}];
`;
}

/** Every process notes that it has begun: from the third on the control is slower by a fifth. */
const SLOWED_LATE = controlFile(
  "state",
  `const file = directory + "/turns"; appendFileSync(file, "."); return statSync(file).size > 2 ? ${1.2 * REPETITIONS} : ${REPETITIONS};`,
);

/** Six of ten spells of 10 ms, spread evenly (multiples of the golden ratio), take more than twice as long. */
const SPIKING = controlFile(
  `(Math.imul(Math.floor(Date.now() / 10), 2654435761) >>> 0) / 2 ** 32 < 0.6 ? ${2.5 * REPETITIONS} : ${REPETITIONS}`,
);

function policyOf({ run }: Results): GatePolicy {
  return storedPolicy(run?.policy as NonNullable<NonNullable<Results["run"]>["policy"]>);
}

/** Of the same samples, without what moved the machine. */
function calmVerdict(results: Results): string {
  const record = { ...gateRecord(results), changed: [], disturbances: [], controls: [] };
  return judge(record, policyOf(results)).summary.verdict;
}

/** True where the bench itself was too noisy: whether anything was held back cannot be told. */
export function tooNoisy({ results }: Ended): boolean {
  return results?.summary?.verdict === "INVALID" && calmVerdict(results) === "INCONCLUSIVE";
}

/** What is wrong with a run that had to be invalid because of `words`. */
export function invalidBut(words: RegExp): Scenario["wrong"] {
  return ({ exitCode, results, refused }) => {
    const verdict = results?.summary?.verdict;
    if (results === undefined || exitCode !== EXIT.invalid || verdict !== "INVALID") {
      return `exit code ${exitCode}, verdict ${verdict ?? "none"}${refused === undefined ? "" : ` (${refused})`}`;
    }
    const { invalid } = judge(gateRecord(results), policyOf(results));
    if (!invalid.some((reason) => words.test(reason))) return `invalid for another reason: ${invalid.join("; ")}`;
    const calm = calmVerdict(results);
    return calm === "REGRESSED" ? undefined : `nothing was held back: on a calm machine it would be ${calm}`;
  };
}

const steady: GateParts = { ...GATE_PARTS, controlBenches: () => [], measureSpeed: async () => 1000 };

/** Facts about the machine that are others at the second look than at the first. */
function changing(...names: readonly string[]): GateParts {
  let looks = 0;
  return {
    ...steady,
    readFingerprint: (nodeOptions, more) => {
      const { facts } = GATE_PARTS.readFingerprint(nodeOptions, more);
      looks += 1;
      return fingerprintOf({ ...facts, ...Object.fromEntries(names.map((name) => [name, `look ${looks}`])) });
    },
  };
}

/** The speed of the machine, as the controls before and after the run find it. */
function slowing(): GateParts {
  let looks = 0;
  return { ...steady, measureSpeed: async () => (looks++ === 0 ? 1000 : 1300), wait: async () => {} };
}

const ownControl: GateParts = {
  ...steady,
  controlBenches: () => [{ id: "ctl.fma", file: CONTROL, control: true }],
};

export const movedMachine: MeasuredTest = async (options) => {
  const title = "a machine that moved makes the run invalid, never red";
  const scenario = (name: string, words: RegExp, inHead?: string): Scenario => ({
    name,
    base: inHead === undefined ? GOOD : { ...GOOD, [CONTROL]: controlFile(String(REPETITIONS)) },
    head: inHead === undefined ? SLOWER : { ...SLOWER, [CONTROL]: inHead },
    // Enough for the slower head to be found, and of screened pairs for a control.
    flags: { pairs: inHead === undefined ? [4, 12] : [8, 12] },
    wrong: invalidBut(words),
    undecided: tooNoisy,
  });
  const facts = scenario("the quota of the control group and the affinity change", /during the run: affinity, quota/);
  const clock = scenario("the clock is throttled", /slower at the end than at the start/);
  const controls = [
    scenario("a control is slowed down in the course of the run", /the control ctl\.fma, .* changed by/, SLOWED_LATE),
    scenario("more than a quarter of the rounds of a control are disturbed", /of the rounds of the control/, SPIKING),
  ];
  const parts = [
    await runScenarios("AT8", title, [facts], options, () => changing("quota", "affinity")),
    await runScenarios("AT8", title, [clock], options, slowing),
    await runScenarios("AT8", title, controls, options, () => ownControl),
  ];
  const sum = (name: string): number => parts.reduce((total, { numbers }) => total + (numbers[name] ?? 0), 0);
  return {
    test: "AT8",
    title,
    passed: parts.every(({ passed }) => passed),
    detail: parts.map(({ detail }) => detail).join("\n"),
    numbers: { scenarios: sum("scenarios"), wrong: sum("wrong") },
  };
};
