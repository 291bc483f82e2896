/** Two copies of the suite in folders of their own: what the measured acceptance tests compare. */

import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cleanUpAtEnd } from "../harness/worker-process.ts";
import { kernels } from "./suite/kernels.ts";

/** Ids of the benches of the suite. */
export const SUITE: readonly string[] = kernels.map(({ id }) => id);

const REPETITIONS = 100;

/** What one arm of the suite does differently. */
export interface SuiteArm {
  /** Change of the work of benches, as a share: 0.05 is 5 % more. */
  readonly change?: Readonly<Record<string, number>>;
  /** The work of all benches grows by `share` from one time to another, ms since 1970. */
  readonly drift?: { readonly from: number; readonly to: number; readonly share: number };
  /** Text added to every source file: comments make another build of the same code. */
  readonly comment?: string;
}

export interface ArmFolders {
  readonly base: string;
  readonly head: string;
  /** Folder of both: configuration is looked for here. */
  readonly root: string;
  remove(): void;
}

function makeRoot(): { root: string; remove: () => void } {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "quern-selftest-")));
  return { root, remove: cleanUpAtEnd(() => rmSync(root, { recursive: true, force: true })) };
}

function writeSuite(folder: string, { change = {}, drift, comment }: SuiteArm): void {
  const source = fileURLToPath(new URL("./suite", import.meta.url));
  cpSync(source, folder, { recursive: true, filter: (path) => !/\.(map|d\.ts)$/.test(path) });
  const repetitions = Object.fromEntries(
    Object.entries(change).map(([id, share]) => [id, Math.round(REPETITIONS * (1 + share))]),
  );
  writeFileSync(join(folder, "injected.json"), JSON.stringify({ repetitions, drift }));
  // Of what is compiled, `package.json` says that it is modules.
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  if (comment === undefined) return;
  for (const name of readdirSync(folder).filter((file) => /\.[jt]s$/.test(file))) {
    const path = join(folder, name);
    writeFileSync(path, `// ${comment}\n${readFileSync(path, "utf8")}`);
  }
}

/** Writes both arms. */
export function suiteArms(base: SuiteArm, head: SuiteArm): ArmFolders {
  const { root, remove } = makeRoot();
  const folders = { base: join(root, "base"), head: join(root, "head") };
  writeSuite(folders.base, base);
  writeSuite(folders.head, head);
  return { ...folders, root, remove };
}

/** Writes both arms from the text of files, by name. */
export function writtenArms(
  base: Readonly<Record<string, string>>,
  head: Readonly<Record<string, string>>,
): ArmFolders {
  const { root, remove } = makeRoot();
  const folders = { base: join(root, "base"), head: join(root, "head") };
  for (const [folder, files] of [
    [folders.base, base],
    [folders.head, head],
  ] as const) {
    mkdirSync(join(folder, "bench"), { recursive: true });
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  }
  return { ...folders, root, remove };
}
