/**
 * The program compiler: from the fused graph to machine code and a list of steps.
 *
 * In: the optimised graph. Out: segments of native steps (one native call each) and host steps between them, with
 * storages, lifetimes and barriers. Nothing here depends on the sizes of a run; `binding.ts` evaluates those.
 */

import {
  type DimBindings,
  type Graph,
  type LaunchPlan,
  type LaunchReport,
  type MatmulPrecision,
  type Node,
  type Value,
  InternalError,
  UnsupportedError,
  siteOf,
  type Storage,
  StorageMap,
} from "@quern/core";
import { scratchBytes } from "../select/index.ts";
import type { KernelCache, ReadyKernel } from "./kernel-cache.ts";
import type { KernelFace } from "./kernel-face.ts";
import { withoutRepeated } from "./repeated.ts";
import { type Accesses, placeBarriers } from "./storage.ts";

export interface NativeStep {
  readonly kind: "native";
  /** The node of the fused graph that this launch, perhaps with others, computes. */
  readonly node: Node;
  /** True for the last launch of the node. */
  readonly completes: boolean;
  readonly launch: LaunchPlan;
  readonly kernel: KernelFace;
  readonly code: ReadyKernel;
  /** What other kernels would have cost, for reports. */
  readonly rivals: string;
  /** In the order of the kernel's buffers. */
  readonly storages: readonly Storage[];
  barrier: boolean;
}

/** An op that the reference implementation, or a sub-program, computes between native segments. */
export interface HostStep {
  readonly kind: "host";
  readonly node: Node;
  readonly reads: readonly (Storage | undefined)[];
  readonly writes: readonly Storage[];
  readonly reason: string;
}

export type Step = NativeStep | HostStep;

export interface Program {
  readonly graph: Graph;
  readonly steps: readonly Step[];
  readonly storages: StorageMap;
  /** Values of `dimTensor` nodes: written before a run from the bindings. */
  readonly dimTensors: readonly { readonly node: Node; readonly storage: Storage }[];
  readonly launches: readonly LaunchReport[];
  /** Of kernels that no program around this one has. */
  readonly codeBytes: number;
  /** Scratch memory per thread, the most that any kernel needs for these sizes. */
  scratchBytes(symbols: DimBindings): number;
}

/** `beforeCode` is told which constants are packed and how, while their kernels have yet to be compiled. */
export function compileProgram(
  graph: Graph,
  kernels: KernelCache,
  beforeCode?: (packed: StorageMap["packed"]) => void,
): Program {
  const storages = new StorageMap(graph);
  const used = new Set<ReadyKernel>();
  const drafts: (Draft | { node: Node; reason: string })[] = [];
  const dimTensors: { node: Node; storage: Storage }[] = [];
  for (const node of graph.nodes) {
    if (node.op === "input" || node.op === "constant" || isAlias(node)) continue;
    if (node.op === "dimTensor") {
      dimTensors.push({ node, storage: storages.of(node.outputs[0] as Value) });
      continue;
    }
    const served = kernels.serve(siteOf(node));
    if (served.kind === "host") {
      rejectUnknownSizes(node);
      drafts.push({ node, reason: served.reason });
      continue;
    }
    served.launches.forEach(({ launch, kernel }, i) => {
      used.add(kernel);
      const completes = i === served.launches.length - 1;
      drafts.push({ node, completes, launch, code: kernel, rivals: served.rivals });
    });
  }
  for (const draft of drafts) if ("launch" in draft) namePacked(draft.launch, storages);
  beforeCode?.(storages.packed);
  const codeBytes = kernels.publish();
  const steps = withoutRepeated(
    drafts.map((draft): Step =>
      "launch" in draft ? nativeStep(draft, storages) : hostStep(draft.node, draft.reason, storages),
    ),
  );
  setBarriers(steps);
  for (const { storage } of dimTensors) storage.first = 0;
  return {
    graph,
    steps,
    storages,
    dimTensors,
    launches: steps.map(reportOf),
    codeBytes,
    scratchBytes: (symbols) => Math.max(0, ...[...used].map(({ face }) => scratchBytes(face.scratch, symbols))),
  };
}

function namePacked({ operands }: LaunchPlan, storages: StorageMap): void {
  for (const operand of operands) if (operand.kind === "packed") storages.operand(operand);
}

/** A reshape shares the memory of its source and computes nothing. */
function isAlias(node: Node): boolean {
  return node.op === "reshape";
}

function rejectUnknownSizes(node: Node): void {
  for (const { type } of node.outputs) {
    if (type.shape.some((dim) => String(dim).includes("$"))) {
      throw new UnsupportedError({
        op: node.op,
        target: "cpu",
        where: node.name,
        reason: "the size of its result is known only at run time",
      });
    }
  }
}

type Draft = Pick<NativeStep, "node" | "completes" | "launch" | "code" | "rivals">;

function nativeStep(draft: Draft, storages: StorageMap): NativeStep {
  const { face } = draft.code;
  const { operands } = draft.launch;
  if (face.buffers.length !== operands.length) {
    throw new InternalError(`${face.name}: ${face.buffers.length} buffers, ${operands.length} operands`);
  }
  return {
    kind: "native",
    ...draft,
    kernel: face,
    barrier: false,
    storages: operands.map((operand) => storages.operand(operand)),
  };
}

function hostStep(node: Node, reason: string, storages: StorageMap): HostStep {
  return {
    kind: "host",
    node,
    reason,
    reads: node.inputs.map((input) => input && storages.of(input)),
    writes: node.outputs.map((output) => storages.of(output)),
  };
}

function setBarriers(steps: readonly Step[]): void {
  const accesses = steps.map(accessesOf);
  const barriers = placeBarriers(accesses);
  steps.forEach((step, i) => {
    if (step.kind === "native") step.barrier = barriers[i] === true && steps[i + 1]?.kind === "native";
  });
}

function accessesOf(step: Step): Accesses {
  if (step.kind === "host")
    return { reads: step.reads.filter((storage) => storage !== undefined), writes: step.writes };
  const { buffers } = step.kernel;
  return {
    reads: step.storages.filter((_, i) => buffers[i] !== "write"),
    writes: step.storages.filter((_, i) => buffers[i] !== "read"),
  };
}

/** Ops whose f32 products the precision is about. */
const PRODUCTS = new Set(["matmul", "conv", "convTranspose", "lstm", "gru", "rnn"]);

/** At which precision a launch computes f32 products, if it does; packing and the like do not. */
function precisionOf({ precision, nodes, flops }: LaunchPlan): MatmulPrecision | undefined {
  if (precision !== undefined) return precision;
  const isProduct =
    flops !== undefined && nodes.some(({ op, outputs }) => PRODUCTS.has(op) && outputs[0]?.type.dtype === "f32");
  return isProduct ? "highest" : undefined;
}

function reportOf(step: Step): LaunchReport {
  if (step.kind === "host") {
    const { node, reason } = step;
    return { kernel: `host:${node.op}`, nodes: [node.name ?? node.op], decision: reason };
  }
  const { launch, kernel, rivals } = step;
  const precision = precisionOf(launch);
  return {
    kernel: kernel.name,
    nodes: launch.nodes.map((node) => node.name ?? node.op),
    decision: rivals === "" ? launch.decision : `${launch.decision} [${rivals}]`,
    ...(typeof launch.flops === "number" ? { flops: launch.flops } : {}),
    ...(typeof launch.bytes === "number" ? { bytes: launch.bytes } : {}),
    ...(precision === undefined ? {} : { precision }),
  };
}
