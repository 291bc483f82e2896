/**
 * Checks what users get: builds, packs every package, installs the tarballs into an empty project with npm and without
 * install scripts, imports every export, type-checks the imports, and runs the command. Ends with `N passed, M failed`.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
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
  /** Empty when the command ended with a good exit code, else its output. */
  readonly problem: string;
}

function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
  good: readonly number[] = [0],
): Outcome {
  const result = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: "utf8",
    timeout: 600_000,
    shell: process.platform === "win32",
  });
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}${result.error ?? ""}`;
  const problem = good.includes(result.status ?? -1)
    ? ""
    : `${command} ${args.join(" ")}: exit code ${result.status}\n${output}`;
  return { output, stdout: result.stdout ?? "", problem };
}

/** What must never reach a user, and what must. */
function manifestProblem(manifest: Manifest, folder: string): string {
  const text = JSON.stringify(manifest);
  const leaks = ["quern-src", "workspace:", "catalog:"].filter((word) => text.includes(word));
  const code = specifiers(manifest).length > 0 || manifest.bin !== undefined ? ["dist"] : [];
  const missing = ["LICENSE", "README.md", ...code].filter((name) => !existsSync(join(folder, name)));
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
    .filter((path) => path !== "./package.json" && !path.includes("*"))
    .map((path) => manifest.name + path.slice(1));
}

/** Bytes of all files below a folder. */
function sizeOf(path: string): number {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

const MOST_BYTES_ALONE = 5e6;

/**
 * `@quern/bench` in a project of its own, with what it depends on and nothing else: small, without native code, and able
 * to say what is missing.
 */
function checkBenchAlone(tarball: (name: string) => string): void {
  const project = join(folder, "bench-alone");
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "alone", private: true, type: "module" }));
  const files = [tarball("quern-core"), tarball("quern-bench")];
  check("npm install of bench alone", run("npm", ["install", ...QUIET, ...files], project).problem);
  const modules = join(project, "node_modules");
  const bytes = sizeOf(modules);
  const megabytes = `${(bytes / 1e6).toFixed(2)} MB`;
  check(`bench alone takes ${megabytes}`, bytes <= MOST_BYTES_ALONE ? "" : `more than ${MOST_BYTES_ALONE / 1e6} MB`);
  const native = readdirSync(modules, { recursive: true, encoding: "utf8" }).filter((name) =>
    /\.node$|(^|[/\\])(koffi|webgpu|onnxruntime-node|node-llama-cpp)$/.test(name),
  );
  check("bench alone has no native code", native.join("\n"));
  for (const specifier of ["@quern/bench", "@quern/bench/engines"]) {
    const script = `await import("${specifier}")`;
    check(`import ${specifier} alone`, run(process.execPath, ["--input-type=module", "-e", script], project).problem);
  }
  const missing = `import { bundledModels, openDevice } from "@quern/bench/engines";
    const said = async (f) => { try { await f(); return ""; } catch (e) { return e.name + " " + e.message; } };
    const texts = [await said(() => openDevice("cpu", { threads: 1 })), await said(bundledModels)];
    const names = ["@quern/kernels-cpu", "@quern/bench-models"];
    names.forEach((name, i) => {
      const good = texts[i].startsWith("UserError") && texts[i].includes("npm install " + name);
      if (!good) throw new Error(name + ": " + texts[i]);
    });`;
  const outcome = run(process.execPath, ["--input-type=module", "-e", missing], project);
  check("bench alone names missing packages", outcome.problem);
  checkForeignGate(project);
}

/** The example of bench's README: two versions of a package that is none of ours, as small as it can be measured. */
function checkForeignGate(project: string): void {
  const readme = readFileSync(join(root, "packages", "bench", "README.md"), "utf8");
  const { bench = "" } = /^```js\n(?<bench>.*?)^```/ms.exec(readme)?.groups ?? {};
  const { line = "" } = /^npx (?<line>quern-bench gate --base npm:.*)$/m.exec(readme)?.groups ?? {};
  mkdirSync(join(project, "bench"));
  writeFileSync(join(project, "bench", "parse.bench.js"), bench);
  const small = { BENCH_PAIRS: "3,3", BENCH_ROUNDS: "3", BENCH_SLICE: "1ms" };
  // Which version is faster is not ours to say, nor how quiet this machine is.
  const outcome = run("npx", ["--no-install", ...line.split(" ")], project, small, [0, 1, 3]);
  check(`README example of bench: ${line}`, outcome.problem);
  if (outcome.problem !== "") return;
  const { benches } = JSON.parse(readFileSync(join(project, "results.json"), "utf8")) as {
    readonly benches: readonly {
      readonly check: { readonly passed: boolean } | null;
      readonly stages: readonly { readonly pairs: readonly unknown[] }[];
    }[];
  };
  const [first] = benches;
  const measured = benches.length === 1 && first?.check?.passed === true && first.stages[0]?.pairs.length === 3;
  check("README example of bench measures and verifies", measured ? "" : JSON.stringify(benches).slice(0, 2000));
}

const QUIET = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
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

  checkBenchAlone((name) => join(folder, tarballs.find((file) => new RegExp(`^${name}-\\d`).test(file)) ?? name));

  const project = join(folder, "project");
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "empty", private: true, type: "module" }));
  const install = ["install", ...QUIET, ...tarballs.map((name) => join(folder, name))];
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
  // Types of vitest are those of a peer that is not installed here.
  const typed = all.filter((specifier) => !specifier.includes("/vitest-"));
  const lines = typed.map((specifier, index) => `export * as m${index} from "${specifier}";`);
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
      if (name !== "quern") continue;
      check(`${name} doctor`, run("npx", ["--no-install", name, "doctor"], project).problem);
      const model = join("node_modules", "@quern", "bench-models", "mnist");
      const args = ["--no-install", name, "run", join(model, "model.onnx"), "--case", join(model, "case-0")];
      check(`${name} run on a bundled model`, run("npx", args, project).problem);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
