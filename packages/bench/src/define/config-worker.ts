/** Loads one configuration file and answers with its default export. */

import { pathToFileURL } from "node:url";
import { answer } from "./answer.ts";
import { resolveHarness } from "./own-harness.ts";

resolveHarness();

answer(async ({ file }: { readonly file: string }) => {
  const loaded = (await import(pathToFileURL(file).href)) as { readonly default?: unknown };
  if (loaded.default === undefined) throw new Error("it has no default export");
  return loaded.default;
});
