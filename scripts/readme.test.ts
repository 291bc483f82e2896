/**
 * Runs the first `ts` block of every package's README that a `text` block follows, as a user would, with the package's own
 * dependencies, and compares what it prints with that block.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { workspacePackages } from "./workspace.ts";

const EXAMPLE = /^```ts\n(?<code>(?:(?!```).*\n)*)```\n\n+```text\n(?<output>(?:(?!```).*\n)*)```/m;

describe("README examples", () => {
  const libraries = workspacePackages().filter(({ manifest }) => manifest.name.startsWith("@quern/"));
  for (const { manifest, folder } of libraries) {
    it(`${manifest.name}`, (context) => {
      const readme = join(folder, "README.md");
      expect(existsSync(readme), `${readme} exists`).toBe(true);
      const { code, output } = EXAMPLE.exec(readFileSync(readme, "utf8"))?.groups ?? {};
      expect(code, "the README has a ts block and a text block after it").toBeDefined();
      const args = [
        "--conditions=quern-src",
        "--disable-warning=ExperimentalWarning",
        "--input-type=module-typescript",
      ];
      const result = spawnSync(process.execPath, [...args, "-e", code ?? ""], {
        cwd: folder,
        encoding: "utf8",
        timeout: 250_000,
      });
      const noGpu = result.stderr.includes("no GPU driver was found") && process.env["QUERN_REQUIRE_GPU"] === undefined;
      if (noGpu) context.skip("no GPU: scripts/install-software-gpu.sh installs one that runs on the CPU");
      expect(result.status, result.stderr).toBe(0);
      expect(result.stdout.trimEnd()).toBe(output?.trimEnd());
    });
  }
});
