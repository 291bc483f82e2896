/** Reads the fields of a panel: vectors of its rows, or the row of a scalar. */

import type { Buffer, DType, GroupKernel, KValue } from "@quern/core";
import {
  type BlockFormat,
  type BlockReader,
  FIELD_BYTES,
  FIELD_DTYPE,
  PANEL_ROWS,
  type PanelLayout,
  fieldAt,
} from "./format.ts";

export interface PanelSource {
  readonly format: BlockFormat;
  readonly layout: PanelLayout;
  /** Rows that a reader covers: 1 for scalars. */
  readonly lanes: number;
  /** The panels, seen as elements of a type. */
  panels(dtype: DType): Buffer;
  /** Each byte of `picks` replaced by that entry of the format's table. */
  lookup(picks: KValue): KValue;
}

/** Bytes that are read ahead of where a product computes. */
const AHEAD_BYTES = 3072;

export interface PanelReader extends BlockReader {
  /**
   * Brings nearer share `share` of `of` of what is read some steps later. In shares, since many requests at once would wait
   * for each other, and what is needed now behind them.
   */
  prefetch(share: number, of: number): void;
}

/** Reads block `step` of the rows of part `part`: parts count vectors of `lanes` rows. */
export function panelReader(kernel: GroupKernel, source: PanelSource, part: KValue, step: KValue): PanelReader {
  const { k } = kernel;
  const { format, layout, lanes } = source;
  const perPanel = PANEL_ROWS / lanes;
  const panel = perPanel === 1 ? part : k.div(part, perPanel);
  const firstRow = perPanel === 1 ? k.index(0) : k.mul(k.rem(part, perPanel), lanes);
  /** Element offset of bytes `base` + step · `perBlock` + `offset` of the panel, for elements of `bytes`. */
  const place = (bytes: number, base: number, perBlock: number, offset: number): KValue =>
    k.add(
      k.add(k.add(k.mul(panel, layout.panelBytes / bytes), k.mul(step, perBlock / bytes)), firstRow),
      (base + offset) / bytes,
    );
  const word = (base: number, perBlock: number, offset: number): KValue =>
    k.load(source.panels("u32"), place(4, base, perBlock, offset), { lanes });
  return {
    scale(at) {
      const { kind, offset } = fieldAt(format.scales, at);
      if (kind === "word") return word(0, layout.scaleBytes, offset);
      const bytes = FIELD_BYTES[kind];
      const loaded = k.load(source.panels(FIELD_DTYPE[kind]), place(bytes, 0, layout.scaleBytes, offset), { lanes });
      return k.cast(loaded, kind === "f16" ? "f32" : "i32");
    },
    quant(at) {
      return word(layout.quantsAt, layout.quantBytes, fieldAt(format.quants, at).offset);
    },
    lookup: (picks) => source.lookup(picks),
    prefetch(share, of) {
      const lines = Math.ceil(layout.quantBytes / 64);
      for (let line = Math.floor((share * lines) / of); line < Math.floor(((share + 1) * lines) / of); line++)
        k.prefetch(source.panels("u32"), place(4, layout.quantsAt, layout.quantBytes, 64 * line + AHEAD_BYTES), 0);
    },
  };
}
