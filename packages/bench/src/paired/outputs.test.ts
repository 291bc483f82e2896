import { describe, expect, it } from "vitest";
import { aliases, allZero, faultOfNumbers, numbersOf, poison } from "./outputs.ts";

describe("poison", () => {
  it.each([
    new Float64Array(4),
    new Float32Array(4),
    new Float16Array(4),
    new Int32Array(4),
    new Uint16Array(4),
    new BigInt64Array(4),
  ])("%o: what is not written again is found", (array) => {
    poison(array);
    expect(faultOfNumbers([array])).toBe(
      "4 of 4 output numbers were not written by the call (its buffer was filled with NaN before)",
    );
    const bytes = new Uint8Array(array.buffer);
    bytes.fill(0, array.BYTES_PER_ELEMENT);
    // A single whole number may be what was computed.
    const whole = !/Float/.test(array.constructor.name);
    expect(faultOfNumbers([array]) ?? "nothing").toMatch(whole ? /^nothing/ : /^1 of 4/);
    bytes.fill(0);
    expect(faultOfNumbers([array])).toBeUndefined();
  });

  it("is NaN to whoever computes with it, and does not take a computed NaN for its own", () => {
    const array = new Float32Array(2);
    poison(array);
    expect(array[0]).toBeNaN();
    array.set([0 / 0, 1]);
    expect(faultOfNumbers([array])).toBe("NaN in the output");
  });

  it("overwrites bytes without claiming to know them again", () => {
    const bytes = new Uint8Array(4);
    poison(bytes);
    expect(bytes.every((byte) => byte !== 0)).toBe(true);
    expect(faultOfNumbers([bytes])).toBeUndefined();
  });
});

describe("numbersOf", () => {
  const tensor = new Float64Array([1, 2]);
  it.each([
    [3, [3]],
    [tensor, [tensor]],
    [[1, 2], [[1, 2]]],
    [
      [tensor, tensor],
      [tensor, tensor],
    ],
    [{ value: 4, tensor }, [tensor, 4]],
    ["text", []],
    [undefined, []],
  ])("of %j without being told", (output, numbers) => expect(numbersOf(output, undefined)).toEqual(numbers));

  it("of an output that says what it is", () => {
    const outputs = ({ inner }: { inner: Float64Array }): Float64Array => inner;
    expect(numbersOf({ inner: tensor }, outputs)).toEqual([tensor]);
    expect(numbersOf({ inner: tensor }, () => [])).toEqual([]);
    expect(numbersOf(undefined, () => [tensor, 2])).toEqual([tensor, 2]);
  });

  it("finds NaN in numbers and lists", () => {
    expect(faultOfNumbers([Number.NaN])).toBe("NaN in the output");
    expect(faultOfNumbers([[1, Number.NaN]])).toBe("NaN in the output");
    expect(faultOfNumbers([1, [2], tensor])).toBeUndefined();
  });
});

describe("aliases and allZero", () => {
  it("say whether an output lies in its input, and whether it is nothing but zeros", () => {
    const input = { tensor: new Float64Array(8) };
    expect(aliases(input.tensor.subarray(2, 4), input)).toBe(true);
    expect(aliases({ out: [input.tensor] }, input)).toBe(true);
    expect(aliases(new Float64Array(8), input)).toBe(false);
    expect(aliases("text", "text")).toBe(false);
    expect(allZero([new Float64Array(8)])).toBe(true);
    expect(allZero([new Float64Array(7)])).toBe(false);
    expect(allZero([new Float64Array(8), 1])).toBe(false);
  });
});
