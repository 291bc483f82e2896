import { describe, expect, it } from "vitest";
import { interquartileMean } from "./centre.ts";

describe("interquartileMean", () => {
  it.each([
    [[7], 7],
    [[1, 3], 2],
    [[1000, 2, 1], 2],
    // Second and fourth count three quarters each: the middle half of five is two and a half.
    [[1000, 5, 1, 2, 3], (0.75 * 2 + 3 + 0.75 * 5) / 2.5],
    [[4, 1, 2, 3], 2.5],
    [[1000, 1, 2, 3], 2.5],
    [[1, 2, 3, 4, 5, 6, 7, 800], 4.5],
  ])("of %j is %d", (values, centre) => expect(interquartileMean(values)).toBeCloseTo(centre, 12));

  it("is not moved by a quarter of slow calls, and lies between two modes", () => {
    const times = Array.from({ length: 100 }, (_, i) => 100 + (i % 5));
    const disturbed = times.map((time, i) => (i % 5 === 4 ? time * 50 : time));
    expect(Math.abs(interquartileMean(disturbed) / interquartileMean([...times]) - 1)).toBeLessThan(0.01);
    const modes = Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? 100 : 200));
    expect(interquartileMean(modes)).toBe(150);
  });
});
