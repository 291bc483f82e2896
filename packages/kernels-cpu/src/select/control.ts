/**
 * Loops, conditions and the range of tasks.
 *
 * A loop is `guard; head: body; latch; branch to head`, with the guard left out when the trip count is known. When
 * nothing needs the loop variable in a register it counts down to zero instead. The nested `parallel` axes at the top
 * become two loops over the tasks begin..end: the inner one runs over the last axis, so that what depends on the
 * others alone is computed once per row.
 */
import type { Block, KValue, Stmt } from "@quern/core/kernel";
import { imm, r32, rax, rdx } from "../asm/index.ts";
import type { Item, Label, Reg } from "../asm/index.ts";
import type { Affine } from "./affine.ts";
import { addAffine, atomAffine, constantAffine, isConstant } from "./affine.ts";
import { argsOf, blocksOf, hasLoop } from "./analysis.ts";
import type { Region } from "./code.ts";
import { branchUnless } from "./compare.ts";
import { integerInstr } from "./constants.ts";
import { fits32 } from "./index-math.ts";
import type { LoopAxis } from "./index-math.ts";
import type { Selector } from "./selector.ts";

type For = Extract<Stmt, { kind: "for" }>;
type If = Extract<Stmt, { kind: "if" }>;

const LOOP_ALIGNMENT = 32;
/** Bodies selected in full for a known trip count: at most this many statements in all. */
const FULL_UNROLL_STATEMENTS = 4096;

export function selectFor(s: Selector, stmt: For): void {
  const start = s.index.affine(stmt.start);
  const end = s.index.affine(stmt.end);
  const distance = addAffine(end, start, -1);
  const unroll = Math.max(1, stmt.unroll);
  if (isConstant(distance)) {
    const trips = Math.max(0, Math.ceil(distance.constant / stmt.step));
    if (trips === 0) return;
    if (trips === 1 || (trips <= unroll && trips * stmt.body.length <= FULL_UNROLL_STATEMENTS)) {
      copies(s, stmt, trips, (i) => addAffine(start, constantAffine(i * stmt.step)));
      return;
    }
    const whole = Math.floor(trips / unroll);
    const rest = trips - whole * unroll;
    if (whole > 1) countedLoop(s, stmt, start, unroll, whole);
    else if (whole === 1) copies(s, stmt, unroll, (i) => addAffine(start, constantAffine(i * stmt.step)));
    copies(s, stmt, rest, (i) => addAffine(start, constantAffine((whole * unroll + i) * stmt.step)));
    return;
  }
  if (unroll > 1) {
    const reached = openLoop(s, stmt, start, end, unroll, true);
    openLoop(s, stmt, atomAffine(s.index.atomOf(reached, s.code.depth)), end, 1, false);
  } else openLoop(s, stmt, start, end, 1, false);
}

/** Selects the body `count` times, one after the other. */
function copies(s: Selector, stmt: For, count: number, axis: (copy: number) => Affine): void {
  for (let i = 0; i < count; i++) {
    if (s.selectedLoops.has(stmt)) forgetBody(s, stmt.axis, stmt.body);
    else s.selectedLoops.add(stmt);
    s.index.define(stmt.axis, axis(i));
    s.operations.selectBlock(s, stmt.body);
  }
}

/**
 * Values of a body that is selected again are no longer known, unless they were hoisted and do not depend on the
 * variable (which is a literal in each copy of a loop that is unrolled in full).
 */
function forgetBody(s: Selector, axis: KValue, body: Block, changed: Set<number> = new Set()): void {
  s.index.forget(axis);
  changed.add(axis.id);
  for (let i = 0; i < body.length; i++) {
    const stmt = body[i] as Stmt;
    if (stmt.kind === "let") {
      const { id, def } = stmt.value;
      const args = argsOf(def);
      let depends = false;
      for (let a = 0; a < args.length && !depends; a++) depends = changed.has((args[a] as KValue).id);
      if (depends) changed.add(id);
      else if (s.values[id] !== undefined && s.depths[id]! < s.code.depth) continue;
      s.values[id] = undefined;
      s.pending[id] = 0;
      s.index.forget(stmt.value);
      continue;
    }
    for (const inner of blocksOf(stmt)) forgetBody(s, stmt.kind === "for" ? stmt.axis : axis, inner, changed);
  }
}

interface OpenLoop {
  readonly loop: LoopAxis;
  readonly region: Region;
}

/** Opens the region of a loop over `axis` and selects `select` in it. */
function loopRegion(
  s: Selector,
  start: Affine,
  step: number,
  innermost: boolean,
  select: (axis: Affine) => void,
  repeats = true,
): OpenLoop {
  const { code, index } = s;
  const region = code.open("loop", repeats);
  const register = code.general();
  const atom = index.atomOf(register, region.depth);
  const loop: LoopAxis = { region, atom, step, start, register, innermost, used: false, pointers: new Map() };
  index.loops.push(loop);
  select(atomAffine(atom));
  index.loops.pop();
  code.close();
  return { loop, region };
}

