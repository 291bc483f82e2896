import { cpSync, existsSync, mkdirSync, realpathSync, symlinkSync } from "node:fs";
import { createRequire, findPackageJSON } from "node:module";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { listBenches, type ListAnswer, type ListedBench } from "../../define/list-benches.ts";
import type { ArmPair, LoadedFile, StagedArm } from "./arm.ts";
import { artefactOf, compareLists, harnessFolders, preflight, requireOwnFiles } from "./preflight.ts";
import { Refusal } from "./refusal.ts";
import { temporaryFolder, writeFiles, type Files } from "./repository.test-support.ts";

const bench = (id: string, params = {}): ListedBench => ({ file: "x.bench.js", index: 0, id, params });
const ids = (benches: readonly { readonly id: string }[]): string[] => benches.map(({ id }) => id);

function arms(files: ArmPair<Files>): ArmPair<StagedArm> {
  const root = temporaryFolder();
  const arm = (name: "base" | "head", letter: "a" | "b"): StagedArm => {
    const directory = join(root, letter);
    mkdirSync(directory);
    writeFiles(directory, files[name]);
    return { name, letter, directory, project: directory, source: name, resolved: name };
  };
  return { base: arm("base", "b"), head: arm("head", "a") };
}

const listed = async (pair: ArmPair<StagedArm>): Promise<ArmPair<ListAnswer>> => {
  const list = (arm: StagedArm): Promise<ListAnswer> =>
    listBenches(arm, { what: arm.name, benches: ["*.bench.js"], attempt: true });
  return { base: await list(pair.base), head: await list(pair.head) };
};

