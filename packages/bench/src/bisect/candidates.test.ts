import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Random } from "../harness/random.ts";
import { makeRepository, temporaryFolder, type Repository } from "../paired/arms/repository.test-support.ts";
import { commitCandidates, npmVersion, versionCandidates, type Candidates } from "./candidates.ts";
import { compareVersions } from "./versions.ts";

describe("versions", () => {
  it("are in the order of the specification", () => {
    const ordered = [
      "0.9.0",
      "1.0.0-0",
      "1.0.0-2",
      "1.0.0-11",
      "1.0.0-alpha",
      "1.0.0-alpha.1",
      "1.0.0-alpha.beta",
      "1.0.0-beta",
      "1.0.0-beta.2",
      "1.0.0-beta.11",
      "1.0.0-rc.1",
      "1.0.0",
      "1.0.2",
      "1.0.10",
      "1.2.0",
      "1.11.0",
      "2.0.0",
    ];
    const seed = 99;
    expect(new Random(seed).shuffle(ordered).sort(compareVersions), `seed ${seed}`).toEqual(ordered);
    expect(compareVersions("1.0.0+a", "1.0.0+b")).toBe(0);
  });
});

describe("versionCandidates", () => {
  const published = ["2.0.0", "1.10.0", "1.2.0", "1.3.0-beta.1", "1.3.0", "1.2.1", "not a version"];
  const find = (good: string, bad: string, versions = published): Promise<Candidates> =>
    versionCandidates({ good, bad, cwd: "/" }, async () => versions);
  const labels = (found: Candidates): string[] => found.after.map(({ label }) => label);

  it("are the releases between two of them", async () => {
    const found = await find("npm:@scope/pkg@1.2.0", "npm:@scope/pkg@2.0.0");
    expect(found.good).toEqual({ source: "npm:@scope/pkg@1.2.0", label: "1.2.0" });
    expect(labels(found)).toEqual(["1.2.1", "1.3.0", "1.10.0", "2.0.0"]);
    expect(found.after[0]?.source).toBe("npm:@scope/pkg@1.2.1");
  });

  it("have pre-releases where they are asked for", async () => {
    expect(labels(await find("npm:pkg@1.3.0-beta.1", "npm:pkg@1.10.0"))).toEqual(["1.3.0", "1.10.0"]);
    expect(labels(await find("npm:pkg@1.2.1", "npm:pkg@1.3.0-beta.1"))).toEqual(["1.3.0-beta.1"]);
  });

  it.each([
    ["npm:pkg@2.0.0", "npm:pkg@1.2.0", "2.0.0 does not come before 1.2.0"],
    ["npm:pkg@1.2.0", "npm:pkg@1.2.0", "1.2.0 does not come before 1.2.0"],
    ["npm:pkg@1.2.0", "npm:other@2.0.0", "not two versions of one package"],
    ["npm:pkg", "npm:pkg@2.0.0", "not two versions of one package"],
    [
      "npm:pkg@1.2.0",
      "npm:pkg@2.0.1",
      'pkg has no version 2.0.1\n  at --good npm:pkg@1.2.0 --bad npm:pkg@2.0.1\n  Did you mean "2.0.0"?',
    ],
  ])("refuse %s to %s", async (good, bad, message) => {
    await expect(find(good, bad)).rejects.toThrow(message);
  });

  it("read names with and without a scope", () => {
    expect(npmVersion("npm:@a/b@1.0.0")).toEqual({ name: "@a/b", version: "1.0.0" });
    expect(npmVersion("npm:b@1.0.0")).toEqual({ name: "b", version: "1.0.0" });
    expect(npmVersion("npm:@a/b")).toBeUndefined();
    expect(npmVersion("b@1.0.0")).toBeUndefined();
  });
});

describe("commitCandidates", () => {
  function history(): Repository & { readonly ids: Readonly<Record<string, string>> } {
    const repository = makeRepository();
    const ids: Record<string, string> = {};
    const commit = (name: string, file = "x.js"): void => {
      ids[name] = repository.commit(name, { [file]: name });
    };
    commit("one");
    commit("two");
    repository.git("checkout", "--quiet", "-b", "side");
    commit("side a", "side.js");
    commit("side b", "side.js");
    repository.git("checkout", "--quiet", "main");
    commit("three", "lib/y.js");
    repository.git("merge", "--quiet", "--no-ff", "-m", "merge side", "side");
    ids["merge"] = repository.git("rev-parse", "HEAD");
    commit("four");
    return { ...repository, ids };
  }

  const titles = (found: Candidates): string[] => found.after.map(({ label }) => label.slice(11));

  it("follow the first parent, oldest first", async () => {
    const { folder, ids } = history();
    const found = await commitCandidates(folder, { good: "main~3", bad: "main" });
    expect(found.good.source).toBe(ids["two"]);
    expect(titles(found)).toEqual(["three", "merge side", "four"]);
    expect(found.after.map(({ source }) => source)).toEqual([ids["three"], ids["merge"], ids["four"]]);
  });

  it("can be those that touch a path, and the bad one", async () => {
    const { folder, git } = history();
    const touching = (...paths: string[]): Promise<Candidates> =>
      commitCandidates(folder, { good: git("rev-list", "--max-parents=0", "HEAD"), bad: "main", paths });
    expect(titles(await touching("lib"))).toEqual(["three", "four"]);
    expect(titles(await touching("x.js"))).toEqual(["two", "four"]);
    expect(titles(await touching(join("side.js")))).toEqual(["merge side", "four"]);
    await expect(touching("srot")).rejects.toThrow(
      /no commit between the two touches this\n {2}at --path srot\n[^]*folder you are in/,
    );
  });

  it("counts paths from the folder that one is in", async () => {
    const { folder, git } = history();
    const good = git("rev-list", "--max-parents=0", "HEAD");
    const from = (cwd: string, path: string): Promise<Candidates> =>
      commitCandidates(folder, { good, bad: "main", paths: [path], cwd });
    expect(titles(await from(join(folder, "lib"), "."))).toEqual(["three", "four"]);
    expect(titles(await from(join(folder, "lib"), "../side.js"))).toEqual(["merge side", "four"]);
    expect(titles(await from(folder, ":(glob)l*/**"))).toEqual(["three", "four"]);
    await expect(from(join(folder, "lib"), "side.js")).rejects.toThrow("no commit between the two touches this");
  });

  it("are refused where the good one does not come before", async () => {
    const { folder } = history();
    const find = (good: string, bad: string, at = folder): Promise<Candidates> => commitCandidates(at, { good, bad });
    await expect(find("main", "main~1")).rejects.toThrow(/does not come before .*\n.*\n.*Are they swapped\?/);
    await expect(find("main", "main")).rejects.toThrow("good and bad are the same commit");
    await expect(find("main~1^2", "main~2")).rejects.toThrow("does not come before");
    await expect(find("nowhere", "main")).rejects.toThrow('there is no commit "nowhere"\n  at --good nowhere');
    await expect(find("a", "b", temporaryFolder())).rejects.toThrow("there is no git repository here");
  });

  it("may begin in a branch that was merged", async () => {
    const { folder } = history();
    expect(titles(await commitCandidates(folder, { good: "side", bad: "main" }))).toEqual([
      "three",
      "merge side",
      "four",
    ]);
  });
});
