/**
 * All ops by name. A family module is a file whose every export is an op; listing it here registers them.
 *
 * The table is made on first use, so that import order does not matter.
 */

import { UserError, invariant } from "../errors.ts";
import * as activations from "./activations.ts";
import * as arithmetic from "./arithmetic.ts";
import * as attention from "./attention.ts";
import * as blocks from "./blocks.ts";
import * as boxes from "./boxes.ts";
import * as channelNorm from "./channel-norm.ts";
import * as compare from "./compare.ts";
import * as control from "./control.ts";
import * as conv from "./conv.ts";
import * as cumulative from "./cumulative.ts";
import * as einsum from "./einsum.ts";
import * as expertMatmul from "./expert-matmul.ts";
import * as gather from "./gather.ts";
import * as group from "./group.ts";
import * as matmul from "./matmul.ts";
import * as movementDynamic from "./movement-dynamic.ts";
import * as movement from "./movement.ts";
import * as norm from "./norm.ts";
import type { Op } from "./op.ts";
import * as pick from "./pick.ts";
import * as pool from "./pool.ts";
import * as quantise from "./quantise.ts";
import * as recurrent from "./recurrent.ts";
import * as reduce from "./reduce.ts";
import * as resize from "./resize.ts";
import * as sampling from "./sampling.ts";
import * as scatter from "./scatter.ts";
import * as softmax from "./softmax.ts";
import * as sources from "./sources.ts";
import * as transcendental from "./transcendental.ts";

type Family = Readonly<Record<string, Op>>;

/** The families in the order of the documentation. */
function families(): readonly Family[] {
  return [
    sources,
    arithmetic,
    compare,
    transcendental,
    activations,
    movement,
    movementDynamic,
    gather,
    scatter,
    pick,
    cumulative,
    reduce,
    matmul,
    einsum,
    expertMatmul,
    conv,
    pool,
    softmax,
    norm,
    channelNorm,
    resize,
    sampling,
    boxes,
    blocks,
    recurrent,
    attention,
    quantise,
    control,
    group,
  ];
}

let table: ReadonlyMap<string, Op> | undefined;

function ops(): ReadonlyMap<string, Op> {
  if (table === undefined) {
    const list = families().flatMap((family) => Object.values(family));
    table = new Map(list.map((op) => [op.name, op]));
    invariant(table.size === list.length, "two ops have the same name");
  }
  return table;
}

/** The op called `name`. Throws a `UserError` with the nearest names when there is none. */
export function findOp(name: string): Op {
  const op = ops().get(name);
  if (op !== undefined) return op;
  const near = [...ops().keys()].filter(
    (known) => known.toLowerCase().includes(name.toLowerCase()) || name.toLowerCase().includes(known.toLowerCase()),
  );
  throw new UserError(`no op is called "${name}"`, {
    hint: near.length > 0 ? `similar: ${near.slice(0, 5).join(", ")}` : undefined,
  });
}

/** Every op, family by family. */
export function allOps(): readonly Op[] {
  return [...ops().values()];
}
