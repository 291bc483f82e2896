/**
 * Channels-last convolution of f32 in bf16 terms on the matrix unit ("high", "medium"), as an implicit matrix product:
 * 16 windows of one row are a strided tile load, the taps of a window a walk through memory.
 *
 * A task converts the input rows that it needs to scratch and sweeps panels of 32 output channels; a block is two
 * tiles of 16 pixels by one panel, summed over all taps in registers. With stride 1 the pixels of a task are one run
 * over the padded rows, of which those between the rows are not stored, so that narrow images fill tiles as well.
 * A 1 × 1 window without stride is a plain product. An infinity or NaN in the image may spread to windows nearby.
 */

import {
  type Buffer,
  type ConstantData,
  type DType,
  GroupKernel,
  type KernelSite,
  type KValue,
  type Launch,
  type Packer,
  type Value,
  dimMul,
  siteConstant,
  tileColumnMasks,
} from "@quern/core";
import { spatiallyUniform } from "../conv/conv-tiles.ts";
import { type ConvGeometry, convGeometry, convMultiplyAdds, outputPlace } from "../conv/geometry.ts";
import { floatsOf } from "../gemm/pack.ts";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { type ImageLayout, convertImage, imageLayout, inputRows } from "./conv-image.ts";
import { chooseAmxBlocking, emitAmxTask, panelColumns, termPanelPacker } from "./gemm.ts";
import { type Terms, TILE_DEPTH, TILE_ELEMENTS, productsOf, splitTo, termsOf } from "./split.ts";
import { type BlockShape, addStep, clearBlock, newBlock, storeBlock } from "./tile-block.ts";
import { matrixUnit, unitNanoseconds } from "./unit.ts";

const BLOCK: BlockShape = { rows: 2, columns: 2 };
const COLUMNS = 32;
/** Elements of the image that a task keeps in the second-level cache, all terms. */
const IMAGE_ELEMENTS = 512 << 10;
/** Pixels of a task for which the weights read from the third-level cache are used often enough. */
const ENOUGH_PIXELS = 128;

export const convAmx: CpuKernel = {
  name: "conv_amx",
  ops: ["conv"],
  unit: "matrix",
  when(site, environment) {
    const unit = matrixUnit(environment);
    if (unit !== true) return unit;
    const g = convGeometry(site);
    if (typeof g === "string") return g;
    if (siteConstant(site, site.anchor.inputs[1]) === undefined) return "the weights are not constant";
    if (g.groups !== 1) return "the channels are in groups";
    if (g.dilationX !== 1) return "the window is dilated along rows";
    const terms = termsOf(environment.precision);
    if (terms * imageLayout(g, terms, chooseCell(g, terms), 1).plane > 2 * IMAGE_ELEMENTS)
      return "the rows are too long for the cache";
    return true;
  },
  cost(site, { threads, precision }) {
    const g = convGeometry(site) as ConvGeometry;
    const pixels = g.outHeight * g.outWidth;
    const converting = (g.height * g.width * g.channels) / 6;
    if (isPlainProduct(g))
      return (unitNanoseconds(precision, pixels, g.outChannels, g.channels) + converting) / threads + 700;
    const terms = termsOf(precision);
    const { tiles } = pixelTiles(g, g.outHeight);
    const blocks = Math.ceil(tiles / 2) * Math.ceil(g.outChannels / COLUMNS);
    // 3.3 tile cycles per nanosecond, of which four fifths are reached.
    return (blocks * blockCycles(g, terms, chooseCell(g, terms))) / 2.6 / threads + converting / threads + 700;
  },
  lower(site, environment) {
    const g = convGeometry(site) as ConvGeometry;
    return isPlainProduct(g) ? lowerProduct(site, environment, g) : lowerWindows(site, environment, g);
  },
};

function isPlainProduct(g: ConvGeometry): boolean {
  return (
    g.kernelHeight === 1 &&
    g.kernelWidth === 1 &&
    g.strideX === 1 &&
    g.strideY === 1 &&
    g.padTop === 0 &&
    g.padLeft === 0 &&
    g.outHeight === g.height &&
    g.outWidth === g.width
  );
}

/** Cycles of one block over all taps: products against loads of A, dear where rows of a tile are not aligned. */
function blockCycles(g: ConvGeometry, terms: Terms, cell: number): number {
  const steps = g.kernelHeight * Math.ceil(((g.kernelWidth - 1) * cell + g.channels) / TILE_DEPTH);
  const aligned = (g.strideX * cell) % TILE_DEPTH === 0;
  const loads = 2 * terms * (aligned ? 12 : 59) + 2 * terms * 12;
  return steps * Math.max(64 * productsOf(terms), loads) + 150;
}

