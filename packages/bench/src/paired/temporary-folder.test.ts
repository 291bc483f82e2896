import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "@quern/core/errors";
import { expect, it, onTestFinished } from "vitest";
import { Refusal } from "./arms/refusal.ts";
import { makeRepository, temporaryFolder } from "./arms/repository.test-support.ts";
import { stageArms } from "./arms/stage.ts";
import { makeTemporaryFolder, whyNoFolder } from "./temporary-folder.ts";

const { TMPDIR } = process.env;

function withTmpdir(folder: string): void {
  process.env["TMPDIR"] = folder;
  onTestFinished(() => {
    if (TMPDIR === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = TMPDIR;
  });
}

it("is a folder of its own where TMPDIR says", () => {
  const place = temporaryFolder();
  withTmpdir(place);
  const folder = makeTemporaryFolder("x-");
  expect(folder.startsWith(join(place, "x-"))).toBe(true);
  expect(existsSync(folder)).toBe(true);
  rmSync(folder, { recursive: true });
});

it("a TMPDIR that is not there is no defect, whoever needs it", async () => {
  const { folder, commit } = makeRepository();
  commit("one", { "a.js": "1" });
  commit("two", { "a.js": "2" });
  const missing = join(temporaryFolder(), "missing");
  withTmpdir(missing);
  expect(() => makeTemporaryFolder("x-")).toThrow(UserError);
  const plan = {
    base: "HEAD~1",
    head: "HEAD",
    cwd: folder,
    project: folder,
    benches: [],
    files: [],
    prepare: [],
    seed: 1,
  };
  await expect(stageArms(plan, () => {})).rejects.toThrow(
    `no folder can be made for temporary files\n  at TMPDIR, ${missing}\n  Set TMPDIR to a folder`,
  );
});

it("is told from a full disk, and from what says nothing of the place", () => {
  const failed = (code: string, text: string): Error => Object.assign(new Error(`${code}: ${text}`), { code });
  for (const code of ["EACCES", "EROFS", "ENOTDIR", "EPERM"]) {
    expect(whyNoFolder(failed(code, "mkdtemp"), "/tmp")).toBeInstanceOf(UserError);
    expect(whyNoFolder(failed(code, "mkdtemp"), "/tmp")).not.toBeInstanceOf(Refusal);
  }
  for (const code of ["ENOSPC", "EDQUOT"]) {
    expect(whyNoFolder(failed(code, "mkdtemp"), "/tmp")).toMatchObject({ reason: "disk-full", exitCode: 3 });
  }
  const other = failed("EIO", "mkdtemp");
  expect(whyNoFolder(other, "/tmp")).toBe(other);
});
