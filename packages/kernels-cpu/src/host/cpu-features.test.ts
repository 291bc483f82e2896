import { readFileSync } from "node:fs";

import { UnsupportedError, UserError } from "@quern/core";
import { describe, expect, test } from "vitest";

import { CPU_FEATURES, cpuInfo, readCpu } from "./cpu-features.ts";
import type { Cpuid, CpuFeature } from "./cpu-features.ts";
import { resolveTarget } from "./cpu-target.ts";
import { nativeHost } from "./select-host.ts";

const supported = process.arch === "x64" && (process.platform === "linux" || process.platform === "win32");

/** The kernel's names for what ours call otherwise. */
const LINUX_NAMES: Partial<Record<CpuFeature, string>> = {
  "sse4.2": "sse4_2",
  lzcnt: "abm",
  "avx-vnni": "avx_vnni",
  avx512vbmi2: "avx512_vbmi2",
  avx512vnni: "avx512_vnni",
  avx512bitalg: "avx512_bitalg",
  avx512vpopcntdq: "avx512_vpopcntdq",
  avx512fp16: "avx512_fp16",
  avx512bf16: "avx512_bf16",
  "amx-bf16": "amx_bf16",
  "amx-tile": "amx_tile",
  "amx-int8": "amx_int8",
  "amx-fp16": "amx_fp16",
};

test(
  "the features of this machine are those that the Linux kernel lists",
  { skip: !supported || process.platform !== "linux" },
  () => {
    const { features, brand, caches, vendor } = cpuInfo(nativeHost());
    const flags = new Set(/^flags\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]?.split(" "));
    // An old kernel lists no AMX-FP16; permission for tiles may be refused where the flag stands.
    const comparable = CPU_FEATURES.filter((name) => !name.startsWith("amx-"));
    expect(comparable.filter((name) => features.has(name))).toEqual(
      comparable.filter((name) => flags.has(LINUX_NAMES[name] ?? name)),
    );
    expect(readFileSync("/proc/cpuinfo", "utf8")).toContain(vendor);
    expect(readFileSync("/proc/cpuinfo", "utf8")).toContain(brand);
    expect(caches.l1d).toBeGreaterThanOrEqual(16 << 10);
    expect(caches.l2).toBeGreaterThan(caches.l1d);
    expect(caches.lineBytes).toBe(64);
  },
);

/** A processor with every feature bit set and Intel-style cache leaves. */
const everything: Cpuid = (leaf, subleaf = 0) => {
  const all = 0xffffffff;
  if (leaf === 0) return { eax: 32, ebx: 0x756e6547, ecx: 0x6c65746e, edx: 0x49656e69 };
  if (leaf === 0x80000000) return { eax: 0x80000001, ebx: 0, ecx: 0, edx: 0 };
  if (leaf === 7 && subleaf === 0) return { eax: 1, ebx: all, ecx: all, edx: all };
  if (leaf === 4) {
    const cache = [0x21, 0x22, 0x43, 0x63][subleaf] ?? 0; // level 1 data, level 1 code, 2, 3
    const sets = [64, 64, 2048, 65536][subleaf] ?? 1;
    return { eax: cache, ebx: (15 << 22) | 63, ecx: sets - 1, edx: 0 };
  }
  return { eax: all, ebx: all, ecx: all, edx: all };
};

