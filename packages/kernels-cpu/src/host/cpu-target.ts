/**
 * What code is generated for: a level of vector instructions, chosen by the processor's features and maskable.
 *
 * The levels are `avx2`, `avx512`, `avx512+vnni` and `avx512+vnni+amx`; each needs all of the ones before it. A mask
 * can name a level (nothing above it is used) and take features away (`-amx`, `-avx512vnni`), so that any machine can
 * generate and test what a smaller one would get.
 */
import { UnsupportedError, UserError } from "@quern/core";

import { CPU_FEATURES } from "./cpu-features.ts";
import type { CpuFeature } from "./cpu-features.ts";

export const TARGET_LEVELS = ["avx2", "avx512", "avx512+vnni", "avx512+vnni+amx"] as const;
export type TargetLevel = (typeof TARGET_LEVELS)[number];

export interface CpuTarget {
  readonly name: TargetLevel;
  /** Bytes of a vector register. */
  readonly vectorBytes: 32 | 64;
  readonly vectorRegisters: 16 | 32;
  /** Usable opmask registers; k0 cannot mask. */
  readonly maskRegisters: 0 | 7;
  readonly tileRegisters: 0 | 8;
  /** Exactly the features that generated code may use. */
  readonly features: ReadonlySet<CpuFeature>;
}

/** What each level needs beyond the one before. */
const LEVEL_NEEDS: Record<TargetLevel, readonly CpuFeature[]> = {
  avx2: ["sse4.2", "movbe", "popcnt", "lzcnt", "bmi1", "bmi2", "avx", "fma", "f16c", "avx2"],
  avx512: ["avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"],
  "avx512+vnni": ["avx512vnni"],
  "avx512+vnni+amx": ["amx-tile", "amx-int8", "amx-bf16"],
};

/** What a level may use where the processor has it; a mask that names a lower level drops these too. */
const LEVEL_EXTRAS: Record<TargetLevel, readonly CpuFeature[]> = {
  avx2: [],
  avx512: [],
  "avx512+vnni": [
    "avx-vnni",
    "gfni",
    "cldemote",
    "avx512ifma",
    "avx512vbmi",
    "avx512vbmi2",
    "avx512bitalg",
    "avx512vpopcntdq",
    "avx512fp16",
    "avx512bf16",
  ],
  "avx512+vnni+amx": ["amx-fp16"],
};

/** Spellings of the levels that people use. */
const LEVEL_ALIASES: Readonly<Record<string, TargetLevel>> = {
  vnni: "avx512+vnni",
  amx: "avx512+vnni+amx",
  "avx512+amx": "avx512+vnni+amx",
};

const WHOLE_FAMILIES: Readonly<Record<string, string>> = { amx: "amx-", avx512: "avx512", vnni: "avx512vnni" };

export interface TargetOptions {
  /** Level and removals separated by commas or spaces: "avx2", "avx512,-avx512bf16", "-amx". */
  readonly features?: string | undefined;
}

/**
 * The best target that a processor with these features can run under the mask. Throws a `UserError` for words it does
 * not know and for a level the processor lacks, and an `UnsupportedError` on processors without AVX2.
 */
export function resolveTarget(available: ReadonlySet<CpuFeature>, options: TargetOptions = {}): CpuTarget {
  const mask = parseMask(options.features ?? "");
  const allowed = TARGET_LEVELS.slice(0, mask.highest === undefined ? TARGET_LEVELS.length : rank(mask.highest) + 1);
  const hidden = TARGET_LEVELS.filter((level) => !allowed.includes(level)).flatMap((level) => [
    ...LEVEL_NEEDS[level],
    ...LEVEL_EXTRAS[level],
  ]);
  const usable = new Set(
    CPU_FEATURES.filter((name) => available.has(name) && !mask.removed.includes(name) && !hidden.includes(name)),
  );

  let name: TargetLevel | undefined;
  for (const level of allowed) {
    if (!LEVEL_NEEDS[level].every((feature) => usable.has(feature))) break;
    name = level;
  }
  const missing = allowed
    .flatMap((level) => LEVEL_NEEDS[level])
    .filter((feature) => !usable.has(feature))
    .join(", ");
  if (name === undefined) {
    throw new UnsupportedError({
      op: "machine code",
      target: "x86-64",
      reason: `AVX2 and FMA are the least that is generated; missing: ${missing}`,
    });
  }
  if (mask.highest !== undefined && name !== mask.highest && mask.removed.length === 0) {
    throw new UserError(`features: this processor cannot run "${mask.highest}": it lacks ${missing}`, {
      hint: `it runs "${name}"; name that, or leave the option out`,
    });
  }
  return makeTarget(name, usable);
}

/** Drops what is useless below the level it builds on: no AVX-512 extension without AVX-512, no tile type without tiles. */
function makeTarget(name: TargetLevel, usable: ReadonlySet<CpuFeature>): CpuTarget {
  const wide = rank(name) >= rank("avx512");
  const tiles = name === "avx512+vnni+amx";
  const kept = [...usable].filter(
    (feature) => (wide || !feature.startsWith("avx512")) && (tiles || !feature.startsWith("amx-")),
  );
  return {
    name,
    vectorBytes: wide ? 64 : 32,
    vectorRegisters: wide ? 32 : 16,
    maskRegisters: wide ? 7 : 0,
    tileRegisters: tiles ? 8 : 0,
    features: new Set(kept),
  };
}

interface Mask {
  readonly highest: TargetLevel | undefined;
  readonly removed: readonly CpuFeature[];
}

function parseMask(text: string): Mask {
  let highest: TargetLevel | undefined;
  const removed: CpuFeature[] = [];
  for (const word of text.split(/[\s,]+/).filter((part) => part !== "")) {
    if (word.startsWith("-")) removed.push(...featuresNamed(word.slice(1)));
    else highest = levelNamed(word);
  }
  return { highest, removed };
}

function levelNamed(word: string): TargetLevel {
  const level = TARGET_LEVELS.find((known) => known === word) ?? LEVEL_ALIASES[word.replace(/^\+/, "")];
  if (level !== undefined) return level;
  throw new UserError(`features: "${word}" is not a level`, {
    hint: `levels: ${TARGET_LEVELS.join(", ")}; to remove a feature write -name`,
  });
}

/** A feature, or all of a family: `-avx512` takes everything that starts so. */
function featuresNamed(word: string): readonly CpuFeature[] {
  const prefix = WHOLE_FAMILIES[word];
  if (prefix !== undefined) return CPU_FEATURES.filter((name) => name.startsWith(prefix));
  const found = CPU_FEATURES.filter((name) => name === word);
  if (found.length > 0) return found;
  throw new UserError(`features: "-${word}" names no feature`, {
    hint: `features: ${CPU_FEATURES.join(", ")}; families: ${Object.keys(WHOLE_FAMILIES).join(", ")}`,
  });
}

function rank(level: TargetLevel): number {
  return TARGET_LEVELS.indexOf(level);
}
