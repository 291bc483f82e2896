import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, expect, it } from "vitest";
import { CONTROLS_SHA256, CONTROL_IDS, controlBenches, measureSpeed, speedIndex } from "./controls.ts";
import { measurePairs } from "./measure.ts";
import { benchText, fileText, shortPlan, temporaryArms } from "./temporary-arms.test-support.ts";

const both = temporaryArms(fileText(benchText("good")));
afterAll(() => both.remove());

it("are frozen: other kernels are another file, with another pin", () => {
  const [{ file } = { file: "" }] = controlBenches();
  expect(file).toMatch(/controls-1\.mjs$/);
  const frozen = "31566f7dbb697935ac37e0576a099982308e67227162c19271740b7203ceb47f";
  expect(createHash("sha256").update(readFileSync(file)).digest("hex")).toBe(frozen);
  expect(CONTROLS_SHA256).toBe(frozen);
});

it("are measured as benches are, from the same file in both arms, and their outputs are right", async () => {
  const plan = shortPlan(both.arms, ["good"], { pairs: 1 });
  const samples = await measurePairs({ ...plan, benches: [...plan.benches, ...controlBenches()] });
  expect(samples.benches.map(({ id }) => id)).toEqual(["good", ...CONTROL_IDS]);
  for (const { error, check, pairs, flags } of samples.benches) {
    expect(error).toBeUndefined();
    expect(check?.passed).toBe(true);
    expect(check?.checked).toBeGreaterThan(0);
    expect(pairs).toHaveLength(1);
    expect(flags).not.toContain("timer-bound");
  }
  const control = (files: readonly { readonly path: string }[]): string[] =>
    files.map(({ path }) => path).filter((path) => path.includes("controls-1"));
  expect(control(samples.loaded.base)).toHaveLength(1);
  expect(control(samples.loaded.base)).toEqual(control(samples.loaded.head));
});

it("say whether the machine became slower (AT8)", async () => {
  expect(await measureSpeed()).toBeGreaterThan(0);
  expect(speedIndex(100, 105)).toMatchObject({ throttled: false });
  expect(speedIndex(100, 90)).toMatchObject({ throttled: false });
  expect(speedIndex(100, 120)).toMatchObject({ throttled: true, startNs: 100, endNs: 120 });
});

it("need no place for temporary files at the end of a run, which may have filled it", async () => {
  const { TMPDIR } = process.env;
  process.env["TMPDIR"] = "/missing";
  try {
    expect(await measureSpeed()).toBeGreaterThan(0);
  } finally {
    if (TMPDIR === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = TMPDIR;
  }
});

it("cannot be defined by a build", async () => {
  const own = temporaryArms(fileText(benchText("good")).replace('"good"', '"ctl.fma"'));
  try {
    const samples = await measurePairs(shortPlan(own.arms, ["ctl.fma"]));
    expect(samples.benches[0]?.error?.reason).toMatch(/ids with "ctl\." are control kernels/);
  } finally {
    own.remove();
  }
});
