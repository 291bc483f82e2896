/**
 * What code generation knows of a processor: its vector width and its instruction set extensions.
 *
 * Feature names are those of the instruction table (`avx512bw`, `avx512vnni`, `amx-bf16`). The targets of the host
 * have this form; those here are pinned, for tests and for looking at code made for other machines. Every target has
 * AVX2, FMA, F16C, BMI1 and BMI2; 64-byte vectors mean AVX-512 F, VL, BW and DQ.
 */

export interface CpuTarget {
  readonly name: string;
  /** Bytes of the widest vector register that kernels use. */
  readonly vectorBytes: 16 | 32 | 64;
  readonly features: ReadonlySet<string>;
}

const avx2Features = ["avx", "fma", "f16c", "avx2", "bmi1", "bmi2", "popcnt", "lzcnt"];
const avx512Features = [...avx2Features, "avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512cd"];
const vnniFeatures = [...avx512Features, "avx512vnni", "avx512bf16", "avx512vbmi"];

/** Sixteen ymm registers, no opmasks: vector masks. */
export const AVX2: CpuTarget = { name: "avx2", vectorBytes: 32, features: new Set(avx2Features) };
/** Thirty-two zmm registers and opmasks. */
export const AVX512: CpuTarget = { name: "avx512", vectorBytes: 64, features: new Set(avx512Features) };
/** With dot products of bytes and of bf16. */
export const AVX512_VNNI: CpuTarget = { name: "avx512+vnni", vectorBytes: 64, features: new Set(vnniFeatures) };
/** With matrix tiles. */
export const AMX: CpuTarget = {
  name: "avx512+vnni+amx",
  vectorBytes: 64,
  features: new Set([...vnniFeatures, "amx-tile", "amx-bf16", "amx-int8"]),
};

export const CPU_TARGETS: readonly CpuTarget[] = [AVX2, AVX512, AVX512_VNNI, AMX];

/** AVX-512 code: opmasks and 32 vector registers. */
export function hasOpmasks(target: CpuTarget): boolean {
  return target.features.has("avx512f");
}
