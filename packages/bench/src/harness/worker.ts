/**
 * The process of one engine, behind `worker-start.ts`: answers the orchestrator's requests, one at a time.
 *
 * Order within `prepare`: inputs, load, compile, first run, peak memory, verification, warm-up. Nothing is timed before its
 * outputs were compared. Between requests the process waits on its IPC channel and uses no processor.
 */

import { setFlagsFromString } from "node:v8";
import { UserError } from "@quern/core";
import { checkOutputs, writeExpected, type CheckSettings } from "../cases/check.ts";
import { makeInputs, type TensorSet } from "../cases/inputs.ts";
import { engineNamed } from "../engines/index.ts";
import type { CompiledModel, OpenEngine } from "../engines/engine.ts";
import { countBusyThreads } from "./busy-threads.ts";
import { coreLoadOf } from "./core-load.ts";
import { InputGuard } from "./input-guard.ts";
import { startPeakMemory } from "./memory.ts";
import { requirePeer } from "./peers.ts";
import type { Finished, Job, Prepared, Request, Response } from "./protocol.ts";
import { Random } from "./random.ts";
import { SliceRunner } from "./slices.ts";
import type { Verification } from "./verify.ts";
import { failureOf, serve } from "./worker-process.ts";

// As the command does: room for more garbage of loading would count to the memory of a model.
setFlagsFromString("--semi-space-growth-factor=1");

const WARM_UP_MS = 150;
const WARM_UP_CALLS = 5;
/** Slow models are warm after fewer calls. */
const WARM_UP_LIMIT_MS = 1000;
/** Of warm calls during which busy threads are counted. */
const COUNTED_MS = 60;

interface State {
  readonly job: Job;
  readonly inputs: readonly TensorSet[];
  readonly guard: InputGuard;
  readonly engine: OpenEngine;
  readonly model: CompiledModel;
  readonly runner: SliceRunner;
}

let state: State | undefined;

function judgedBy({ options, seed, process }: Job): CheckSettings {
  return { precision: options.precision, quantize: options.quantize, seed, process };
}

async function prepare(job: Job): Promise<Prepared> {
  const { workload, options, seed } = job;
  const inputs = makeInputs(workload, seed);
  const guard = new InputGuard(inputs);

  const beforeLoad = performance.now();
  const record = engineNamed(job.engine);
  const engine = await record.open(options);
  const loadMs = performance.now() - beforeLoad + coreLoadOf(record);

  globalThis.gc?.();
  const peakMemory = startPeakMemory();
  const beforeCompile = performance.now();
  const model = await engine.compile(workload.modelPath, inputs[0]);
  const compileMs = performance.now() - beforeCompile;

  const feeds = inputs.map((set) => model.bind(set));
  const beforeRun = performance.now();
  const fetched = await model.call(feeds[0]);
  const firstRunMs = performance.now() - beforeRun;
  const peakBytes = peakMemory();

  const outputs = model.tensors(fetched);
  const outputBytes = Object.values(outputs).reduce((sum, { byteLength }) => sum + byteLength, 0);
  const verification = guard.shared(0, outputs) ?? checkOutputs(workload, 0, inputs[0] ?? {}, outputs, judgedBy(job));
  model.release(fetched);
  const sliceWise = workload.cache === "warm";
  const random = Random.of(seed, "keep", workload.id);
  const runner = new SliceRunner(model, feeds, job.sliceMs, random, { sliceWise, outputBytes });
  const wrong = verification?.ok === false;
  const callMs = wrong ? firstRunMs : await runner.warmUp(WARM_UP_MS, WARM_UP_CALLS, WARM_UP_LIMIT_MS);
  const busyThreads = wrong ? null : await countBusyThreads(() => runner.warmUp(COUNTED_MS, 1, COUNTED_MS));
  state = { job, inputs, guard, engine, model, runner };
  return { loadMs, compileMs, firstRunMs, peakBytes, callMs, busyThreads, verification, facts: model.facts() };
}

function requireState(): State {
  if (state === undefined) throw new UserError("bench worker: asked for slices before it was prepared");
  return state;
}

async function finish(): Promise<Finished> {
  const { job, inputs, guard, engine, model, runner } = requireState();
  const { workload } = job;
  const checks: Verification[] = [];
  // Before outputs are compared, which might be with what follows from changed inputs.
  const changed = guard.changed();
  if (changed !== undefined) checks.push(changed);
  for (const { set, fetched } of runner.kept) {
    const outputs = model.tensors(fetched);
    const found = guard.shared(set, outputs) ?? checkOutputs(workload, set, inputs[set] ?? {}, outputs, judgedBy(job));
    if (found !== null) checks.push(found);
    model.release(fetched);
  }
  try {
    const profile = model.profile?.(inputs[0] ?? {});
    await model.close();
    await engine.close();
    return { checks, ...(profile === undefined ? {} : { profile }) };
  } catch (error) {
    // What was found before is as true as it was.
    return { checks, failure: failureOf(error).message };
  }
}

async function expect(job: Job): Promise<void> {
  const engine = await engineNamed(job.engine).open(job.options);
  const model = await engine.compile(job.workload.modelPath);
  for (const [set, inputs] of makeInputs(job.workload, job.seed).entries()) {
    const fetched = await model.call(model.bind(inputs));
    writeExpected(job.workload, set, model.tensors(fetched));
    model.release(fetched);
  }
  await model.close();
  await engine.close();
}

async function answer(request: Request): Promise<Response> {
  switch (request.kind) {
    case "prepare":
      return { kind: "prepare", prepared: await prepare(request.job) };
    case "slice":
      return { kind: "slice", times: await requireState().runner.run(request.keep) };
    case "finish":
      return { kind: "finish", finished: await finish() };
    case "inspect": {
      const engine = await engineNamed(request.engine).open(request.options);
      const model = await engine.compile(request.modelPath);
      const { inputs } = model;
      await model.close();
      await engine.close();
      return { kind: "inspect", inputs };
    }
    case "compile": {
      const { job } = request;
      const [inputs] = makeInputs({ ...job.workload, sets: 1 }, job.seed);
      const engine = await engineNamed(job.engine).open(job.options);
      const before = performance.now();
      const model = await engine.compile(job.workload.modelPath, inputs);
      const ms = performance.now() - before;
      await model.close();
      await engine.close();
      return { kind: "compile", ms };
    }
    case "describe":
      return { kind: "describe", record: await engineNamed(request.engine).describe(request.options) };
    case "peaks": {
      const { measurePeaks } = await requirePeer("@quern/kernels-cpu", "measuring peaks", () => import("./peaks.ts"));
      return { kind: "peaks", points: measurePeaks(request.threads) };
    }
    case "expect": {
      await expect(request.job);
      return { kind: "expect" };
    }
    default: {
      // Language models bring code that other cases need not wait for.
      const { answerLlm } = await import("../language-models/session.ts");
      return answerLlm(request);
    }
  }
}

serve(answer);