/** Elements of a pixel in scratch: the channels, or padded so that tile rows are aligned. */
function chooseCell(g: ConvGeometry, terms: Terms): number {
  const padded = Math.ceil(g.channels / TILE_DEPTH) * TILE_DEPTH;
  return blockCycles(g, terms, padded) <= blockCycles(g, terms, g.channels) ? padded : g.channels;
}

/** Tiles of 16 pixels for `rows` rows of the result; `merged`: one run over padded rows. */
function pixelTiles(g: ConvGeometry, rows: number): { readonly merged: boolean; readonly tiles: number } {
  const apart = rows * Math.ceil(g.outWidth / 16);
  const together = Math.ceil((rows * g.reachX) / 16);
  const merged = g.strideX === 1 && g.strideY === 1 && together < apart;
  return { merged, tiles: merged ? together : apart };
}

interface Plan {
  readonly rows: number;
  readonly rowTasks: number;
  readonly panels: number;
  readonly panelTasks: number;
}

function planTasks(g: ConvGeometry, terms: Terms, cell: number, threads: number): Plan {
  const perRow = terms * g.reachX * cell;
  const allPanels = Math.ceil(g.outChannels / COLUMNS);
  const window = inputRows(g, 1) - g.strideY;
  const fits = Math.max(1, Math.floor((IMAGE_ELEMENTS / perRow - window) / g.strideY));
  const shares = threads === 1 ? 1 : 2 * threads;
  const enough = Math.ceil(ENOUGH_PIXELS / g.outWidth);
  const rows = Math.min(fits, g.outHeight, Math.max(enough, Math.ceil(g.outHeight / shares)));
  const rowTasks = Math.ceil(g.outHeight / rows);
  const ranges = Math.min(allPanels, Math.max(1, Math.ceil(shares / rowTasks)));
  const panels = Math.ceil(allPanels / ranges);
  return { rows, rowTasks, panels, panelTasks: Math.ceil(allPanels / panels) };
}

function lowerWindows(site: KernelSite, { precision, threads }: KernelEnvironment, g: ConvGeometry): readonly Launch[] {
  const terms = termsOf(precision);
  const cell = chooseCell(g, terms);
  const plan = planTasks(g, terms, cell, threads);
  const layout = imageLayout(g, terms, cell, plan.rows);
  const { merged } = pixelTiles(g, plan.rows);
  const name = `conv_amx_${precision}_${g.kernelHeight}x${g.kernelWidth}_c${g.channels}o${g.outChannels}_${g.outHeight}x${g.outWidth}_r${plan.rows}p${cell}`;
  const kernel = new GroupKernel(name, site);
  const { k } = kernel;
  const [x, , bias] = site.anchor.inputs as [Value, Value, Value | undefined];
  const context: WindowContext = {
    g,
    kernel,
    plan,
    layout,
    merged,
    x: kernel.input(x),
    panels: kernel.packed("w", site.anchor.inputs[1] as Value, windowPacker, windowArgs(g, layout)),
    bias: bias === undefined ? undefined : kernel.input(bias),
    rank: (site.anchor.outputs[0] as Value).type.shape.length,
  };
  k.parallel(g.n, (n) =>
    k.parallel(plan.rowTasks, (rowTask) =>
      k.parallel(plan.panelTasks, (panelTask) => emitTask(context, n, rowTask, panelTask)),
    ),
  );
  return [kernel.launch({ decision: name, precision, flops: dimMul(g.n, 2 * convMultiplyAdds(g)) })];
}

interface WindowContext {
  readonly g: ConvGeometry;
  readonly kernel: GroupKernel;
  readonly plan: Plan;
  readonly layout: ImageLayout;
  readonly merged: boolean;
  readonly x: Buffer;
  readonly panels: Buffer;
  readonly bias: Buffer | undefined;
  readonly rank: number;
}

function panelElements(g: ConvGeometry, { terms, rowSteps }: ImageLayout): number {
  return g.kernelHeight * rowSteps * terms * BLOCK.columns * TILE_ELEMENTS;
}

