import { describe, expect, it } from "vitest";
import { arraysWithin, checksum, copyValue, overlap, overwrite } from "./values.ts";

const sample = (): unknown => ({
  name: "x",
  numbers: [1, 2, Number.NaN],
  tensor: new Float32Array([1, 2, 3]),
  nested: [{ bytes: new Uint8Array([1, 2, 3, 4, 5]) }],
  map: new Map([["a", new Float64Array(2)]]),
  set: new Set([1n]),
  nothing: null,
  missing: undefined,
});

describe("copyValue", () => {
  it("copies all content into memory of its own", () => {
    const given = sample() as { tensor: Float32Array; map: Map<string, Float64Array> };
    const copy = copyValue(given);
    expect(copy).toEqual(given);
    given.tensor[0] = 9;
    expect(copy.tensor[0]).toBe(1);
    expect(copy.map.get("a")?.buffer).not.toBe(given.map.get("a")?.buffer);
  });

  it("takes only the part of a buffer that a view shows, and survives a cycle", () => {
    const view = new Float64Array(new ArrayBuffer(800), 80, 4);
    expect(copyValue(view).buffer.byteLength).toBe(32);
    const loop: { self?: unknown } = {};
    loop.self = loop;
    const copy = copyValue(loop);
    expect(copy.self).toBe(copy);
  });
});

describe("checksum", () => {
  it("is the same for equal content and another for any change", () => {
    const sums = [
      sample(),
      { ...(sample() as object), name: "y" },
      { ...(sample() as object), numbers: [1, 3, Number.NaN] },
      { ...(sample() as object), tensor: new Float32Array([1, 2, 4]) },
      { ...(sample() as object), nested: [{ bytes: new Uint8Array([1, 2, 3, 4, 6]) }] },
      { ...(sample() as object), map: new Map([["a", new Float64Array([0, -0])]]) },
      { ...(sample() as object), set: new Set([2n]) },
    ].map((value) => checksum(value));
    expect(new Set(sums).size).toBe(sums.length);
    expect(checksum(sample())).toBe(sums[0]);
  });

  it("sees two numbers that were exchanged, at any offset of a buffer", () => {
    const bytes = new Uint8Array(33).map((_, i) => i);
    for (const offset of [0, 1, 4]) {
      const view = bytes.slice(0).subarray(offset);
      const before = checksum(view);
      [view[3], view[20]] = [view[20] as number, view[3] as number];
      expect(checksum(view)).not.toBe(before);
    }
  });
});

describe("overwrite", () => {
  it("keeps buffers and gives them other content", () => {
    const into = { a: new Float64Array([1, 2]), list: [1, "x"], deep: { b: new Int8Array(1) } };
    const { a, deep } = into;
    expect(overwrite(into, { a: new Float64Array([3, 4]), list: [2, "y"], deep: { b: new Int8Array([5]) } })).toBe(
      true,
    );
    expect(into).toEqual({ a: new Float64Array([3, 4]), list: [2, "y"], deep: { b: new Int8Array([5]) } });
    expect(into.a).toBe(a);
    expect(into.deep).toBe(deep);
  });

  it.each([
    [new Float64Array(2), new Float64Array(3)],
    [new Float64Array(2), new Float32Array(2)],
    [{ a: 1 }, { b: 1 }],
    [[1, 2], [1]],
    [Object.freeze([1]), [2]],
    [1, 2],
  ])("says that %j cannot take %j", (into, from) => expect(overwrite(into, from)).toBe(false));

  it("ends in a cycle, and what was shared gets one content", () => {
    interface Node {
      readonly data: Float64Array;
      self?: Node;
    }
    const node = (value: number): Node => {
      const made: Node = { data: new Float64Array([value]) };
      made.self = made;
      return made;
    };
    const into = node(1);
    const { data } = into;
    expect(overwrite(into, node(2))).toBe(true);
    expect(into.data).toBe(data);
    expect([data[0], into.self === into]).toEqual([2, true]);
    const shared = new Float64Array([1]);
    const both = { a: shared, b: shared };
    expect(overwrite(both, { a: new Float64Array([3]), b: new Float64Array([4]) })).toBe(true);
    expect([both.a[0], both.b[0]]).toEqual([3, 4]);
  });

  it("replaces the parts of a record that differ in shape", () => {
    const into = { a: new Float64Array(2), b: new Float64Array(1) };
    const { b } = into;
    expect(overwrite(into, { a: new Float64Array(3), b: new Float64Array([7]) })).toBe(true);
    expect(into.a).toHaveLength(3);
    expect(into.b).toBe(b);
    expect(into.b[0]).toBe(7);
  });
});

describe("arraysWithin and overlap", () => {
  it("find typed arrays and the memory that two share", () => {
    expect(arraysWithin(sample())).toHaveLength(2);
    const buffer = new ArrayBuffer(64);
    const low = new Float32Array(buffer, 0, 4);
    expect(overlap(low, new Float32Array(buffer, 12, 4))).toBe(true);
    expect(overlap(low, new Float32Array(buffer, 16, 4))).toBe(false);
    expect(overlap(low, new Float32Array(4))).toBe(false);
  });
});
