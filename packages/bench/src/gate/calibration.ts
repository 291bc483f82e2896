/**
 * What `calibrate` has measured of a machine, `quern.calibration/1`: how much identical code differs per bench, and what the
 * machine can do at most. Thresholds follow from it by data, not by taste.
 */

import { existsSync, readFileSync } from "node:fs";
import { UserError } from "@quern/core/errors";
import type { Peaks } from "../paired/plan.ts";

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
  readonly peaks?: Peaks;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
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
    (floor) => isRecord(floor) && isShare(floor["sw"]) && isShare(floor["layoutFloor"] ?? 0),
  );
  if (!numbers) return wrong("the calibration has a floor that is no number");
  return value as unknown as Calibration;
}

function isShare(value: unknown): boolean {
  return typeof value === "number" && value >= 0 && value < 10;
}
