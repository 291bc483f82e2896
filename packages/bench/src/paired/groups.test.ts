import { expect, it } from "vitest";
import { groupBenches } from "./groups.ts";

it("one family of JavaScript benches, eight native benches, or the controls share a process", () => {
  const file = "a.bench.ts";
  const benches = [
    { id: "sort/1", file, family: "sort" },
    { id: "sum", file },
    { id: "map/1/f32", file },
    { id: "sort/2", file },
    { id: "map/2/f32", file },
    { id: "map/3", file, family: "another" },
    ...Array.from({ length: 9 }, (_, i) => ({ id: `native/${i}`, file, native: true, family: `f${i}` })),
    { id: "ctl.fma", file, control: true },
    { id: "ctl.spawn", file, control: true },
  ];
  expect(groupBenches(benches).map(({ benches: members }) => members.map(({ id }) => id))).toEqual([
    ["sort/1", "sort/2"],
    ["sum"],
    ["map/1/f32", "map/2/f32"],
    ["map/3"],
    Array.from({ length: 8 }, (_, i) => `native/${i}`),
    ["native/8"],
    ["ctl.fma", "ctl.spawn"],
  ]);
});
