/**
 * The host on Windows x86-64: kernel32 in the place of the C library.
 *
 * Written from the documented contracts of the functions and checked by the type checker only: it has not run on
 * Windows yet. Huge pages are left out, since they need a privilege that ordinary accounts lack.
 */
import { statSync } from "node:fs";

import { invariant, UserError } from "@quern/core";

import { HostMemory } from "./host-memory.ts";
import { bindEntry, loadKoffi, viewAddress } from "./load-koffi.ts";
import type { AllocateOptions, CodeRegion, NativeHost, NativeMemory } from "./native-host.ts";

const PAGE_BYTES = 4096;

const MEM_COMMIT = 0x1000;
const MEM_RESERVE = 0x2000;
const MEM_RELEASE = 0x8000;
const PAGE_NOACCESS = 0x01;
const PAGE_READONLY = 0x02;
const PAGE_READWRITE = 0x04;
const PAGE_EXECUTE_READ = 0x20;
const GENERIC_READ = 0x80000000;
const FILE_SHARE_READ = 1;
const OPEN_EXISTING = 3;
const FILE_MAP_READ = 4;
const INFINITE = 0xffffffff;
const INVALID_HANDLE = 0xffffffffffffffffn;
const XSTATE_TILE_DATA = 1n << 18n;

/** Throws when koffi cannot be loaded or the system is older than Windows 8. */
export function createWindowsHost(): NativeHost {
  const koffi = loadKoffi();
  const kernel = koffi.load("kernel32.dll");
  const synch = koffi.load("api-ms-win-core-synch-l1-2-0.dll");
  const virtualAlloc = kernel.func("VirtualAlloc", "uint64", ["uint64", "uint64", "uint32", "uint32"]) as VirtualAlloc;
  const virtualFree = kernel.func("VirtualFree", "int", ["uint64", "uint64", "uint32"]) as Three;
  const virtualProtect = kernel.func("VirtualProtect", "int", [
    "uint64",
    "uint64",
    "uint32",
    "void *",
  ]) as VirtualProtect;
  const currentProcess = kernel.func("GetCurrentProcess", "uint64", []) as () => Handle;
  const flushInstructionCache = kernel.func("FlushInstructionCache", "int", [
    "uint64",
    "uint64",
    "uint64",
  ]) as FlushCache;
  const createThread = kernel.func("CreateThread", "uint64", [
    "uint64",
    "uint64",
    "uint64",
    "uint64",
    "uint32",
    "uint64",
  ]) as Six;
  const waitForObject = kernel.func("WaitForSingleObject", "uint32", ["uint64", "uint32"]) as (
    handle: Handle,
    ms: number,
  ) => number;
  const closeHandle = kernel.func("CloseHandle", "int", ["uint64"]) as (handle: Handle) => number;
  const createFile = kernel.func("CreateFileW", "uint64", [
    "str16",
    "uint32",
    "uint32",
    "uint64",
    "uint32",
    "uint32",
    "uint64",
  ]) as CreateFile;
  const createFileMapping = kernel.func("CreateFileMappingW", "uint64", [
    "uint64",
    "uint64",
    "uint32",
    "uint32",
    "uint32",
    "uint64",
  ]) as CreateMapping;
  const mapView = kernel.func("MapViewOfFile", "uint64", ["uint64", "uint32", "uint32", "uint32", "uint64"]) as MapView;
  const unmapView = kernel.func("UnmapViewOfFile", "int", ["uint64"]) as (address: number) => number;
  const lastError = kernel.func("GetLastError", "uint32", []) as () => number;

  const view = (address: bigint, byteLength: number): ArrayBuffer => koffi.view(address, byteLength);
  const reserve = (byteLength: number, type: number, protection: number, what: string): number => {
    const address = virtualAlloc(0, byteLength, type, protection);
    if (address === 0)
      throw new UserError(`${what}: the system refused ${byteLength} bytes of memory (error ${lastError()})`);
    return address;
  };
  const commit = (address: number, byteLength: number): void => {
    invariant(
      virtualAlloc(address, byteLength, MEM_COMMIT, PAGE_READWRITE) !== 0,
      () => `VirtualAlloc failed (${lastError()})`,
    );
  };

  function allocate(byteLength: number, _options: AllocateOptions = {}): NativeMemory {
    if (byteLength === 0) return new HostMemory(0n, 0, view, () => {});
    const address = reserve(byteLength, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, "allocate");
    return new HostMemory(BigInt(address), byteLength, view, () => virtualFree(address, 0, MEM_RELEASE));
  }

  function allocateGuarded(byteLength: number, alignment = 64): NativeMemory {
    const padded = roundUp(byteLength, alignment);
    const inner = roundUp(Math.max(padded, 1), PAGE_BYTES);
    const start = reserve(inner + 2 * PAGE_BYTES, MEM_RESERVE, PAGE_NOACCESS, "allocateGuarded");
    commit(start + PAGE_BYTES, inner);
    const address = start + PAGE_BYTES + inner - padded;
    return new HostMemory(BigInt(address), byteLength, view, () => virtualFree(start, 0, MEM_RELEASE));
  }

  function mapFile(path: string): NativeMemory {
    const byteLength = regularFileSize(path);
    if (byteLength === 0) return new HostMemory(0n, 0, view, () => {});
    const file = createFile(path, GENERIC_READ, FILE_SHARE_READ, 0, OPEN_EXISTING, 0, 0);
    if (BigInt(file) === INVALID_HANDLE)
      throw new UserError(`cannot open the file (error ${lastError()})`, { where: path });
    try {
      const high = Math.floor(byteLength / 2 ** 32);
      const mapping = createFileMapping(file, 0, PAGE_READONLY, high, byteLength % 2 ** 32, 0);
      if (BigInt(mapping) === 0n) throw new UserError(`cannot map the file (error ${lastError()})`, { where: path });
      // The view holds the mapping and the file, so that both handles can go at once.
      const address = mapView(mapping, FILE_MAP_READ, 0, 0, byteLength);
      closeHandle(mapping);
      if (address === 0) throw new UserError(`cannot map the file (error ${lastError()})`, { where: path });
      return new HostMemory(BigInt(address), byteLength, view, () => unmapView(address));
    } finally {
      closeHandle(file);
    }
  }

  function reserveCode(byteLength: number): CodeRegion {
    const mapped = roundUp(byteLength, PAGE_BYTES);
    const start = reserve(mapped, MEM_RESERVE, PAGE_NOACCESS, "reserveCode");
    const previous = new Uint32Array(1);
    return {
      address: BigInt(start),
      byteLength: mapped,
      publish(offset, bytes) {
        const pages = roundUp(bytes.length, PAGE_BYTES);
        invariant(
          offset % PAGE_BYTES === 0 && offset >= 0 && offset + pages <= mapped,
          "publish: outside of the code region",
        );
        commit(start + offset, pages);
        const writable = koffi.view(BigInt(start + offset), pages);
        new Uint8Array(writable).set(bytes);
        writable.transfer(0);
        const done = virtualProtect(start + offset, pages, PAGE_EXECUTE_READ, previous);
        invariant(done !== 0, () => `VirtualProtect failed (${lastError()})`);
        flushInstructionCache(currentProcess(), start + offset, pages);
      },
      free: () => void virtualFree(start, 0, MEM_RELEASE),
    };
  }

  return {
    name: "win32-x64",
    abi: "win64",
    pageBytes: PAGE_BYTES,
    waitCalls: {
      kind: "win32",
      waitOnAddress: koffi.address(synch.symbol("WaitOnAddress")),
      wakeByAddressAll: koffi.address(synch.symbol("WakeByAddressAll")),
      switchToThread: koffi.address(kernel.symbol("SwitchToThread")),
    },
    allocate,
    allocateGuarded,
    mapFile,
    // The system trims mapped pages by itself.
    droppablePages: () => undefined,
    reserveCode,
    addressOf: (bytes) => viewAddress(koffi, bytes),
    entry: (address) => bindEntry(koffi, address),
    startThread(routine, argument) {
      const thread = createThread(0, 0, Number(routine), Number(argument), 0, 0);
      if (BigInt(thread) === 0n)
        throw new UserError(`the system refused to start a thread (error ${lastError()})`, {
          hint: "use fewer threads",
        });
      return {
        join() {
          waitForObject(thread, INFINITE);
          closeHandle(thread);
        },
      };
    },
    requestTiles() {
      try {
        const enable = kernel.func("EnableProcessOptionalXStateFeatures", "int", ["uint64"]) as (
          features: bigint,
        ) => number;
        return enable(XSTATE_TILE_DATA) !== 0;
      } catch {
        return false; // older than Windows 11: the function does not exist
      }
    },
  };
}

