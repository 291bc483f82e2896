/**
 * Checks what users get: builds, packs every package, installs the tarballs into an empty project with npm and without
 * install scripts, imports every export, type-checks the imports, and runs the command. Ends with `N passed, M failed`.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readManifest, root, workspacePackages, type Manifest } from "./workspace.ts";

let passed = 0;
let failed = 0;

/** Counts one check; a non-empty problem is a failure. */
function check(name: string, problem: string): void {
  if (problem === "") passed += 1;
  else failed += 1;
  console.log(problem === "" ? `ok   ${name}` : `FAIL ${name}\n${problem.trimEnd().replaceAll(/^/gm, "     ")}`);
}

interface Outcome {
  readonly output: string;
  readonly stdout: string;
  /** Empty when the command ended with exit code 0, else its output. */
  readonly problem: string;
}

function run(command: string, args: readonly string[], cwd: string): Outcome {
  const result = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    timeout: 600_000,
    shell: process.platform === "win32",
  });
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}${result.error ?? ""}`;
  const problem = result.status === 0 ? "" : `${command} ${args.join(" ")}: exit code ${result.status}\n${output}`;
  return { output, stdout: result.stdout ?? "", problem };
}

/** What must never reach a user, and what must. */
function manifestProblem(manifest: Manifest, folder: string): string {
  const text = JSON.stringify(manifest);
  const leaks = ["quern-src", "workspace:", "catalog:"].filter((word) => text.includes(word));
  const missing = ["LICENSE", "README.md", "dist"].filter((name) => !existsSync(join(folder, name)));
  const stray = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(
    (name) => /(\.test[.-]|\.tsbuildinfo$|(^|[/\\])src[/\\])/.test(name) && !name.includes("node_modules"),
  );
  return [
    ...leaks.map((word) => `package.json still says ${word}`),
    ...missing.map((name) => `${name} is missing`),
    ...stray.map((name) => `${name} should not be packed`),
  ].join("\n");
}

function specifiers(manifest: Manifest): string[] {
  return Object.keys(manifest.exports ?? {})
    .filter((path) => path !== "./package.json")
    .map((path) => manifest.name + path.slice(1));
}

const folder = mkdtempSync(join(tmpdir(), "quern-packages-"));
try {
  const packages = workspacePackages();
  // tsc leaves the output of deleted sources in dist.
  for (const each of packages) rmSync(join(each.folder, "dist"), { recursive: true, force: true });
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  check("build", run(process.execPath, [tsc, "-b"], root).problem);

  const publint = join(root, "node_modules", "publint", "src", "cli.js");
  for (const each of packages) {
    check(`pack ${each.manifest.name}`, run("pnpm", ["pack", "--pack-destination", folder], each.folder).problem);
  }
  const tarballs = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
  for (const name of tarballs)
    check(`publint ${name}`, run(process.execPath, [publint, join(folder, name)], root).problem);

  const project = join(folder, "project");
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "empty", private: true, type: "module" }));
  const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const install = ["install", ...quiet, ...tarballs.map((name) => join(folder, name))];
  check("npm install of all tarballs", run("npm", install, project).problem);

  const installed = packages.map((each) => join(project, "node_modules", each.manifest.name));
  const manifests = installed.map((path) => readManifest(join(path, "package.json")));
  for (const [index, manifest] of manifests.entries()) {
    check(`contents of ${manifest.name}`, manifestProblem(manifest, installed[index] ?? ""));
  }
  const all = manifests.flatMap(specifiers);
  for (const specifier of all) {
    const script = `const m = await import("${specifier}"); if (Object.keys(m).length === 0) throw new Error("no exports");`;
    check(`import ${specifier}`, run(process.execPath, ["--input-type=module", "-e", script], project).problem);
  }
  const lines = all.map((specifier, index) => `export * as m${index} from "${specifier}";`);
  writeFileSync(join(project, "imports.ts"), lines.join("\n"));
  const options = [
    "--noEmit",
    "--strict",
    "--module",
    "nodenext",
    "--target",
    "es2024",
    "--lib",
    "esnext,dom",
    "--skipLibCheck",
    "false",
  ];
  const types = ["--types", "node", "--typeRoots", join(root, "node_modules", "@types")];
  check("types of all imports", run(process.execPath, [tsc, ...options, ...types, "imports.ts"], project).problem);

  for (const manifest of manifests) {
    for (const [name, file] of Object.entries(manifest.bin ?? {})) {
      const bin = join(project, "node_modules", manifest.name, file);
      const version = run(process.execPath, [bin, "--version"], project);
      const wrong = version.stdout.trim() === manifest.version ? "" : `says ${version.output}, not ${manifest.version}`;
      check(`${name} --version`, version.problem || wrong);
      check(`${name} --help`, run("npx", ["--no-install", name, "--help"], project).problem);
      check(`${name} doctor`, run("npx", ["--no-install", name, "doctor"], project).problem);
      const model = join("node_modules", "@quern", "bench", "models", "mnist");
      const args = ["--no-install", name, "run", join(model, "model.onnx"), "--case", join(model, "case-0")];
      check(`${name} run on a bundled model`, run("npx", args, project).problem);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
