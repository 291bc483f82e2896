/**
 * Frozen control kernels. They are never edited: their SHA-256 is pinned in `src/paired/controls.ts`, and both arms of a
 * run load this very file. What moves them moved the machine, not the code under test. Other kernels would be a new file.
 *
 * ctl.fma    multiply and add in JavaScript on 4 KiB: the speed of a core
 * ctl.triad  a = b + s * c twice over a window of 1.5 MiB (L2, L3) that wanders through 48 MiB (L3, DRAM)
 * ctl.spawn  starts and ends a process that does nothing: the system
 */

import { spawnSync } from "node:child_process";

const LANES = 512;
const PASSES = 256;

const fma = {
  id: "ctl.fma",
  inputs: (random) => Float64Array.from({ length: LANES }, () => 0.5 + 0.25 * random.uniform()),
  run: (_, factors) => {
    let a = 0.1;
    let b = 0.2;
    let c = 0.3;
    let d = 0.4;
    for (let pass = 0; pass < PASSES; pass++) {
      for (let i = 0; i < LANES; i += 4) {
        a = a * factors[i] + 0.25;
        b = b * factors[i + 1] + 0.25;
        c = c * factors[i + 2] + 0.25;
        d = d * factors[i + 3] + 0.25;
      }
    }
    return a + b + c + d;
  },
  // Each is a fixed point of x -> x f + 1/4 with 1/2 <= f <= 3/4, so it lies between 1/2 and 1.
  check: (_, sum) => (sum >= 2 && sum <= 4 ? 0 : 1),
  work: { flops: 2 * LANES * PASSES },
};

const ELEMENTS = 2 ** 21;
const WINDOW = 2 ** 16;

const triad = {
  id: "ctl.triad",
  setup: () => {
    const fill = (step) => {
      const array = new Float64Array(ELEMENTS);
      for (let i = 0; i < ELEMENTS; i++) array[i] = 1 + ((i * step) & 4095) / 4096;
      return array;
    };
    return { a: new Float64Array(ELEMENTS), b: fill(2731), c: fill(1637), at: 0 };
  },
  inputs: (random) => ({ scale: 1 + random.uniform() }),
  run: (state, { scale }) => {
    const { a, b, c, at } = state;
    const end = at + WINDOW;
    for (let pass = 0; pass < 2; pass++) for (let i = at; i < end; i++) a[i] = b[i] + scale * c[i];
    state.at = end % ELEMENTS;
    return { at, first: a[at], last: a[end - 1] };
  },
  outputs: ({ first, last }) => [first, last],
  check: ({ scale }, { at, first, last }, { b, c }) => {
    const end = at + WINDOW - 1;
    return Math.max(Math.abs(first - (b[at] + scale * c[at])), Math.abs(last - (b[end] + scale * c[end])));
  },
  work: { flops: 4 * WINDOW },
};

const [program, args] = process.platform === "win32" ? ["cmd.exe", ["/d", "/c", "exit"]] : ["/bin/sh", ["-c", ":"]];

const spawn = {
  id: "ctl.spawn",
  run: () => spawnSync(program, args, { stdio: "ignore" }).status,
  check: (_, status) => (status === 0 ? 0 : 1),
};

export default [fma, triad, spawn];