/** What koffi makes of a 64-bit result: a bigint where a double would round. */
type Handle = number | bigint;
type VirtualAlloc = (address: number, length: number, type: number, protection: number) => number;
type Three = (address: number, length: number, type: number) => number;
type VirtualProtect = (address: number, length: number, protection: number, previous: Uint32Array) => number;
type FlushCache = (process: Handle, address: number, length: number) => number;
type Six = (security: number, stack: number, routine: number, argument: number, flags: number, id: number) => Handle;
type CreateFile = (
  path: string,
  access: number,
  share: number,
  security: number,
  mode: number,
  flags: number,
  template: number,
) => Handle;
type CreateMapping = (
  file: Handle,
  security: number,
  protection: number,
  high: number,
  low: number,
  name: number,
) => Handle;
type MapView = (mapping: Handle, access: number, high: number, low: number, length: number) => number;

function regularFileSize(path: string): number {
  let size: number;
  let isFile: boolean;
  try {
    const stat = statSync(path);
    size = stat.size;
    isFile = stat.isFile();
  } catch (cause) {
    throw new UserError(`cannot open the file: ${cause instanceof Error ? cause.message : String(cause)}`, {
      where: path,
      cause,
    });
  }
  if (!isFile)
    throw new UserError("not a regular file", {
      where: path,
      hint: "give the path of a file, not of a folder, pipe or device",
    });
  return size;
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
