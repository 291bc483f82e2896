/**
 * onnxruntime-web in Node: the Wasm build, with SIMD and threads.
 *
 * Best documented settings: `env.wasm.numThreads` as the budget says (the calling thread is one of them), all graph
 * optimisations. The record `onnxruntime-web-defaults` sets nothing. The package's one Wasm binary for CPUs has fixed-width
 * SIMD; which instructions that becomes is V8's choice.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "@quern/core";
import { requirePeer } from "../harness/peers.ts";
import type { Engine, EngineOptions, OpenEngine } from "./engine.ts";
import { bestOnCpu, recordOfBest, unknownInput, wrapSession, type Ort } from "./ort-session.ts";

const PACKAGE = "onnxruntime-web";
const PURPOSE = "the engine onnxruntime-web";
const BINARY = "ort-wasm-simd-threaded.wasm";

/** What the package's `env` has beside that of onnxruntime-node. */
interface WasmEnv {
  readonly versions: { readonly web?: string };
  readonly wasm: { numThreads?: number };
}

async function load(): Promise<{ readonly ort: Ort; readonly env: WasmEnv }> {
  // Through a name, since its types come from the package that onnxruntime-node has them from.
  const name: string = PACKAGE;
  const ort = await requirePeer(PACKAGE, PURPOSE, () => import(name) as Promise<Ort>);
  return { ort, env: ort.env as unknown as WasmEnv };
}

/** sha256 of the Wasm binary; null where the package lies differently. */
function binaryDigest(): string | null {
  try {
    const folder = dirname(fileURLToPath(import.meta.resolve(PACKAGE)));
    return createHash("sha256")
      .update(readFileSync(join(folder, BINARY)))
      .digest("hex");
  } catch {
    return null;
  }
}

function webEngine(name: string, about: string, best: boolean): Engine {
  return {
    name,
    about,
    ...(best ? {} : { variantOf: PACKAGE }),
    precisions: ["highest"],
    keepsKernels: false,
    quantises: false,

    async describe(options) {
      const { env } = await load();
      const sha256 = binaryDigest();
      return {
        name,
        version: env.versions.web ?? "unknown",
        library: sha256 === null ? null : BINARY,
        sha256,
        settings: {
          ...(best
            ? { ...recordOfBest(options, "wasm"), "env.wasm.numThreads": "as in each row" }
            : { sessionOptions: "none", threads: "the package's own" }),
          isa: "Wasm with 128-bit SIMD, as V8 compiles it",
          call: "session.run",
        },
      };
    },

    supports: (workload) => unknownInput(workload, PACKAGE),

    async open(options: EngineOptions): Promise<OpenEngine> {
      const { ort, env } = await load();
      if (best) env.wasm.numThreads = options.threads;
      const settings = best ? bestOnCpu(options, "wasm") : {};
      return {
        compile: async (path) => {
          const session = await ort.InferenceSession.create(readFileSync(path), settings).catch((cause: unknown) => {
            // Wasm errors may be bare numbers.
            if (cause instanceof Error) throw cause;
            throw new UserError(`onnxruntime-web could not load the model: ${String(cause)}`, { where: path, cause });
          });
          if (best && env.wasm.numThreads !== options.threads) {
            throw new UserError(
              `onnxruntime-web was asked for ${options.threads} threads and took ${env.wasm.numThreads}`,
              {
                hint: "Its threads are chosen once per process.",
              },
            );
          }
          return wrapSession(ort, session, path, "wasm");
        },
        close: async () => {},
      };
    },
  };
}

export const onnxruntimeWeb: Engine = webEngine(PACKAGE, "onnxruntime-web, Wasm with SIMD and threads, in Node", true);
export const onnxruntimeWebDefaults: Engine = webEngine(
  "onnxruntime-web-defaults",
  "the same without any setting",
  false,
);
