/** Packs block-quantised rows into panels (`format.ts`): fields move, none of their bits change but those that are flipped. */

import {
  type Buffer,
  type ConstantData,
  type DType,
  type Dim,
  type Kernel,
  type KValue,
  InternalError,
  KernelBuilder,
  type Packer,
  blockTypeNamed,
  dimAdd,
  dimCeilDiv,
  dimMul,
  symbol,
} from "@quern/core";
import { transposeTile } from "../movement/transpose-tile.ts";
import {
  type BlockFormat,
  FIELD_BYTES,
  FIELD_DTYPE,
  type Field,
  PANEL_ROWS,
  panelLayout,
  rowsAndDepth,
} from "./format.ts";
import { formatOf } from "./formats.ts";

export type InterleaveArgs = { readonly encoding: string };

/** A matrix of [rows, depth] weights, or matrices on top of each other, as panels of 16 rows; rows beyond the last are zeros. */
export const interleavePacker: Packer<InterleaveArgs> = {
  name: "interleave",
  pack: interleave,
  onDevice: {
    byteLength: ({ shape }, { encoding }) => {
      const [rows, depth] = rowsAndDepth(shape);
      return Math.ceil(rows / PANEL_ROWS) * panelLayout(formatNamed(encoding), depth).panelBytes;
    },
    kernel: ({ encoding }, vectorBytes) => interleaveKernel(formatNamed(encoding), vectorBytes / 4),
    symbols: ({ shape }, { encoding }) => {
      const [rows, depth] = rowsAndDepth(shape);
      return { rows, blocks: depth / formatNamed(encoding).blockWeights };
    },
  },
};

function formatNamed(encoding: string): BlockFormat {
  const format = formatOf(encoding);
  if (format === undefined) throw new InternalError(`interleave: no format for ${encoding}`);
  return format;
}

/** The same in JavaScript. */
function interleave(data: ConstantData, { encoding }: InterleaveArgs): ConstantData {
  const format = formatNamed(encoding);
  const [rows, depth] = rowsAndDepth(data.shape);
  const { blocks, scaleBytes, quantBytes, quantsAt, panelBytes } = panelLayout(format, depth);
  const bytes = new Uint8Array(Math.ceil(rows / PANEL_ROWS) * panelBytes);
  const from = new DataView(data.bytes.buffer, data.bytes.byteOffset, data.bytes.byteLength);
  const to = new DataView(bytes.buffer);
  const blockBytes = rows * blocks === 0 ? 0 : data.bytes.byteLength / (rows * blocks);
  for (let row = 0; row < rows; row++) {
    const panel = Math.floor(row / PANEL_ROWS) * panelBytes;
    for (let block = 0; block < blocks; block++) {
      const source = (row * blocks + block) * blockBytes;
      moveFields(format.scales, from, source, to, panel + block * scaleBytes, row % PANEL_ROWS);
      moveFields(format.quants, from, source, to, panel + quantsAt + block * quantBytes, row % PANEL_ROWS);
    }
  }
  return { dtype: "u8", shape: [bytes.length], bytes };
}

function moveFields(
  fields: readonly Field[],
  from: DataView,
  block: number,
  to: DataView,
  section: number,
  lane: number,
): void {
  let base = section;
  for (const { at, kind, count, flip = 0 } of fields) {
    const size = FIELD_BYTES[kind];
    for (let i = 0; i < count; i++) {
      const [source, target] = [block + at + i * size, base + (i * PANEL_ROWS + lane) * size];
      if (size === 4) to.setUint32(target, (from.getUint32(source, true) ^ flip) >>> 0, true);
      else if (size === 2) to.setUint16(target, from.getUint16(source, true), true);
      else to.setUint8(target, from.getUint8(source));
    }
    base += count * size * PANEL_ROWS;
  }
}

/**
 * One panel per task, block by block. Words are transposed in squares of registers, as many rows as words; what is left of
 * a field, and panels with fewer than 16 rows, go word by word.
 */
function interleaveKernel(format: BlockFormat, lanes: number): Kernel {
  const k = new KernelBuilder(`interleave_${format.name}_x${lanes}`);
  const { blockBytes = 1 } = blockTypeNamed(format.name) ?? {};
  // Blocks of an odd size begin at any byte.
  const unit = blockBytes % 2 === 0 ? 2 : 1;
  const [rows, blocks] = [symbol("rows"), symbol("blocks")];
  const { scaleBytes, quantBytes } = panelLayout(format, format.blockWeights);
  const quantsAt = dimMul(dimCeilDiv(dimMul(blocks, scaleBytes), 64), 64);
  const panelBytes = dimAdd(quantsAt, dimMul(blocks, quantBytes));
  const panels = dimCeilDiv(rows, PANEL_ROWS);
  const views: Views = {
    k,
    unit,
    from: k.buffer("from", unit === 2 ? "u16" : "u8", dimMul(dimMul(rows, blocks), blockBytes / unit)),
    fromBytes: k.buffer("fromBytes", "u8", dimMul(dimMul(rows, blocks), blockBytes)),
    to: new Map(),
    toBytes: dimMul(panels, panelBytes),
  };
  const sections = [format.scales, format.quants].map((fields) => sectionPieces(fields, lanes));
  k.parallel(panels, (panel) => {
    const first = k.mul(panel, PANEL_ROWS);
    const start = k.mul(panel, k.index(panelBytes));
    const present = k.min(k.sub(k.index(rows), first), PANEL_ROWS);
    k.for({ end: k.index(blocks) }, (block) => {
      const sectionsAt = [
        k.add(start, k.mul(block, scaleBytes)),
        k.add(k.add(start, k.index(quantsAt)), k.mul(block, quantBytes)),
      ];
      /** Byte where the block of a row begins. */
      const source = (row: KValue | number): KValue =>
        k.mul(k.add(k.mul(k.add(first, row), k.index(blocks)), block), blockBytes);
      const whole = k.eq(present, PANEL_ROWS);
      k.if(whole, () =>
        sections.forEach((pieces, section) => {
          const at = sectionsAt[section] as KValue;
          for (const piece of pieces) if (piece.square) moveSquares(views, piece, source, at);
        }),
      );
      k.for({ end: present }, (lane) => {
        const from = source(lane);
        const move = (wanted: boolean): void =>
          sections.forEach((pieces, section) => {
            const at = sectionsAt[section] as KValue;
            for (const piece of pieces) if (piece.square === wanted) moveFieldsOf(views, piece, from, at, lane);
          });
        move(false);
        k.if(k.not(whole), () => move(true));
      });
    });
  });
  return k.finish();
}

