/**
 * Chooses the host of the running platform. The foreign function library loads on first use, so that importing the
 * package never fails on a platform without machine code of ours.
 */
import { UnsupportedError } from "@quern/core";

import { createLinuxHost } from "./linux-host.ts";
import type { NativeHost } from "./native-host.ts";
import { createWindowsHost } from "./windows-host.ts";

let current: NativeHost | undefined;

/** The host of this process. Throws an `UnsupportedError` on platforms without one. */
export function nativeHost(): NativeHost {
  current ??= createHost(process.platform, process.arch);
  return current;
}

/** As {@link nativeHost} for a given platform and architecture, in the words of Node. */
export function createHost(platform: string, arch: string): NativeHost {
  if (arch === "x64" && platform === "linux") return createLinuxHost();
  if (arch === "x64" && platform === "win32") return createWindowsHost();
  throw new UnsupportedError({
    op: "native code",
    target: `${platform}-${arch}`,
    reason: "machine code is generated for x86-64 on Linux and Windows; use the reference device here",
  });
}
