/**
 * llama.cpp on the CPU, through node-llama-cpp: the baseline for language models.
 *
 * Only its packaged CPU binary is used: nothing is built or downloaded. Models are mapped and the weights repacked as
 * llama.cpp decides. Batches go to the addon's own context object, not through the package's queues, so that what is
 * timed is `llama_decode` and one hand-over to a thread; sampling is not part of it. One record has flash attention as
 * llama.cpp chooses it, which on CPUs is on, the other has it off. A third sets nothing but sizes: its threads are as many as the
 * addon chooses.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { setImmediate, setTimeout } from "node:timers/promises";
import { UserError } from "@quern/core";
import type * as NodeLlamaCpp from "node-llama-cpp";
import { LlamaModel } from "./llama-cpp-model.ts";
import type { Bindings } from "./llama-cpp-bindings.ts";
import { STEP_TOKENS, type LlmEngine, type LlmOptions, type OpenLlmEngine } from "./llm-engine.ts";

const require = createRequire(import.meta.url);

/** Log levels of the addon. */
const QUIET = 2;
const INFO = 4;

function packageVersion(): string {
  try {
    // The package exports no package.json: it lies two folders above its entry.
    const root = dirname(dirname(require.resolve("node-llama-cpp")));
    return (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version;
  } catch (cause) {
    throw new UserError("the engine llama.cpp is not installed", {
      hint: "Install it beside quern: npm install node-llama-cpp --ignore-scripts",
      cause,
    });
  }
}

interface Loaded {
  readonly bindings: Bindings;
  readonly release: string;
  readonly build: string;
  readonly log: LlamaLog;
}

/** The loaded addon: one for the process, since its backends are. */
let loaded: Promise<Loaded> | undefined;

/** What llama.cpp logged since the last `clear`. Lines come through the event loop, some time after they were written. */
class LlamaLog {
  text = "";

  readonly add = (_level: number, message: string): void => {
    this.text += message;
  };

  clear(): void {
    this.text = "";
  }
}

const LOG_DELAY_MS = 20;
/** Turns of the event loop until the package's logger has ended. */
const LOGGER_TURNS = 5;

async function loadAddon(): Promise<Loaded> {
  packageVersion();
  const { getLlama } = (await import("node-llama-cpp")) as typeof NodeLlamaCpp;
  let llama: NodeLlamaCpp.Llama;
  try {
    llama = await getLlama({ gpu: false, build: "never", skipDownload: true, progressLogs: false, logger: () => {} });
  } catch (cause) {
    throw new UserError(`llama.cpp has no binary for this machine (${(cause as Error).message})`, {
      hint: "The package node-llama-cpp brings one for Linux, macOS and Windows as an optional dependency: install those too.",
      cause,
    });
  }
  // The package's own objects queue batches and sample every token; the addon beneath them does what llama.cpp does.
  const { _bindings: bindings } = llama as unknown as { readonly _bindings: Bindings };
  const log = new LlamaLog();
  bindings.setLogger();
  for (let turn = 0; turn < LOGGER_TURNS; turn++) await setImmediate();
  bindings.setLogger(log.add);
  bindings.setLoggerLogLevel(INFO);
  return { bindings, release: llama.llamaCppRelease.release, build: llama.buildType, log };
}

function addon(): Promise<Loaded> {
  loaded ??= loadAddon();
  return loaded;
}

/** File of the CPU backend that this process has loaded (Linux), for instance `…/libggml-cpu-haswell.so`. */
function cpuBackend(): string | undefined {
  try {
    return /^.*\s(\/.*ggml-cpu[^/]*\.so)$/m.exec(readFileSync("/proc/self/maps", "utf8"))?.[1];
  } catch {
    return undefined;
  }
}

/** What is set of a context beside its sizes; undefined: nothing, all is as the addon has it by default. */
interface ContextSettings {
  readonly flashAttention: "auto" | boolean;
}

function llamaCpp(name: string, about: string, settings?: ContextSettings): LlmEngine {
  const flashAttention = settings?.flashAttention;
  const attention = flashAttention === "auto" ? "auto" : flashAttention ? "on" : "off";
  return {
    name,
    about,
    family: "llama.cpp",
    ...(settings === undefined ? { variantOf: "llama.cpp" } : {}),
    keepsKernels: false,
    choosesPrecision: true,
    // Defaults have a budget of threads of their own: nothing is compared with them.
    baseline: settings !== undefined,
    async describe(options) {
      const { bindings, release, build } = await addon();
      const file = cpuBackend();
      return {
        name,
        version: release,
        library: file === undefined ? null : basename(file),
        sha256: file === undefined ? null : createHash("sha256").update(readFileSync(file)).digest("hex"),
        settings: {
          package: `node-llama-cpp ${packageVersion()}, ${build} binary`,
          systemInfo: bindings.systemInfo().trim(),
          flashAttention: settings === undefined ? "not set" : attention,
          batch: settings === undefined ? "not set" : `${STEP_TOKENS}, ubatch the same`,
          cache: `${options.cache}, of all tokens where attention has a window`,
          weights: "mapped, repacked as llama.cpp decides",
          products:
            "chosen by llama.cpp: activations in blocks of 8 bits beside quantised weights, as wide as the weights beside floats",
          threads: settings === undefined ? "not set" : "as in each row, for prompts and generation",
          call: "llama_decode on a thread of libuv",
        },
      };
    },
    async open(options): Promise<OpenLlmEngine> {
      const { bindings, log } = await addon();
      return {
        load: (path) => loadModel(bindings, log, path, options, settings),
        close: async () => {},
      };
    },
  };
}

async function loadModel(
  bindings: Bindings,
  log: LlamaLog,
  path: string,
  options: LlmOptions,
  settings: ContextSettings | undefined,
): Promise<LlamaModel> {
  log.clear();
  bindings.setLoggerLogLevel(INFO);
  const model = new bindings.AddonModel(path, { gpuLayers: 0, useMmap: true, addonExports: bindings });
  const type = bindings.getGgmlType(options.cache);
  const fail = async (what: string): Promise<never> => {
    await setTimeout(LOG_DELAY_MS);
    const reasons = log.text.split("\n").filter((line) => /error|fail|unsupported|unknown/i.test(line));
    throw new UserError([`llama.cpp could not ${what}`, ...reasons.slice(0, 5)].join("\n  "), { where: path });
  };
  if (!(await model.init())) await fail("load the model");
  const context = new bindings.AddonContext(model, {
    contextSize: options.contextLength * options.sequences,
    sequences: options.sequences,
    ...(settings === undefined
      ? {}
      : {
          batchSize: STEP_TOKENS,
          flashAttention: settings.flashAttention,
          threads: options.threads,
          performanceTracking: false,
        }),
    // Sequences go back to an earlier length again and again, which a cache of the window alone cannot.
    swaFullCache: true,
    ...(type === undefined ? {} : { kvCacheKeyType: type, kvCacheValueType: type }),
  });
  if (!(await context.init())) await fail("make a context");
  return new LlamaModel(bindings, model, context, () => {
    // Quiet only now: what waits for the event loop is filtered by the level of the moment.
    bindings.setLoggerLogLevel(QUIET);
    return aboutLoad(log.text);
  });
}

/** Where the weights lie and whether flash attention is on, from the log of loading. */
function aboutLoad(log: string): string {
  const buffers = Array.from(
    log.matchAll(/(\S+) model buffer size =\s*([\d.]+) MiB/g),
    ([, name, size]) => `${name} ${Math.round(Number(size))} MiB`,
  );
  const asked = /flash_attn\s*=\s*(\w+)/.exec(log)?.[1];
  const decided = /Flash Attention (?:was auto, set to )?(enabled|disabled)/.exec(log)?.[1];
  const backend = /ggml-cpu-?([^.]*)/.exec(basename(cpuBackend() ?? ""))?.[1];
  return [
    backend === undefined ? "cpu" : `cpu:${backend}`,
    ...buffers,
    `flash attention ${decided ?? asked ?? "unknown"}`,
  ].join(", ");
}

export const llamaCppAuto: LlmEngine = llamaCpp("llama.cpp", "llama.cpp through node-llama-cpp, on the CPU", {
  flashAttention: "auto",
});
export const llamaCppPlain: LlmEngine = llamaCpp("llama.cpp-no-fa", "the same without flash attention", {
  flashAttention: false,
});
export const llamaCppDefaults: LlmEngine = llamaCpp("llama.cpp-defaults", "the same without any setting of speed");
