/**
 * Kernel IR to machine code: selection, register allocation, frame, encoding.
 *
 * In: a kernel of the lower level (explicit vectors; `each` and `reduce` are gone). Out: position-independent bytes
 * that the host places at a multiple of 64. See `abi.ts` for how they are called.
 */
import type { DimBindings } from "@quern/core";
import type { Kernel } from "@quern/core/kernel";
import { assemble, features, imm, isInstr, label, mem, r64, rax, rsp, xmm } from "../asm/index.ts";
import type { AssembledCode, Item } from "../asm/index.ts";
import type { Abi } from "./abi.ts";
import { SYSV } from "./abi.ts";
import { allocate } from "./allocate.ts";
import type { Allocation } from "./allocate.ts";
import { makeInstr } from "./code.ts";
import { selectTasks } from "./control.ts";
import { scratchBytes } from "./scratch.ts";
import type { SlotUse } from "./selector.ts";
import { Selector } from "./selector.ts";
import { hasOpmasks } from "./target.ts";
import type { CpuTarget } from "./target.ts";
import { tileConfiguration } from "./tiles.ts";
import { selectBlock } from "./statements.ts";
import { materialise } from "./values.ts";
import { vectorPrim } from "./vector.ts";

export interface CompiledKernel {
  readonly name: string;
  readonly target: CpuTarget;
  /** Physical registers only; what {@link bytes} encodes. */
  readonly items: readonly Item[];
  readonly bytes: Uint8Array;
  /** Offsets, bytes and instructions as text. */
  listing(): string;
  /** The 8-byte slots that `args` points to, in order. */
  readonly slots: readonly SlotUse[];
  /** Bytes of scratch memory per thread for these dimensions. */
  scratchBytes(symbols: DimBindings): number;
  /** Values that did not fit the registers. */
  readonly spills: number;
  readonly usesTiles: boolean;
  /** CPU features that the code needs. */
  readonly features: ReadonlySet<string>;
}

/** Kernels run on small stacks (see KERNEL_STACK_BYTES of the host). */
const MAX_FRAME_BYTES = 48 << 10;

/** Compiles one kernel. Throws an `UnsupportedError` for what the target cannot do. */
export function compileKernel(kernel: Kernel, target: CpuTarget, abi: Abi = SYSV): CompiledKernel {
  const s = new Selector(kernel, target, abi, { materialise, vectorPrim, selectBlock });
  selectTasks(s);
  const exit = label("return");
  const allocation = allocate(
    s.code,
    [...s.code.region.items, { label: exit }],
    hasOpmasks(target) ? 32 : 16,
    abi,
    s.frameBytes,
  );
  if (allocation.frameBytes > MAX_FRAME_BYTES)
    s.unsupported("kernel", "index", `it needs ${allocation.frameBytes} bytes of stack; unroll less`);
  const config = tileConfiguration(allocation.tileShapes);
  const entry = [...prologue(allocation, abi), ...config.entry];
  const items = [...entry, ...allocation.items, ...config.exit, ...epilogue(allocation, abi), ...s.code.constants];
  const assembled: AssembledCode = assemble(items, [...entry.map(() => undefined), ...allocation.forms]);
  return {
    name: kernel.name,
    target,
    items,
    bytes: assembled.bytes,
    listing: () => assembled.listing(),
    slots: s.slots,
    scratchBytes: (symbols) => scratchBytes(kernel.scratch, symbols),
    spills: allocation.spills,
    usesTiles: config.entry.length > 0,
    get features() {
      return new Set(items.flatMap((item) => (isInstr(item) ? features(item).split(" ") : [])));
    },
  };
}

/** Offset in the frame of the caller's stack pointer, then the saved vector registers. */
function frameLayout(
  { frameBytes, usedVector }: Allocation,
  abi: Abi,
): { size: number; link: number; vectors: readonly number[] } {
  const vectors = abi.savedVector.filter((id) => usedVector.has(id));
  const link = Math.ceil(frameBytes / 16) * 16 + 16 * vectors.length;
  return { size: frameBytes === 0 && vectors.length === 0 ? 0 : Math.ceil((link + 8) / 64) * 64, link, vectors };
}

function prologue(allocation: Allocation, abi: Abi): Item[] {
  const items: Item[] = abi.savedGeneral
    .filter((id) => allocation.usedGeneral.has(id))
    .map((id) => makeInstr("push", [r64(id)]));
  const { size, link, vectors } = frameLayout(allocation, abi);
  if (size === 0) return items;
  items.push(
    makeInstr("mov", [rax, rsp]),
    makeInstr("sub", [rsp, imm(size)]),
    makeInstr("and", [rsp, imm(-64)]),
    makeInstr("mov", [mem({ base: rsp, disp: link }), rax]),
  );
  vectors.forEach((id, i) =>
    items.push(makeInstr("vmovups", [mem({ base: rsp, disp: link - 16 * (i + 1) }), xmm(id)])),
  );
  return items;
}

function epilogue(allocation: Allocation, abi: Abi): Item[] {
  const items: Item[] = [];
  const { size, link, vectors } = frameLayout(allocation, abi);
  vectors.forEach((id, i) =>
    items.push(makeInstr("vmovups", [xmm(id), mem({ base: rsp, disp: link - 16 * (i + 1) })])),
  );
  if (allocation.usedVector.size > 0) items.push(makeInstr("vzeroupper", []));
  if (size > 0) items.push(makeInstr("mov", [rsp, mem({ base: rsp, disp: link })]));
  for (const id of abi.savedGeneral.toReversed())
    if (allocation.usedGeneral.has(id)) items.push(makeInstr("pop", [r64(id)]));
  items.push(makeInstr("ret", []));
  return items;
}
