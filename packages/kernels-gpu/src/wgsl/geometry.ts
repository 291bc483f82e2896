/**
 * How a kernel's tasks cover the grid of a dispatch.
 *
 * Kernels with `each`, `reduce`, barriers or scratch: one workgroup per task, its invocations share the elements.
 * Others: one invocation per task. A kernel whose tasks are nothing but one `each` belongs to the second kind: its
 * elements are tasks too. Grids of more than 65,535 workgroups are folded into y by `foldGrid`.
 */

import { type Block, type KValue, type Kernel, type Stmt, UnsupportedError, visitStatements } from "@quern/core";

export interface GridAxis {
  readonly axis: KValue;
  readonly count: KValue;
}

export interface Geometry {
  readonly kind: "workgroups" | "invocations";
  /** Axes of the tasks, outermost first. */
  readonly axes: readonly GridAxis[];
  /** Statements of one task: those between the axes, then the innermost body. */
  readonly body: Block;
  readonly workgroupSize: number;
}

const SMALL_WORKGROUP = 64;
const LARGE_WORKGROUP = 256;
/** From this many elements on a task gets a large workgroup. */
const LONG_ROW = 1024;

export function geometryOf(kernel: Kernel): Geometry {
  const axes: GridAxis[] = [];
  const before: Stmt[] = [];
  let body = kernel.body;
  for (;;) {
    const [last] = body.slice(-1);
    if (last?.kind !== "parallel") break;
    before.push(...body.slice(0, -1));
    axes.push({ axis: last.axis, count: last.count });
    body = last.body;
  }
  const [last] = body.slice(-1);
  const cooperates = kernel.scratch.length > 0 || contains([...before, ...body], "barrier");
  if (
    !cooperates &&
    last?.kind === "each" &&
    !contains(body.slice(0, -1), "each", "reduce") &&
    isUniform(last.count) &&
    body.slice(0, -1).every(({ kind }) => kind === "let")
  ) {
    before.push(...body.slice(0, -1));
    axes.push({ axis: last.axis, count: last.count });
    return { kind: "invocations", axes, body: [...before, ...last.body], workgroupSize: SMALL_WORKGROUP };
  }
  const task = [...before, ...body];
  if (!cooperates && !contains(task, "each", "reduce"))
    return { kind: "invocations", axes, body: task, workgroupSize: SMALL_WORKGROUP };
  return {
    kind: "workgroups",
    axes,
    body: task,
    workgroupSize: longest(task) >= LONG_ROW ? LARGE_WORKGROUP : SMALL_WORKGROUP,
  };
}

function contains(block: Block, ...kinds: Stmt["kind"][]): boolean {
  let found = false;
  visitStatements(block, (statement) => {
    found ||= kinds.includes(statement.kind);
  });
  return found;
}

/** True for values of constants and symbols only, which are known before the dispatch. */
export function isUniform({ def }: KValue): boolean {
  return def.kind === "const" || def.kind === "param" || (def.kind === "prim" && def.args.every(isUniform));
}

/** The largest known count among the shared axes of a task. */
function longest(block: Block): number {
  let most = 0;
  visitStatements(block, (statement) => {
    if ((statement.kind === "each" || statement.kind === "reduce") && statement.count.def.kind === "const")
      most = Math.max(most, Number(statement.count.def.value));
  });
  return most;
}

/** Workgroups along x and y for `workgroups` in all; the last row may be incomplete. */
export function foldGrid(workgroups: number, limit: number): readonly [number, number] {
  const rows = Math.ceil(workgroups / limit);
  if (rows > limit)
    throw new UnsupportedError({
      op: `grid of ${workgroups} workgroups`,
      target: "wgsl",
      reason: `two axes of at most ${limit}`,
    });
  return rows <= 1 ? [workgroups, 1] : [Math.ceil(workgroups / rows), rows];
}
