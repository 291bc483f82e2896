/**
 * Shared libraries of the system, called through koffi: found by name, known by path and sha256.
 *
 * koffi is an optional peer. The name goes to the system's loader, which also looks where `LD_LIBRARY_PATH` says; which
 * file it took is read back from the process's memory map (Linux).
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { UserError } from "@quern/core";
import type * as KoffiModule from "koffi";
import { requirePeer } from "../harness/peers.ts";

type Koffi = typeof KoffiModule;

/** A function of a library; addresses and sizes are numbers. */
export type NativeFunction = (...given: readonly (number | bigint)[]) => number;

export interface NativeLibrary {
  /** Path of the file, or the name that it was loaded by where the system does not say. */
  readonly file: string;
  readonly sha256: string | null;
  /** Binds a function by its C declaration; throws a `UserError` where the library has none of that name. */
  bind(declaration: string): NativeFunction;
  /** The same for a function without arguments that returns a string; null where the library has none. */
  text(name: string): string | null;
  /** Address of a view's first byte, which stays as long as the view does. */
  address(view: ArrayBufferView): bigint;
}

/** Loads the first of `names` that the system has. `purpose` begins, and `hint` ends, the error where it has none. */
export async function loadLibrary(names: readonly string[], purpose: string, hint: string): Promise<NativeLibrary> {
  const koffi = await requirePeer("koffi", purpose, async () => {
    const module = (await import("koffi")) as Koffi & { default?: Koffi };
    return module.default ?? module;
  });
  let reason = "no name is known here";
  for (const name of names) {
    try {
      return wrap(koffi, koffi.load(name), name);
    } catch (error) {
      reason = (error as Error).message;
    }
  }
  throw new UserError(`${purpose}: the library could not be loaded (${names.join(", ")}: ${reason})`, { hint });
}

function wrap(koffi: Koffi, library: ReturnType<Koffi["load"]>, name: string): NativeLibrary {
  const file = loadedFile(name) ?? name;
  return {
    file,
    get sha256() {
      return digest(file);
    },
    bind(declaration) {
      try {
        return library.func(declaration) as unknown as NativeFunction;
      } catch (cause) {
        throw new UserError(`${basename(file)}: ${(cause as Error).message}`, {
          where: file,
          hint: "Another version of the library may have the function.",
          cause,
        });
      }
    },
    text(symbol) {
      try {
        return (library.func(`char *${symbol}(void)`) as () => string)();
      } catch {
        return null;
      }
    },
    address: (view) => koffi.address(view.buffer as ArrayBuffer) + BigInt(view.byteOffset),
  };
}

/** Path of the mapped file whose name begins like that of the library: "libfoo.so.0" is often a link to "libfoop-r1.so". */
function loadedFile(name: string): string | undefined {
  const stem = basename(name).replace(/\.(so|dylib|dll)\b.*$/, "");
  try {
    const files = readFileSync("/proc/self/maps", "utf8")
      .split("\n")
      .map((line) => line.slice(line.indexOf("/")))
      .filter((path) => path.startsWith("/"));
    return files.find((path) => basename(path).startsWith(stem));
  } catch {
    return undefined;
  }
}

function digest(file: string): string | null {
  try {
    return createHash("sha256").update(readFileSync(file)).digest("hex");
  } catch {
    return null;
  }
}
