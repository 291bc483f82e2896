#!/usr/bin/env node
/**
 * The first step of every npm script: makes sure of Node 24, pnpm 12 and the dependencies, then runs the task.
 * Runs on any Node >= 20 without dependencies and installs nothing globally: a missing Node or pnpm comes from the npm
 * cache through npx. What was found is remembered under node_modules/.cache, so a later start costs milliseconds.
 *
 * usage: node scripts/bootstrap.mjs start | test | bench | quern | node FILE | exec TOOL   [arguments]
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const NODE_MAJOR = 24;
const PNPM_MAJOR = 12;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cacheDir = join(root, "node_modules", ".cache", "quern");
const windows = process.platform === "win32";

/** Messages go to stderr: stdout belongs to the task, which may print JSON. */
function say(text) {
  process.stderr.write(`quern: ${text}\n`);
}

function fail(text, detail = "") {
  say(text);
  if (detail) process.stderr.write(`${detail.trimEnd()}\n`);
  process.exit(1);
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

function writeJson(name, value) {
  mkdirSync(cacheDir, { recursive: true });
  writeFileSync(join(cacheDir, name), JSON.stringify(value));
}

function majorOf(version) {
  return Number.parseInt(version, 10);
}

/** Where Node and pnpm are: `bins` go before PATH. Remembered per starting Node, since a machine may have several. */
function findToolchain() {
  const known = readJson(join(cacheDir, "toolchain.json")) ?? {};
  const key = `${process.execPath} ${process.version}`;
  if (known[key] !== undefined && existsSync(known[key].node)) return known[key];
  const toolchain = probeToolchain();
  return Object.assign(toolchain, { remember: () => writeJson("toolchain.json", { ...known, [key]: toolchain }) });
}

function probeToolchain() {
  const nodeFits = majorOf(process.versions.node) >= NODE_MAJOR;
  const pnpm = spawnSync("pnpm", ["--version"], { encoding: "utf8", shell: windows, cwd: root });
  const pnpmFits = pnpm.status === 0 && majorOf(pnpm.stdout) === PNPM_MAJOR;
  if (nodeFits && pnpmFits) return { node: process.execPath, bins: [] };
  say(
    `fetching ${nodeFits ? "" : `Node ${NODE_MAJOR} and `}pnpm ${PNPM_MAJOR} (kept in the npm cache, nothing is installed globally)`,
  );
  const packages = [...(nodeFits ? [] : ["-p", `node@${NODE_MAJOR}`]), "-p", `pnpm@${PNPM_MAJOR}`];
  const answer = runNpx(["--yes", ...packages, "-c", "node scripts/bootstrap.mjs where"]);
  const { node, path } = JSON.parse(answer);
  // npx puts the folder of what it fetched before everything else.
  const bins = path.filter((folder) => folder.includes("_npx")).slice(0, 1);
  if (bins.length === 0) fail("npx did not say where it put the tools:", answer);
  return { node, bins };
}

function runNpx(args) {
  // Under npm the npx of the same npm is at hand; otherwise the one on PATH is taken.
  const npm = process.env.npm_execpath ?? "";
  const npx = basename(npm) === "npm-cli.js" ? join(dirname(npm), "npx-cli.js") : "";
  const options = { encoding: "utf8", cwd: root, stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 };
  const quoted = windows ? args.map((arg) => (/\s/.test(arg) ? `"${arg}"` : arg)) : args;
  const result = existsSync(npx)
    ? spawnSync(process.execPath, [npx, ...args], options)
    : spawnSync("npx", quoted, { ...options, shell: windows });
  if (result.status !== 0) {
    fail(
      `npx could not fetch Node ${NODE_MAJOR} and pnpm ${PNPM_MAJOR}. Check the network and the npm registry setting, ` +
        `or install both yourself and start again.`,
      result.stderr || String(result.error ?? ""),
    );
  }
  return result.stdout;
}

/** Changes whenever an installation would: the lockfile, the manifests, the platform. */
function installStamp() {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}\n`);
  const manifests = ["packages", "apps"].flatMap((group) =>
    readdirSync(join(root, group)).map((name) => join(root, group, name, "package.json")),
  );
  for (const file of [
    join(root, "pnpm-lock.yaml"),
    join(root, "pnpm-workspace.yaml"),
    join(root, "package.json"),
    ...manifests.sort(),
  ]) {
    if (existsSync(file)) hash.update(readFileSync(file)).update("\0");
  }
  return hash.digest("hex");
}

function install(env) {
  const stamp = installStamp();
  const complete = existsSync(join(root, "node_modules", ".modules.yaml"));
  if (complete && readJson(join(cacheDir, "install.json"))?.stamp === stamp) return;
  say("installing dependencies (once per change of the lockfile)");
  const result = spawnSync("pnpm", ["install", "--frozen-lockfile", "--prefer-offline"], {
    cwd: root,
    env: { ...env, CI: "true" },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    shell: windows,
    maxBuffer: 1 << 26,
  });
  if (result.status !== 0)
    fail("pnpm install failed:", `${result.stdout ?? ""}${result.stderr ?? ""}${result.error ?? ""}`);
  writeJson("install.json", { stamp });
}

/** Compiles the packages where something has changed. */
function build(node, env) {
  const args = [toolFile("tsc"), "-b", "tsconfig.json"];
  const { status, stdout, stderr } = spawnSync(node, args, { cwd: root, env, encoding: "utf8" });
  if (status !== 0) fail("the packages do not compile:", `${stdout ?? ""}${stderr ?? ""}`);
}

/** Runs the task in place of this process: same streams, signals passed on, same exit code. */
function become(node, args, env) {
  const child = spawn(node, args, { cwd: root, env, stdio: "inherit" });
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(`cannot start ${node}`, String(error)));
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    for (const each of signals) process.removeAllListeners(each);
    // A shell that waits for us should see the signal; 128 + n is what it would print if we outlive it.
    process.kill(process.pid, signal);
    setTimeout(() => process.exit(128 + (constants.signals[signal] ?? 0)), 100);
  });
}

/** The JavaScript file behind a tool's command, so that it runs under the chosen Node whatever the shebang finds. */
function toolFile(name) {
  const packageOf = { tsc: "typescript", changeset: "@changesets/cli" };
  const folder = join(root, "node_modules", packageOf[name] ?? name);
  const bin = readJson(join(folder, "package.json"))?.bin;
  const file = typeof bin === "string" ? bin : bin?.[name];
  if (!file) fail(`no tool named ${name} among the development dependencies`);
  return join(folder, file);
}

const [task = "", ...rest] = process.argv.slice(2);
const source = ["--conditions=quern-src", "--disable-warning=ExperimentalWarning"];
const cli = [...source, join(root, "apps", "cli", "src", "main.ts")];
// What users install is measured, and not the sources, whose types Node would strip while it loads them.
const built = [join(root, "apps", "cli", "dist", "main.js")];
const measuring = new Set(["start", "bench"]);
const commands = {
  start: () => [
    ...built,
    "bench",
    "--html",
    join("reports", "bench.html"),
    "--json",
    join("reports", "bench.json"),
    ...rest,
  ],
  test: () => [...source, join(root, "scripts", "test.ts"), ...rest],
  bench: () => [...built, "bench", ...rest],
  quern: () => [...cli, ...rest],
  node: () => [...source, ...rest],
  exec: () => [toolFile(rest[0] ?? ""), ...rest.slice(1)],
};

if (task === "where") {
  const path = (process.env.PATH ?? "").split(delimiter);
  process.stdout.write(JSON.stringify({ node: process.execPath, path }));
  process.exit(0);
}
if (!Object.hasOwn(commands, task)) fail(`unknown task "${task}"; one of: ${Object.keys(commands).join(", ")}`);

const toolchain = findToolchain();
const env = {
  ...process.env,
  PATH: [...toolchain.bins, dirname(toolchain.node), process.env.PATH ?? ""].join(delimiter),
};
install(env);
toolchain.remember?.();
if (measuring.has(task)) build(toolchain.node, env);
if (task === "start") mkdirSync(join(root, "reports"), { recursive: true });
become(toolchain.node, commands[task](), env);
