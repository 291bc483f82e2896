/** Two builds in temporary folders, for tests that measure real processes. */

import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchRef, MeasuredArm, MeasurePlan } from "./plan.ts";

export interface TemporaryArms {
  readonly arms: readonly [MeasuredArm, MeasuredArm];
  remove(): void;
}

/** `base` and `head` are the text of `bench/test.bench.ts` in each arm. */
export function temporaryArms(base: string, head: string = base): TemporaryArms {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "quern-arms-")));
  const arm = (name: "base" | "head", text: string): MeasuredArm => {
    const directory = join(root, name);
    mkdirSync(join(directory, "bench"), { recursive: true });
    writeFileSync(join(directory, "bench/test.bench.ts"), text);
    return { name, directory, project: directory };
  };
  return {
    arms: [arm("base", base), arm("head", head)],
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** A plan of seconds, not minutes. */
export function shortPlan(
  arms: TemporaryArms["arms"],
  ids: readonly string[],
  changes: Partial<MeasurePlan> = {},
): MeasurePlan {
  const benches: BenchRef[] = ids.map((id) => ({ id, file: "bench/test.bench.ts" }));
  const times = { pairs: 1, firstIndex: 0, rounds: 4, sliceMs: 1, warmUpMs: 10, timeoutMs: 30_000 };
  return { benches, arms, seed: 5, ...times, ...changes };
}

/** Text of a bench of some microseconds, with fresh inputs, a check and `changes`. */
export function benchText(id: string, changes: Readonly<Record<string, string>> = {}): string {
  const members: Record<string, string> = {
    id: JSON.stringify(id),
    inputs: "(random) => { const numbers = new Float64Array(512); random.fillNormal(numbers); return numbers; }",
    run: "(_, numbers) => numbers.map((x) => x * x + 1)",
    check: "(numbers, squares) => Math.max(...squares.map((y, i) => Math.abs(y - (numbers[i] ** 2 + 1))))",
    ...changes,
  };
  const lines = Object.entries(members).filter(([, text]) => text !== "");
  return `{ ${lines.map(([key, text]) => `${key}: ${text}`).join(",\n  ")} }`;
}

export function fileText(...benches: readonly string[]): string {
  return `import { defineBench } from "@quern/bench";\nexport default [${benches.map((text) => `defineBench(${text})`).join(",\n")}];\n`;
}
