/** Panels of weights that are floats without blocks: [rows / 16][depth][16], so that a vector holds one column of 16 rows. */

import {
  type ConstantData,
  type DType,
  DTYPE_INFO,
  InternalError,
  type Kernel,
  KernelBuilder,
  type KValue,
  type Packer,
  dimCeilDiv,
  dimMul,
  symbol,
} from "@quern/core";
import { transposeTile } from "../movement/transpose-tile.ts";
import { PANEL_ROWS, rowsAndDepth } from "./format.ts";

/** Encodings of plain floats, and the dtype of their elements. */
export const FLOAT_ENCODINGS: ReadonlyMap<string, DType> = new Map([
  ["F32", "f32"],
  ["F16", "f16"],
  ["BF16", "bf16"],
]);

/** Columns that a task moves row by row before it goes on, so that the lines it writes stay near. */
const CHUNK = 64;

export type FloatPanelArgs = { readonly encoding: string };

export const floatPanelPacker: Packer<FloatPanelArgs> = {
  name: "floatPanels",
  pack,
  onDevice: {
    byteLength: ({ shape }, { encoding }) => {
      const [rows, depth] = rowsAndDepth(shape);
      return Math.ceil(rows / PANEL_ROWS) * PANEL_ROWS * depth * DTYPE_INFO[dtypeOf(encoding)].bytes;
    },
    kernel: ({ encoding }, vectorBytes) =>
      packKernel(DTYPE_INFO[dtypeOf(encoding)].bytes === 4 ? "u32" : "u16", vectorBytes / 4),
    symbols: ({ shape }) => {
      const [rows, depth] = rowsAndDepth(shape);
      return { rows, depth };
    },
  },
};

function dtypeOf(encoding: string): DType {
  const dtype = FLOAT_ENCODINGS.get(encoding);
  if (dtype === undefined) throw new InternalError(`float panels: ${encoding}`);
  return dtype;
}

/** The same in JavaScript. */
function pack(data: ConstantData, { encoding }: FloatPanelArgs): ConstantData {
  const dtype = dtypeOf(encoding);
  const [rows, depth] = rowsAndDepth(data.shape);
  const Words = dtype === "f32" ? Uint32Array : Uint16Array;
  const { bytes } = data;
  const aligned = bytes.byteOffset % Words.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  const from = new Words(aligned.buffer as ArrayBuffer, aligned.byteOffset, rows * depth);
  const packed = new Words(Math.ceil(rows / PANEL_ROWS) * PANEL_ROWS * depth);
  for (let row = 0; row < rows; row++) {
    const source = row * depth;
    let to = Math.floor(row / PANEL_ROWS) * PANEL_ROWS * depth + (row % PANEL_ROWS);
    for (let i = 0; i < depth; i++, to += PANEL_ROWS) packed[to] = from[source + i] as number;
  }
  return { dtype, shape: [packed.length], bytes: new Uint8Array(packed.buffer) };
}

/** Squares of registers, as many rows as words of 32 bits; what they leave goes element by element. */
function packKernel(word: "u32" | "u16", lanes: number): Kernel {
  const k = new KernelBuilder(`float_panels_${word}_x${lanes}`);
  const [rows, depth] = [symbol("rows"), symbol("depth")];
  const panels = dimCeilDiv(rows, PANEL_ROWS);
  const from = k.buffer("from", word, dimMul(rows, depth));
  const to = k.buffer("to", word, dimMul(dimMul(panels, PANEL_ROWS), depth), { access: "write" });
  const perSquare = word === "u32" ? lanes : 2 * lanes;
  k.parallel(panels, (panel) => {
    const first = k.mul(panel, PANEL_ROWS);
    const count = k.index(depth);
    const present = k.min(k.sub(k.index(rows), first), PANEL_ROWS);
    const base = k.mul(first, count);
    const source = (row: KValue | number, at: KValue): KValue => k.add(k.mul(k.add(first, row), count), at);
    const squares = k.select(k.eq(present, PANEL_ROWS), k.div(count, perSquare), k.index(0));
    k.for({ end: squares }, (square) => {
      const at = k.mul(square, perSquare);
      for (let row = 0; row < PANEL_ROWS; row += lanes) {
        const words = Array.from({ length: lanes }, (_, r) => {
          const loaded = k.load(from, source(row + r, at), { lanes: perSquare });
          return word === "u32" ? loaded : k.intrinsic("packBytes", [loaded], { dtype: "u32", lanes, rows: 1 });
        });
        transposeTile(k, words, 4).forEach((column, i) => {
          const place = (step: number): KValue => k.add(base, k.add(k.mul(k.add(at, step), PANEL_ROWS), row));
          if (word === "u32") return k.store(to, place(i), column);
          k.store(to, place(2 * i), k.cast(k.and(column, 0xffff), "u16"));
          k.store(to, place(2 * i + 1), k.cast(k.shr(column, 16), "u16"));
        });
      }
    });
    const done = k.mul(squares, perSquare);
    k.for({ end: k.div(k.add(k.sub(count, done), CHUNK - 1), CHUNK) }, (chunk) => {
      const start = k.add(done, k.mul(chunk, CHUNK));
      const end = k.min(k.add(start, CHUNK), count);
      k.for({ end: present }, (lane) =>
        k.for({ start, end }, (at) =>
          k.store(to, k.add(base, k.add(k.mul(at, PANEL_ROWS), lane)), k.load(from, source(lane, at))),
        ),
      );
    });
  });
  return k.finish();
}
