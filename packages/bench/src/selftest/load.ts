/** Load for tests under load: one process per core that is busy in bursts of random length. */

import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { cleanUpAtEnd } from "../harness/worker-process.ts";

/**
 * Busy for 20 to 400 ms, idle for as long: half of a core in the mean, in pieces that are far longer than a slice and far
 * shorter than a run. The state is a linear congruential generator, so that a seed repeats the pattern.
 */
const BURSTS = `
  let state = Number(process.argv[1]) >>> 0;
  const draw = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const length = () => 20 + 380 * draw() ** 2;
  const table = new Float64Array(1 << 18).fill(1.000001);
  for (;;) {
    const end = performance.now() + length();
    let i = 0;
    while (performance.now() < end) for (let n = 0; n < 4096; n++) table[i++ & 262143] *= 1.0000001;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, length());
  }`;

/** Starts the load; the function that comes back ends it. */
export function startBurstyLoad(seed: number, cores: number = availableParallelism()): () => void {
  const children = Array.from({ length: cores }, (_, index) =>
    spawn(process.execPath, ["-e", BURSTS, String(seed * 1000 + index)], { stdio: "ignore" }),
  );
  return cleanUpAtEnd(() => {
    for (const child of children) child.kill("SIGKILL");
  });
}
