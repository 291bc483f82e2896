/** Packs block-quantised rows into panels (`format.ts`): fields move, none of their bits change but those that are flipped. */

import {
  type Buffer,
  type ConstantData,
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
    kernel: ({ encoding }) => interleaveKernel(formatNamed(encoding)),
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

/** One panel per task, a block of one row at a time: its fields go to the lane of the row in as many lines as it has words. */
function interleaveKernel(format: BlockFormat): Kernel {
  const k = new KernelBuilder(`interleave_${format.name}`);
  const { blockBytes = 1 } = blockTypeNamed(format.name) ?? {};
  // Blocks of an odd size begin at any byte.
  const unit = blockBytes % 2 === 0 ? 2 : 1;
  const [rows, blocks] = [symbol("rows"), symbol("blocks")];
  const { scaleBytes, quantBytes } = panelLayout(format, format.blockWeights);
  const quantsAt = dimMul(dimCeilDiv(dimMul(blocks, scaleBytes), 64), 64);
  const panelBytes = dimAdd(quantsAt, dimMul(blocks, quantBytes));
  const panels = dimCeilDiv(rows, PANEL_ROWS);
  const from = k.buffer("from", unit === 2 ? "u16" : "u8", dimMul(dimMul(rows, blocks), blockBytes / unit));
  const views = new Map<string, Buffer>();
  const view = (kind: Field["kind"]): Buffer => {
    const dtype = kind === "f16" ? "u16" : FIELD_DTYPE[kind];
    let buffer = views.get(dtype);
    if (buffer === undefined) {
      const size: Dim = dimMul(panels, elements(panelBytes, FIELD_BYTES[kind]));
      views.set(dtype, (buffer = k.buffer(`to_${dtype}`, dtype, size, { access: "write" })));
    }
    return buffer;
  };
  const load = (at: KValue, bytes: number): KValue => {
    let value: KValue | undefined;
    for (let i = 0; i < bytes / unit; i++) {
      const part = k.shl(k.cast(k.load(from, k.add(at, i)), "u32"), 8 * unit * i);
      value = value === undefined ? part : k.or(value, part);
    }
    return value as KValue;
  };
  const move = (fields: readonly Field[], block: KValue, section: KValue, lane: KValue): void => {
    let base = 0;
    for (const { at, kind, count, flip } of fields) {
      const size = FIELD_BYTES[kind];
      const to = view(kind);
      for (let i = 0; i < count; i++) {
        const value = load(k.add(block, (at + i * size) / unit), size);
        const place = k.add(k.add(k.div(section, size), lane), base / size + i * PANEL_ROWS);
        k.store(to, place, k.cast(flip === undefined ? value : k.xor(value, flip), to.dtype));
      }
      base += count * size * PANEL_ROWS;
    }
  };
  k.parallel(panels, (panel) => {
    const first = k.mul(panel, PANEL_ROWS);
    const start = k.mul(panel, k.index(panelBytes));
    const lanes = k.min(k.sub(k.index(rows), first), PANEL_ROWS);
    k.for({ end: k.index(blocks) }, (block) =>
      k.for({ end: lanes }, (lane) => {
        const source = k.mul(k.add(k.mul(k.add(first, lane), k.index(blocks)), block), blockBytes / unit);
        move(format.scales, source, k.add(start, k.mul(block, scaleBytes)), lane);
        move(format.quants, source, k.add(k.add(start, k.index(quantsAt)), k.mul(block, quantBytes)), lane);
      }),
    );
  });
  return k.finish();
}

/** Sizes of panels are multiples of 64 bytes or of whole fields, so elements divide them. */
function elements(bytes: Dim, size: number): Dim {
  return size === 1 ? bytes : dimCeilDiv(bytes, size);
}
