/**
 * The host on Linux x86-64: memory maps, protection, threads and AMX permission through the C library that Node
 * itself is linked with (glibc or musl). Page flags and request numbers are those of the kernel's user-space headers.
 */
import { closeSync, constants, fstatSync, openSync } from "node:fs";

import { invariant, UserError } from "@quern/core";

import { HostMemory } from "./host-memory.ts";
import { bindEntry, loadKoffi, viewAddress } from "./load-koffi.ts";
import { dropPagesKernel } from "./drop-code.ts";
import type { AllocateOptions, CodeRegion, DroppablePages, NativeHost, NativeMemory } from "./native-host.ts";

const PAGE_BYTES = 4096;
const HUGE_PAGE_BYTES = 2 << 20;

const PROT_NONE = 0;
const PROT_READ = 1;
const PROT_WRITE = 2;
const PROT_EXEC = 4;
const MAP_PRIVATE = 0x02;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MADV_HUGEPAGE = 14;
const MADV_POPULATE_WRITE = 23;
const FAULT_SIGNALS = [4, 7, 8, 11]; // SIGILL SIGBUS SIGFPE SIGSEGV
const SA_SIGINFO = 4;
const SA_ONSTACK = 0x08000000;
/** Words of the C library's `struct sigaction`: handler, 1024 bits of mask, flags, restorer. */
const ACTION_WORDS = 19;
const ACTION_FLAGS = 17;
const SYS_ARCH_PRCTL = 158;
const ARCH_REQ_XCOMP_PERM = 0x1023;
const XFEATURE_XTILEDATA = 18;

