/**
 * Runs scenarios: a gate over two small arms that are written for one purpose, and whether it ended as it must. Bench files here
 * are text, since most of them are wrong on purpose.
 */

import type { Flags } from "../define/resolve-config.ts";
import { EXIT } from "../gate/exit-codes.ts";
import { GATE_PARTS, type GateParts } from "../gate/gate-parts.ts";
import { gateFolders, type Ended, type MeasuredOptions } from "./measured.ts";
import type { SelftestResult } from "./result.ts";
import { writtenArms } from "./suite-arms.ts";

/** Few and short pairs: what these tests look for needs no statistics. */
export const SMALL: Flags = { pairs: [3, 3], rounds: 4, sliceMs: 1, seed: 1, timeoutS: 60 };

export interface Scenario {
  readonly name: string;
  readonly base: Readonly<Record<string, string>>;
  readonly head: Readonly<Record<string, string>>;
  readonly flags?: Flags;
  readonly filter?: readonly string[];
  readonly allowIdentical?: boolean;
  /** What is wrong with how it ended; undefined: nothing. */
  readonly wrong: (ended: Ended) => string | undefined;
  /** True: the machine was too noisy to say. It is measured again then, by another seed. */
  readonly undecided?: (ended: Ended) => boolean;
}

const ATTEMPTS = 3;

export function expectExit(...codes: readonly number[]): Scenario["wrong"] {
  return ({ exitCode, refused }) =>
    codes.includes(exitCode) ? undefined : `exit code ${exitCode}${refused === undefined ? "" : ` (${refused})`}`;
}

/** Not measured at all, with this exit code. */
export function expectRefusal(code: number, words: RegExp): Scenario["wrong"] {
  return ({ exitCode, refused }) => {
    if (refused === undefined) return `it was measured, exit code ${exitCode}`;
    if (exitCode !== code) return `exit code ${exitCode} (${refused})`;
    return words.test(refused) ? undefined : `refused for another reason: ${refused}`;
  };
}

/** Exit code 4, and a bench is an error whose reason says it. */
export function expectError(words: RegExp): Scenario["wrong"] {
  return ({ exitCode, refused, results }) => {
    if (exitCode !== EXIT.wrong || results === undefined) {
      return `exit code ${exitCode}${refused === undefined ? "" : ` (${refused})`}`;
    }
    const reasons = (results.benches ?? []).filter(({ verdict }) => verdict === "ERROR").map(({ reason }) => reason);
    return reasons.some((reason) => words.test(reason)) ? undefined : `the reasons are "${reasons.join('", "')}"`;
  };
}

export async function runScenarios(
  test: string,
  title: string,
  scenarios: readonly Scenario[],
  { progress, signal }: Pick<MeasuredOptions, "progress" | "signal">,
  /** Made for each attempt. */
  partsOf: () => GateParts = () => GATE_PARTS,
): Promise<SelftestResult> {
  const complaints: string[] = [];
  const lines: string[] = [];
  const attempt = async (scenario: Scenario, seed: number): Promise<Ended> => {
    const { name, base, head, flags, filter, allowIdentical } = scenario;
    const arms = writtenArms(base, head);
    try {
      return await gateFolders(
        arms,
        {
          flags: { ...SMALL, seed, ...flags },
          filter,
          allowIdentical,
          progress: (stage, text) => progress(`${test} ${name}: ${stage}`, text),
          signal,
        },
        partsOf(),
      );
    } finally {
      arms.remove();
    }
  };
  for (const scenario of scenarios) {
    const { name, wrong, undecided } = scenario;
    let attempts = 1;
    let ended = await attempt(scenario, attempts);
    while (undecided?.(ended) === true && attempts < ATTEMPTS) ended = await attempt(scenario, ++attempts);
    const complaint = wrong(ended);
    const tries = attempts === 1 ? "" : `, undecided before (${attempts - 1} of ${ATTEMPTS} attempts)`;
    lines.push(`${complaint === undefined ? "ok" : "WRONG"}: ${name}, exit code ${ended.exitCode}${tries}`);
    if (complaint !== undefined) complaints.push(`${name}: ${complaint}`);
  }
  return {
    test,
    title,
    passed: complaints.length === 0,
    detail: [...lines, ...complaints].join("\n"),
    numbers: { scenarios: scenarios.length, wrong: complaints.length },
  };
}
