import { describe, expect, it } from "vitest";
import { SETTINGS } from "./settings.ts";

describe("pin", () => {
  const { parse, accepts } = SETTINGS.pin;

  it.each([
    ["auto", "auto"],
    ["none", "none"],
    ["0", [0]],
    ["0,2-3", [0, 2, 3]],
    ["3,1", [3, 1]],
    ["4095", [4095]],
  ])("%j is read", (text, value) => {
    expect(parse(text)).toEqual(value);
    expect(accepts(value)).toBe(true);
  });

  it.each([
    "",
    "Auto",
    "all",
    "-1",
    "1-",
    "1,,2",
    "1,",
    "0x1",
    "1.5",
    "3-1",
    "0,3-1",
    "1,1",
    "0-2,2",
    "4096",
    "99999",
    "0 1",
  ])("%j is none", (text) => {
    expect(parse(text)).toBeUndefined();
  });

  it.each([[[]], [[-1]], [[0.5]], [["0"]], [[1, 1]], [[4096]], ["0,1"], [0], [null], [{ 0: 1 }]])(
    "%j is none in a file",
    (value) => {
      expect(accepts(value)).toBe(false);
    },
  );
});

describe("pairs", () => {
  const { parse, accepts } = SETTINGS.pairs;

  it.each([
    ["16,48", [16, 48]],
    [" 3 , 1000", [3, 1000]],
    ["16,48,48", [16, 48, 48]],
    ["16,48,0", [16, 48, 0]],
  ])("%j is read", (text, value) => {
    expect(parse(text)).toEqual(value);
    expect(accepts(value)).toBe(true);
  });

  it.each(["", "16", "16,", "1,48", "16,48,", "16,48,-1", "16,48,1001", "16,48,48,48", "16;48"])(
    "%j is none",
    (text) => {
      expect(parse(text)).toBeUndefined();
    },
  );

  it.each([[[16]], [[16, 1]], [[16, 48, 0.5]], [[16, 48, -1]], [[16, 48, "48"]], [[16, 48, 48, 48]], ["16,48"]])(
    "%j is none in a file",
    (value) => {
      expect(accepts(value)).toBe(false);
    },
  );
});
