/**
 * The default suite: the models bundled with this package, each in a folder of its own with its licence.
 */

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const modelsFolder = fileURLToPath(new URL("../../models", import.meta.url));

/** Paths of the bundled model files, by name. */
export function bundledModels(): string[] {
  return readdirSync(modelsFolder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(modelsFolder, entry.name, "model.onnx"))
    .filter((file) => existsSync(file))
    .sort();
}
