/**
 * Changes that matter in bodies that run through much code: after any warm-up that a gate has time for, V8 has optimised other parts of
 * it in each process. Processes of identical code differ by as much.
 */

/** Of a few passes over a model. */
export const MUCH_CODE = 0.05;

/** Of the whole compiler. */
export const VERY_MUCH_CODE = 0.1;