/** The refusal that checking two arms ends with. */
async function refusal(pair: ArmPair<StagedArm>, options = {}): Promise<Refusal> {
  const lists = await listed(pair);
  try {
    preflight(pair, lists, options);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("compareLists", () => {
  const lists = (base: string[], head: string[]): ArmPair<ListedBench[]> => ({
    base: base.map((id) => bench(id)),
    head: head.map((id) => bench(id)),
  });

  it("sorts benches by the arms that have them", () => {
    const found = compareLists(lists(["a", "old", "b", "lost"], ["b", "new", "a"]), { removed: ["ol?"] });
    expect(found.compared.map(({ base, head }) => [base.id, head.id])).toEqual([
      ["b", "b"],
      ["a", "a"],
    ]);
    expect([ids(found.added), ids(found.removed), ids(found.missing)]).toEqual([["new"], ["old"], ["lost"]]);
  });

  it("filters the benches of both arms, the missing ones among them", () => {
    const both = lists(["x/a", "x/lost", "y/lost"], ["x/a", "y/b"]);
    const found = compareLists(both, { filter: ["x"] });
    expect(ids(found.missing)).toEqual(["x/lost"]);
    expect(found.added).toEqual([]);
    expect(() => compareLists(both, { filter: ["z"] })).toThrow('no bench is named like "z"');
  });

  it("refuses when nothing is left, but not when what is left is an error", () => {
    expect(() => compareLists(lists(["a"], ["b"]), { removed: ["a"] })).toThrow("no bench is in both base and head");
    expect(() => compareLists(lists([], ["b"]), {})).toThrow(Refusal);
    expect(ids(compareLists(lists(["a"], ["b"])).missing)).toEqual(["a"]);
  });

  it("knows a base that has no benches from one that has others", () => {
    expect(() => compareLists(lists([], ["b"]), {})).toThrow(/the base has no bench files[^]*The bench of head is new/);
    expect(ids(compareLists(lists([], ["b", "c"]), { allowNew: true }).added)).toEqual(["b", "c"]);
    expect(() => compareLists(lists(["a"], ["b"]), { removed: ["a"], allowNew: true })).toThrow(
      "no bench is in both base and head",
    );
  });

  it("leaves out what fails in the base alone", () => {
    const both = lists(["a", "b", "c", "d"], ["a", "b", "c", "d"]);
    const faults: Readonly<Record<string, Partial<ListedBench>>> = {
      b: { failure: "x" },
      c: { wrong: "y" },
      d: { wrong: "z" },
    };
    const base = both.base.map((each) => ({ ...each, ...faults[each.id] }));
    const head = both.head.map((each) => (each.id === "d" ? { ...each, wrong: "z" } : each));
    const found = compareLists({ base, head });
    expect(found.failing.map((pair) => pair.base.id)).toEqual(["b", "c"]);
    expect(found.compared.map((pair) => pair.base.id)).toEqual(["a", "d"]);
  });
});

describe("requireOwnFiles", () => {
  const pair = {
    base: { name: "base", letter: "a", directory: "/t/a", project: "/t/a", source: "", resolved: "" },
    head: { name: "head", letter: "b", directory: "/t/b", project: "/t/b", source: "", resolved: "" },
  } as const;
  const check = (...paths: string[]): void =>
    requireOwnFiles(
      pair.base,
      pair.head,
      paths.map((path): LoadedFile => ({ path, sha256: "" })),
      { harness: ["/h/bench"], shared: ["/usr/local/cuda/lib64"] },
    );

  it("lets an arm load its own files, the harness and libraries of the system", () => {
    expect(() => check("/t/a/x.js", "/t/a/node_modules/y.node", "/h/bench/dist/index.js")).not.toThrow();
    expect(() => check("/usr/local/cuda/lib64/libcublas.so.13")).not.toThrow();
    if (process.platform === "linux") check("/usr/lib/x86_64-linux-gnu/libopenblas.so.0", "/lib/libm.so.6");
  });

  it.each([
    ["/t/b/x.js", "base loads a file of head\n  at /t/b/x.js"],
    ["/t/ab/x.js", "base loads a file from outside of its directory"],
    ["/usr/lib/node_modules/x/index.js", "base loads a file from outside"],
    ["/usr/lib/node_modules/x/x.node", "base loads a file from outside"],
    ["/h/bench-models/x.js", "base loads a file from outside"],
    ["/home/x/libmine.so", "base loads a file from outside"],
    ["/usr/lib/node_modules/x/libx.so", "base loads a file from outside"],
  ])("refuses %s", (path, message) => {
    expect(() => check("/t/a/x.js", path)).toThrow(message);
  });

  it("knows its own folders", () => {
    const folders = harnessFolders();
    const within = (path: string): boolean => folders.some((folder) => path.startsWith(folder));
    expect(within(import.meta.filename)).toBe(true);
    const packageFile = (name: string): string => realpathSync(findPackageJSON(name, import.meta.url) ?? "");
    expect(within(packageFile("tinybench"))).toBe(true);
    expect(within(packageFile("@quern/core"))).toBe(true);
    expect(within(packageFile("vitest"))).toBe(false);
  });
});

describe("preflight", () => {
  const A = "import { f } from './lib.js'; export default { id: 'a', run: () => f() };";
  const lib = (value: number): string => `export const f = () => ${value};`;

  it("gives each arm the identity of what it has loaded, wherever the arm lies", async () => {
    const pair = arms({
      base: { "a.bench.js": A, "lib.js": lib(1), "unused.js": "1" },
      head: { "a.bench.js": A, "lib.js": lib(2), "unused.js": "2" },
    });
    const lists = await listed(pair);
    const { artefacts, compared, changed } = preflight(pair, lists, {});
    expect(compared).toHaveLength(1);
    expect([...changed]).toEqual([]);
    expect(artefacts.base.files).toBe(2);
    expect(artefacts.base.sha256).not.toBe(artefacts.head.sha256);
    const again = arms({ base: { "a.bench.js": A, "lib.js": lib(2) }, head: { "a.bench.js": A, "lib.js": lib(1) } });
    const { artefacts: swapped } = preflight(again, await listed(again), {});
    expect(swapped).toEqual({ base: artefacts.head, head: artefacts.base });
    expect(artefactOf(pair.base, [])).not.toEqual(artefactOf(pair.base, lists.base.loaded));
  });

  it("refuses arms whose benches load the same, though other files differ", async () => {
    const files = { "a.bench.js": A, "lib.js": lib(1) };
    const pair = arms({ base: { ...files, "README.md": "old" }, head: { ...files, "README.md": "new" } });
    expect(await refusal(pair)).toMatchObject({ reason: "identical-files", exitCode: 2 });
    const { artefacts, identical } = preflight(pair, await listed(pair), { allowIdentical: true });
    expect(artefacts.base).toEqual(artefacts.head);
    expect(identical).toBe(true);
  });

  it("never takes arms for identical whose benches run code where it is not seen", async () => {
    const start =
      "import { execFileSync } from 'node:child_process'; export default { id: 'a', run: () => execFileSync(process.execPath, ['cli.js']) };";
    const pair = arms({
      base: { "a.bench.js": start, "cli.js": "1;" },
      head: { "a.bench.js": start, "cli.js": "2;" },
    });
    const { artefacts, identical } = preflight(pair, await listed(pair), {});
    expect(artefacts.base).toEqual(artefacts.head);
    expect(identical).toBe(false);
  });

  it("sees data that a bench reads", async () => {
    const reading =
      "import fs from 'node:fs'; export default { id: 'a', run: () => fs.readFileSync('data.txt', 'utf8').length };";
    const pair = arms({
      base: { "a.bench.js": reading, "data.txt": "1" },
      head: { "a.bench.js": reading, "data.txt": "2" },
    });
    expect(preflight(pair, await listed(pair), {}).artefacts.base.files).toBe(2);
  });

  it("refuses an arm that imports from the other arm, by path or by link", async () => {
    const byPath = arms({ base: { "a.bench.js": A, "lib.js": lib(1) }, head: { "lib.js": lib(2) } });
    writeFiles(byPath.head.directory, {
      "a.bench.js": `import { f } from ${JSON.stringify(join(byPath.base.directory, "lib.js"))}; export default { id: 'a', run: f };`,
    });
    const error = await refusal(byPath);
    expect(error).toMatchObject({ reason: "foreign-file", exitCode: 4 });
    expect(error.message).toContain(`head loads a file of base\n  at ${join(byPath.base.directory, "lib.js")}`);
    const byLink = arms({ base: { "a.bench.js": A, "lib.js": lib(1) }, head: { "a.bench.js": A } });
    symlinkSync(join(byLink.base.directory, "lib.js"), join(byLink.head.directory, "lib.js"));
    expect((await refusal(byLink)).message).toContain("head loads a file of base");
  });

  it("refuses an arm that imports from outside of both", async () => {
    const outside = temporaryFolder();
    writeFiles(outside, { "lib.js": lib(3) });
    const pair = arms({ base: { "a.bench.js": A, "lib.js": lib(1) }, head: { "a.bench.js": A } });
    symlinkSync(join(outside, "lib.js"), join(pair.head.directory, "lib.js"));
    expect((await refusal(pair)).message).toContain("head loads a file from outside of its directory");
  });

  it("refuses the native library of the other arm", async ({ skip }) => {
    const addon = findAddon();
    if (addon === undefined) return skip("no native addon is installed here");
    const load =
      "import { createRequire, findPackageJSON } from 'node:module'; export default { id: 'a', run: () => createRequire(import.meta.url)(";
    const own = arms({
      base: { "a.bench.js": `${load}'./x.node')};` },
      head: { "a.bench.js": `${load}'./x.node')}; // head` },
    });
    cpSync(addon, join(own.base.directory, "x.node"));
    cpSync(addon, join(own.head.directory, "x.node"));
    const lists = await listed(own);
    expect(lists.head.loaded.map(({ path }) => path)).toContain(join(own.head.directory, "x.node"));
    expect([...preflight(own, lists, {}).changed]).toEqual(["a"]);
    const wrong = join(own.base.directory, "x.node");
    writeFiles(own.head.directory, { "a.bench.js": `${load}${JSON.stringify(wrong)})};` });
    expect((await refusal(own)).message).toContain(`head loads a file of base\n  at ${wrong}`);
  });

  it("sees a library that is opened without Node's loader", async ({ skip }) => {
    const addon = findAddon();
    if (addon === undefined) return skip("no native addon is installed here");
    const open = (path: string): string =>
      `export default { id: 'a', run: () => process.dlopen({ exports: {} }, ${JSON.stringify(path)}) };`;
    const pair = arms({ base: {}, head: {} });
    const path = join(pair.base.directory, "x.node");
    cpSync(addon, path);
    writeFiles(pair.base.directory, { "a.bench.js": open(path) });
    writeFiles(pair.head.directory, { "a.bench.js": open(path) });
    expect((await refusal(pair)).message).toContain(`head loads a file of base\n  at ${path}`);
  });
});

/** Koffi's addon, which is a dependency of the workspace. */
function findAddon(): string | undefined {
  const { platform, arch } = process;
  try {
    const kernels = createRequire(import.meta.url).resolve("@quern/kernels-cpu/package.json");
    const koffi = createRequire(kernels).resolve("koffi");
    const binary = createRequire(koffi).resolve(`@koromix/koffi-${platform}-${arch}/package.json`);
    const addon = join(dirname(binary), `${platform}_${arch}`, "koffi.node");
    return existsSync(addon) ? addon : undefined;
  } catch {
    return undefined;
  }
}
