import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "@quern/core";
import { afterAll, describe, expect, it } from "vitest";
import { caseFolders, tensorFiles } from "./model.ts";

const directory = mkdtempSync(join(tmpdir(), "quern-model-test-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** A folder of this name with an empty model file and `case-0`. */
function folderOf(name: string): { readonly model: string; readonly first: string } {
  const [model, first] = [join(directory, name, "net.onnx"), join(directory, name, "case-0")];
  mkdirSync(first, { recursive: true });
  writeFileSync(model, "");
  return { model, first };
}

function thrown(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

describe("case files", () => {
  it("are found by number and by the names of tensors", () => {
    const { model, first } = folderOf("usual");
    for (const name of ["case-10", "case-2", "case-x"]) mkdirSync(join(first, "..", name));
    writeFileSync(join(first, "in-a%2Fb%25.npy"), "");
    writeFileSync(join(first, "out-y.npy"), "");
    expect(caseFolders(model).map((folder) => folder.slice(join(directory, "usual/").length))).toEqual([
      "case-0",
      "case-2",
      "case-10",
    ]);
    expect(tensorFiles(first, "in-")).toEqual({ "a/b%": join(first, "in-a%2Fb%25.npy") });
  });

  it("whose names are not encoded are told, with what to do", () => {
    const { first } = folderOf("percent");
    writeFileSync(join(first, "in-100%.npy"), "");
    const error = thrown(() => tensorFiles(first, "in-"));
    expect(error).toBeInstanceOf(UserError);
    expect(error).toMatchObject({ where: join(first, "in-100%.npy"), hint: expect.stringContaining("% as %25") });
  });

  it("behind a link to nothing are told, not passed over", () => {
    const { model, first } = folderOf("link");
    const link = join(first, "..", "case-1");
    symlinkSync(join(directory, "nothing"), link);
    const error = thrown(() => caseFolders(model));
    expect(error).toBeInstanceOf(UserError);
    expect(error).toMatchObject({ where: link, message: expect.stringContaining("ENOENT") });
    expect(thrown(() => tensorFiles(link, "in-"))).toBeInstanceOf(UserError);
  });
});
