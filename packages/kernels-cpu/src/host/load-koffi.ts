/**
 * Loads the foreign function library on first use, and binds the two signatures the hosts share.
 */
import { createRequire } from "node:module";

import { InternalError, UnsupportedError } from "@quern/core";

import type { NativeEntry } from "./native-host.ts";

export type Koffi = typeof import("koffi");

let loaded: Koffi | undefined;

/** Throws an `UnsupportedError` where the package has no binary for this platform. */
export function loadKoffi(): Koffi {
  if (loaded !== undefined) return loaded;
  try {
    loaded = createRequire(import.meta.url)("koffi") as Koffi;
  } catch (cause) {
    throw new UnsupportedError({
      op: "native code",
      target: `${process.platform}-${process.arch}`,
      reason: `the package "koffi" could not be loaded (${cause instanceof Error ? cause.message : String(cause)})`,
    });
  }
  return loaded;
}

/** An entry over one bound `void f(uint64)`: of all signatures that take an argument, the cheapest to call. */
export function bindEntry(koffi: Koffi, address: bigint): NativeEntry {
  const run = koffi.decode(address, koffi.proto("void", ["uint64"])) as {
    (argument: number): void;
    async(argument: number, done: (error: unknown) => void): void;
  };
  return {
    address,
    call: (argument) => run(Number(argument)),
    callAsync: (argument) =>
      new Promise((resolve, reject) => {
        run.async(Number(argument), (error) => {
          if (error === null || error === undefined) resolve();
          else
            reject(
              new InternalError(
                `the native call could not be started: ${error instanceof Error ? error.message : "no reason given"}`,
              ),
            );
        });
      }),
  };
}

/** Address of a view's first byte. */
export function viewAddress(koffi: Koffi, view: ArrayBufferView | ArrayBuffer): bigint {
  if (view instanceof ArrayBuffer) return koffi.address(view);
  // Small typed arrays live inside the moving heap until their buffer is asked for; afterwards their bytes stay put.
  const buffer = view.buffer;
  if (!(buffer instanceof ArrayBuffer))
    throw new InternalError("addressOf: shared buffers have no stable address here");
  return koffi.address(buffer) + BigInt(view.byteOffset);
}
