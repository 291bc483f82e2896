/**
 * Kernels kept between processes: site plans in a cache folder, by a digest of everything that decides them, which is
 * the site's signature, the target, threads and precision, and the build of the compiler.
 */

import { createHash } from "node:crypto";
import { debug, debugLevel, envFlag, readEnv } from "@quern/core";
import type { KernelEnvironment } from "../kernels/kernel.ts";
import { buildId } from "./disk/build-id.ts";
import { CacheFolder, defaultCacheFolder } from "./disk/cache-folder.ts";
import { decodeSite, encodeSite } from "./disk/site-text.ts";
import type { SitePlan } from "./kernel-cache.ts";

export interface KernelDisk {
  readonly folder: CacheFolder;
  readonly build: string;
}

/** The cache of the option `cache` and of `QUERN_CACHE`; none when it is off. */
export function kernelDisk(option: string | false | undefined): KernelDisk | undefined {
  const variable = readEnv("QUERN_CACHE");
  if (option === false || (option === undefined && variable === "0")) return undefined;
  const path = option ?? (variable === undefined || variable === "1" ? defaultCacheFolder() : variable);
  return { folder: new CacheFolder(path), build: buildId() };
}

/** Whether somebody looks at how kernels are made: then all of them are. */
export function kernelsWatched(): boolean {
  return debugLevel() >= 3 || readEnv("QUERN_DUMP") !== undefined || envFlag("QUERN_VERIFY") || envFlag("QUERN_CHECK");
}

export class SiteStore {
  readonly #folder: CacheFolder;
  readonly #environment: string;
  readonly #added: { readonly key: string; readonly plan: SitePlan }[] = [];

  constructor({ folder, build }: KernelDisk, { target, threads, precision }: KernelEnvironment) {
    this.#folder = folder;
    const { name, features } = target;
    this.#environment = JSON.stringify([build, name, [...features].toSorted(), threads, precision]);
  }

  read(signature: string): SitePlan | undefined {
    if (kernelsWatched()) return undefined;
    const bytes = this.#folder.read(this.#key(signature));
    if (bytes === undefined) return undefined;
    try {
      return decodeSite(bytes);
    } catch (error) {
      debug(1, () => `kernel cache: ${String(error)}`);
      return undefined;
    }
  }

  /** Notes a plan for `flush`. What the host computes is not kept: it costs nothing to find again. */
  add(signature: string, plan: SitePlan): void {
    if (plan.kind === "kernels") this.#added.push({ key: this.#key(signature), plan });
  }

  flush(): void {
    for (const { key, plan } of this.#added.splice(0))
      if (plan.kind === "kernels") this.#folder.write(key, encodeSite(plan));
  }

  #key(signature: string): string {
    return createHash("sha256").update(this.#environment).update("\n").update(signature).digest("hex");
  }
}