function emitTask(c: WindowContext, n: KValue, rowTask: KValue, panelTask: KValue): void {
  const { g, kernel, plan, layout, merged } = c;
  const { terms, rowSteps, rowStride, cell, plane } = layout;
  const { k } = kernel;
  const image = k.scratch("image", "bf16", terms * plane);
  const sums = k.scratch("sums", "f32", 32 * COLUMNS);
  const firstRow = k.mul(rowTask, plan.rows);
  const rows = k.min(k.sub(g.outHeight, firstRow), plan.rows);
  const firstInput = k.sub(k.mul(firstRow, g.strideY), g.padTop);
  convertImage(k, g, layout, c.x, image, n, firstInput, k.add(k.mul(k.sub(rows, 1), g.strideY), inputRows(g, 1)));
  const perRow = Math.ceil(g.outWidth / 16);
  const tiles = merged ? k.div(k.add(k.mul(rows, layout.rowPixels), 15), 16) : k.mul(rows, perRow);
  const lastTile = k.sub(tiles, 1);
  const firstPanel = k.mul(panelTask, plan.panels);
  const endPanel = k.min(k.add(firstPanel, plan.panels), Math.ceil(g.outChannels / COLUMNS));
  const perStep = terms * BLOCK.columns * TILE_ELEMENTS;
  k.for({ start: firstPanel, end: endPanel }, (panel) => {
    const channel = k.mul(panel, COLUMNS);
    const masks = tileColumnMasks(k, g.outChannels, { rows: 32, vectors: 2, lanes: 16, columns: COLUMNS }, channel);
    const biases = masks.map((mask, v) => c.bias && k.load(c.bias, k.add(channel, 16 * v), { lanes: 16, mask }));
    k.for({ end: tiles, step: 2 }, (tile) => {
      // A block without a second tile computes the first again.
      const second = k.min(k.add(tile, 1), lastTile);
      const acc = newBlock(k, BLOCK, "c");
      const starts = [tile, second].map((at) => startOf(c, at, perRow));
      clearBlock(k, acc);
      k.for({ end: g.kernelHeight }, (ky) => {
        const bRow = k.add(k.mul(panel, panelElements(g, layout)), k.mul(ky, rowSteps * perStep));
        const down = k.mul(ky, g.dilationY * rowStride);
        k.for({ end: rowSteps }, (step) => {
          const bStep = k.add(bRow, k.mul(step, perStep));
          addStep(
            k,
            acc,
            {
              a: image,
              aStride: g.strideX * cell,
              aIndex: (row, term) =>
                k.add(k.add(k.add(starts[row] as KValue, down), k.mul(step, TILE_DEPTH)), term * plane),
              b: c.panels,
              bIndex: (column, term) => k.add(bStep, (term * BLOCK.columns + column) * TILE_ELEMENTS),
            },
            terms,
          );
        });
      });
      storeBlock(k, acc, sums, k.index(0), COLUMNS);
      [0, 1].forEach((half) => {
        const store = (): void =>
          storePixels(c, { n, firstRow, rows, channel, masks, biases, sums }, half, half === 0 ? tile : second, perRow);
        if (half === 0) store();
        else k.if(k.lt(tile, lastTile), store);
      });
    });
  });
}

/** First element of the windows of a tile of pixels. */
function startOf({ g, layout, merged, kernel: { k } }: WindowContext, tile: KValue, perRow: number): KValue {
  const { cell, rowStride } = layout;
  if (merged) return k.mul(tile, 16 * cell);
  const row = k.mul(k.div(tile, perRow), g.strideY * rowStride);
  return k.add(row, k.mul(k.rem(tile, perRow), 16 * g.strideX * cell));
}

interface Target {
  readonly n: KValue;
  readonly firstRow: KValue;
  readonly rows: KValue;
  readonly channel: KValue;
  readonly masks: readonly (KValue | undefined)[];
  readonly biases: readonly (KValue | undefined)[];
  readonly sums: Buffer;
}

/** Stores the pixels of half a block that exist; row and column count on, without a division per pixel. */
function storePixels(c: WindowContext, target: Target, half: number, tile: KValue, perRow: number): void {
  const { g, kernel, layout, merged } = c;
  const { k } = kernel;
  const width = merged ? layout.rowPixels : 16 * perRow;
  const first = k.mul(tile, 16);
  const row = k.local(`row${half}`, "index", k.div(first, width));
  const column = k.local(`column${half}`, "index", k.rem(first, width));
  k.for({ end: 16 }, (pixel) => {
    const [y, x] = [k.read(row), k.read(column)];
    k.if(k.and(k.lt(x, g.outWidth), k.lt(y, target.rows)), () =>
      target.masks.forEach((mask, v) => {
        const sum = k.load(target.sums, k.add(k.mul(k.add(pixel, 16 * half), COLUMNS), 16 * v), { lanes: 16 });
        const addend = target.biases[v];
        const value = addend === undefined ? sum : k.add(sum, addend);
        const place = outputPlace(c.rank, target.n, k.add(target.firstRow, y), x, k.add(target.channel, 16 * v));
        kernel.store(value, { index: place, lanes: 16, mask });
      }),
    );
    const next = k.add(x, 1);
    k.assign(column, next);
    k.if(k.ge(next, width), () => {
      k.assign(column, 0);
      k.assign(row, k.add(y, 1));
    });
  });
}

type WindowArgs = {
  readonly channels: number;
  readonly outChannels: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly terms: Terms;
  /** Elements of a pixel in scratch. */
  readonly cell: number;
  /** Steps of 32 along a row of the window. */
  readonly rowSteps: number;
};