interface Views {
  readonly k: KernelBuilder;
  /** Bytes per element of `from`. */
  readonly unit: 1 | 2;
  readonly from: Buffer;
  readonly fromBytes: Buffer;
  readonly to: Map<DType, Buffer>;
  readonly toBytes: Dim;
}

/** Consecutive fields of one kind. */
interface Piece extends Field {
  /** Offset of the first field for the first row, in bytes from the section of its block. */
  readonly base: number;
  /** True for as many words as a square of registers has rows. */
  readonly square: boolean;
}

/** A field cut into squares of at most `lanes` words, and what is left. The bases are those of the field alone. */
function piecesOf(field: Field, lanes: number): Piece[] {
  const size = FIELD_BYTES[field.kind];
  const pieces: Piece[] = [];
  for (let done = 0; done < field.count;) {
    const left = field.count - done;
    const square = field.kind === "word" && left >= 4;
    const count = square ? Math.min(lanes, 2 ** Math.floor(Math.log2(left))) : left;
    pieces.push({ ...field, at: field.at + done * size, count, base: done * size * PANEL_ROWS, square });
    done += count;
  }
  return pieces;
}

/** The pieces of all fields of a section. */
function sectionPieces(fields: readonly Field[], lanes: number): Piece[] {
  let before = 0;
  return fields.flatMap((field) => {
    const start = before;
    before += field.count * FIELD_BYTES[field.kind] * PANEL_ROWS;
    return piecesOf(field, lanes).map((piece) => ({ ...piece, base: piece.base + start }));
  });
}

function target({ k, to, toBytes }: Views, kind: Field["kind"]): Buffer {
  const dtype = kind === "f16" ? "u16" : FIELD_DTYPE[kind];
  let buffer = to.get(dtype);
  if (buffer === undefined) {
    const size = elements(toBytes, FIELD_BYTES[kind]);
    to.set(dtype, (buffer = k.buffer(`to_${dtype}`, dtype, size, { access: "write" })));
  }
  return buffer;
}

/** All rows of a panel: squares of `count` rows by `count` words. */
function moveSquares(
  views: Views,
  { at, count, base, flip }: Piece,
  source: (row: number) => KValue,
  section: KValue,
): void {
  const { k, fromBytes } = views;
  const to = target(views, "word");
  const type = { dtype: "u32", lanes: count, rows: 1 } as const;
  const first = k.div(section, 4);
  for (let row = 0; row < PANEL_ROWS; row += count) {
    const rows = Array.from({ length: count }, (_, r) => {
      const bytes = k.load(fromBytes, k.add(source(row + r), at), { lanes: 4 * count });
      return k.intrinsic("packBytes", [bytes], type);
    });
    transposeTile(k, rows, 4).forEach((word, i) => {
      const place = k.add(first, base / 4 + i * PANEL_ROWS + row);
      k.store(to, place, flip === undefined ? word : k.xor(word, flip));
    });
  }
}

/** The fields of one row. */
function moveFieldsOf(
  views: Views,
  { at, kind, count, base, flip }: Piece,
  block: KValue,
  section: KValue,
  lane: KValue,
): void {
  const { k, from, unit } = views;
  const size = FIELD_BYTES[kind];
  const to = target(views, kind);
  const load = (offset: number): KValue => {
    let value: KValue | undefined;
    for (let i = 0; i < size / unit; i++) {
      const part = k.shl(k.cast(k.load(from, k.add(k.div(block, unit), offset / unit + i)), "u32"), 8 * unit * i);
      value = value === undefined ? part : k.or(value, part);
    }
    return value as KValue;
  };
  for (let i = 0; i < count; i++) {
    const value = load(at + i * size);
    const place = k.add(k.add(k.div(section, size), lane), base / size + i * PANEL_ROWS);
    k.store(to, place, k.cast(flip === undefined ? value : k.xor(value, flip), to.dtype));
  }
}

/** Sizes of panels are multiples of 64 bytes or of whole fields, so elements divide them. */
function elements(bytes: Dim, size: number): Dim {
  return size === 1 ? bytes : dimCeilDiv(bytes, size);
}
