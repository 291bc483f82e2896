/**
 * The processor's time stamp counter in nanoseconds, for the times that programs note in their steps.
 *
 * The counter runs at one rate on all cores of a machine. The rate is taken against Node's clock over the time between
 * the first use and now, so it gets better with every call; the first call spends a millisecond.
 */
import { CodeArena } from "./code-arena.ts";
import type { NativeHost } from "./native-host.ts";
import { assembleTimeStamp } from "./runner-code.ts";

interface Moment {
  readonly ticks: bigint;
  readonly ns: bigint;
}

const clocks = new WeakMap<NativeHost, { readonly read: () => Moment; readonly first: Moment }>();

/** Ticks of the time stamp counter per nanosecond. */
export function ticksPerNs(host: NativeHost): number {
  const { read, first } = clockOf(host);
  let now = read();
  while (now.ns - first.ns < 1_000_000n) now = read();
  return Number(now.ticks - first.ticks) / Number(now.ns - first.ns);
}

function clockOf(host: NativeHost): { readonly read: () => Moment; readonly first: Moment } {
  let clock = clocks.get(host);
  if (clock === undefined) {
    const [address] = new CodeArena(host).publish([assembleTimeStamp(host.abi)]) as [bigint];
    const entry = host.entry(address);
    const memory = host.allocate(8);
    const word = new BigUint64Array(memory.buffer);
    const read = (): Moment => {
      const before = process.hrtime.bigint();
      entry.call(memory.address);
      const after = process.hrtime.bigint();
      return { ticks: word[0] ?? 0n, ns: (before + after) / 2n };
    };
    clock = { read, first: read() };
    clocks.set(host, clock);
  }
  return clock;
}
