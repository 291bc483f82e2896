/**
 * Attention of the tokens of a run over the pages of its sequence, page by page with an online softmax (Dao, "FlashAttention-2",
 * 2023), in the kernel language.
 *
 * Tasks: heads of the cache × runs, every one with the query heads that share the head as rows. A token on its own and
 * several tokens are different methods (`tile.ts`, `unit.ts`) on the same memory.
 */

import type { Buffer, KValue, KernelSite, Launch, MatmulPrecision } from "@quern/core";
import type { CpuTarget } from "../../host/cpu-target.ts";
import { type BlockMemory, type BlockMethod, blockMemory, clearRows } from "./block.ts";
import { AttentionKernel, type TokenRun, problemOf } from "./layout.ts";
import { type PageRange, type Parts, firstSeen, partAt, seenPages, shareOf } from "./parts.ts";
import { f32Tiles, severalTiles, severalTokens, singleTileRows, singleToken } from "./tile.ts";
import { UNIT_QUANTUM, unitTiles, unitTokens } from "./unit.ts";

export interface AttendOptions {
  readonly target: CpuTarget;
  readonly parts: Parts | undefined;
  /** Several tokens go through the matrix unit, in bf16. */
  readonly unit: boolean;
}

export function attendLaunch(site: KernelSite, options: AttendOptions): Launch {
  const { cache, head, group, pageSize } = problemOf(site);
  const { parts, unit } = options;
  const name = `attention${unit ? "_amx" : ""}_${cache}_g${group}d${head}p${pageSize}${parts === undefined ? "" : `_x${parts.count}`}`;
  return new AttendKernel(name, site, options).launch(unit ? "medium" : "highest");
}

/** Tokens of a run, and the pages to go through for them. */
interface Block {
  readonly start: KValue;
  readonly tokens: KValue;
  readonly pages: PageRange;
}

class AttendKernel {
  readonly #attention: AttentionKernel;
  readonly #memory: BlockMemory;
  readonly #single: BlockMethod;
  readonly #several: BlockMethod;
  readonly #parts: Parts | undefined;

