/**
 * What the CPU backend needs from the operating system, behind one small interface.
 *
 * Everything above it (code arena, threads, program runner, kernels) speaks to a `NativeHost` only, so another foreign
 * function interface or another system is one more file. A page is never writable and executable at once.
 * Addresses are bigints in records and results; user-space addresses fit a double exactly, so a call may take either.
 */
/** A block of memory outside the JavaScript heap; it stays until `free`, whatever the garbage collector does. */
export interface NativeMemory extends Disposable {
  readonly address: bigint;
  readonly byteLength: number;
  /** The same bytes for JavaScript, without a copy. Detached (length 0) once the memory was freed. */
  readonly buffer: ArrayBuffer;
  /** Another view of the bytes that this object does not hold on to, so that its collection tells when nobody looks any more. */
  freshView(): ArrayBuffer;
  /** Gives the memory back; a second call does nothing. No native code may still use it. */
  free(): void;
}

/** Native code with the signature `void entry(void* argument)` in the platform's own calling convention. */
export interface NativeEntry {
  readonly address: bigint;
  /** Runs it on the calling thread. */
  call(argument: bigint | number): void;
  /** Runs it on a native worker thread. Never blocks the event loop, and keeps the process alive until it returns. */
  callAsync(argument: bigint | number): Promise<void>;
}

/** A thread that runs native code only and is unknown to the JavaScript engine. It never keeps the process alive. */
export interface NativeThread {
  /** Waits for the end of the thread's routine, blocking the caller. */
  join(): void;
}

/** Reserved addresses for code, filled from the front. */
export interface CodeRegion {
  readonly address: bigint;
  readonly byteLength: number;
  /** Writes whole pages at `offset` and makes them executable, for good: a page is published once. */
  publish(offset: number, bytes: Uint8Array): void;
  free(): void;
}

export interface AllocateOptions {
  /** Align to 2 MiB and ask for transparent huge pages; worth it for weights and large arenas. */
  readonly hugePages?: boolean;
  /** Touch every page now, so that the first use does not fault. */
  readonly populate?: boolean;
}

/** Calling convention of the platform's C functions; kernels of ours use one convention everywhere, see `kernel-call.ts`. */
export type NativeAbi = "sysv" | "win64";

/** How generated code waits for a 32-bit word to change: system calls on Linux, functions on Windows. */
export type WaitCalls =
  | { readonly kind: "futex" }
  | {
      readonly kind: "win32";
      readonly waitOnAddress: bigint;
      readonly wakeByAddressAll: bigint;
      readonly switchToThread: bigint;
    };

/** Signals by which Linux reports faults of an instruction: SIGILL, SIGBUS, SIGFPE and SIGSEGV. */
export interface FaultSignals {
  /**
   * Sends them to `handler(signal, siginfo, ucontext)`, run on `stack` where this thread faults, until the function
   * returned is called, on the same thread. Writes the handlers so far to `previous`, by signal number, before.
   */
  redirect(handler: bigint, stack: NativeMemory, previous: BigUint64Array): () => void;
}

export interface DroppablePages {
  readonly address: bigint;
  readonly byteLength: number;
  /** Machine code that takes both as its slots. */
  readonly kernel: Uint8Array;
}

export interface NativeHost {
  readonly name: string;
  readonly abi: NativeAbi;
  readonly pageBytes: number;
  readonly waitCalls: WaitCalls;
  /** Zeroed memory at a multiple of the page size. Throws a `UserError` when the system refuses. */
  allocate(byteLength: number, options?: AllocateOptions): NativeMemory;
  /**
   * Zeroed memory between two pages which fault on any access. Its end, rounded up to `alignment` (64 unless told),
   * touches the page behind; the page in front is at most one page away from its start.
   */
  allocateGuarded(byteLength: number, alignment?: number): NativeMemory;
  /**
   * A regular file as read-only memory; writing to it faults. `byteLength` is the file's size at this moment, and an
   * empty file gives an empty block. If another process truncates the file later, reading beyond its new end faults.
   */
  mapFile(path: string): NativeMemory;
  /**
   * The pages of a mapped file that lie wholly in the view, and a kernel (`drop-code.ts`) which lets the system drop them;
   * they are read again when they are used again. Absent for other memory, and where the system needs no telling.
   */
  droppablePages(view: ArrayBufferView): DroppablePages | undefined;
  reserveCode(byteLength: number): CodeRegion;
  /**
   * Address of the first byte of a view. It holds as long as the view's `ArrayBuffer` is reachable and neither
   * transferred nor resized: the caller keeps a reference to the view until native code is done with it.
   */
  addressOf(view: ArrayBufferView | ArrayBuffer): bigint;
  entry(address: bigint): NativeEntry;
  /** Absent where the system reports faults in another way (Windows). */
  readonly faults?: FaultSignals;
  startThread(entry: bigint, argument: bigint): NativeThread;
  /** Asks the system for the AMX tile registers, for all threads made afterwards. False when it refuses. */
  requestTiles(): boolean;
}
