/**
 * Moves of vectors: loads, stores, broadcasts, parts of vectors, gathers and scatters.
 */
import type { Mem, Operand, Reg } from "../../asm/index.ts";
import { sourcesOf, vectorBytes } from "./lanes.ts";
import { bit, littleEndian, toBytes } from "./machine.ts";
import type { Handler, Machine } from "./machine.ts";

/** One row for several names. */
export function both(names: readonly string[], handler: Handler): Record<string, Handler> {
  return Object.fromEntries(names.map((name) => [name, handler]));
}

function moveWhole(element: number): Handler {
  return (m, instr) => {
    const [to, from] = instr.operands as [Operand, Operand];
    const mask = m.mask();
    m.setVector(to, m.source(from, vectorBytes(m, instr), element, mask), element);
  };
}

/** vmovaps and kin fault where the address is not a multiple of the size. */
function moveAligned(element: number): Handler {
  const move = moveWhole(element);
  return (m, instr) => {
    for (const operand of instr.operands) {
      if (operand.kind === "mem" && m.address(operand) % vectorBytes(m, instr) !== 0)
        m.fail("an address that is not aligned");
    }
    move(m, instr);
  };
}

/** vmovss, vmovsd, vmovd, vmovq: the low element, zeros above when it comes from memory or a general register. */
function moveLow(bytes: number): Handler {
  return (m, { operands }) => {
    const [to, from, third] = operands as [Operand, Operand, Operand | undefined];
    if (third !== undefined) {
      const both = m.source(from, 16, 16);
      both.set(m.source(third, bytes, bytes));
      return m.setVector(to, both, 16);
    }
    const isVector = (operand: Operand): boolean => operand.kind === "reg" && operand.cls === "xmm";
    const value = isVector(from) ? m.vector(from as Reg, bytes) : toBytes(m.integer(from, bytes), bytes);
    if (!isVector(to)) return m.setInteger(to, bytes, littleEndian(value));
    const full = new Uint8Array(16);
    full.set(value);
    m.setVector(to, full, 16);
  };
}

/** The first `bytes` bytes of the source, repeated. */
export function broadcast(bytes: number, element: number = bytes): Handler {
  return (m, instr) => {
    const [to, from] = instr.operands as [Operand, Operand];
    const isGeneral = from.kind === "reg" && from.cls.startsWith("r");
    const one = isGeneral ? toBytes(m.integer(from, bytes), bytes) : m.source(from, bytes, bytes);
    const out = new Uint8Array(m.sizeOf(to, 0));
    for (let at = 0; at < out.length; at += bytes) out.set(one, at);
    m.setVector(to, out, element);
  };
}

/** Replaces or takes part number `immediate` of `bytes` bytes. */
function insert(bytes: number, element: number): Handler {
  return (m, instr) => {
    const { sources, immediate } = sourcesOf(instr);
    const [into, part] = sources as [Operand, Operand];
    const width = vectorBytes(m, instr);
    const out = m.source(into, width, element);
    out.set(m.source(part, bytes, element), (immediate % (width / bytes)) * bytes);
    m.setVector(instr.operands[0] as Operand, out, element);
  };
}

function extract(bytes: number, element: number): Handler {
  return (m, instr) => {
    const { sources, immediate } = sourcesOf(instr);
    const from = sources[0] as Reg;
    const whole = m.vector(from, m.sizeOf(from, 0));
    const start = (immediate % (whole.length / bytes)) * bytes;
    m.setVector(instr.operands[0] as Operand, whole.slice(start, start + bytes), element);
  };
}

/** One element to or from a general register or memory. */
function extractElement(bytes: number): Handler {
  return (m, instr) => {
    const { sources, immediate } = sourcesOf(instr);
    const to = instr.operands[0] as Operand;
    const whole = m.vector(sources[0] as Reg, 16);
    const start = (immediate % (16 / bytes)) * bytes;
    m.setInteger(
      to,
      to.kind === "reg" ? Math.max(4, bytes) : bytes,
      littleEndian(whole.subarray(start, start + bytes)),
    );
  };
}

function insertElement(bytes: number): Handler {
  return (m, instr) => {
    const { sources, immediate } = sourcesOf(instr);
    const out = m.source(sources[0] as Operand, 16, 16);
    out.set(toBytes(m.integer(sources[1] as Operand, bytes), bytes), (immediate % (16 / bytes)) * bytes);
    m.setVector(instr.operands[0] as Operand, out, 16);
  };
}

/** vmaskmovps: elements whose sign bit is set; the others are neither read nor written. */
function maskMove(size: number): Handler {
  return (m, { operands }) => {
    const [to, first, second] = operands as [Operand, Operand, Operand];
    const bytes = m.sizeOf(to.kind === "reg" ? to : second, 0);
    const selector = m.source(first, bytes, size);
    const chosen = (i: number): boolean => (selector[(i + 1) * size - 1] as number) >= 128;
    if (to.kind === "mem") {
      const [address, value] = [m.address(to), m.source(second, bytes, size)];
      for (let i = 0; i * size < bytes; i++)
        if (chosen(i)) m.writeMemory(address + i * size, value.subarray(i * size, (i + 1) * size));
      return;
    }
    const out = new Uint8Array(bytes);
    const address = m.address(second as Mem);
    for (let i = 0; i * size < bytes; i++) if (chosen(i)) out.set(m.readMemory(address + i * size, size), i * size);
    m.setVector(to, out, size);
  };
}

