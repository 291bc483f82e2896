/** Stop strings in streams: the same as in the whole text, whatever the pieces. */
import { randomNumbers } from "@quern/core";
import { describe, expect, it } from "vitest";
import { StopStrings } from "./stop-strings.ts";

const SEED = Number(process.env["QUERN_SEED"] ?? Date.now() % 2 ** 31);

describe("stop strings", () => {
  it("hold back what may become one", () => {
    const stop = new StopStrings(["</end>", "\n\n"]);
    expect(["a</", "en", "x\n", "b", "\n", "\nc", "d"].map((piece) => stop.push(piece))).toEqual([
      "a",
      "",
      "</enx",
      "\nb",
      "",
      "",
      "",
    ]);
    expect(stop.found).toBe("\n\n");
    expect(stop.end()).toBe("");
  });

  it("give the rest at the end", () => {
    const stop = new StopStrings(["abc"]);
    expect(stop.push("xab")).toBe("x");
    expect(stop.end()).toBe("ab");
    expect(stop.found).toBeUndefined();
  });

  it("cost nothing when there are none", () => {
    expect(new StopStrings([]).push("text")).toBe("text");
  });

  it("end the text at the first one of any, in random pieces", () => {
    const random = randomNumbers(SEED);
    const word = (length: number): string => Array.from({ length }, () => "ab"[Math.floor(2 * random())]).join("");
    for (let round = 0; round < 2000; round++) {
      const strings = Array.from({ length: 1 + Math.floor(3 * random()) }, () => word(1 + Math.floor(5 * random())));
      const text = word(Math.floor(24 * random()));
      // A string may end before another that began earlier is complete: that one was seen first.
      let expected = text;
      for (let end = 0; end <= text.length && expected === text; end++) {
        const starts = strings
          .filter((string) => text.slice(0, end).endsWith(string))
          .map(({ length }) => end - length);
        if (starts.length > 0) expected = text.slice(0, Math.min(...starts));
      }
      const stop = new StopStrings(strings);
      let streamed = "";
      for (const character of text) streamed += stop.push(character);
      expect(streamed + stop.end(), `QUERN_SEED=${SEED}: ${text} ${strings.join()}`).toBe(expected);
      expect(stop.found !== undefined).toBe(strings.some((string) => text.includes(string)));
      const pieces = new StopStrings(strings);
      let rest = text;
      let parts = "";
      while (rest !== "") {
        const length = 1 + Math.floor(6 * random());
        const part = pieces.push(rest.slice(0, length));
        rest = rest.slice(length);
        parts += part;
        for (const string of strings) expect(parts).not.toContain(string);
      }
    }
  });
});
