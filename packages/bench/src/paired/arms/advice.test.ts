import { expect, it } from "vitest";
import { adviceFor } from "./advice.ts";
import { temporaryFolder, writeFiles } from "./repository.test-support.ts";

const PACKAGE = "Cannot find package 'commander' imported from /tmp/a/bench/a.bench.js";
const BUILD = "Cannot find module '/tmp/a/dist/index.js' imported from /tmp/a/bench/a.bench.js";

it("of a fresh checkout that nothing has prepared is to prepare it", () => {
  for (const kind of ["commit", "tree"] as const) {
    const advice = adviceFor({ kind, directory: "/x" }, []);
    for (const text of [PACKAGE, BUILD, "Cannot find module 'x'\nRequire stack:"]) {
      expect(advice(text)).toContain('set `prepare: ["npm ci"]` in quern.bench.config.ts');
    }
    expect(advice("no such kernel")).toBeUndefined();
    expect(adviceFor({ kind, directory: "/x" }, ["npm ci"])(PACKAGE)).toBeUndefined();
  }
  expect(adviceFor({ kind: "directory", directory: "/x" }, [])(PACKAGE)).toBeUndefined();
});

it("of packages is to name what is missing, or that install scripts were not run where there are any", () => {
  const directory = temporaryFolder();
  const advice = adviceFor({ kind: "npm", directory }, []);
  expect(advice(PACKAGE)).toContain("npm:a@1.0.0,commander@1.0.0");
  expect(advice("no binding")).toBeUndefined();
  const packages = {
    "node_modules/plain": {},
    "node_modules/a/node_modules/@scope/native": {},
    "node_modules/addon": {},
  };
  writeFiles(directory, {
    "node_modules/.package-lock.json": JSON.stringify({ packages }),
    "node_modules/plain/package.json": JSON.stringify({ scripts: { test: "x" } }),
    "node_modules/a/node_modules/@scope/native/package.json": JSON.stringify({ scripts: { install: "node get.js" } }),
    "node_modules/addon/package.json": "{}",
    "node_modules/addon/binding.gyp": "",
  });
  expect(advice("no binding")).toContain("(--ignore-scripts), and these have some: @scope/native, addon.");
  expect(advice("Cannot find module './build/Release/x.node'\nRequire stack:")).toContain("addon");
  expect(advice(PACKAGE)).not.toContain("addon");
});