function indices(m: Machine, place: Mem, size: number): bigint[] {
  const reg = place.index as Reg;
  const bytes = m.vector(reg, m.sizeOf(reg, 0));
  return size === 4 ? Array.from(new Int32Array(bytes.buffer), BigInt) : Array.from(new BigInt64Array(bytes.buffer));
}

/** The mask, an opmask or a vector of signs, is clear afterwards. */
function gather(indexBytes: number, size: number): Handler {
  return (m, instr) => {
    const [to, place, selector] = instr.operands as [Reg, Mem, Reg | undefined];
    const at = indices(m, place, indexBytes);
    const lanes = Math.min(at.length, m.sizeOf(to, 0) / size);
    const out = m.vector(to, m.sizeOf(to, 0)).slice(0, Math.max(16, lanes * size));
    const bits = selector === undefined ? m.mask() : undefined;
    const signs = selector === undefined ? undefined : m.vector(selector, 64);
    if (bits === undefined && signs === undefined) m.fail("a gather without a mask");
    for (let i = 0; i < lanes; i++) {
      const wanted = bits !== undefined ? bit(bits, i) : ((signs as Uint8Array)[(i + 1) * size - 1] as number) >= 128;
      if (wanted) out.set(m.readMemory(m.address(place, at[i] as bigint), size), i * size);
    }
    out.fill(0, lanes * size);
    const { current } = m;
    m.current = { op: instr.op, operands: instr.operands };
    m.setVector(to, out, size);
    if (selector === undefined) m.masks[(instr.mask as Reg).id] = 0n;
    else m.setVector(selector, new Uint8Array(16), 16);
    m.current = current;
  };
}

function scatter(indexBytes: number, size: number): Handler {
  return (m, instr) => {
    const [place, from] = instr.operands as [Mem, Reg];
    const at = indices(m, place, indexBytes);
    const value = m.vector(from, m.sizeOf(from, 0));
    const mask = m.mask() ?? m.fail("a scatter without a mask");
    for (let i = 0; i < Math.min(at.length, value.length / size); i++) {
      if (bit(mask, i)) m.writeMemory(m.address(place, at[i] as bigint), value.subarray(i * size, (i + 1) * size));
    }
    m.masks[(instr.mask as Reg).id] = 0n;
  };
}

export const MOVE: Readonly<Record<string, Handler>> = {
  ...both(["vmovups", "vmovdqu32"], moveWhole(4)),
  ...both(["vmovupd", "vmovdqu64"], moveWhole(8)),
  ...both(["vmovdqu", "vlddqu"], moveWhole(4)),
  vmovdqu8: moveWhole(1),
  vmovdqu16: moveWhole(2),
  ...both(["vmovaps", "vmovdqa", "vmovdqa32", "vmovntps"], moveAligned(4)),
  ...both(["vmovapd", "vmovdqa64"], moveAligned(8)),
  vmovss: moveLow(4),
  vmovsd: moveLow(8),
  vmovd: moveLow(4),
  vmovq: moveLow(8),
  ...both(["vbroadcastss", "vpbroadcastd"], broadcast(4)),
  ...both(["vbroadcastsd", "vpbroadcastq"], broadcast(8)),
  vpbroadcastb: broadcast(1),
  vpbroadcastw: broadcast(2),
  ...both(["vbroadcastf128", "vbroadcasti128", "vbroadcastf32x4", "vbroadcasti32x4"], broadcast(16, 4)),
  ...both(["vbroadcastf64x4", "vbroadcasti64x4"], broadcast(32, 8)),
  ...both(["vinsertf128", "vinserti128", "vinsertf32x4", "vinserti32x4"], insert(16, 4)),
  ...both(["vinsertf64x2", "vinserti64x2"], insert(16, 8)),
  ...both(["vinsertf64x4", "vinserti64x4"], insert(32, 8)),
  ...both(["vinsertf32x8", "vinserti32x8"], insert(32, 4)),
  ...both(["vextractf128", "vextracti128", "vextractf32x4", "vextracti32x4"], extract(16, 4)),
  ...both(["vextractf64x2", "vextracti64x2"], extract(16, 8)),
  ...both(["vextractf64x4", "vextracti64x4"], extract(32, 8)),
  ...both(["vextractf32x8", "vextracti32x8"], extract(32, 4)),
  vpextrb: extractElement(1),
  vpextrw: extractElement(2),
  ...both(["vpextrd", "vextractps"], extractElement(4)),
  vpextrq: extractElement(8),
  vpinsrb: insertElement(1),
  vpinsrw: insertElement(2),
  vpinsrd: insertElement(4),
  vpinsrq: insertElement(8),
  ...both(["vmaskmovps", "vpmaskmovd"], maskMove(4)),
  ...both(["vmaskmovpd", "vpmaskmovq"], maskMove(8)),
  ...both(["vgatherdps", "vpgatherdd"], gather(4, 4)),
  ...both(["vgatherdpd", "vpgatherdq"], gather(4, 8)),
  ...both(["vgatherqps", "vpgatherqd"], gather(8, 4)),
  ...both(["vgatherqpd", "vpgatherqq"], gather(8, 8)),
  ...both(["vscatterdps", "vpscatterdd"], scatter(4, 4)),
  ...both(["vscatterdpd", "vpscatterdq"], scatter(4, 8)),
  ...both(["vscatterqps", "vpscatterqd"], scatter(8, 4)),
  ...both(["vscatterqpd", "vpscatterqq"], scatter(8, 8)),
  vzeroupper: (m) => {
    for (let id = 0; id < 16; id++) m.vectors.fill(0, id * 64 + 16, (id + 1) * 64);
  },
};
