/** Test vectors that are not part of the repository: where they lie, and how a test skips when they are absent. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { TestContext } from "vitest";

const FOLDER = resolve(import.meta.dirname, "../../../../../shared/data");

/** The path of a file of the shared data; skips the test with the reason when it is not there. */
export function sharedFile(context: TestContext, ...parts: readonly string[]): string {
  const path = join(FOLDER, ...parts);
  if (!existsSync(path)) context.skip(`shared/data/${parts[0]} is not there`);
  return path;
}

export function sharedText(context: TestContext, ...parts: readonly string[]): string {
  return readFileSync(sharedFile(context, ...parts), "utf8");
}

export function sharedJson<T>(context: TestContext, ...parts: readonly string[]): T {
  return JSON.parse(sharedText(context, ...parts)) as T;
}
