/**
 * What this processor and this system let us use, asked by CPUID and XGETBV from generated code.
 *
 * A feature counts only when the processor has it and the system saves its registers (XCR0). Model numbers are never
 * looked at: virtual machines mask them. Reference: Intel SDM volume 2, CPUID; volume 1, chapter 13 (XCR0).
 */
import { Assembler, r32, rdi } from "../asm/index.ts";
import { CodeArena } from "./code-arena.ts";
import { at, emitEpilogue, emitPrologue } from "./kernel-call.ts";
import type { NativeHost } from "./native-host.ts";

type Register = "eax" | "ebx" | "ecx" | "edx";
/** Register state that the system must save for the feature to be usable. */
type State = "none" | "avx" | "avx512" | "amx";
type FeatureRow = readonly [name: string, leaf: number, subleaf: number, register: Register, bit: number, state: State];

const FEATURE_ROWS = [
  ["sse4.2", 1, 0, "ecx", 20, "none"],
  ["movbe", 1, 0, "ecx", 22, "none"],
  ["popcnt", 1, 0, "ecx", 23, "none"],
  ["lzcnt", 0x80000001, 0, "ecx", 5, "none"],
  ["rdtscp", 0x80000001, 0, "edx", 27, "none"],
  ["bmi1", 7, 0, "ebx", 3, "none"],
  ["bmi2", 7, 0, "ebx", 8, "none"],
  ["cldemote", 7, 0, "ecx", 25, "none"],
  ["gfni", 7, 0, "ecx", 8, "none"],
  ["avx", 1, 0, "ecx", 28, "avx"],
  ["fma", 1, 0, "ecx", 12, "avx"],
  ["f16c", 1, 0, "ecx", 29, "avx"],
  ["avx2", 7, 0, "ebx", 5, "avx"],
  ["avx-vnni", 7, 1, "eax", 4, "avx"],
  ["avx512f", 7, 0, "ebx", 16, "avx512"],
  ["avx512dq", 7, 0, "ebx", 17, "avx512"],
  ["avx512ifma", 7, 0, "ebx", 21, "avx512"],
  ["avx512cd", 7, 0, "ebx", 28, "avx512"],
  ["avx512bw", 7, 0, "ebx", 30, "avx512"],
  ["avx512vl", 7, 0, "ebx", 31, "avx512"],
  ["avx512vbmi", 7, 0, "ecx", 1, "avx512"],
  ["avx512vbmi2", 7, 0, "ecx", 6, "avx512"],
  ["avx512vnni", 7, 0, "ecx", 11, "avx512"],
  ["avx512bitalg", 7, 0, "ecx", 12, "avx512"],
  ["avx512vpopcntdq", 7, 0, "ecx", 14, "avx512"],
  ["avx512fp16", 7, 0, "edx", 23, "avx512"],
  ["avx512bf16", 7, 1, "eax", 5, "avx512"],
  ["amx-bf16", 7, 0, "edx", 22, "amx"],
  ["amx-tile", 7, 0, "edx", 24, "amx"],
  ["amx-int8", 7, 0, "edx", 25, "amx"],
  ["amx-fp16", 7, 1, "eax", 21, "amx"],
] as const;

export type CpuFeature = (typeof FEATURE_ROWS)[number][0];

/** Every feature known here, in the order they are printed. */
export const CPU_FEATURES: readonly CpuFeature[] = FEATURE_ROWS.map(([name]) => name);

/** Sizes in bytes, 0 where the processor does not tell. `l3` may be shared with other machines' work. */
export interface CacheSizes {
  readonly l1d: number;
  readonly l2: number;
  readonly l3: number;
  readonly lineBytes: number;
}

export interface CpuInfo {
  /** "GenuineIntel", "AuthenticAMD", ... */
  readonly vendor: string;
  readonly brand: string;
  readonly features: ReadonlySet<CpuFeature>;
  readonly caches: CacheSizes;
}

