/** Sharing of buffers between values that live at different times. Needs no device. */

import type { Storage } from "@quern/core";
import { expect, test } from "vitest";
import { bufferBytes, shareSlots } from "./storage.ts";

function storage(id: number, size: number, first: number, last: number): Storage {
  return { id, kind: "planned", dtype: "f32", size, position: -1, value: undefined, first, last };
}

test("the largest first, each into the first buffer that is free for its life", () => {
  const a = storage(0, 100, 0, 1);
  const b = storage(1, 50, 1, 2);
  const c = storage(2, 80, 2, 3);
  const d = storage(3, 10, 4, 5);
  const slots = shareSlots([a, b, c, d], (each) => bufferBytes(each, each.size as number));
  expect(slots).toEqual([
    { bytes: 400, storages: [a, c, d] },
    { bytes: 208, storages: [b] },
  ]);
});

test("buffers hold whole vectors and are never empty", () => {
  expect(bufferBytes(storage(0, 0, 0, 0), 0)).toBe(16);
  expect(bufferBytes(storage(0, 5, 0, 0), 5)).toBe(32);
});
