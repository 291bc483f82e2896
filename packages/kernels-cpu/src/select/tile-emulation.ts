/**
 * Runs AMX code on processors without tile registers, for tests: each tile instruction is replaced by AVX-512 code on
 * tiles in memory. Everything else stays as it is, and all registers and flags but the tiles are preserved.
 *
 * Sums of bf16 products are those of vdpbf16ps, which may round differently from tdpbf16ps.
 */
import { InternalError } from "@quern/core";
import { imm, isInstr, mem, r64, rsp, xmm, ymm, zmm } from "../asm/index.ts";
import type { Data, Instr, Item, Mem, Reg } from "../asm/index.ts";
import { makeInstr } from "./code.ts";

const TILE_BYTES = 1024;
const SAVED_AT = 8 * TILE_BYTES;
/** Memory that the emulation needs: eight tiles and three vector registers. */
export const EMULATION_BYTES: number = SAVED_AT + 3 * 64;

interface TileShape {
  readonly rows: number;
  readonly bytes: number;
}

/** The program with its tile instructions replaced; `memory` is the address of {@link EMULATION_BYTES} bytes. */
export function emulateTiles(items: readonly Item[], memory: bigint): Item[] {
  const config = items.find((item): item is Data => "data" in item && item.at.name === "tiles");
  if (config === undefined) throw new InternalError("the program has no tile configuration");
  const view = new DataView(config.data.buffer, config.data.byteOffset);
  const shape = (tile: number): TileShape => ({
    rows: view.getUint8(48 + tile),
    bytes: view.getUint16(16 + 2 * tile, true),
  });
  return items.flatMap((item): Item[] => {
    if (!isInstr(item)) return [item];
    switch (item.op) {
      case "ldtilecfg":
      case "tilerelease":
        return [];
      case "tilezero":
        return withScratch(memory, [], ([tiles]) => zeroTile(item, tiles));
      case "tileloadd":
        return withScratch(memory, registersOf(item.operands[1] as Mem), ([tiles, row]) =>
          moveTile(item.operands[0] as Reg, item.operands[1] as Mem, shape, tiles, row, true),
        );
      case "tilestored":
        return withScratch(memory, registersOf(item.operands[0] as Mem), ([tiles, row]) =>
          moveTile(item.operands[1] as Reg, item.operands[0] as Mem, shape, tiles, row, false),
        );
      case "tdpbf16ps":
        return withScratch(memory, [], ([tiles]) => product(item, "vdpbf16ps", shape, tiles));
      case "tdpbusd":
        return withScratch(memory, [], ([tiles]) => product(item, "vpdpbusd", shape, tiles));
      default:
        if (item.op.startsWith("tdp")) throw new InternalError(`${item.op} is not emulated`);
        return [item];
    }
  });
}

function registersOf({ base, index }: Mem): number[] {
  return [base, index].flatMap((reg) => (reg === undefined ? [] : [reg.id]));
}

/** Code around two free general registers, the first of which points to the tiles. Nothing here changes flags. */
function withScratch(
  memory: bigint,
  used: readonly number[],
  body: (scratch: readonly [Reg, Reg]) => Instr[],
): Instr[] {
  const [tiles, row] = [0, 1, 2, 3, 5].filter((id) => !used.includes(id)).map((id) => r64(id)) as [Reg, Reg];
  const saved = [29, 30, 31];
  return [
    makeInstr("push", [tiles]),
    makeInstr("push", [row]),
    makeInstr("mov", [tiles, imm(memory)]),
    ...saved.map((id, i) => makeInstr("vmovups", [mem({ base: tiles, disp: SAVED_AT + 64 * i }), zmm(id)])),
    ...body([tiles, row]),
    ...saved.map((id, i) => makeInstr("vmovups", [zmm(id), mem({ base: tiles, disp: SAVED_AT + 64 * i })])),
    makeInstr("pop", [row]),
    makeInstr("pop", [tiles]),
  ];
}

function rowOf(tiles: Reg, tile: number, row: number, byte = 0): Mem {
  return mem({ base: tiles, disp: tile * TILE_BYTES + row * 64 + byte });
}

function zeroTile(instr: Instr, tiles: Reg): Instr[] {
  const tile = (instr.operands[0] as Reg).id;
  return [
    makeInstr("vxorps", [zmm(31), zmm(31), zmm(31)]),
    ...Array.from({ length: 16 }, (_, row) => makeInstr("vmovups", [rowOf(tiles, tile, row), zmm(31)])),
  ];
}

function moveTile(
  tile: Reg,
  place: Mem,
  shape: (tile: number) => TileShape,
  tiles: Reg,
  row: Reg,
  isLoad: boolean,
): Instr[] {
  const { base, index, disp } = place;
  if (base === undefined || index === undefined || base.id === rsp.id)
    throw new InternalError("a tile address is base + stride");
  const { rows, bytes } = shape(tile.id);
  const out: Instr[] = [makeInstr("lea", [row, mem({ base, disp })])];
  for (let r = 0; r < rows; r++) {
    let at = 0;
    for (const [size, reg, op] of [
      [64, zmm(31), "vmovups"],
      [32, ymm(31), "vmovups"],
      [16, xmm(31), "vmovups"],
      [8, xmm(31), "vmovsd"],
      [4, xmm(31), "vmovss"],
    ] as const) {
      if (bytes - at < size) continue;
      const [memory, stored] = [mem({ base: row, disp: at }), rowOf(tiles, tile.id, r, at)];
      out.push(makeInstr(op, [reg, isLoad ? memory : stored]), makeInstr(op, [isLoad ? stored : memory, reg]));
      at += size;
    }
    out.push(makeInstr("lea", [row, mem({ base: row, index })]));
  }
  return out;
}

/** Row m of the sums += for each group of four bytes in row m of A: the group × row k of B. */
function product(instr: Instr, op: string, shape: (tile: number) => TileShape, tiles: Reg): Instr[] {
  const [c, a, b] = instr.operands.map((operand) => (operand as Reg).id) as [number, number, number];
  const groups = shape(a).bytes / 4;
  if (shape(b).rows !== groups || shape(a).rows !== shape(c).rows || shape(b).bytes !== shape(c).bytes)
    throw new InternalError(`${instr.op}: the shapes of the tiles do not fit`);
  const out: Instr[] = [];
  for (let m = 0; m < shape(c).rows; m++) {
    out.push(makeInstr("vmovups", [zmm(30), rowOf(tiles, c, m)]));
    for (let k = 0; k < groups; k++) {
      out.push(
        makeInstr("vbroadcastss", [zmm(31), rowOf(tiles, a, m, 4 * k)]),
        makeInstr(op, [zmm(30), zmm(31), rowOf(tiles, b, k)]),
      );
    }
    out.push(makeInstr("vmovups", [rowOf(tiles, c, m), zmm(30)]));
  }
  return out;
}
