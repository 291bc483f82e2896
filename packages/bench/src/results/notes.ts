/** Words in rows of results by which other parts know them again. */

/** How the note of a row begins whose rates no machine can have. */
export const IMPOSSIBLE = "impossible: ";

/** How the instruction set of a row ends that the library does not say. */
export const ASSUMED = " (assumed: the library does not say)";