interface CpuidResult {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** Asks CPUID for a leaf and subleaf. */
export type Cpuid = (leaf: number, subleaf?: number) => CpuidResult;

const known = new WeakMap<NativeHost, CpuInfo>();

/**
 * The processor under a host; asked once. Where AMX exists this also asks the system for the permission to use it,
 * which threads inherit, so it comes before the first thread is made.
 */
export function cpuInfo(host: NativeHost): CpuInfo {
  let info = known.get(host);
  if (info === undefined) {
    info = detect(host);
    known.set(host, info);
  }
  return info;
}

function detect(host: NativeHost): CpuInfo {
  using arena = new CodeArena(host);
  using block = host.allocate(24);
  const words = new Uint32Array(block.buffer);
  const [cpuidCode, xgetbvCode] = arena.publish([assembleCpuid(host), assembleXgetbv(host)]) as [bigint, bigint];
  const cpuidEntry = host.entry(cpuidCode);
  const cpuid: Cpuid = (leaf, subleaf = 0) => {
    words[0] = leaf;
    words[1] = subleaf;
    cpuidEntry.call(block.address);
    const [, , eax = 0, ebx = 0, ecx = 0, edx = 0] = words;
    return { eax, ebx, ecx, edx };
  };
  const readXcr0 = (): number => {
    host.entry(xgetbvCode).call(block.address);
    return words[2] ?? 0;
  };
  return readCpu(cpuid, readXcr0, () => host.requestTiles());
}

/** As {@link cpuInfo} from its three sources, so that tests can play any processor. */
export function readCpu(cpuid: Cpuid, readXcr0: () => number, requestTiles: () => boolean): CpuInfo {
  const first = cpuid(0);
  const lastLeaf = { basic: first.eax, extended: cpuid(0x80000000).eax };
  const lastSubleaf = lastLeaf.basic >= 7 ? cpuid(7).eax : -1;
  const has = ([, leaf, subleaf, register, bit]: FeatureRow): boolean => {
    if (leaf > (leaf >= 0x80000000 ? lastLeaf.extended : lastLeaf.basic)) return false;
    if (leaf === 7 && subleaf > lastSubleaf) return false;
    return ((cpuid(leaf, subleaf)[register] >>> bit) & 1) === 1;
  };

  const savesState = lastLeaf.basic >= 1 && ((cpuid(1).ecx >>> 27) & 1) === 1;
  const xcr0 = savesState ? readXcr0() : 0;
  const saved = (bits: number): boolean => (xcr0 & bits) === bits;
  const states: Record<State, boolean> = { none: true, avx: saved(0x6), avx512: saved(0xe6), amx: saved(0x60000) };
  const features = new Set<CpuFeature>();
  for (const row of FEATURE_ROWS) if (states[row[5]] && has(row)) features.add(row[0]);
  if (features.has("amx-tile") && !requestTiles()) {
    for (const name of CPU_FEATURES) if (name.startsWith("amx-")) features.delete(name);
  }
  return {
    vendor: text([first.ebx, first.edx, first.ecx]),
    brand: lastLeaf.extended >= 0x80000004 ? readBrand(cpuid) : "",
    features,
    caches: readCaches(cpuid, lastLeaf.extended),
  };
}

function readBrand(cpuid: Cpuid): string {
  const parts = [0x80000002, 0x80000003, 0x80000004].map((leaf) => cpuid(leaf));
  return text(parts.flatMap(({ eax, ebx, ecx, edx }) => [eax, ebx, ecx, edx])).trim();
}

function readCaches(cpuid: Cpuid, lastExtended: number): CacheSizes {
  // Two vendors, one format: leaf 4, or 0x8000001D where the processor has the topology extension.
  const topologyExtension = lastExtended >= 0x8000001d && ((cpuid(0x80000001).ecx >>> 22) & 1) === 1;
  const leaf = topologyExtension ? 0x8000001d : 4;
  const sizes = { l1d: 0, l2: 0, l3: 0, lineBytes: 64 };
  for (let subleaf = 0; subleaf < 8; subleaf++) {
    const { eax, ebx, ecx } = cpuid(leaf, subleaf);
    const kind = eax & 31; // 0 no more caches, 1 data, 2 instructions, 3 both
    if (kind === 0) break;
    if (kind === 2) continue;
    const lineBytes = (ebx & 0xfff) + 1;
    const partitions = ((ebx >>> 12) & 0x3ff) + 1;
    const ways = (ebx >>> 22) + 1;
    const bytes = lineBytes * partitions * ways * (ecx + 1);
    const level = (eax >>> 5) & 7;
    if (level === 1) {
      sizes.l1d = bytes;
      sizes.lineBytes = lineBytes;
    } else if (level === 2) sizes.l2 = bytes;
    else if (level === 3) sizes.l3 = bytes;
  }
  return sizes;
}

function text(words: readonly number[]): string {
  const bytes = new Uint8Array(Uint32Array.from(words).buffer);
  return String.fromCharCode(...bytes).replaceAll("\0", "");
}

/** `f(block)`: block = { leaf, subleaf, eax, ebx, ecx, edx } of 32 bits each. */
function assembleCpuid(host: NativeHost): Uint8Array {
  const a = new Assembler();
  emitPrologue(a, host.abi);
  a.emit("mov", r32(0), at(rdi, 0));
  a.emit("mov", r32(1), at(rdi, 4));
  a.emit("cpuid");
  a.emit("mov", at(rdi, 8), r32(0));
  a.emit("mov", at(rdi, 12), r32(3));
  a.emit("mov", at(rdi, 16), r32(1));
  a.emit("mov", at(rdi, 20), r32(2));
  emitEpilogue(a, host.abi);
  return a.assemble().bytes;
}

/** `f(block)`: the low half of XCR0 goes to the place of eax. */
function assembleXgetbv(host: NativeHost): Uint8Array {
  const a = new Assembler();
  emitPrologue(a, host.abi);
  a.emit("xor", r32(1), r32(1));
  a.emit("xgetbv");
  a.emit("mov", at(rdi, 8), r32(0));
  emitEpilogue(a, host.abi);
  return a.assemble().bytes;
}