function bodyCopies(s: Selector, stmt: For, unroll: number): (axis: Affine) => void {
  return (axis) => copies(s, stmt, unroll, (i) => addAffine(axis, constantAffine(i * stmt.step)));
}

/** A loop with a known number of trips. */
function countedLoop(s: Selector, stmt: For, start: Affine, unroll: number, trips: number): void {
  const { code } = s;
  const step = stmt.step * unroll;
  const { loop, region } = loopRegion(s, start, step, !hasLoop(stmt.body), bodyCopies(s, stmt, unroll));
  const head = code.label("loop");
  if (loop.used) {
    s.index.setTo(loop.register, start);
    const last = addAffine(start, constantAffine(trips * step));
    const limit = isConstant(last) && fits32(last.constant) ? imm(last.constant) : s.index.sum(last);
    place(s, region, head);
    code.emit("add", loop.register, step);
    code.emit("cmp", loop.register, limit);
    code.emit("jl", head);
  } else {
    code.push(integerInstr(loop.register, trips));
    place(s, region, head);
    code.emit("dec", loop.register);
    code.emit("jne", head);
  }
}

function place(s: Selector, region: Region, head: Label): void {
  s.code.push({ align: LOOP_ALIGNMENT });
  s.code.bind(head);
  s.code.push(...region.items, ...region.latch);
}

/** A loop whose trip count is known at run time only; returns the register of the variable after it. */
function openLoop(s: Selector, stmt: For, start: Affine, end: Affine, unroll: number, keepAxis: boolean): Reg {
  const { code, index } = s;
  const step = stmt.step * unroll;
  const { loop, region } = loopRegion(s, start, step, !hasLoop(stmt.body), bodyCopies(s, stmt, unroll));
  const head = code.label("loop");
  const exit = code.label("exit");
  const { register } = loop;
  if (loop.used || keepAxis || stmt.step > 1) {
    // One iteration does `unroll` copies, so the last of them must still be inside.
    const limit = index.sum(addAffine(end, constantAffine((unroll - 1) * stmt.step), -1));
    index.setTo(register, start);
    code.emit("cmp", register, limit);
    code.emit("jge", exit);
    place(s, region, head);
    code.emit("add", register, step);
    code.emit("cmp", register, limit);
    code.emit("jl", head);
  } else {
    code.emit("mov", register, index.sum(addAffine(end, start, -1)));
    code.emit("test", register, register);
    code.emit("jle", exit);
    place(s, region, head);
    code.emit("dec", register);
    code.emit("jne", head);
  }
  code.bind(exit);
  return register;
}

export function selectIf(s: Selector, stmt: If): void {
  const { code } = s;
  const { condition } = stmt;
  if (condition.def.kind === "const") {
    s.operations.selectBlock(s, condition.def.value === true || condition.def.value === 1 ? stmt.then : stmt.else);
    return;
  }
  const otherwise = code.label("else");
  const end = code.label("end");
  const branch = branchUnless(s, condition, stmt.else.length > 0 ? otherwise : end);
  const side = (block: Block): Item[] => {
    code.open("branch");
    s.operations.selectBlock(s, block);
    return code.close().items;
  };
  const then = side(stmt.then);
  const other = stmt.else.length > 0 ? side(stmt.else) : [];
  code.push(...branch, ...then);
  if (other.length > 0) {
    code.emit("jmp", end);
    code.bind(otherwise);
    code.push(...other);
  }
  code.bind(end);
}

export interface Nest {
  /** Values defined between the `parallel` statements. */
  readonly before: readonly Stmt[];
  readonly axes: readonly { readonly axis: KValue; readonly count: KValue }[];
  readonly body: Block;
}

export function parallelNest(block: Block): Nest {
  const before: Stmt[] = [];
  const axes: { axis: KValue; count: KValue }[] = [];
  let body = block;
  for (;;) {
    const last = body.at(-1);
    if (last?.kind !== "parallel" || body.slice(0, -1).some((stmt) => stmt.kind !== "let"))
      return { before, axes, body };
    before.push(...body.slice(0, -1));
    axes.push(last);
    body = last.body;
  }
}

