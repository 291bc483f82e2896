/** What the exit code of a gate says. One number each, so that a script need not read text. */

import { UserError } from "@quern/core/errors";

export const EXIT = {
  pass: 0,
  regressed: 1,
  usage: 2,
  invalid: 3,
  wrong: 4,
  inconclusive: 5,
  budget: 6,
  internal: 70,
  /** As shells say it: 128 and the number of the signal. */
  interrupted: 130,
} as const;

/** What an error stands for that ends a command: a code of its own, wrong use, or a defect. */
export function exitCodeOfError(error: unknown): number {
  if (!(error instanceof UserError)) return EXIT.internal;
  const { exitCode } = error as { readonly exitCode?: unknown };
  return typeof exitCode === "number" ? exitCode : EXIT.usage;
}

/** For help texts. */
export const EXIT_HELP = `Exit codes: 0 pass (or IDENTICAL, NEW: not measured), 1 confirmed regression, 2 wrong use or configuration,
3 the machine was disturbed (try again), 4 wrong output, crash, missing bench or a build that fails,
5 inconclusive with --strict, 6 budget spent too early, 70 a defect, 130 Ctrl-C. ab ends with 0 in place of 1 and 5.`;
