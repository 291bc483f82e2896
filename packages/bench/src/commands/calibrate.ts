/**
 * `calibrate`: how much identical code differs on this machine, bench by bench, and what the machine can do at most. The gate
 * takes thresholds and ceilings from it, and `gate --dry-run` says by it what a run would find.
 */

import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { UserError } from "@quern/core/errors";
import { SETTINGS } from "../define/settings.ts";
import { CALIBRATION_SCHEMA, type BenchFloor, type Calibration } from "../gate/calibration.ts";
import { EXIT } from "../gate/exit-codes.ts";
import { storedPolicy } from "../gate/policy.ts";
import { powerOf, type Power } from "../gate/power.ts";
import { runGate } from "../gate/run-gate.ts";
import { higherPeaks, measureRoofline, peaksOrReason } from "../harness/roofline.ts";
import { peakLines } from "../report/engine-facts.ts";
import { plainText } from "../report/escape.ts";
import { formatChange, formatPercent } from "../report/format.ts";
import { formatTable } from "../report/table.ts";
import type { Results, RooflinePoint } from "../results/schema.ts";
import { median, standardDeviation } from "../statistics/basics.ts";
import { addSettings, collect, settingFlags } from "./gate-options.ts";
import { interruptible } from "./interrupt.ts";
import { GateProgress } from "./progress.ts";
import { toolOf } from "./tool.ts";
import { requireWritable, writeJson } from "./write-file.ts";

interface CalibrateFlags {
  readonly aa: string;
  readonly inject?: string;
  readonly head: string;
  readonly filter?: readonly string[];
  readonly config?: string;
  readonly output: string;
  readonly peaks: boolean;
  readonly quiet?: boolean;
}

const EXAMPLES = (name: string): string => `
Every run stages and builds the head twice and compares it with itself. From five runs on, the spread of the results is taken
as the floor that another build of the same source has: no threshold is below twice of it.

--inject computes from the spread how often a gate with these settings finds a change of that size; \`${name} selftest AT4\` puts
real extra work into benches and counts.

Examples:
  ${name} calibrate
  ${name} calibrate --inject 5%
  ${name} calibrate --aa 10 --profile ci -o bench.calibration.json

Exit codes: 0 measured, 2 wrong use or configuration, 3 all runs were disturbed or the disk is full (nothing is written), 4 a
build or a bench fails, 130 Ctrl-C (nothing is written).`;

/** Fewer estimates have a spread that says nothing. */
const FEWEST_FOR_FLOOR = 5;

export function addCalibrate(program: Command): void {
  const command = program
    .command("calibrate")
    .description("Measure the noise of every bench and the ceilings of this machine.")
    .option("--aa <runs>", "runs of the head against itself", "3")
    .option("--inject <share>", "tell how often a change of this size would be found, as 5%")
    .option("--head <what>", "what is measured: git reference, directory or npm:package@version", ".")
    .option("-f, --filter <terms>", "benches by name or parameter", collect)
    .option("--config <file>", "configuration; default: quern.bench.config.ts here or above")
    .option("-o, --output <file>", "where the calibration goes", "bench.calibration.json")
    .option("--no-peaks", "do not measure the peaks of the machine, above which a rate is an error")
    .option("-q, --quiet", "no progress");
  addSettings(command, { without: ["strict", "budgetS"] })
    .addHelpText("after", EXAMPLES(program.name()))
    .action(calibrate);
}

async function calibrate(options: CalibrateFlags, command: Command): Promise<void> {
  const runs = Number(options.aa);
  if (!Number.isInteger(runs) || runs < 1 || runs > 1000) {
    throw new UserError(`"${options.aa}" is no number of runs from 1 to 1000`, { where: "--aa" });
  }
  const injected = parseShare(options.inject);
  requireWritable(options.output, "-o");
  const progress = new GateProgress(options.quiet === true);
  const results: Results[] = [];
  let noPeaks = "not asked for";
  const calibration = await interruptible(async (signal): Promise<Calibration | undefined> => {
    try {
      const measurePeaks = async (): Promise<RooflinePoint[]> => {
        progress.update("measuring the machine's peaks");
        const counts = [...new Set([1, availableParallelism()])];
        const [points, reason = noPeaks] = await peaksOrReason(() => measureRoofline(counts));
        noPeaks = reason;
        // Ctrl-C ends the measurement, and a file without peaks would say that there are none.
        signal.throwIfAborted();
        return points;
      };
      const before = options.peaks ? await measurePeaks() : [];
      for (let run = 0; run < runs; run++) results.push(await gateSelf(run, options, command, progress, signal));
      // What disturbs a peak only lowers it, so the higher one of two moments is nearer to it.
      const roofline = before.length === 0 ? before : higherPeaks(before, await measurePeaks());
      const calm = results.filter((one) => !isInvalid(one));
      return calm.length === 0 ? undefined : calibrationOf(calm, roofline);
    } catch (error) {
      if (!signal.aborted) throw error;
      process.exitCode = EXIT.interrupted;
      return undefined;
    } finally {
      progress.clear();
    }
  });
  if (process.exitCode === EXIT.interrupted) return;
  const failures = failuresOf(results);
  process.stderr.write(failures.join(""));
  if (failures.length > 0) process.exitCode = EXIT.wrong;
  if (calibration === undefined || Object.keys(calibration.benches).length === 0) {
    process.exitCode ??= EXIT.invalid;
    const why = failures.length > 0 ? "no bench was measured" : "all runs were disturbed (doctor says by what)";
    process.stderr.write(`error: ${why}: ${options.output} is not written\n`);
    return;
  }
  writeJson(options.output, calibration);
  const { run, benches = [] } = results[0] as Results;
  const power =
    injected === undefined || run?.policy === undefined
      ? undefined
      : powerOf(injected, calibration.benches, benches, storedPolicy(run.policy));
  const left = results.length - calibration.runs;
  const disturbed = left === 0 ? "" : `${left} of ${results.length} runs were disturbed and are left out\n`;
  process.stdout.write(`${calibrationText(calibration, power, noPeaks)}${disturbed}wrote ${options.output}\n`);
}

