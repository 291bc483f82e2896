/**
 * `@quern/bench` in the user's files is the harness that runs, whatever the arm has installed or lacks: both arms are
 * measured with the same tool, and the bench files of a npm package need no installation beside it.
 */

import { registerHooks } from "node:module";

const OWN = "@quern/bench";

/** Resolves this package's name to this package in the process that calls it. */
export function resolveHarness(): void {
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === OWN || specifier.startsWith(`${OWN}/`)
        ? next(specifier, { ...context, parentURL: import.meta.url })
        : next(specifier, context),
  });
}
