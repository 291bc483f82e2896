import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, it } from "vitest";
import { npmOnWindows, runCommand } from "./command.ts";
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

it("what a command leaves in the background ends with it", async ({ skip }) => {
  if (process.platform === "win32") skip("there are no process groups");
  const cwd = temporaryFolder();
  const [good, bad] = ["good", "bad"].map((name) => join(cwd, name));
  expect(await runCommand({ program: `(sleep 1; echo late > ${good}) & echo done`, cwd })).toBe("done\n");
  const failing = runCommand({ program: `(sleep 1; echo late > ${bad}) & echo why >&2; exit 7`, cwd });
  await expect(failing).rejects.toMatchObject({ code: 7, output: "why" });
  await setTimeout(1500);
  expect([good, bad].map((file) => existsSync(file as string))).toEqual([false, false]);
});

it("nobody waits for a process that has left the group of its command and holds its output", async ({ skip }) => {
  if (process.platform !== "linux") skip("there is no setsid");
  const cwd = temporaryFolder();
  const mark = join(cwd, "mark");
  expect(await runCommand({ program: `setsid sh -c "sleep 4; echo late > ${mark}" & sleep 0.2; echo done`, cwd })).toBe(
    "done\n",
  );
  expect(existsSync(mark)).toBe(false);
});