/** Throws when koffi cannot be loaded; makes no system call yet. */
export function createLinuxHost(): NativeHost {
  const koffi = loadKoffi();
  const libc = koffi.load(null);
  const mmap = libc.func("mmap", "int64", ["uint64", "uint64", "int", "int", "int", "int64"]) as Mmap;
  const munmap = libc.func("munmap", "int", ["uint64", "uint64"]) as (at: number, length: number) => number;
  const mprotect = libc.func("mprotect", "int", ["uint64", "uint64", "int"]) as Advise;
  const madvise = libc.func("madvise", "int", ["uint64", "uint64", "int"]) as Advise;
  const pthreadCreate = libc.func("pthread_create", "int", ["void *", "uint64", "uint64", "uint64"]) as PthreadCreate;
  const pthreadJoin = libc.func("pthread_join", "int", ["uint64", "uint64"]) as (
    thread: bigint,
    result: number,
  ) => number;
  const sigaction = libc.func("sigaction", "int", ["int", "void *", "void *"]) as (
    signal: number,
    action: BigUint64Array | null,
    previous: BigUint64Array | null,
  ) => number;
  const sigaltstack = libc.func("sigaltstack", "int", ["void *", "void *"]) as (
    stack: BigUint64Array,
    previous: BigUint64Array | null,
  ) => number;
  const syscall = libc.func("syscall", "int64", ["int64", "int64", "int64"]) as (
    n: number,
    a: number,
    b: number,
  ) => number;

  const view = (address: bigint, byteLength: number): ArrayBuffer => koffi.view(address, byteLength);
  const errorName = (): string => {
    const code = koffi.errno();
    return Object.entries(koffi.os.errno).find(([, value]) => value === code)?.[0] ?? `error ${code}`;
  };
  const map = (
    byteLength: number,
    protection: number,
    what: string,
    fd = -1,
    flags = MAP_PRIVATE | MAP_ANONYMOUS,
  ): number => {
    const address = mmap(0, byteLength, protection, flags, fd, 0);
    if (address === -1)
      throw new UserError(`${what}: the system refused ${byteLength} bytes of memory (${errorName()})`);
    return address;
  };
  const protect = (address: number, byteLength: number, protection: number): void => {
    invariant(mprotect(address, byteLength, protection) === 0, () => `mprotect failed (${errorName()})`);
  };

  function mapHuge(byteLength: number): { address: number; mapped: number } {
    const mapped = roundUp(byteLength, HUGE_PAGE_BYTES);
    const start = map(mapped + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE, "allocate");
    const address = roundUp(start, HUGE_PAGE_BYTES);
    if (address > start) munmap(start, address - start);
    const tail = start + HUGE_PAGE_BYTES - address;
    if (tail > 0) munmap(address + mapped, tail);
    // Before the first touch, or the pages in use stay small. A kernel without huge pages says no: nothing is lost.
    madvise(address, mapped, MADV_HUGEPAGE);
    return { address, mapped };
  }

  function allocate(byteLength: number, options: AllocateOptions = {}): NativeMemory {
    checkSize("allocate", byteLength);
    if (byteLength === 0) return new HostMemory(0n, 0, view, () => {});
    const pages = roundUp(byteLength, PAGE_BYTES);
    const { address, mapped } = options.hugePages
      ? mapHuge(byteLength)
      : { address: map(pages, PROT_READ | PROT_WRITE, "allocate"), mapped: pages };
    if (options.populate) madvise(address, mapped, MADV_POPULATE_WRITE);
    return new HostMemory(BigInt(address), byteLength, view, () => munmap(address, mapped));
  }

  function allocateGuarded(byteLength: number, alignment = 64): NativeMemory {
    checkSize("allocateGuarded", byteLength);
    const padded = roundUp(byteLength, alignment);
    const inner = roundUp(Math.max(padded, 1), PAGE_BYTES);
    const mapped = inner + 2 * PAGE_BYTES;
    const start = map(mapped, PROT_NONE, "allocateGuarded");
    protect(start + PAGE_BYTES, inner, PROT_READ | PROT_WRITE);
    const address = start + PAGE_BYTES + inner - padded;
    return new HostMemory(BigInt(address), byteLength, view, () => munmap(start, mapped));
  }

  const mappedFiles = new WeakSet<ArrayBufferLike>();

  function mapFile(path: string): NativeMemory {
    const fd = openRegularFile(path);
    try {
      const byteLength = fstatSync(fd).size;
      if (byteLength === 0) return new HostMemory(0n, 0, view, () => {});
      // The mapping outlives the descriptor.
      const address = map(byteLength, PROT_READ, `mapFile ${path}`, fd, MAP_PRIVATE);
      const memory = new HostMemory(BigInt(address), byteLength, view, () => munmap(address, byteLength));
      mappedFiles.add(memory.buffer);
      return memory;
    } finally {
      closeSync(fd);
    }
  }

  const dropKernel = dropPagesKernel();

  function droppablePages({ buffer, byteOffset, byteLength }: ArrayBufferView): DroppablePages | undefined {
    if (!mappedFiles.has(buffer)) return undefined;
    const start = Number(viewAddress(koffi, buffer as ArrayBuffer)) + byteOffset;
    const first = roundUp(start, PAGE_BYTES);
    const pages = Math.floor((start + byteLength - first) / PAGE_BYTES) * PAGE_BYTES;
    return pages > 0 ? { address: BigInt(first), byteLength: pages, kernel: dropKernel } : undefined;
  }

  function reserveCode(byteLength: number): CodeRegion {
    const mapped = roundUp(byteLength, PAGE_BYTES);
    const start = map(mapped, PROT_NONE, "reserveCode", -1, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    return {
      address: BigInt(start),
      byteLength: mapped,
      publish(offset, bytes) {
        const pages = roundUp(bytes.length, PAGE_BYTES);
        invariant(
          offset % PAGE_BYTES === 0 && offset >= 0 && offset + pages <= mapped,
          "publish: outside of the code region",
        );
        protect(start + offset, pages, PROT_READ | PROT_WRITE);
        const writable = koffi.view(BigInt(start + offset), pages);
        new Uint8Array(writable).set(bytes);
        writable.transfer(0);
        protect(start + offset, pages, PROT_READ | PROT_EXEC);
      },
      free: () => void munmap(start, mapped),
    };
  }

  function redirect(handler: bigint, stack: NativeMemory, previous: BigUint64Array): () => void {
    const before = FAULT_SIGNALS.map((signal) => {
      const action = new BigUint64Array(ACTION_WORDS);
      invariant(sigaction(signal, null, action) === 0, () => `sigaction failed (${errorName()})`);
      // Threads that redirect at the same time may restore in another order; the handler must never lead to itself.
      if (action[0] !== handler) previous[signal] = action[0] as bigint;
      return { signal, action };
    });
    const ours = new BigUint64Array(ACTION_WORDS);
    ours[0] = handler;
    ours[ACTION_FLAGS] = BigInt(SA_SIGINFO | SA_ONSTACK);
    const stackBefore = new BigUint64Array(3);
    sigaltstack(BigUint64Array.of(stack.address, 0n, BigInt(stack.byteLength)), stackBefore);
    for (const signal of FAULT_SIGNALS) sigaction(signal, ours, null);
    return () => {
      for (const { signal, action } of before) sigaction(signal, action, null);
      sigaltstack(stackBefore, null);
    };
  }

  return {
    name: "linux-x64",
    abi: "sysv",
    pageBytes: PAGE_BYTES,
    waitCalls: { kind: "futex" },
    allocate,
    allocateGuarded,
    mapFile,
    droppablePages,
    reserveCode,
    addressOf: (bytes) => viewAddress(koffi, bytes),
    entry: (address) => bindEntry(koffi, address),
    faults: { redirect },
    startThread(routine, argument) {
      const thread = new BigUint64Array(1);
      const failure = pthreadCreate(thread, 0, Number(routine), Number(argument));
      if (failure !== 0)
        throw new UserError(`the system refused to start a thread (error ${failure})`, { hint: "use fewer threads" });
      return { join: () => void pthreadJoin(thread[0] ?? 0n, 0) };
    },
    requestTiles: () => syscall(SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) === 0,
  };
}

type Mmap = (hint: number, length: number, protection: number, flags: number, fd: number, offset: number) => number;
type Advise = (address: number, length: number, advice: number) => number;
type PthreadCreate = (thread: BigUint64Array, attributes: number, routine: number, argument: number) => number;

/** Opens without blocking on pipes and refuses what has no size: folders, pipes, devices. */
function openRegularFile(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new UserError(`cannot open the file: ${cause instanceof Error ? cause.message : String(cause)}`, {
      where: path,
      cause,
    });
  }
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new UserError("not a regular file", {
    where: path,
    hint: "give the path of a file, not of a folder, pipe or device",
  });
}

function checkSize(what: string, byteLength: number): void {
  invariant(Number.isSafeInteger(byteLength) && byteLength >= 0, () => `${what}: ${byteLength} is not a size in bytes`);
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
