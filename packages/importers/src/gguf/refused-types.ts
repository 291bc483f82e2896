/** Types whose size is not known: files that use them are refused. */

const REMOVED = "it was removed from the format; convert the model again";
const REPACKED = "it is a layout for one processor that was removed from the format; convert the model again";

/** By number of the tensor table. */
export const refusedTypes: ReadonlyMap<number, { readonly name: string; readonly reason: string }> = new Map([
  [4, { name: "Q4_2", reason: REMOVED }],
  [5, { name: "Q4_3", reason: REMOVED }],
  [31, { name: "Q4_0_4_4", reason: REPACKED }],
  [32, { name: "Q4_0_4_8", reason: REPACKED }],
  [33, { name: "Q4_0_8_8", reason: REPACKED }],
  [36, { name: "IQ4_NL_4_4", reason: REPACKED }],
  [37, { name: "IQ4_NL_4_8", reason: REPACKED }],
  [38, { name: "IQ4_NL_8_8", reason: REPACKED }],
  [42, { name: "Q2_0", reason: "files with blocks of 64 and of 128 weights use this number" }],
]);
