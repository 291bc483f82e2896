/**
 * Instruction sets as levels. Engines name what they dispatched to in words of their own ("cpu:avx512+vnni", "AVX2 = 1 |
 * AVX512 = 0", "SkylakeX"); for a claim two are equal when the widest units that they use for products are.
 */

import { ASSUMED } from "../results/notes.ts";
import type { Machine, Result, Results } from "../results/schema.ts";

/** Widest first; the first that is found names the level. */
const LEVELS: readonly (readonly [level: string, words: RegExp])[] = [
  ["webgpu", /\b(?:webgpu|vulkan|metal|d3d12)\b/],
  ["cuda", /\bcuda\b/],
  ["amx", /\bamx(?:[_-]\w+)*/],
  // OpenBLAS names kernels by the processor that they were written for.
  ["avx512", /\bavx-?512\w*|\b(?:skylakex|cooperlake|sapphirerapids)\b/],
  ["avx2", /\bavx2\b|\bavx_vnni\b|\b(?:haswell|zen)\b/],
  ["avx", /\bavx\b|\bsandybridge\b/],
  ["sse", /\bsse\w*/],
  ["sve", /\bsve2?\b/],
  ["neon", /\b(?:neon|asimd)\w*/],
  ["wasm", /\bwasm\b/],
  ["scalar", /\b(?:scalar|v8)\b/],
];

/** The level in an engine's words; null where they name none. */
export function isaLevel(words: string | null | undefined): string | null {
  if (words == null) return null;
  // "AVX512 = 0" says that a unit is not used. Each word is read once, with or without what follows: were that required, a long
  // word would be tried again from each of its letters.
  const used = words.toLowerCase().replaceAll(/[\w-]+(\s*=\s*0\b)?/g, (word, unused?: string) => (unused ? "" : word));
  return LEVELS.find(([, pattern]) => pattern.test(used))?.[0] ?? null;
}

/** Without the matrix unit, which products of f32 at full precision do not use. */
function withoutMatrixUnit(words: string): string {
  return words.replaceAll(/\bamx(?:[_-]\w+)*(?:\s*=\s*\d)?/gi, "");
}

/** Engines that choose by CPUID the widest vector unit there is, and do not say so. */
const CHOOSES_WIDEST = /^(?:onnxruntime|onnxruntime-defaults|transformers\.js|transformers\.js-defaults)$/;

/**
 * What an engine of a row dispatched to, as far as can be known: what the row says, else the engine's settings or device, else
 * for libraries known to choose the widest unit of the processor, that unit, marked as an assumption.
 */
export function isaOfRow(row: Result, settings: Readonly<Record<string, string>>, machine: Machine): string | null {
  if (row.isa !== undefined) return row.isa;
  const said = [settings["isa"], row.device, settings["device"], settings["systemInfo"]].find(
    (words) => isaLevel(words) !== null,
  );
  const found = said ?? (CHOOSES_WIDEST.test(row.engine) ? machine.cpu.features.join(" ") : undefined);
  if (found === undefined) return null;
  // llama.cpp says of every model whether weights lie in buffers of the matrix unit; a library of f32 has no use for it.
  const unit =
    settings["systemInfo"] === undefined
      ? said !== undefined && row.precision !== "highest"
      : /\bamx\b/i.test(row.device ?? "");
  const level = isaLevel(unit ? found : withoutMatrixUnit(found));
  return said === undefined && level !== null ? `${level}${ASSUMED}` : level;
}

/** The same results with `isa` in every row. */
export function withIsa(results: Results): Results {
  const settingsOf = new Map(results.engines.map(({ name, settings }) => [name, settings]));
  // Phases before the first run have the device of the steady row.
  const devices = new Map(
    results.results.map((row) => [armOf(row), row.device ?? null] as const).filter(([, device]) => device),
  );
  const rows = results.results.map((row) => {
    const device = row.device ?? devices.get(armOf(row)) ?? null;
    return { ...row, isa: isaOfRow({ ...row, device }, settingsOf.get(row.engine) ?? {}, results.machine) };
  });
  return { ...results, results: rows };
}

function armOf({ case: name, engine, threads, precision }: Result): string {
  return JSON.stringify([name, engine, threads, precision]);
}
