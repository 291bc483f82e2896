/** The contract with the installed vitest: a file of benches is run by it with our provider, as a user would. */

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../history/sample-history.test-support.ts";
import { provider } from "./provider.ts";

const folder = temporaryFolder();
const bench = fileURLToPath(new URL("../..", import.meta.url));
const vitest = dirname(createRequire(import.meta.url).resolve("vitest/package.json"));

mkdirSync(join(folder, "node_modules/@quern"), { recursive: true });
symlinkSync(vitest, join(folder, "node_modules/vitest"));
symlinkSync(bench, join(folder, "node_modules/@quern/bench"));
writeFileSync(join(folder, "package.json"), '{"type":"module"}');

function config(provider: string): string {
  const conditions = '["quern-src", "node", "import", "module", "default"]';
  return `import { defineConfig } from "vitest/config";
export default defineConfig({
  resolve: { conditions: ${conditions} },
  ssr: { resolve: { conditions: ${conditions} } },
  test: {
    execArgv: ["--conditions=quern-src", "--disable-warning=ExperimentalWarning"],
    benchmark: { provider: ${JSON.stringify(provider)}, retainSamples: true },
    fileParallelism: false,
  },
});
`;
}

function run(
  file: string,
  content: string,
  provider = "@quern/bench/vitest-provider",
): { code: number | null; out: string } {
  writeFileSync(join(folder, "vitest.config.ts"), config(provider));
  writeFileSync(join(folder, file), content);
  const { env } = process;
  const own = Object.fromEntries(
    Object.entries(env).filter(([name]) => !name.startsWith("VITEST") && name !== "NODE_OPTIONS"),
  );
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--conditions=quern-src", join(vitest, "vitest.mjs"), "bench", "--run", file],
    { cwd: folder, encoding: "utf8", env: { ...own, NO_COLOR: "1" }, timeout: 120_000 },
  );
  return { code: status, out: `${stdout}${stderr}` };
}

const BENCHES = `
import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";

test("two of three", async ({ bench }) => {
  const order = [];
  const seen = (name) => { if (order.at(-1) !== name) order.push(name); };
  const results = await bench.compare(
    bench("small", () => { seen("small"); return { overriddenDuration: 1 }; }),
    bench("large", () => { seen("large"); return { overriddenDuration: 3 }; }),
    { time: 60, iterations: 4, warmupTime: 20 },
  );
  const [small, large] = [results.get("small"), results.get("large")];
  writeFileSync("found.json", JSON.stringify({ turns: order.length, small, large }));
  expect([small.latency.p50, large.latency.p50]).toEqual([1, 3]);
  expect(small).toBeFasterThan(large);
});

test("alone", async ({ bench }) => {
  const result = await bench("one", async () => { await null; }).run({ time: 10 });
  expect(result.name).toBe("one");
  expect(result.throughput.mean).toBeGreaterThan(0);
});
`;

describe("vitest bench with the provider", () => {
  it("measures by turns, and vitest takes its results", () => {
    const { code, out } = run("work.bench.js", BENCHES);
    expect(out).toContain("small");
    expect(code, out).toBe(0);
    const found = JSON.parse(readFileSync(join(folder, "found.json"), "utf8")) as {
      turns: number;
      small: { name: string; state: string; slices: number[]; latency: { samples: number[]; samplesCount: number } };
      large: { slices: number[] };
    };
    expect(found.small.slices.length).toBeGreaterThanOrEqual(10);
    expect(found.large.slices.length).toBe(found.small.slices.length);
    expect(found.turns).toBeGreaterThanOrEqual(found.small.slices.length);
    expect(found.small).toMatchObject({ name: "small", state: "completed" });
    expect(found.small.latency.samples.length).toBe(found.small.latency.samplesCount);
  });

  it("a bench that throws fails its test", () => {
    const content = `
import { test } from "vitest";
test("broken", async ({ bench }) => {
  await bench("throws", () => { throw new Error("no such luck"); }).run({ time: 10 });
});
`;
    const { code, out } = run("broken.bench.js", content);
    expect(code).not.toBe(0);
    expect(out).toContain("no such luck");
  });

  it("ends by a signal of the options, beside that of the test", async () => {
    const controller = new AbortController();
    let calls = 0;
    const fn = (): void => {
      if (++calls === 20) controller.abort(new Error("enough"));
    };
    const context = { signal: new AbortController().signal };
    const options = { time: 1e6, signal: controller.signal };
    const group = { test: { fullTestName: "t", context }, config: {}, registrations: [{ name: "a", fn }], options };
    await expect(provider.run(group as never)).rejects.toThrow("enough");
  });

  it("is found by its path too", () => {
    const content = `
import { test } from "vitest";
test("fine", async ({ bench }) => { await bench("nothing", () => {}).run({ time: 5 }); });
`;
    const { code, out } = run("path.bench.js", content, fileURLToPath(new URL("./provider.ts", import.meta.url)));
    expect(code, out).toBe(0);
  });
});
