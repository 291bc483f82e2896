/**
 * AMX (Intel SDM volume 1, chapter 18, and the instruction pages of volume 2).
 *
 * tdpbf16ps sums the products of even and of odd elements apart, each with one rounding per multiply-add, and takes
 * denormal operands and results as zero in every step; MXCSR has no say.
 */
import { fmaF32 } from "@quern/core";
import type { Mem, Operand, Reg } from "../../asm/index.ts";
import type { Handler, Machine, TileConfig } from "./machine.ts";

const ROW_BYTES = 64;
const TILE_BYTES = 1024;

function configOf(m: Machine, tile: number): TileConfig {
  const config = m.tileConfigs?.[tile];
  if (config === undefined || config.rows === 0) return m.fail(`tmm${tile} is not configured`);
  return config;
}

function loadConfig(m: Machine, place: Mem): void {
  const data = m.readMemory(m.address(place), 64);
  if (data[0] !== 1) m.fail(`palette ${data[0]}`);
  if (
    data.subarray(1, 16).some((byte) => byte !== 0) ||
    data.subarray(32, 48).some((byte) => byte !== 0) ||
    data.subarray(56).some((byte) => byte !== 0)
  ) {
    m.fail("reserved bytes of the tile configuration are not zero");
  }
  m.tileConfigs = Array.from({ length: 8 }, (_, i) => {
    const [rows, bytes] = [data[48 + i] as number, (data[16 + 2 * i] as number) + 256 * (data[17 + 2 * i] as number)];
    if (rows > 16 || bytes > ROW_BYTES || (rows === 0) !== (bytes === 0))
      m.fail(`tmm${i} cannot have ${rows} rows of ${bytes} bytes`);
    return { rows, bytes };
  });
  m.tiles.fill(0);
}

function tileData(m: Machine, tile: number): Uint8Array {
  return m.tiles.subarray(tile * TILE_BYTES, (tile + 1) * TILE_BYTES);
}

/** The address of row 0, and the distance of rows in bytes. */
function rowsOf(m: Machine, place: Mem): { start: number; stride: number } {
  const { index, ...rest } = place;
  const stride = index === undefined ? 0n : BigInt.asIntN(64, (m.general[index.id] as bigint) * BigInt(place.scale));
  return { start: m.address({ ...rest, index: undefined }), stride: Number(stride) };
}

const load: Handler = (m, { operands: [to, place] }) => {
  const tile = (to as Reg).id;
  const { rows, bytes } = configOf(m, tile);
  const { start, stride } = rowsOf(m, place as Mem);
  const data = tileData(m, tile).fill(0);
  for (let row = 0; row < rows; row++) data.set(m.readMemory(start + row * stride, bytes), row * ROW_BYTES);
};

const store: Handler = (m, { operands: [place, from] }) => {
  const tile = (from as Reg).id;
  const { rows, bytes } = configOf(m, tile);
  const { start, stride } = rowsOf(m, place as Mem);
  const data = tileData(m, tile);
  for (let row = 0; row < rows; row++)
    m.writeMemory(start + row * stride, data.subarray(row * ROW_BYTES, row * ROW_BYTES + bytes));
};

type Dot = (a: DataView, aAt: number, b: DataView, bAt: number, sums: Float64Array, at: number) => void;

/** C += A × B for groups of four bytes along k; `finish` adds the sums of one element to what was there. */
function product(
  dot: Dot,
  sumsPerElement: number,
  finish: (view: DataView, at: number, sums: Float64Array, from: number) => void,
): Handler {
  return (m, { operands }) => {
    const [c, a, b] = operands.map((operand) => (operand as Reg).id) as [number, number, number];
    if (c === a || c === b || a === b) m.fail("the three tiles must differ");
    const [shapeC, shapeA, shapeB] = [configOf(m, c), configOf(m, a), configOf(m, b)];
    if (shapeA.rows !== shapeC.rows || shapeA.bytes !== shapeB.rows * 4 || shapeB.bytes !== shapeC.bytes)
      m.fail("the shapes of the tiles do not fit");
    const view = (tile: number): DataView => new DataView(m.tiles.buffer, tile * TILE_BYTES, TILE_BYTES);
    const [dataC, dataA, dataB] = [view(c), view(a), view(b)];
    const columns = shapeC.bytes / 4;
    for (let row = 0; row < shapeC.rows; row++) {
      const sums = new Float64Array(columns * sumsPerElement);
      for (let k = 0; k < shapeB.rows; k++) {
        for (let column = 0; column < columns; column++)
          dot(dataA, row * ROW_BYTES + 4 * k, dataB, k * ROW_BYTES + 4 * column, sums, column * sumsPerElement);
      }
      for (let column = 0; column < columns; column++)
        finish(dataC, row * ROW_BYTES + 4 * column, sums, column * sumsPerElement);
    }
    for (let row = shapeC.rows; row < 16; row++) tileData(m, c).fill(0, row * ROW_BYTES, (row + 1) * ROW_BYTES);
  };
}

const SMALLEST_NORMAL = 2 ** -126;

/** A denormal becomes a zero of its sign. */
function flush(x: number): number {
  return Math.abs(x) < SMALLEST_NORMAL ? Math.sign(x) / Infinity : x;
}

const word = new DataView(new ArrayBuffer(4));

function bf16(view: DataView, at: number): number {
  word.setUint16(0, view.getUint16(at, true));
  word.setUint16(2, 0);
  return flush(word.getFloat32(0));
}

const dotBf16: Dot = (a, aAt, b, bAt, sums, at) => {
  for (const i of [0, 1])
    sums[at + i] = flush(fmaF32(bf16(a, aAt + 2 * i), bf16(b, bAt + 2 * i), sums[at + i] as number));
};

function dotBytes(aSigned: boolean, bSigned: boolean): Dot {
  const byte = (view: DataView, at: number, signed: boolean): number => (signed ? view.getInt8(at) : view.getUint8(at));
  return (a, aAt, b, bAt, sums, at) => {
    for (let i = 0; i < 4; i++) sums[at] = (sums[at] as number) + byte(a, aAt + i, aSigned) * byte(b, bAt + i, bSigned);
  };
}

const addInteger = (view: DataView, at: number, sums: Float64Array, from: number): void =>
  view.setInt32(at, (view.getInt32(at, true) + (sums[from] as number)) | 0, true);

const addFloats = (view: DataView, at: number, sums: Float64Array, from: number): void => {
  const pair = flush(Math.fround((sums[from] as number) + (sums[from + 1] as number)));
  view.setFloat32(at, flush(Math.fround(flush(view.getFloat32(at, true)) + pair)), true);
};

export const TILES: Readonly<Record<string, Handler>> = {
  ldtilecfg: (m, { operands: [place] }) => loadConfig(m, place as Mem),
  tilerelease: (m) => {
    m.tileConfigs = undefined;
    m.tiles.fill(0);
  },
  tilezero: (m, { operands: [to] }: { readonly operands: readonly Operand[] }) => {
    configOf(m, (to as Reg).id);
    tileData(m, (to as Reg).id).fill(0);
  },
  tileloadd: load,
  tileloaddt1: load,
  tilestored: store,
  tdpbf16ps: product(dotBf16, 2, addFloats),
  tdpbssd: product(dotBytes(true, true), 1, addInteger),
  tdpbsud: product(dotBytes(true, false), 1, addInteger),
  tdpbusd: product(dotBytes(false, true), 1, addInteger),
  tdpbuud: product(dotBytes(false, false), 1, addInteger),
};