describe("reading a processor", () => {
  test("everything there", () => {
    const info = readCpu(
      everything,
      () => 0x600e7,
      () => true,
    );
    expect([...info.features].toSorted()).toEqual([...CPU_FEATURES].toSorted());
    expect(info.vendor).toBe("GenuineIntel");
    expect(info.brand).toBe("");
    expect(info.caches).toEqual({ l1d: 64 << 10, l2: 2 << 20, l3: 64 << 20, lineBytes: 64 });
  });

  test("register state that the system does not save hides what needs it", () => {
    const withState = (xcr0: number): ReadonlySet<CpuFeature> =>
      readCpu(
        everything,
        () => xcr0,
        () => true,
      ).features;
    expect(withState(0x7).has("avx2")).toBe(true);
    expect([...withState(0x7)].filter((name) => name.startsWith("avx512") || name.startsWith("amx"))).toEqual([]);
    expect([...withState(0x3)].filter((name) => name.startsWith("avx") || name === "fma" || name === "f16c")).toEqual(
      [],
    );
    expect(withState(0xe7).has("avx512f")).toBe(true);
    expect(withState(0xe7).has("amx-tile")).toBe(false);
  });

  test("tiles are gone when the system refuses them, and are not asked for without the feature", () => {
    expect(
      readCpu(
        everything,
        () => 0x600e7,
        () => false,
      ).features.has("amx-int8"),
    ).toBe(false);
    let asked = false;
    readCpu(
      everything,
      () => 0xe7,
      () => (asked = true),
    );
    expect(asked).toBe(false);
  });

  test("leaves beyond the last one are not read", () => {
    const old: Cpuid = (leaf, subleaf) => (leaf === 0 ? { ...everything(0), eax: 1 } : everything(leaf, subleaf));
    const { features } = readCpu(
      old,
      () => 0x600e7,
      () => true,
    );
    expect(features.has("avx")).toBe(true);
    expect(features.has("avx2")).toBe(false);
  });
});

describe("targets and masks", () => {
  const all = new Set(CPU_FEATURES);
  const without = (...names: CpuFeature[]): ReadonlySet<CpuFeature> =>
    new Set(CPU_FEATURES.filter((name) => !names.includes(name)));
  const name = (features?: string, available: ReadonlySet<CpuFeature> = all): string =>
    resolveTarget(available, { features }).name;

  test("the best level the features allow", () => {
    expect(name()).toBe("avx512+vnni+amx");
    expect(name("", without("amx-int8"))).toBe("avx512+vnni");
    expect(name("", without("avx512vnni"))).toBe("avx512");
    expect(name("", without("avx512bw"))).toBe("avx2");
  });

  test("a level in the mask caps", () => {
    expect(name("avx2")).toBe("avx2");
    expect(name("avx512")).toBe("avx512");
    expect(name("avx512+vnni")).toBe("avx512+vnni");
    expect(name("vnni")).toBe("avx512+vnni");
    expect(name("+amx")).toBe("avx512+vnni+amx");
    expect(
      [...resolveTarget(all, { features: "avx2" }).features].some(
        (f) => f.startsWith("avx512") || f.startsWith("amx") || f === "avx-vnni",
      ),
    ).toBe(false);
    expect(
      [...resolveTarget(all, { features: "avx512" }).features].filter((f) => f.startsWith("avx512")).toSorted(),
    ).toEqual(["avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"]);
  });

  test("features can be taken away, with what builds on them", () => {
    expect(name("-amx")).toBe("avx512+vnni");
    expect(name("-vnni")).toBe("avx512");
    const narrow = resolveTarget(all, { features: "-avx512" });
    expect(narrow.name).toBe("avx2");
    expect(narrow.features.has("avx-vnni")).toBe(true);
    expect([...narrow.features].some((f) => f.startsWith("avx512") || f.startsWith("amx"))).toBe(false);
    const noBf16 = resolveTarget(all, { features: "avx512+vnni, -avx512bf16" });
    expect(noBf16.name).toBe("avx512+vnni");
    expect(noBf16.features.has("avx512bf16")).toBe(false);
    expect(noBf16.features.has("avx512vbmi")).toBe(true);
  });

  test("register files follow the level", () => {
    expect(resolveTarget(all, { features: "avx2" })).toMatchObject({
      vectorBytes: 32,
      vectorRegisters: 16,
      maskRegisters: 0,
      tileRegisters: 0,
    });
    expect(resolveTarget(all)).toMatchObject({
      vectorBytes: 64,
      vectorRegisters: 32,
      maskRegisters: 7,
      tileRegisters: 8,
    });
  });

  test("unknown words, absent levels and processors without AVX2 are told apart", () => {
    expect(() => name("avx1024")).toThrow(UserError);
    expect(() => name("avx1024")).toThrow(`features: "avx1024" is not a level`);
    expect(() => name("-avx1024")).toThrow(`features: "-avx1024" names no feature`);
    expect(() => name("amx", without("amx-tile"))).toThrow(
      `this processor cannot run "avx512+vnni+amx": it lacks amx-tile`,
    );
    expect(() => name("", without("fma"))).toThrow(UnsupportedError);
  });
});
