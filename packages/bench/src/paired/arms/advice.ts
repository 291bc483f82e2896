/** What to do where a bench of an arm fails for the way in which the arm was made: nothing is installed in it, or not all. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { StagedArm } from "./arm.ts";

/** Of modules and of CommonJS. */
const MISSING = /Cannot find (?:package|module) '([^']+)'/;
const SCRIPTS = ["preinstall", "install", "postinstall"];
/** More names are no help. */
const MOST_NAMES = 5;

/** Advice for the text of a failure in the processes of an arm; undefined where there is none to give. */
export function adviceFor(
  { kind, directory }: Pick<StagedArm, "kind" | "directory">,
  prepare: readonly string[],
): (failure: string) => string | undefined {
  return (failure) => {
    const missing = MISSING.exec(failure)?.[1];
    if (kind === "npm") return adviceForPackages(directory, missing);
    const isCheckout = kind === "commit" || kind === "tree";
    if (!isCheckout || missing === undefined || prepare.length > 0) return undefined;
    return 'The build is a fresh checkout, in which nothing is installed: set `prepare: ["npm ci"]` in quern.bench.config.ts.';
  };
}

function adviceForPackages(directory: string, missing: string | undefined): string | undefined {
  if (missing !== undefined && /^@?[a-z0-9]/i.test(missing) && !/^[a-z]:/i.test(missing)) {
    return `Only what the source names is installed: npm:a@1.0.0,${missing}@1.0.0 installs ${missing} beside a.`;
  }
  const names = packagesWithScripts(directory);
  if (names.length === 0) return undefined;
  const list = names.length > MOST_NAMES ? `${names.slice(0, MOST_NAMES).join(", ")} and others` : names.join(", ");
  return (
    `Packages were installed without their scripts (--ignore-scripts), and these have some: ${list}. ` +
    "A folder in which they are installed can be compared: --base ./folder."
  );
}

/** Packages of an installation that would have run something; none where npm has left no list of them. */
function packagesWithScripts(directory: string): string[] {
  const { packages = {} } = read(join(directory, "node_modules", ".package-lock.json")) as {
    readonly packages?: Readonly<Record<string, unknown>>;
  };
  return Object.keys(packages)
    .filter((path) => {
      const folder = join(directory, path);
      const { scripts = {} } = read(join(folder, "package.json")) as { readonly scripts?: object };
      return SCRIPTS.some((name) => name in scripts) || existsSync(join(folder, "binding.gyp"));
    })
    .map((path) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length));
}

/** The failure is what is told; that a file cannot be read must not take its place. */
function read(file: string): object {
  try {
    const value: unknown = JSON.parse(readFileSync(file, "utf8"));
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
