/**
 * The default suite: the models of the data package `@quern/bench-models`, each in a folder of its own with its licence.
 */

import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { missingPeer } from "../harness/peers.ts";

function modelsFolder(): string {
  try {
    return dirname(fileURLToPath(import.meta.resolve("@quern/bench-models/package.json")));
  } catch (cause) {
    throw missingPeer("@quern/bench-models", "the models of the default suite", cause);
  }
}

/** Paths of the bundled model files, by name. Throws a `UserError` where the package that holds them is not installed. */
export function bundledModels(): string[] {
  const folder = modelsFolder();
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(folder, entry.name, "model.onnx"))
    .filter((file) => existsSync(file))
    .sort();
}