function isInvalid({ benches = [] }: Results): boolean {
  const measured = benches.filter(({ verdict }) => verdict !== "ERROR");
  return measured.length > 0 && measured.every(({ verdict }) => verdict === "INVALID");
}

/** A line for each bench that failed in any run, with the reason of the first time. */
function failuresOf(results: readonly Results[]): string[] {
  const reasons = new Map<string, string>();
  for (const { id, verdict, reason } of results.flatMap(({ benches = [] }) => benches)) {
    if (verdict === "ERROR" && !reasons.has(id)) reasons.set(id, reason);
  }
  return [...reasons].map(([id, reason]) => plainText(`${id} failed: ${reason}`) + "\n");
}

function parseShare(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const share = SETTINGS.delta.parse(text);
  if (share !== undefined) return share;
  throw new UserError(`"${text}" is not ${SETTINGS.delta.takes}`, { where: "--inject" });
}

async function gateSelf(
  run: number,
  options: CalibrateFlags,
  command: Command,
  progress: GateProgress,
  signal: AbortSignal,
): Promise<Results> {
  const { env } = process;
  const { seed, ...flags } = settingFlags(options as unknown as Record<string, unknown>);
  const results = await runGate(
    {
      kind: "ab",
      base: options.head,
      head: options.head,
      allowIdentical: true,
      cwd: process.cwd(),
      configFile: options.config,
      // A seed that is given begins a series of them.
      // All pairs of every run count: what a budget or profile quick would cut is missing from the floors.
      flags: { ...flags, budgetS: null, ...(seed === undefined ? {} : { seed: String(Number(seed) + run) }) },
      env,
      filter: options.filter,
      ...toolOf(command),
      signal,
    },
    (stage, text, share, left) => progress.update(`run ${run + 1}, ${stage}`, text, share, left),
  );
  if (results.run?.aborted === true) signal.throwIfAborted();
  return results;
}

function calibrationOf(results: readonly Results[], roofline: readonly RooflinePoint[]): Calibration {
  const first = results[0] as Results;
  const ids = (first.benches ?? []).map(({ id }) => id);
  return {
    schema: CALIBRATION_SCHEMA,
    createdAt: new Date().toISOString(),
    class: first.environment?.before.class ?? "unknown",
    runs: results.length,
    seed: first.run?.seed ?? 0,
    benches: Object.fromEntries(
      ids.flatMap((id) => {
        const floor = floorOf(id, results);
        return floor === undefined ? [] : [[id, floor] as const];
      }),
    ),
    ...(roofline.length === 0 ? {} : { roofline }),
  };
}

function floorOf(id: string, results: readonly Results[]): BenchFloor | undefined {
  const found = results.flatMap(({ benches = [] }) => benches.find((bench) => bench.id === id)?.estimate ?? []);
  if (found.length === 0) return undefined;
  const logs = found.map(({ ratio }) => Math.log(ratio));
  return {
    sw: median(found.map(({ sw }) => sw)),
    mdes: found.map(({ mde }) => mde),
    ...(logs.length < FEWEST_FOR_FLOOR ? {} : { layoutFloor: standardDeviation(logs) }),
  };
}

/** `noPeaks`: why the file has no peaks, if it has none. */
function calibrationText(
  { benches, runs, roofline = [], class: name }: Calibration,
  power: Power | undefined,
  noPeaks: string,
): string {
  const rows = Object.entries(benches).map(([id, { sw, mdes = [], layoutFloor }]) => [
    id,
    formatPercent(sw),
    mdes.length === 0 ? "–" : formatPercent(median(mdes)),
    layoutFloor === undefined ? "–" : formatPercent(layoutFloor),
    power?.chances[id] === undefined ? "" : formatPercent(power.chances[id]),
  ]);
  const columns = [
    { title: "bench", align: "left" },
    { title: "spread of pairs", align: "right" },
    { title: "MDE", align: "right" },
    { title: "floor", align: "right" },
    { title: `finds ${formatChange(1 + (power?.share ?? 0))}`, align: "right" },
  ] as const;
  const peaks = roofline.length === 0 ? [plainText(`no peaks: ${noPeaks}`)] : peakLines({ machine: { roofline } });
  const count = runs === 1 ? "1 run" : `${runs} runs`;
  return `${[...formatTable(columns, rows), "", `${count}, machine class ${name}`, ...peaks].join("\n")}\n`;
}
