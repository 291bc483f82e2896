/**
 * The three kinds of error, named by whose fault it is.
 *
 * A `UserError` says what was given, what was expected, where, and what to do; command lines end with exit
 * code 2. An `UnsupportedError` is a valid request that this build or machine cannot serve. An
 * `InternalError` is a defect of ours.
 */

/** What the user gave is wrong. `where` names the file, node or argument; `hint` says what to do. */
export class UserError extends Error {
  override readonly name: string = "UserError";
  readonly where: string | undefined;
  readonly hint: string | undefined;

  constructor(what: string, options: { where?: string | undefined; hint?: string | undefined; cause?: unknown } = {}) {
    const where = options.where === undefined ? "" : `\n  at ${options.where}`;
    const hint = options.hint === undefined ? "" : `\n  ${options.hint}`;
    super(`${what}${where}${hint}`, options.cause === undefined ? {} : { cause: options.cause });
    this.where = options.where;
    this.hint = options.hint;
  }
}

/** One thing that is not supported, and why. */
export interface Unsupported {
  readonly op: string;
  readonly dtype?: string | undefined;
  readonly target?: string | undefined;
  readonly where?: string | undefined;
  readonly reason: string;
}

function describeUnsupported(item: Unsupported): string {
  const dtype = item.dtype === undefined ? "" : ` (${item.dtype})`;
  const target = item.target === undefined ? "" : ` on ${item.target}`;
  const where = item.where === undefined ? "" : ` at ${item.where}`;
  return `${item.op}${dtype} is not supported${target}${where}: ${item.reason}`;
}

/** Valid input that this build cannot serve. Carries every unsupported item found, not only the first. */
export class UnsupportedError extends UserError {
  override readonly name: string = "UnsupportedError";
  readonly items: readonly Unsupported[];

  constructor(items: Unsupported | readonly Unsupported[]) {
    const list = Array.isArray(items) ? (items as readonly Unsupported[]) : [items as Unsupported];
    super(list.map(describeUnsupported).join("\n"));
    this.items = list;
  }
}

/** A defect of Quern itself. */
export class InternalError extends Error {
  override readonly name: string = "InternalError";
}

/** Throws an `InternalError` unless `condition` holds. */
export function invariant(condition: unknown, message: string | (() => string)): asserts condition {
  if (!condition) throw new InternalError(typeof message === "string" ? message : message());
}