/** [panel][ky][step][term][16 channels], pairs along a row of the window together, zeros where there is no weight. */
export const windowPacker: Packer<WindowArgs> = { name: "windows", pack: packWindows };

function windowArgs(g: ConvGeometry, { terms, cell, rowSteps }: ImageLayout): WindowArgs {
  const { channels, outChannels, kernelHeight, kernelWidth } = g;
  return { channels, outChannels, kernelHeight, kernelWidth, terms, cell, rowSteps };
}

function packWindows(data: ConstantData, g: WindowArgs): ConstantData {
  const { terms, cell, rowSteps } = g;
  const source = floatsOf(data);
  const panels = Math.ceil(g.outChannels / COLUMNS);
  const termDistance = BLOCK.columns * TILE_ELEMENTS;
  const perPanel = g.kernelHeight * rowSteps * terms * termDistance;
  const packed = new Uint16Array(panels * perPanel);
  let from = 0;
  for (let out = 0; out < g.outChannels; out++) {
    const panel =
      Math.floor(out / COLUMNS) * perPanel + Math.floor((out % COLUMNS) / 16) * TILE_ELEMENTS + (out % 16) * 2;
    for (let channel = 0; channel < g.channels; channel++) {
      for (let ky = 0; ky < g.kernelHeight; ky++) {
        for (let kx = 0; kx < g.kernelWidth; kx++, from++) {
          const element = kx * cell + channel;
          const step = ky * rowSteps + Math.floor(element / TILE_DEPTH);
          const at = panel + step * terms * termDistance + ((element % TILE_DEPTH) >> 1) * TILE_DEPTH + (element & 1);
          splitTo(packed, at, termDistance, terms, source[from] as number);
        }
      }
    }
  }
  return { dtype: "bf16" as DType, shape: [panels, perPanel], bytes: new Uint8Array(packed.buffer) };
}

/** A 1 × 1 window: pixels × channels times channels × channels, one product per image. */
function lowerProduct(site: KernelSite, { precision, threads }: KernelEnvironment, g: ConvGeometry): readonly Launch[] {
  const pixels = g.outHeight * g.outWidth;
  const [x, , bias] = site.anchor.inputs as [Value, Value, Value | undefined];
  const y = site.anchor.outputs[0] as Value;
  const blocking = chooseAmxBlocking(termsOf(precision), pixels, g.outChannels, g.channels, threads, false);
  const name = `conv_amx_${precision}_1x1_c${g.channels}o${g.outChannels}_${g.outHeight}x${g.outWidth}_r${blocking.rows}`;
  const kernel = new GroupKernel(name, site);
  const { k } = kernel;
  const panels = kernel.packed("w", site.anchor.inputs[1] as Value, termPanelPacker, {
    k: g.channels,
    n: g.outChannels,
    strideK: 1,
    strideN: g.channels,
    terms: blocking.terms,
    tiles: blocking.block.columns,
  });
  const input = kernel.input(x);
  const biasBuffer = bias === undefined ? undefined : kernel.input(bias);
  // Operands behind the product that are full or the same for all pixels take (0, pixel) for row and column.
  const together = spatiallyUniform(site);
  const rank = y.type.shape.length;
  const panelCount = Math.ceil(g.outChannels / panelColumns(blocking));
  k.parallel(g.n, (n) =>
    k.parallel(Math.ceil(pixels / blocking.rows), (rowTask) =>
      k.parallel(Math.ceil(panelCount / blocking.panels), (panelTask) => {
        const image = k.mul(n, pixels * g.channels);
        emitAmxTask(
          k,
          {
            m: pixels,
            n: g.outChannels,
            k: g.channels,
            right: { kind: "packed", panels, at: k.index(0) },
            loadRow: (row, at, masks) => {
              const from = k.add(image, k.add(k.mul(row, g.channels), at));
              return [
                k.load(input, from, { lanes: 16, mask: masks[0] }),
                k.load(input, k.add(from, 16), { lanes: 16, mask: masks[1] }),
              ];
            },
            store: (pixel, channel, value, mask) => {
              const sum =
                biasBuffer === undefined ? value : k.add(value, k.load(biasBuffer, channel, { lanes: 16, mask }));
              const [row, column] = together
                ? [k.index(0), pixel]
                : [k.div(pixel, g.outWidth), k.rem(pixel, g.outWidth)];
              kernel.store(sum, { index: outputPlace(rank, n, row, column, channel), lanes: 16, mask });
            },
          },
          blocking,
          rowTask,
          panelTask,
        );
      }),
    ),
  );
  return [kernel.launch({ decision: name, precision, flops: dimMul(g.n, 2 * convMultiplyAdds(g)) })];
}
