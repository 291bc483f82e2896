/**
 * One vitest run for the whole workspace. Projects differ in what they need: `unit` nothing, `gpu` a WebGPU device
 * (skipped with a reason where there is none). Packages are resolved to their sources by the `quern-src` condition.
 */
import { defineConfig } from "vitest/config";

const conditions = ["quern-src", "node", "import", "module", "default"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    pool: "forks",
    execArgv: ["--conditions=quern-src"],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // Tests compile: nothing that an earlier run kept on disk may stand in for it.
    env: { QUERN_CACHE: "0" },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["packages/*/src/**/*.test.ts", "apps/*/src/**/*.test.ts", "scripts/**/*.test.ts"],
          exclude: ["**/node_modules/**", "**/dist/**", "packages/kernels-gpu/src/device/**", "**/*.gpu.test.ts"],
        },
      },
      {
        extends: true,
        test: {
          name: "gpu",
          include: ["packages/kernels-gpu/src/device/**/*.test.ts", "**/*.gpu.test.ts"],
          exclude: ["**/node_modules/**", "**/dist/**"],
          fileParallelism: false,
        },
      },
    ],
  },
});
