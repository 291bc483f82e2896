/** The package onnxruntime-node where it is installed: its code, its version, its native library. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { UserError } from "@quern/core";
import type { EngineRecord } from "../results/schema.ts";
import type { Ort } from "./ort-session.ts";

const require = createRequire(import.meta.url);

function packageRoot(): string {
  try {
    return dirname(require.resolve("onnxruntime-node/package.json"));
  } catch (cause) {
    throw new UserError("the engine onnxruntime is not installed", {
      hint: "Install it beside quern: npm install onnxruntime-node --ignore-scripts",
      cause,
    });
  }
}

export async function loadOnnxruntime(): Promise<Ort> {
  packageRoot();
  const module = (await import("onnxruntime-node")) as Ort & { default?: Ort };
  return module.default ?? module;
}

const LIBRARY: Readonly<Partial<Record<NodeJS.Platform, string>>> = {
  win32: "onnxruntime.dll",
  darwin: "libonnxruntime.1.dylib",
};

/** Version, file name and sha256 of the native library. */
export function onnxruntimeIdentity(): Pick<EngineRecord, "version" | "library" | "sha256"> {
  const root = packageRoot();
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const library = LIBRARY[process.platform] ?? "libonnxruntime.so.1";
  const file = join(root, "bin", "napi-v6", process.platform, process.arch, library);
  try {
    return { version, library, sha256: createHash("sha256").update(readFileSync(file)).digest("hex") };
  } catch {
    // Another layout of the package: the version still says what it is.
    return { version, library: null, sha256: null };
  }
}
