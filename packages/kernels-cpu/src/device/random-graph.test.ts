import { Tensor, evaluateShape, printGraph, randomNumbers, referenceDevice } from "@quern/core";
import { afterAll, describe, expect, test } from "vitest";
import { cpuInfo, nativeHost } from "../host/index.ts";
import { cpu } from "./cpu.ts";
import { randomGraph } from "./random-graph.ts";

const count = Number(process.env["QUERN_FUZZ_GRAPHS"] ?? 150);
const seed = Number(process.env["QUERN_SEED"] ?? Date.now() % 1_000_000_000);
const targets = cpuInfo(nativeHost()).features.has("avx512f") ? ["avx2", "avx512"] : ["avx2"];
const devices = targets.flatMap((features) =>
  [1, 2].map((threads) => ({ features, threads, device: cpu({ features, threads }) })),
);
afterAll(() => devices.forEach(({ device }) => device.dispose()));

/** Differences beyond this share of the largest value are wrong kernels, not rounding. */
const TOLERANCE = 2e-4;

describe(`random graphs, seed ${seed}`, () => {
  test(`${count} graphs agree with the reference interpreter`, { timeout: 60_000 + count * 1000 }, () => {
    for (let i = 0; i < count; i++) {
      const random = randomNumbers(seed + i);
      const graph = randomGraph(seed + i, random, 2 + Math.floor(random() * 9));
      const inputs = Object.fromEntries(
        graph.inputs.map(({ name, value }) => {
          const shape = evaluateShape(value.type.shape, {});
          const size = shape.reduce((n, dim) => n * dim, 1);
          return [
            name,
            Tensor.from(
              "f32",
              Array.from({ length: size }, () => random() * 4 - 2),
              shape,
            ),
          ];
        }),
      );
      const expected = referenceDevice().compile(graph).runSync(inputs);
      // One device per graph, in turn: every target and thread count sees its share.
      const { device, features, threads } = devices[i % devices.length] as (typeof devices)[number];
      const label = (): string => `seed ${seed + i}, ${features}, ${threads} threads\n${printGraph(graph)}`;
      using executable = device.compile(graph);
      const actual = executable.runSync(inputs);
      for (const [name, reference] of Object.entries(expected)) {
        const [wanted, found] = [reference.toArray(), (actual[name] as Tensor).toArray()];
        expect((actual[name] as Tensor).shape, label()).toEqual(reference.shape);
        const scale = wanted.reduce((most, value) => Math.max(most, Number.isFinite(value) ? Math.abs(value) : 0), 1);
        const wrong = wanted.findIndex((value, at) => {
          const other = found[at] as number;
          if (Object.is(value, other) || value === other) return false;
          return !(Math.abs(value - other) <= TOLERANCE * scale);
        });
        expect(
          wrong < 0 ? "" : `element ${wrong} of ${name}: ${found[wrong]}, expected ${wanted[wrong]}\n${label()}`,
        ).toBe("");
      }
    }
  });
});
