/** The values that nibbles of `four-bit-tables.ts` choose from. */

/** Unevenly spaced integers: closer together near zero, where most weights are. */
export const UNEVEN: readonly number[] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** The 4-bit floats, doubled to be integers; the scales halve them again. There is no negative zero. */
export const FLOAT4: readonly number[] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