/** The whole kernel: its tasks from taskBegin to taskEnd. */
export function selectTasks(s: Selector): void {
  const { code, index } = s;
  const { before, axes: all, body } = parallelNest(s.kernel.body);
  const isOne = (count: KValue): boolean => count.def.kind === "const" && Number(count.def.value) === 1;
  const axes = all.filter(({ count }, i) => !isOne(count) || (i === 0 && all.every((axis) => isOne(axis.count))));
  for (const { axis } of all) if (!axes.some((kept) => kept.axis === axis)) index.define(axis, constantAffine(0));
  const done = code.label("done");
  const dependsOnAxis = new Set(axes.map(({ axis }) => axis.id));
  const uniform = before.filter((stmt) => {
    if (stmt.kind !== "let") return false;
    const { def } = stmt.value;
    const args = def.kind === "prim" ? def.args : def.kind === "broadcast" ? [def.value] : undefined;
    const isUniform = args !== undefined && !args.some((arg) => dependsOnAxis.has(arg.id));
    if (!isUniform) dependsOnAxis.add(stmt.value.id);
    return isUniform;
  });
  const inner = before.filter((stmt) => !uniform.includes(stmt));
  s.operations.selectBlock(s, uniform);
  const select = (): void => {
    s.operations.selectBlock(s, inner);
    s.operations.selectBlock(s, body);
  };
  const innermost = !hasLoop(body);
  const last = axes.at(-1);
  if (last === undefined) {
    guard(s, s.taskBegin, s.taskEnd, done);
    select();
  } else if (axes.length === 1) {
    const start = atomAffine(index.atomOf(s.taskBegin, 0));
    const { loop, region } = loopRegion(
      s,
      start,
      1,
      innermost,
      (axis) => {
        index.define(last.axis, axis);
        select();
      },
      innermost,
    );
    taskLoop(s, loop, region, s.taskBegin, s.taskEnd, done);
  } else rows(s, axes, innermost, select, done);
  code.bind(done);
}

function guard(s: Selector, begin: Reg, end: Reg, done: Label): void {
  s.code.emit("cmp", begin, end);
  s.code.emit("jge", done);
}

function taskLoop(s: Selector, loop: LoopAxis, region: Region, begin: Reg, end: Reg, done: Label): void {
  const { code } = s;
  const head = code.label("task");
  guard(s, begin, end, done);
  code.emit("mov", loop.register, begin);
  if (loop.used) {
    place(s, region, head);
    code.emit("inc", loop.register);
    code.emit("cmp", loop.register, end);
    code.emit("jl", head);
  } else {
    code.emit("neg", loop.register);
    code.emit("add", loop.register, end);
    place(s, region, head);
    code.emit("dec", loop.register);
    code.emit("jne", head);
  }
}

/** Several axes: a loop over rows of the last axis, and inside it a loop over that axis. */
function rows(s: Selector, axes: Nest["axes"], innermost: boolean, select: () => void, done: Label): void {
  const { code, index } = s;
  const counts = axes.map(({ count }) => index.register(count));
  const outer = code.open("loop", false);
  const task = code.general();
  // The coordinates of the task, from the last axis to the first.
  let rest: Reg = task;
  const coordinates: Reg[] = [];
  for (let i = axes.length - 1; i > 0; i--) {
    const quotient = code.general();
    const remainder = code.general();
    code.emit("mov", rax, rest);
    code.emit("mov", r32(rdx.id), 0);
    code.emit("div", counts[i] as Reg);
    code.emit("mov", quotient, rax);
    code.emit("mov", remainder, rdx);
    coordinates[i] = remainder;
    rest = quotient;
  }
  coordinates[0] = rest;
  const lastAt = axes.length - 1;
  for (let i = 0; i < lastAt; i++) index.define(axes[i]!.axis, atomAffine(index.atomOf(coordinates[i]!, outer.depth)));
  // Tasks of this row: up to its end or to taskEnd.
  const begin = coordinates[lastAt] as Reg;
  const end = code.general();
  code.emit("mov", end, s.taskEnd);
  code.emit("sub", end, task);
  code.emit("add", end, begin);
  code.emit("cmp", end, counts[lastAt] as Reg);
  code.emit("cmovg", end, counts[lastAt] as Reg);
  const next = code.general();
  code.emit("mov", next, task);
  code.emit("sub", next, begin);
  code.emit("add", next, end);
  const start = atomAffine(index.atomOf(begin, outer.depth));
  const { loop, region } = loopRegion(
    s,
    start,
    1,
    innermost,
    (axis) => {
      index.define(axes[lastAt]!.axis, axis);
      select();
    },
    innermost,
  );
  taskLoop(s, loop, region, begin, end, done);
  code.emit("mov", task, next);
  code.emit("cmp", task, s.taskEnd);
  const head = code.label("row");
  code.emit("jl", head);
  code.close();
  code.emit("mov", task, s.taskBegin);
  guard(s, s.taskBegin, s.taskEnd, done);
  code.bind(head);
  code.push(...outer.items);
}
