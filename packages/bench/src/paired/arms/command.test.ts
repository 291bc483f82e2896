import { join } from "node:path";
import { expect, it } from "vitest";
import { npmOnWindows } from "./command.ts";
import { temporaryFolder, writeFiles } from "./repository.test-support.ts";

it("npm on Windows runs without a shell where its program lies beside Node: nobody reads what a range has", () => {
  const folder = temporaryFolder();
  writeFiles(folder, { "node_modules/npm/bin/npm-cli.js": "" });
  const node = join(folder, "node.exe");
  const args = ["install", "--", "a@^1.2.3", "b@>=1 <2"];
  expect(npmOnWindows(args, node)).toEqual({
    program: node,
    args: [join(folder, "node_modules", "npm", "bin", "npm-cli.js"), ...args],
    shell: false,
  });
});

it("elsewhere what cmd.exe would read is refused, and the rest is handed on", () => {
  const node = join(temporaryFolder(), "node.exe");
  const plain = ["install", "--loglevel=error", "--", "@scope/a@1.2.3", "b@~2.0.0"];
  expect(npmOnWindows(plain, node)).toEqual({ program: "npm", args: plain, shell: true });
  for (const odd of ["a@^1.2.3", "a@1||2", "C:\\My files\\a.tgz", "a@%PATH%"]) {
    expect(() => npmOnWindows(["install", odd], node)).toThrow(`npm cannot be given "${odd}" here`);
  }
});
