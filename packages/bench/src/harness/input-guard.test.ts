import { Tensor } from "@quern/core";
import { describe, expect, it } from "vitest";
import { InputGuard } from "./input-guard.ts";

function setsOf(): { readonly x: Tensor; readonly ids: Tensor }[] {
  return [0, 1, 2].map((set) => ({
    x: new Tensor("f32", [4], Float32Array.of(1, 2, 3, set)),
    ids: Tensor.from("i64", [5, 6, set], [3]),
  }));
}

describe("inputs of an engine", () => {
  it("are what they were", () => {
    const sets = setsOf();
    const guard = new InputGuard(sets);
    expect(guard.changed()).toBeUndefined();
    const data = sets[2]?.ids.data as BigInt64Array;
    data[1] = 7n;
    expect(guard.changed()).toMatchObject({ ok: false, message: 'input "ids" of set 2 was written to by the engine' });
    data[1] = 6n;
    expect(guard.changed()).toBeUndefined();
  });

  it("are not given back as outputs, nor a part of them", () => {
    const sets = setsOf();
    const guard = new InputGuard(sets);
    const x = sets[1]?.x.data as Float32Array;
    const part = new Tensor("f32", [2], x.subarray(2));
    expect(guard.shared(1, { y: part })).toMatchObject({
      ok: false,
      message: 'output "y" lies in the memory of the input "x"',
    });
    expect(guard.shared(1, { y: new Tensor("f32", [2], x.slice(2)) })).toBeUndefined();
  });
});
