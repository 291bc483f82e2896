import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { UnsupportedError, UserError } from "@quern/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CODE_ALIGNMENT, CodeArena } from "./code-arena.ts";
import { MemoryArena } from "./memory-arena.ts";
import type { NativeHost } from "./native-host.ts";
import { createHost, nativeHost } from "./select-host.ts";

const supported = process.arch === "x64" && (process.platform === "linux" || process.platform === "win32");
const linux = supported && process.platform === "linux";

test("platforms without machine code of ours are refused with the way out", () => {
  expect(() => createHost("darwin", "arm64")).toThrow(UnsupportedError);
  expect(() => createHost("linux", "arm64")).toThrow(
    "native code is not supported on linux-arm64: machine code is generated for x86-64 on Linux and Windows",
  );
});

describe.skipIf(!supported)("native host", () => {
  let host: NativeHost;
  let folder: string;
  beforeAll(() => {
    host = nativeHost();
    folder = mkdtempSync(join(tmpdir(), "quern-host-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("memory is zeroed, page-aligned and shared with JavaScript at its address", () => {
    using memory = host.allocate(10_000);
    expect(memory.byteLength).toBe(10_000);
    expect(memory.buffer.byteLength).toBe(10_000);
    expect(memory.address % BigInt(host.pageBytes)).toBe(0n);
    const bytes = new Uint8Array(memory.buffer);
    expect(bytes.every((b) => b === 0)).toBe(true);
    bytes[9_999] = 7;
    expect(new Uint8Array(memory.buffer)[9_999]).toBe(7);
    expect(host.addressOf(memory.buffer)).toBe(memory.address);
  });

  test("freed memory cannot be reached through views made before", () => {
    const memory = host.allocate(4096);
    const view = new Float32Array(memory.buffer);
    memory.free();
    memory.free();
    expect(view.length).toBe(0);
    expect(() => memory.buffer).toThrow("was freed and is still in use");
  });

  test("a block of no bytes is legal", () => {
    using memory = host.allocate(0);
    expect(memory.buffer.byteLength).toBe(0);
  });

  test("sizes that are no sizes, and more memory than there is, are errors", () => {
    expect(() => host.allocate(-1)).toThrow("-1 is not a size in bytes");
    expect(() => host.allocate(2 ** 50)).toThrow(UserError);
  });

  test("huge-page memory is aligned to 2 MiB", () => {
    using memory = host.allocate((2 << 20) + 5, { hugePages: true });
    if (linux) expect(memory.address % BigInt(2 << 20)).toBe(0n);
    expect(memory.byteLength).toBe((2 << 20) + 5);
    new Uint8Array(memory.buffer).fill(1);
  });

  test("a view's address counts its offset, and holds over garbage collections", () => {
    const small = new Float32Array([1, 2, 3, 4]);
    const address = host.addressOf(small);
    expect(host.addressOf(small.subarray(1))).toBe(address + 4n);
    expect(host.addressOf(new DataView(small.buffer, 8))).toBe(address + 8n);
    for (let round = 0; round < 50; round++) Array.from({ length: 2000 }, () => new Float32Array(64));
    expect(host.addressOf(small)).toBe(address);
  });

  test("arena blocks are aligned, distinct and zeroed", () => {
    using arena = new MemoryArena(host, { hugePages: false });
    const blocks = [arena.allocate(100), arena.allocate(1, 4096), arena.allocate(40 << 20), arena.allocate(64)];
    expect(blocks.map((b) => Number(b.address % 64n))).toEqual([0, 0, 0, 0]);
    expect(Number((blocks[1]?.address ?? 1n) % 4096n)).toBe(0);
    blocks.forEach((block, i) => new Uint8Array(block.buffer, block.byteOffset, block.byteLength).fill(i + 1));
    blocks.forEach((block, i) => {
      expect(new Uint8Array(block.buffer, block.byteOffset, block.byteLength).every((b) => b === i + 1)).toBe(true);
      expect(host.addressOf(new Uint8Array(block.buffer, block.byteOffset, 1))).toBe(block.address);
    });
    expect(arena.usedBytes).toBe(100 + 1 + (40 << 20) + 64);
  });

  test("a file is mapped whole and unchanged", () => {
    const path = join(folder, "weights.bin");
    const content = Uint8Array.from({ length: 9001 }, (_, i) => i & 255);
    writeFileSync(path, content);
    using memory = host.mapFile(path);
    expect(memory.byteLength).toBe(9001);
    expect(new Uint8Array(memory.buffer)).toEqual(content);
    // The mapping does not need the descriptor, nor the file's name.
    rmSync(path);
    expect(new Uint8Array(memory.buffer)[9000]).toBe(9000 & 255);
  });

  test("an empty file is an empty block, a truncated one is as long as what is left", () => {
    const path = join(folder, "cut.bin");
    writeFileSync(path, new Uint8Array(8192));
    truncateSync(path, 5);
    using cut = host.mapFile(path);
    expect(cut.buffer.byteLength).toBe(5);
    truncateSync(path, 0);
    using empty = host.mapFile(path);
    expect(empty.byteLength).toBe(0);
    expect(empty.buffer.byteLength).toBe(0);
  });

  test("what is no readable regular file is refused by its path", () => {
    expect(() => host.mapFile(folder)).toThrow("not a regular file");
    expect(() => host.mapFile(join(folder, "missing.bin"))).toThrow(/cannot open the file: ENOENT[^]*missing\.bin/);
    expect(() => host.mapFile("nul\0byte")).toThrow(UserError);
    if (linux) expect(() => host.mapFile("/dev/zero")).toThrow("not a regular file");
  });

  test("many failed and successful mappings leave no open descriptor", { skip: !linux }, () => {
    const path = join(folder, "small.bin");
    writeFileSync(path, "x");
    const open = (): number =>
      Number(
        spawnSync("ls", [`/proc/${process.pid}/fd`])
          .stdout.toString()
          .trim()
          .split("\n").length,
      );
    const before = open();
    for (let i = 0; i < 50; i++) {
      host.mapFile(path).free();
      expect(() => host.mapFile(folder)).toThrow(UserError);
    }
    // A leak shows as 50 or more; the test runner itself may open a few files meanwhile.
    expect(open()).toBeLessThan(before + 25);
  });

  test("published code is placed in order on cache lines and runs", () => {
    using arena = new CodeArena(host);
    using word = host.allocate(4);
    const pieces = Array.from({ length: 300 }, (_, i) => storeConstant(host, i));
    const addresses = [
      ...arena.publish(pieces.slice(0, 200)),
      ...arena.publish(pieces.slice(200)),
      ...arena.publish([]),
    ];
    expect(addresses.length).toBe(300);
    expect(arena.codeBytes).toBe(pieces.reduce((sum, piece) => sum + piece.length, 0));
    addresses.forEach((address, i) => {
      expect(address % BigInt(CODE_ALIGNMENT)).toBe(0n);
      host.entry(address).call(word.address);
      expect(new Uint32Array(word.buffer)[0]).toBe(i);
    });
  });

  test("an entry can run on another thread without blocking this one", async () => {
    using arena = new CodeArena(host);
    using word = host.allocate(4);
    const [address] = arena.publish([storeConstant(host, 77)]) as [bigint];
    await host.entry(address).callAsync(word.address);
    expect(new Uint32Array(word.buffer)[0]).toBe(77);
  });

  test("code pages are executable and not writable, before they are filled neither", { skip: !linux }, () => {
    using arena = new CodeArena(host);
    const [first] = arena.publish([storeConstant(host, 1)]) as [bigint];
    const [second] = arena.publish([storeConstant(host, 2)]) as [bigint];
    expect(pageFlags(first)).toBe("r-xp");
    expect(pageFlags(second)).toBe("r-xp");
    expect(pageFlags(second + BigInt(host.pageBytes))).toBe("---p");
    using data = host.allocate(100);
    expect(pageFlags(data.address)).toBe("rw-p");
  });

  test("writing to published code ends the process", { skip: !linux }, () => {
    // Writes the page with the code that lies in it.
    const { signal } = runNative(`
      const [store] = new CodeArena(host).publish([Uint8Array.from(${JSON.stringify([...storeConstant(host, 1)])})]);
      host.entry(store).call(store);
    `);
    expect(signal).toBe("SIGSEGV");
  });

  test("guard pages stop the first access beyond either end", { skip: !linux }, () => {
    expect(runGuarded(128, "0").status).toBe(0);
    expect(runGuarded(128, "127").status).toBe(0);
    expect(runGuarded(128, "128").signal).toBe("SIGSEGV");
    expect(runGuarded(4096, "-1").signal).toBe("SIGSEGV");
  });
});

/** `mov dword [argument], value; ret` in the platform's convention. */
function storeConstant(host: NativeHost, value: number): Uint8Array {
  const modrm = host.abi === "sysv" ? 0x07 : 0x01; // [rdi] or [rcx]
  return Uint8Array.from([0xc7, modrm, value & 255, (value >> 8) & 255, 0, 0, 0xc3]);
}

/** Protection of the page at an address, as the kernel lists it. */
function pageFlags(address: bigint): string | undefined {
  for (const line of readFileSync("/proc/self/maps", "utf8").split("\n")) {
    const [, start, end, flags] = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line) ?? [];
    if (BigInt(`0x${start ?? 0}`) <= address && address < BigInt(`0x${end ?? 0}`)) return flags;
  }
  return undefined;
}

/** Reads one byte of a guarded block, at an offset. */
function runGuarded(byteLength: number, offset: string): { status: number | null; signal: string | null } {
  return runNative(`
    const memory = host.allocateGuarded(${byteLength});
    const [touch] = new CodeArena(host).publish([Uint8Array.from([0x8a, 0x07, 0xc3])]); // mov al, [rdi]; ret
    host.entry(touch).call(memory.address + (${offset}n));
  `);
}

/** Runs statements that use `host` in a process of their own. */
function runNative(statements: string): { status: number | null; signal: string | null } {
  const source = `
    import { nativeHost, CodeArena } from ${JSON.stringify(new URL("./index.ts", import.meta.url).href)};
    const host = nativeHost();
    ${statements}
  `;
  const { status, signal } = spawnSync(process.execPath, [
    "--conditions=quern-src",
    "--input-type=module",
    "-e",
    source,
  ]);
  return { status, signal };
}
