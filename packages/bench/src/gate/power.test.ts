import { expect, it } from "vitest";
import { chance } from "./detectable.ts";
import { gatePolicy } from "./policy.ts";
import { powerOf } from "./power.ts";

const policy = gatePolicy("ci");
const floors = { noisy: { sw: 0.08 }, gone: { sw: 0.01 } };
const benches = [
  { id: "noisy", delta: 0.025 },
  { id: "new", delta: 0.025 },
];

it("is that of all pairs, of the extension too, for benches whose spread is known", () => {
  const { share, chances } = powerOf(0.05, floors, benches, policy);
  const at = (confirmPairs: number): number =>
    chance(Math.log1p(0.05), { sw: 0.08, delta: 0.025, screenPairs: 16, confirmPairs }, policy);
  expect(share).toBe(0.05);
  expect(chances).toEqual({ noisy: at(96) });
  expect(chances["noisy"]).toBeGreaterThan(at(48));
});

it("is that of the confirmation where there is no extension", () => {
  const without = { ...policy, extensionPairs: 0 };
  const plan = { sw: 0.08, delta: 0.025, screenPairs: 16, confirmPairs: 48 };
  expect(powerOf(0.05, floors, benches, without).chances).toEqual({ noisy: chance(Math.log1p(0.05), plan, without) });
});