  constructor(name: string, site: KernelSite, { target, parts, unit }: AttendOptions) {
    this.#parts = parts;
    this.#attention = new AttentionKernel(name, site, "read");
    const { group } = this.#attention.problem;
    const lanes = target.vectorBytes / 4;
    const single = { tileRows: singleTileRows(group), tokens: 1 };
    const several = unit ? unitTiles(group) : severalTiles(group);
    const rowsOf = ({ tileRows, tokens }: typeof single): number => Math.ceil((tokens * group) / tileRows) * tileRows;
    this.#memory = blockMemory(
      this.#attention,
      lanes,
      Math.max(rowsOf(single), rowsOf(several)),
      Math.max(single.tileRows, several.tileRows),
      unit ? UNIT_QUANTUM : lanes,
    );
    const tiles = f32Tiles(this.#attention, target, unit ? rowsOf(single) : Math.max(rowsOf(single), rowsOf(several)));
    this.#single = singleToken(this.#attention, this.#memory, tiles);
    this.#several = unit
      ? unitTokens(this.#attention, this.#memory, rowsOf(several))
      : severalTokens(this.#attention, this.#memory, tiles);
  }

  launch(precision: MatmulPrecision): Launch {
    const { k, problem, kernel } = this.#attention;
    const { kvHeads, runs, cache, head, group } = problem;
    k.parallel(kvHeads, (h) =>
      k.parallel(runs, (i) => {
        // First, last, second, last but one, …: later runs of a prompt see more, and threads take tasks side by side.
        const half = k.div(i, 2);
        const row = k.select(k.eq(k.rem(i, 2), 0), half, k.sub(k.sub(k.index(runs), 1), half));
        if (this.#parts === undefined) this.#task(h, this.#attention.run(row));
        else k.parallel(this.#parts.count, (part) => this.#partialTask(h, row, part, this.#parts as Parts));
      }),
    );
    const decision = `attention over a cache of ${cache}, heads of ${head}, ${group} queries each`;
    return kernel.launch({ decision, precision });
  }

  #task(h: KValue, run: TokenRun): void {
    const { k, problem } = this.#attention;
    const single = (): void => this.#singleToken(h, run, seenPages(k, problem, run));
    k.if(k.eq(run.count, 1), single, () => this.#severalTokens(h, run));
  }

  /** One of the parts of a run: a share of the pages of a token on its own, or everything for the first part. */
  #partialTask(h: KValue, row: KValue, part: KValue, parts: Parts): void {
    const { k, problem } = this.#attention;
    const run = this.#attention.run(row);
    const own = k.eq(part, 0);
    const single = (): void => {
      const { split, pages } = shareOf(k, problem, run, part, parts);
      k.if(k.or(split, own), () => {
        const finish = (): void =>
          k.if(
            split,
            () => this.#keepPart(h, row, part, parts),
            () => this.#end(h, run.first, k.index(problem.group)),
          );
        this.#singleToken(h, run, pages, finish);
      });
    };
    k.if(k.eq(run.count, 1), single, () => k.if(own, () => this.#severalTokens(h, run)));
  }

  #singleToken(h: KValue, run: TokenRun, pages: PageRange, finish?: () => void): void {
    const { k } = this.#attention;
    this.#block(h, run, { start: k.index(0), tokens: k.index(1), pages }, this.#single, finish);
  }

  #severalTokens(h: KValue, run: TokenRun): void {
    const { k, problem } = this.#attention;
    const { tokens: most } = this.#several;
    k.for({ end: run.count, step: most }, (start) => {
      const tokens = k.min(k.sub(run.count, start), most);
      const pages = seenPages(k, problem, { position: k.add(run.position, start), count: tokens });
      this.#block(h, run, { start, tokens, pages }, this.#several);
    });
  }

  /** Some tokens of a run on some of the pages that they see. */
  #block(h: KValue, run: TokenRun, { start, tokens, pages }: Block, method: BlockMethod, finish?: () => void): void {
    const { k, problem } = this.#attention;
    const { group, pageSize, window } = problem;
    const { tileRows } = method;
    const rows = k.mul(tokens, group);
    const tiles = k.div(k.add(rows, tileRows - 1), tileRows);
    const firstToken = k.add(run.first, start);
    const position = k.add(run.position, start);
    const end = k.add(position, tokens);
    const padded = k.mul(tiles, tileRows);
    clearRows(this.#attention, this.#memory, padded);
    method.queries((row) => this.#rowAt(h, firstToken, row), rows, padded);
    const seen = firstSeen(k, window, position);
    k.for({ start: pages.first, end: pages.end }, (page) => {
      const pageStart = k.mul(page, pageSize);
      const addPage = method.page((ahead) => this.#attention.page(run.sequence, k.add(page, ahead), h), {
        own: k.sub(position, pageStart),
        from: k.max(0, k.sub(seen, pageStart)),
        to: k.min(pageSize, k.sub(end, pageStart)),
      });
      k.for({ end: tiles }, (tile) => addPage(k.mul(tile, tileRows)));
    });
    if (finish === undefined) this.#end(h, firstToken, rows);
    else finish();
  }

  /** Where q and the result have the first element of a row. */
  #rowAt(h: KValue, firstToken: KValue, row: KValue): KValue {
    const { k, problem } = this.#attention;
    const { queryHeads, group, head } = problem;
    const token = k.add(firstToken, k.div(row, group));
    return k.mul(k.add(k.add(k.mul(token, queryHeads), k.mul(h, group)), k.rem(row, group)), head);
  }

  /** Divides by the sums of weights and stores the rows that exist. */
  #end(h: KValue, firstToken: KValue, rows: KValue): void {
    const { k, problem, kernel } = this.#attention;
    const { results, sums, lanes, paddedHead } = this.#memory;
    const y = kernel.output();
    k.for({ end: rows }, (row) => {
      const sum = k.horizontal("sum", k.load(sums, k.mul(row, lanes), { lanes }));
      const factor = k.div(1, sum);
      const [from, to] = [k.mul(row, paddedHead), this.#rowAt(h, firstToken, row)];
      k.each(problem.head, (d) => k.store(y, k.add(to, d), k.mul(k.load(results, k.add(from, d)), factor)));
    });
  }

  /** Leaves what a part of the pages gave to the launch that merges parts. */
  #keepPart(h: KValue, row: KValue, part: KValue, parts: Parts): void {
    const { k, problem, kernel } = this.#attention;
    const { group } = problem;
    const { top, sums, lanes, paddedHead, results } = this.#memory;
    const [toResults, toTops, toSums] = [parts.results, parts.tops, parts.sums].map((each) =>
      kernel.temporary(each, "write"),
    ) as [Buffer, Buffer, Buffer];
    k.for({ end: group }, (r) => {
      const at = partAt(k, problem, parts, row, part, k.add(k.mul(h, group), r));
      k.store(toTops, at, k.load(top, r));
      k.store(toSums, at, k.horizontal("sum", k.load(sums, k.mul(r, lanes), { lanes })));
      const [from, to] = [k.mul(r, paddedHead), k.mul(at, parts.stride)];
      k.each(problem.head, (d) => k.store(toResults, k.add(to, d), k.load(results, k.add(from, d))));
    });
  }
}
