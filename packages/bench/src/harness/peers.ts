/**
 * Optional peers: packages that only some commands need, loaded when they are asked for.
 *
 * A peer that is not installed is a `UserError` that says what to install; an error inside an installed peer stays as it is.
 */

import { UserError } from "@quern/core";

/** The error for a package that is not there. `purpose`: what it is needed for. */
export function missingPeer(name: string, purpose: string, cause?: unknown): UserError {
  return new UserError(`${purpose}: the package ${name} is not installed`, {
    hint: `Install it beside @quern/bench: npm install ${name}`,
    cause,
  });
}

/** Loads a peer by `load`, which imports it (or a path of it); turns its absence into a `UserError`. */
export async function requirePeer<T>(name: string, purpose: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw isAbsent(cause, name) ? missingPeer(name, purpose, cause) : cause;
  }
}

/** Whether `error` says that this very package was not found, not something that the package wanted. */
function isAbsent(error: unknown, name: string): boolean {
  if (!(error instanceof Error) || !("code" in error)) return false;
  const { code } = error;
  return (code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND") && error.message.includes(`'${name}'`);
}
