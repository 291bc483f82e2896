/**
 * Which rows meet which expert: the rows of `expertMatmul` brought together by their experts, when the program runs.
 *
 * A launch of one task counts and places them. Later launches work on groups, one for each expert that has rows, so that
 * experts without any cost nothing.
 */

import {
  type Buffer,
  type Dim,
  GroupKernel,
  type KValue,
  type KernelSite,
  type Launch,
  type Local,
  type Temporary,
  type Value,
  dimAdd,
  dimFloorDiv,
  dimMin,
  dimMul,
  printDim,
  siteConstant,
} from "@quern/core";
import { MAX_BLOCK_ROWS } from "./activations.ts";
import { PANEL_ROWS } from "./format.ts";

/** What an `expertMatmul` is about: y[r] = w[ids[r]] · x[r], or x[⌊r / slots⌋] where the slots of a token share a row. */
export interface ExpertProblem {
  readonly x: Value;
  readonly ids: Value;
  readonly w: Value;
  /** Rows of the result: tokens × slots. */
  readonly rows: Dim;
  readonly slots: Dim;
  readonly shared: boolean;
  readonly experts: Dim;
  readonly columns: Dim;
  readonly depth: Dim;
}

export function expertProblem({ anchor }: KernelSite): ExpertProblem {
  const [x, ids, w] = anchor.inputs as [Value, Value, Value];
  const [tokens, slots] = ids.type.shape as [Dim, Dim];
  const [experts, columns, depth] = w.type.shape as [Dim, Dim, Dim];
  return { x, ids, w, rows: dimMul(tokens, slots), slots, shared: x.type.shape.length === 2, experts, columns, depth };
}

/** The name of the encoding of weights that lie in panels, or the reason why they do not. */
export function storedExperts(site: KernelSite): { readonly encoding: string } | string {
  const { w, columns, depth, experts } = expertProblem(site);
  const encoding = siteConstant(site, w)?.encoding?.name;
  if (encoding === undefined) return "the experts are not stored in blocks";
  if (experts === 0 || depth === 0 || columns === 0) return "the experts are empty";
  if (typeof columns !== "number" || columns % PANEL_ROWS !== 0)
    return `matrices of ${printDim(columns)} rows share panels`;
  return { encoding };
}

/** The expert of a row. Ids that name none are taken for the nearest: a kernel neither faults nor reports them. */
export function loadExpert({ k }: GroupKernel, ids: Buffer, row: KValue, experts: Dim): KValue {
  return k.max(k.min(k.cast(k.load(ids, row), "index"), k.sub(k.index(experts), 1)), 0);
}

/** Numbers of a group: expert, first position in the order, rows, first block of rows in memory. */
const FIELDS = 4;

/** What the launch writes. */
export interface Routes {
  /** Groups at most; those behind the last have no rows. */
  readonly most: Dim;
  /** [group][field]. */
  readonly groups: Temporary;
  /** Positions bring the rows of a group together: the row at each. */
  readonly order: Temporary;
  /** The position of each row, and its group. */
  readonly positionOf: Temporary;
  readonly groupOf: Temporary;
  /** Blocks of 8 rows that hold every group in blocks of its own. */
  readonly blocks: Dim;
}

export function expertRoutes({ rows, experts }: ExpertProblem): Routes {
  const most = dimMin(experts, rows);
  return {
    most,
    groups: { name: "groups", dtype: "i32", size: dimMul(most, FIELDS) },
    order: { name: "order", dtype: "i32", size: rows },
    positionOf: { name: "positionOf", dtype: "i32", size: rows },
    groupOf: { name: "groupOf", dtype: "i32", size: rows },
    // A group wastes less than a block, and has at most as many blocks as rows.
    blocks: dimMin(rows, dimAdd(dimFloorDiv(rows, MAX_BLOCK_ROWS), experts)),
  };
}

export interface Group {
  readonly expert: KValue;
  /** Its first position. */
  readonly first: KValue;
  readonly count: KValue;
  /** Its first block of 8 rows. */
  readonly block: KValue;
}

export function loadGroup(kernel: GroupKernel, routes: Routes, group: KValue): Group {
  const { k } = kernel;
  const groups = kernel.temporary(routes.groups, "read");
  const [expert, first, count, block] = Array.from({ length: FIELDS }, (_, field) =>
    k.cast(k.load(groups, k.add(k.mul(group, FIELDS), field)), "index"),
  ) as [KValue, KValue, KValue, KValue];
  return { expert, first, count, block };
}

/** Counts the rows of every expert, gives those that have any a group, and puts the rows into their places. */
export function routesLaunch(site: KernelSite, problem: ExpertProblem, routes: Routes): Launch {
  const { ids, rows } = problem;
  const experts = problem.experts as number;
  const kernel = new GroupKernel(`expert_routes_e${experts}`, site);
  const { k } = kernel;
  const from = kernel.input(ids);
  const [groups, order, positionOf, groupOf] = [routes.groups, routes.order, routes.positionOf, routes.groupOf].map(
    (one) => kernel.temporary(one, "write"),
  ) as [Buffer, Buffer, Buffer, Buffer];
  k.parallel(1, () => {
    /** Rows of each expert, then the position of its next row. */
    const places = k.scratch("places", "i32", experts);
    const groupAt = k.scratch("groupAt", "i32", experts);
    const add = (buffer: Buffer, at: KValue): KValue => {
      const value = k.load(buffer, at);
      k.store(buffer, at, k.add(value, 1));
      return value;
    };
    k.for({ end: experts }, (expert) => k.store(places, expert, 0));
    k.for({ end: k.index(rows) }, (row) => {
      add(places, loadExpert(kernel, from, row, experts));
    });
    const [group, position, block] = ["group", "position", "block"].map((name) => k.local(name, "i32", 0)) as [
      Local,
      Local,
      Local,
    ];
    k.for({ end: experts }, (expert) => {
      const count = k.load(places, expert);
      k.if(k.gt(count, 0), () => {
        const [own, first, firstBlock] = [k.read(group), k.read(position), k.read(block)];
        const at = k.mul(k.cast(own, "index"), FIELDS);
        [k.cast(expert, "i32"), first, count, firstBlock].forEach((value, field) =>
          k.store(groups, k.add(at, field), value),
        );
        k.store(places, expert, first);
        k.store(groupAt, expert, own);
        k.assign(group, k.add(own, 1));
        k.assign(position, k.add(first, count));
        k.assign(block, k.add(firstBlock, k.div(k.add(count, MAX_BLOCK_ROWS - 1), MAX_BLOCK_ROWS)));
      });
    });
    k.for({ start: k.mul(k.cast(k.read(group), "index"), FIELDS), end: k.index(dimMul(routes.most, FIELDS)) }, (at) =>
      k.store(groups, at, 0),
    );
    k.for({ end: k.index(rows) }, (row) => {
      const expert = loadExpert(kernel, from, row, experts);
      const at = add(places, expert);
      k.store(order, k.cast(at, "index"), k.cast(row, "i32"));
      k.store(positionOf, row, at);
      k.store(groupOf, row, k.load(groupAt, expert));
    });
  });
  return kernel.launch({ decision: `rows by ${experts} experts` });
}
