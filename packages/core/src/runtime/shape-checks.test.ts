import { describe, expect, it } from "vitest";
import { symbol } from "../dim.ts";
import { GraphBuilder } from "../graph/builder.ts";
import { shapeChecks } from "./shape-checks.ts";

describe("shape checks of a run", () => {
  it("accept sizes that fit and refuse a slice past the end", () => {
    const b = new GraphBuilder();
    const n = symbol("n");
    const x = b.input("x", "f32", [512, 4]);
    b.sourceName = "positions";
    const [y] = b.apply("slice", [x], { starts: [0, 0], sizes: [n, 4], steps: [1, 1] });
    b.output("y", y as never);
    const check = shapeChecks(b.build("g"));
    expect(() => check({ n: 512 })).not.toThrow();
    expect(() => check({ n: 513 })).toThrow('at slice "positions"');
  });

  it("refuse operands that do not broadcast", () => {
    const b = new GraphBuilder();
    const x = b.input("x", "f32", [symbol("n")]);
    const y = b.input("y", "f32", [symbol("m")]);
    b.output("z", b.apply("add", [x, y])[0] as never);
    const check = shapeChecks(b.build("g"));
    expect(() => check({ n: 3, m: 1 })).not.toThrow();
    expect(() => check({ n: 3, m: 2 })).toThrow("do not broadcast");
  });

  it("refuse a reshape to another number of elements", () => {
    const b = new GraphBuilder();
    const x = b.input("x", "f32", [symbol("n"), 4]);
    b.output("z", b.apply("reshape", [x], { shape: [symbol("m"), 2] })[0] as never);
    const check = shapeChecks(b.build("g"));
    expect(() => check({ n: 3, m: 6 })).not.toThrow();
    expect(() => check({ n: 3, m: 5 })).toThrow("another number of elements");
  });
});
