import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { ListAnswer, ListedBench } from "../../define/list-benches.ts";
import type { ArmName, StagedArm } from "./arm.ts";
import { changedBenches } from "./bench-changes.ts";
import { temporaryFolder, writeFiles } from "./repository.test-support.ts";

/** One bench in one arm. */
interface Side extends Pick<ListedBench, "params" | "work"> {
  readonly file?: string;
  /** Where that leads. */
  readonly real?: string;
  /** Of the file; missing: not known. */
  readonly sha256?: string;
}

function changed(base: Side, head: Side, root = "/t"): string[] {
  const arm = (name: ArmName): StagedArm => {
    const directory = join(root, name);
    return { name, letter: "a", directory, project: directory, source: name, resolved: name };
  };
  const list = (name: ArmName, { file = "a.bench.js", real = file, sha256, ...more }: Side): ListAnswer => ({
    benches: [{ id: "a", file, index: 0, ...more }],
    loaded: sha256 === undefined ? [] : [{ path: join(root, name, real), sha256 }],
  });
  const lists = { base: list("base", base), head: list("head", head) };
  const compared = [{ base: lists.base.benches[0] as ListedBench, head: lists.head.benches[0] as ListedBench }];
  return [...changedBenches({ base: arm("base"), head: arm("head") }, lists, compared)];
}

it("a bench is another one by the text of its file, not by its name", () => {
  expect(changed({ sha256: "1" }, { sha256: "1" })).toEqual([]);
  expect(changed({ sha256: "1" }, { sha256: "2" })).toEqual(["a"]);
  expect(changed({ sha256: "1" }, { file: "moved.bench.js", sha256: "1" })).toEqual([]);
  expect(changed({}, {})).toEqual([]);
});

it("by its parameters and its work, in whatever order they are named", () => {
  expect(changed({ params: { n: 1, m: 2 } }, { params: { m: 2, n: 1 } })).toEqual([]);
  expect(changed({ params: { n: 1 } }, { params: { n: 2 } })).toEqual(["a"]);
  expect(changed({ params: { n: 1 } }, {})).toEqual(["a"]);
  expect(changed({ work: { flops: 1 } }, { work: { flops: 1 } })).toEqual([]);
  expect(changed({ work: { flops: 1 } }, { work: { flops: 1, bytes: 2 } })).toEqual(["a"]);
});

it("behind a link too", () => {
  const root = temporaryFolder();
  writeFiles(root, { "base/a.bench.js": "1", "head/a.bench.js": "2" });
  symlinkSync("a.bench.js", join(root, "head", "link.bench.js"));
  expect(changed({ sha256: "1" }, { file: "link.bench.js", real: "a.bench.js", sha256: "2" }, root)).toEqual(["a"]);
});
