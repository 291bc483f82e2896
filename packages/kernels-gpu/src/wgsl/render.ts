/**
 * Renders a kernel as a WGSL compute module.
 *
 * In: a kernel of the IR, at the upper level or with explicit vectors of 2 or 4. Out: the module's text and what a
 * dispatch must know: bindings (buffers in order, then one uniform block of sizes and scalars) and the grid.
 */

import { type KDType, type KValue, type Kernel, UnsupportedError } from "@quern/core";
import { geometryOf, isUniform } from "./geometry.ts";
import { Helpers, ZERO } from "./helpers.ts";
import { type BufferPlan, planBuffers, storageType } from "./memory.ts";
import { BodyRenderer } from "./statements.ts";
import { registerOf, wgslType } from "./types.ts";

/** What the device can do beyond the baseline of WebGPU. */
export interface WgslTarget {
  /** Feature `shader-f16`: f16 arrays. */
  readonly f16?: boolean;
  /** Feature `subgroups` and the language feature `subgroup_id`. */
  readonly subgroups?: boolean;
}

export interface WgslParameter {
  readonly name: string;
  readonly dtype: KDType;
}

export interface WgslProgram {
  readonly code: string;
  readonly workgroupSize: number;
  /** Task counts, over constants and symbols of the kernel; their product is the number of tasks. */
  readonly counts: readonly KValue[];
  /** 1 where a workgroup is a task, the workgroup size where an invocation is one. */
  readonly tasksPerWorkgroup: number;
  /** Words of the uniform block in order; its binding follows the buffers. Empty: there is none. */
  readonly parameters: readonly WgslParameter[];
}

/** Throws an `UnsupportedError` for what WGSL cannot express: 64-bit types, matrix tiles, wide vectors. */
export function renderWgsl(kernel: Kernel, target: WgslTarget = {}): WgslProgram {
  const helpers = new Helpers();
  const plans = planBuffers(kernel, { f16: target.f16 === true });
  const geometry = geometryOf(kernel);
  const alone = geometry.kind === "invocations";
  const subgroups = target.subgroups === true && !alone;
  const parameters: WgslParameter[] = [
    ...kernel.scalars,
    ...kernel.symbols.map((name): WgslParameter => ({ name, dtype: "index" })),
  ];
  const names = new Map(parameters.map(({ name }, i) => [name, `params.p${i}`]));
  const renderer = new BodyRenderer({
    helpers,
    alone,
    planOf: (buffer) => plans.get(buffer) as BufferPlan,
    paramOf: (name) => names.get(name) as string,
    reduction: { subgroups, workgroupSize: geometry.workgroupSize },
  });
  const counts = geometry.axes.map(({ count }) => count);
  if (!counts.every(isUniform))
    throw new UnsupportedError({
      op: kernel.name,
      target: "wgsl",
      reason: "a task count that depends on an outer task",
    });
  const size = geometry.workgroupSize;
  renderer.line(`let group = grid.x + grid.y * groups.x;`);
  renderer.line(`var task = i32(${alone ? `group * ${size}u + local` : "group"});`);
  if (!alone)
    renderer.line(subgroups ? "let at = Invocation(local, lane, subgroup, subgroups);" : "let at = Invocation(local);");
  renderer.line(`if (task >= ${counts.map((count) => renderer.expression(count)).join(" * ") || "1i"}) {`);
  renderer.line("  return;");
  renderer.line("}");
  for (const local of kernel.locals) renderer.line(`var l${local.id}: ${wgslType(local.type)};`);
  // The last axis runs fastest.
  geometry.axes.toReversed().forEach(({ axis, count }, i) => {
    const outermost = i === geometry.axes.length - 1;
    // An empty axis has no tasks, but a constant zero divisor would be an error of the module.
    const size = count.def.kind === "const" && Number(count.def.value) === 0 ? "1i" : renderer.expression(count);
    renderer.line(`let ${renderer.text(axis)} = ${outermost ? "task" : `task % ${size}`};`);
    if (!outermost) renderer.line(`task /= ${size};`);
  });
  renderer.body(geometry.body);
  // Grids have one layer.
  const head = helpers.has(ZERO) ? [`  ${ZERO} = groups.z - 1u;`] : [];
  return {
    code: moduleText(kernel, plans, helpers, parameters, [...head, ...renderer.lines], {
      f16: [...plans.values()].some(({ element }) => element === "f16"),
      subgroups,
      alone,
      size,
    }),
    workgroupSize: size,
    counts,
    parameters,
    tasksPerWorkgroup: alone ? size : 1,
  };
}

interface ModuleFacts {
  readonly f16: boolean;
  readonly subgroups: boolean;
  readonly alone: boolean;
  readonly size: number;
}

function moduleText(
  kernel: Kernel,
  plans: ReadonlyMap<unknown, BufferPlan>,
  helpers: Helpers,
  parameters: readonly WgslParameter[],
  body: readonly string[],
  facts: ModuleFacts,
): string {
  const lines: string[] = [];
  if (facts.f16) lines.push("enable f16;");
  if (facts.subgroups) lines.push("enable subgroups;");
  lines.push(`// ${kernel.name.replaceAll(/[^\x20-\x7e]/g, "?")}`);
  kernel.buffers.forEach((buffer, i) => {
    const plan = plans.get(buffer) as BufferPlan;
    const access = buffer.access === "read" ? "read" : "read_write";
    lines.push(`@group(0) @binding(${i}) var<storage, ${access}> ${plan.name}: ${storageType(plan)};`);
  });
  for (const buffer of kernel.scratch) {
    const plan = plans.get(buffer) as BufferPlan;
    lines.push(`var<workgroup> ${plan.name}: ${storageType(plan)};`);
  }
  if (parameters.length > 0) {
    lines.push(
      "struct Params {",
      ...parameters.map(({ name, dtype }, i) => `  p${i}: ${parameterType(name, dtype)}, // ${name}`),
      "}",
    );
    lines.push(`@group(0) @binding(${kernel.buffers.length}) var<uniform> params: Params;`);
  }
  if (!facts.alone) {
    lines.push(
      "struct Invocation {",
      "  local: u32,",
      ...(facts.subgroups ? ["  lane: u32,", "  subgroup: u32,", "  subgroups: u32,"] : []),
      "}",
    );
  }
  lines.push(...helpers.texts);
  lines.push(`@compute @workgroup_size(${facts.size})`);
  const builtins = [
    "@builtin(workgroup_id) grid: vec3<u32>",
    "@builtin(num_workgroups) groups: vec3<u32>",
    "@builtin(local_invocation_index) local: u32",
  ];
  if (facts.subgroups) {
    builtins.push(
      "@builtin(subgroup_invocation_id) lane: u32",
      "@builtin(subgroup_id) subgroup: u32",
      "@builtin(num_subgroups) subgroups: u32",
    );
  }
  lines.push(`fn main(${builtins.join(", ")}) {`, ...body, "}");
  return `${lines.join("\n")}\n`;
}

function parameterType(name: string, dtype: KDType): string {
  const register = registerOf(dtype);
  const whole = dtype === "index" || dtype === register;
  if (register === "bool" || !whole)
    throw new UnsupportedError({
      op: `scalar "${name}"`,
      ...(dtype === "index" ? {} : { dtype }),
      target: "wgsl",
      reason: "parameters are f32, i32 or u32",
    });
  return register;
}
