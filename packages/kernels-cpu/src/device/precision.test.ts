/**
 * What the compile report says of the precision of products: what was computed, not what was asked for.
 */

import { GraphBuilder, type MatmulPrecision, Tensor, type Value } from "@quern/core";
import { expect, test } from "vitest";
import { cpuInfo, nativeHost } from "../host/index.ts";
import { cpu } from "./cpu.ts";

function precisions(
  rows: number,
  precision: MatmulPrecision,
  features?: string,
): { used: readonly unknown[]; decisions: string } {
  const builder = new GraphBuilder();
  const weights = builder.constant({ dtype: "f32", shape: [256, 256], bytes: Tensor.zeros("f32", [256, 256]).bytes() });
  builder.output("y", builder.apply("matmul", [builder.input("x", "f32", [rows, 256]), weights])[0] as Value);
  using device = cpu({ threads: 1, ...(features === undefined ? {} : { features }) });
  using executable = device.compile(builder.build("product"), { matmulPrecision: precision });
  const { launches } = executable.report;
  return {
    used: launches.flatMap((launch) => launch.precision ?? []),
    decisions: launches.map(({ decision }) => decision).join("\n"),
  };
}

test("without a matrix unit products are computed at highest, and the decision says why", () => {
  const { used, decisions } = precisions(256, "high", "avx2");
  expect(used).toEqual(["highest"]);
  expect(decisions).toContain('no matrix unit for precision "high": computed at "highest"');
});

test.skipIf(!cpuInfo(nativeHost()).features.has("amx-bf16"))(
  "with a matrix unit large products are computed as asked",
  () => {
    expect(precisions(256, "high").used).toEqual(["high"]);
    expect(precisions(256, "medium").used).toEqual(["medium"]);
    expect(precisions(256, "highest").used).toEqual(["highest"]);
    expect(precisions(1, "medium").used).toEqual(["highest"]);
  },
);
