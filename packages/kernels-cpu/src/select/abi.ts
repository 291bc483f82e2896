/**
 * Calling conventions, as far as a kernel needs them: where its four arguments come and what it must preserve.
 *
 * A kernel is `void kernel(args, taskBegin, taskEnd, threadIndex)`. `args` points to 8-byte slots: the address of
 * each buffer, then the scalars (f32 as its bits in the low half, integers as i64), then the dimension symbols as
 * i64; a kernel with scratch buffers has one slot more: the address of a table with one 8-byte entry per thread,
 * the start of that thread's scratch memory (64-byte aligned). So the kernel need not know how much memory the
 * device keeps per thread.
 */

export interface Abi {
  readonly name: "sysv" | "win64";
  /** General registers of args, taskBegin, taskEnd, threadIndex. */
  readonly args: readonly [number, number, number, number];
  readonly savedGeneral: readonly number[];
  /** Vector registers of which the low 128 bits must be preserved. */
  readonly savedVector: readonly number[];
  /** General registers in order of preference: those that cost nothing first. */
  readonly generalOrder: readonly number[];
}

/** System V: Linux and macOS. */
export const SYSV: Abi = {
  name: "sysv",
  args: [7, 6, 2, 1],
  savedGeneral: [3, 5, 12, 13, 14, 15],
  savedVector: [],
  generalOrder: [0, 1, 2, 6, 7, 8, 9, 10, 11, 3, 5, 14, 15, 12, 13],
};

/** Windows. */
export const WIN64: Abi = {
  name: "win64",
  args: [1, 2, 8, 9],
  savedGeneral: [3, 5, 6, 7, 12, 13, 14, 15],
  savedVector: [6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  generalOrder: [0, 1, 2, 8, 9, 10, 11, 3, 5, 6, 7, 14, 15, 12, 13],
};
