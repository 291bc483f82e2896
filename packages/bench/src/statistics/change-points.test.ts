import { describe, expect, it } from "vitest";
import { changePoints, type ChangePointOptions } from "./change-points.ts";

const indices = (values: readonly number[], options: Partial<ChangePointOptions> = {}): number[] =>
  changePoints(values.map(Math.log), options).map(({ index }) => index);

describe("published series", () => {
  // Apache Otava (Hunter), examples of its own tests, with its limit of 0.001.
  const HUNTER = { maxP: 0.001, minMagnitude: 0 };
  const ONE = [1.02, 0.95, 0.99, 1.0, 1.12, 0.9, 0.5, 0.51, 0.48, 0.48, 0.55];
  const TWO = [2.02, 2.03, 2.01, 2.04, 1.82, 1.85, 1.79, 1.81, 1.8, 1.76, 1.78];

  it("Hunter's two series, and its limit on the magnitude", () => {
    expect(indices(ONE, HUNTER)).toEqual([6]);
    expect(indices(TWO, HUNTER)).toEqual([4]);
    expect(indices(TWO, { ...HUNTER, minMagnitude: 0.2 })).toEqual([]);
  });

  it("Hunter's four levels without noise", () => {
    const levels = [...Array<number>(5).fill(1), ...Array<number>(8).fill(5), ...Array<number>(8).fill(9)];
    expect(indices([...levels, ...Array<number>(9).fill(3)], HUNTER)).toEqual([5, 13, 21]);
  });

  it("flow of the Nile at Aswan, 1871 to 1970: it dropped after observation 28, 1898 (Cobb 1978; R strucchange)", () => {
    const nile = [
      1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180, 799, 958, 1140,
      1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969, 831,
      726, 456, 824, 702, 1120, 1100, 832, 764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759, 781, 865, 845,
      944, 984, 897, 822, 1010, 771, 676, 649, 846, 812, 742, 801, 1040, 860, 874, 848, 890, 744, 749, 838, 1050, 918,
      986, 797, 923, 975, 815, 1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740,
    ];
    const found = changePoints(nile.map(Math.log));
    expect(found.map(({ index }) => index)).toEqual([28]);
    // Means of the two parts are 1097.75 and 849.97.
    expect(found[0]?.ratio).toBeCloseTo(849.97 / 1097.75, 1);
    expect(found[0]?.p).toBeLessThan(1e-8);
  });
});

describe("edges", () => {
  const step = (from: number, to: number): number[] => [
    ...Array.from({ length: 30 }, (_, i) => from * (1 + 0.002 * ((i * 7) % 5))),
    ...Array.from({ length: 30 }, (_, i) => to * (1 + 0.002 * ((i * 7) % 5))),
  ];

  it("a change below the smallest magnitude is not reported, one above is, in both directions", () => {
    expect(indices(step(1, 1.01))).toEqual([]);
    expect(indices(step(1, 1.02))).toEqual([30]);
    expect(indices(step(1, 0.97))).toEqual([30]);
    expect(changePoints(step(1, 0.97).map(Math.log))[0]?.ratio).toBeCloseTo(0.97, 10);
  });

  it("a small change after a large one is not hidden by it", () => {
    const levels = [...step(1, 2), ...step(2, 2.06).slice(30)];
    expect(indices(levels)).toEqual([30, 60]);
  });

  it("flat, short and empty series have none", () => {
    expect(indices(Array<number>(80).fill(3))).toEqual([]);
    expect(indices([1, 2, 3])).toEqual([]);
    expect(indices([])).toEqual([]);
  });

  it("refuses holes and windows that are too short", () => {
    expect(() => changePoints([0, Number.NaN, 1])).toThrow("point 1 of the series is not a number: NaN");
    expect(() => changePoints([0, 1], { window: 3 })).toThrow("at least 4 points: 3");
  });
});
