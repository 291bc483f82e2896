import { afterEach, expect, test, vi } from "vitest";
import { debug, setDebugKernel, setDebugLevel } from "./env.ts";

afterEach(() => {
  setDebugLevel(0);
  setDebugKernel(undefined);
  vi.restoreAllMocks();
});

function printed(work: () => void): string[] {
  const error = vi.spyOn(console, "error").mockImplementation(() => {});
  work();
  return error.mock.calls.map(([line]) => String(line));
}

test("levels add up, and text below the level is not made", () => {
  setDebugLevel(2);
  const text = vi.fn<() => string>(() => "three");
  const lines = printed(() => {
    debug(1, () => "one");
    debug(2, () => "two");
    debug(3, text);
  });
  expect(lines).toEqual(["one", "two"]);
  expect(text).not.toHaveBeenCalled();
});

test("a glob restricts levels 3 to 6 to lines about matching kernels", () => {
  setDebugLevel(6);
  const all = (): void => {
    debug(2, () => "launch", ["conv_3x3"]);
    debug(3, () => "plan");
    debug(4, () => "matmul", ["pack_b", "matmul_f32(a+b)"]);
    debug(4, () => "conv", ["conv_3x3"]);
  };
  expect(printed(all)).toEqual(["launch", "plan", "matmul", "conv"]);
  setDebugKernel("matmul_*");
  expect(printed(all).slice(4)).toEqual(["launch", "matmul"]);
  vi.restoreAllMocks();
  setDebugKernel("conv_?x3");
  expect(printed(all)).toEqual(["launch", "conv"]);
  vi.restoreAllMocks();
  // The whole name, literally.
  setDebugKernel("matmul_f32(a+b)");
  expect(printed(all)).toEqual(["launch", "matmul"]);
  vi.restoreAllMocks();
  setDebugKernel("conv");
  expect(printed(all)).toEqual(["launch"]);
});
