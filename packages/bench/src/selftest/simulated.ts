/** The acceptance tests that need no machine: samples are simulated, everything else is the real code. */

import { testCalibration } from "./calibration.ts";
import { testChangePoints, testCreep } from "./change-points.ts";
import { testFalseAlarms } from "./false-alarms.ts";
import { testPower } from "./power.ts";
import { testReplay } from "./replay.ts";
import type { Selftest } from "./result.ts";

/** By the name of the test. */
export const SIMULATED_TESTS: Readonly<Record<string, Selftest>> = {
  AT5: testPower,
  AT13: testCalibration,
  AT15: testCreep,
  AT16: testReplay,
  AT17: testChangePoints,
  "AT1/AT4 simulated": testFalseAlarms,
};
