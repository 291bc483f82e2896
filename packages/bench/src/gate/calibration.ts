/**
 * What `calibrate` has measured of a machine, `quern.calibration/1`: how much identical code differs per bench, and what the
 * machine can do at most. Thresholds follow from it by data, not by taste.
 */

import { existsSync, readFileSync } from "node:fs";
import { UserError } from "@quern/core/errors";
import { machineSchema } from "../results/machine-schema.ts";
import type { RooflinePoint } from "../results/schema.ts";
import { acceptValue, SchemaMismatch } from "../results/validate.ts";

export const CALIBRATION_SCHEMA = "quern.calibration/1";

export interface BenchFloor {
  /** Standard deviation of the winsorised log-ratios of pairs of identical code. */
  readonly sw: number;
  /** Standard deviation of estimates over builds of the same source; absent: not measured. */
  readonly layoutFloor?: number;
  /** Time of a pair of this bench, ms. */
  readonly pairMs?: number;
  /** Minimum detectable effects of the runs so far, as shares. */
  readonly mdes?: readonly number[];
}

export interface Calibration {
  readonly schema: typeof CALIBRATION_SCHEMA;
  readonly createdAt: string;
  /** Class of the machine: the floors of another are of no use. */
  readonly class: string;
  readonly runs: number;
  readonly seed: number;
  readonly benches: Readonly<Record<string, BenchFloor>>;
  /** Peaks at one thread and at all; absent: not measured. Older files have `peaks` of one thread, which bound nothing. */
  readonly roofline?: readonly RooflinePoint[];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What lies in `value` of the peaks. Throws a `SchemaMismatch` where it is something else. */
function rooflineOf(value: Readonly<Record<string, unknown>>): Pick<Calibration, "roofline"> {
  const { roofline } = value;
  if (roofline === undefined) return {};
  return { roofline: acceptValue(machineSchema.properties.roofline, roofline, "roofline") as RooflinePoint[] };
}

/** Reads a calibration; undefined where there is no such file. Throws a `UserError` for a file that is none. */
export function readCalibration(path: string | undefined): Calibration | undefined {
  if (path === undefined || !existsSync(path)) return undefined;
  const wrong = (what: string): never => {
    throw new UserError(what, { where: path, hint: "`calibrate` writes it; a damaged file can be deleted." });
  };
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    return wrong(`the calibration cannot be read (${(error as Error).message})`);
  }
  if (!isRecord(value) || value["schema"] !== CALIBRATION_SCHEMA) return wrong(`this is no ${CALIBRATION_SCHEMA}`);
  const { benches } = value;
  const floors = isRecord(benches) ? Object.values(benches) : wrong("the calibration has no benches");
  const numbers = (floors as unknown[]).every(
    (floor) =>
      isRecord(floor) && isShare(floor["sw"]) && isShare(floor["layoutFloor"] ?? 0) && areEffects(floor["mdes"] ?? []),
  );
  if (!numbers) return wrong("the calibration has a floor that is no number");
  try {
    return { ...(value as unknown as Calibration), ...rooflineOf(value) };
  } catch (error) {
    if (!(error instanceof SchemaMismatch)) throw error;
    return wrong(`the calibration has a peak that is none: ${error.message}`);
  }
}

/** Minimum detectable effects have no limit: a spread may be absurd. */
function areEffects(value: unknown): boolean {
  return Array.isArray(value) && value.every((mde) => typeof mde === "number" && mde >= 0);
}

function isShare(value: unknown): boolean {
  return typeof value === "number" && value >= 0 && value < 10;
}
