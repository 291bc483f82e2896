/**
 * Matrix tiles (AMX): loads, stores, products, and the configuration that gives each tile register its shape.
 *
 * The shape of a tile register is fixed for the whole kernel, so the allocator gives a register only to tiles of one
 * shape, and the configuration follows from its choice; it is loaded at the entry and released at the return. So tiles
 * of all shapes that occur have to fit eight registers, even where they are not live together: a kernel pads its last
 * rows instead of using smaller tiles for them.
 */
import type { KType, KValue, Stmt } from "@quern/core/kernel";
import { label, mem, tmm } from "../asm/index.ts";
import type { Item, Mem, Reg } from "../asm/index.ts";
import { makeInstr } from "./code.ts";
import { scaleAffine } from "./affine.ts";
import type { Selector } from "./selector.ts";
import { laneBytesOf } from "./element.ts";

/** Rows and bytes per row in one number, as the allocator keeps it. */
export function tileShape(type: KType): number {
  return type.rows * 256 + type.lanes * laneBytesOf(type.dtype);
}

/** [base + stride * 1], which the instructions require in this form. */
function tileMemory(s: Selector, buffer: Parameters<Selector["parts"]>[0], index: KValue, stride: KValue): Mem {
  const place = s.addresses.addressInBase(buffer, index);
  const step = s.index.sum(scaleAffine(s.index.affine(stride), laneBytesOf(buffer.dtype)));
  return mem({ ...place, index: step });
}

function check(s: Selector, type: KType): void {
  if (!s.target.features.has("amx-tile")) s.unsupported("tile", type.dtype, "the target has no matrix tiles");
  const bytes = type.lanes * laneBytesOf(type.dtype);
  if (type.rows > 16 || bytes > 64 || bytes % 4 !== 0)
    s.unsupported("tile", type.dtype, `${type.rows} rows of ${bytes} bytes do not fit a tile register`);
}

export function emitTileLoad(
  s: Selector,
  value: KValue,
  def: Extract<KValue["def"], { kind: "tileLoad" }>,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  check(s, value.type);
  const out = into ?? s.fresh(value.type);
  s.code.emit("tileloadd", out[0] as Reg, tileMemory(s, def.buffer, def.index, def.stride));
  return out;
}

export function selectTileStore(s: Selector, stmt: Extract<Stmt, { kind: "tileStore" }>): void {
  s.code.emit("tilestored", tileMemory(s, stmt.buffer, stmt.index, stmt.stride), s.reg(stmt.value));
}

const products: Record<string, string> = {
  "bf16 bf16": "tdpbf16ps",
  "f16 f16": "tdpfp16ps",
  "i8 i8": "tdpbssd",
  "i8 u8": "tdpbsud",
  "u8 i8": "tdpbusd",
  "u8 u8": "tdpbuud",
};

export function selectTileMma(s: Selector, stmt: Extract<Stmt, { kind: "tileMma" }>): void {
  const { acc, a, b } = stmt;
  check(s, acc.type);
  const op = products[`${a.type.dtype} ${b.type.dtype}`];
  const feature = a.type.dtype === "bf16" ? "amx-bf16" : a.type.dtype === "f16" ? "amx-fp16" : "amx-int8";
  if (op === undefined || !s.target.features.has(feature))
    return s.unsupported("tileMma", a.type.dtype, `the target has no product with ${b.type.dtype}`);
  s.code.emit(op, s.local(acc)[0] as Reg, s.reg(a), s.reg(b));
}

/** What loads and releases the configuration, for the shapes that the tile registers got. */
export function tileConfiguration(shapes: ReadonlyMap<number, number>): { entry: Item[]; exit: Item[] } {
  if (shapes.size === 0) return { entry: [], exit: [] };
  const data = new Uint8Array(64);
  const view = new DataView(data.buffer);
  data[0] = 1;
  for (const [id, shape] of shapes) {
    view.setUint16(16 + 2 * tmm(id).id, shape % 256, true);
    data[48 + id] = Math.floor(shape / 256);
  }
  const at = label("tiles");
  return {
    entry: [{ data, alignment: 64, at }, makeInstr("ldtilecfg", [mem({ label: at })])],
    exit: [makeInstr("tilerelease", [])],
  };
}
