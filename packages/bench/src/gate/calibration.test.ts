import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { readCalibration, type Calibration } from "./calibration.ts";

const FACTS = {
  schema: "quern.calibration/1",
  createdAt: "2026-11-01T00:00:00.000Z",
  class: "example-2",
  runs: 3,
  seed: 1,
  benches: { a: { sw: 0.01, mdes: [0.03, 0.04, 0.03] } },
};
const POINT = { threads: 2, fmaGflops: 100, matrixGflops: null, readGBps: 10, l1ReadGBps: 300 };

function read(change: object): Calibration | undefined {
  const folder = mkdtempSync(join(tmpdir(), "quern-calibration-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "c.json"), JSON.stringify({ ...FACTS, ...change }));
  return readCalibration(join(folder, "c.json"));
}

it("is read with the peaks of the machine, and without", () => {
  expect(read({ roofline: [POINT] })?.roofline).toEqual([POINT]);
  expect(read({})?.benches["a"]).toEqual(FACTS.benches.a);
  expect(readCalibration("nowhere.json")).toBeUndefined();
});

it("is readable where an older version has written peaks of one thread, and takes none of them", () => {
  const old = read({ peaks: { gflops: 100, gbps: 10 } });
  expect(old?.benches["a"]?.sw).toBe(0.01);
  expect(old?.roofline).toBeUndefined();
});

it.each([
  ["another schema", { schema: "quern.calibration/2" }, /this is no quern.calibration\/1/],
  ["no benches", { benches: [] }, /no benches/],
  ["a spread that is text", { benches: { a: { sw: "1 %" } } }, /a floor that is no number/],
  ["effects that are no list", { benches: { a: { sw: 0.01, mdes: 0.03 } } }, /a floor that is no number/],
  ["an effect that is null", { benches: { a: { sw: 0.01, mdes: [null] } } }, /a floor that is no number/],
  ["a peak that is text", { roofline: [{ ...POINT, fmaGflops: "100" }] }, /a peak that is none: roofline\[0\]/],
  ["a roofline that is a number", { roofline: 5 }, /a peak that is none: roofline/],
])("is refused with %s", (_, change, message) => {
  expect(() => read(change)).toThrow(message);
});
