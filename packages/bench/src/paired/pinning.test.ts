import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "@quern/core/errors";
import { afterEach, describe, expect, it, vi, type TestContext } from "vitest";
import { temporaryFolder } from "./arms/repository.test-support.ts";
import { allowedProcessors, pinAllThreads, pinMainThread, planPinning, processorsOf } from "./pinning.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

const hasTaskset = (await planPinning("auto")).processors.length > 0;

/** Skips where nothing can be pinned, and says why. */
function needTaskset(context: TestContext): void {
  if (process.platform !== "linux") context.skip("only Linux pins threads");
  if (!hasTaskset) context.skip("there is no taskset (package util-linux), or it may not be used");
}

describe("processorsOf", () => {
  it.each([
    ["0", [0]],
    ["0-3", [0, 1, 2, 3]],
    ["0-2,8,10-11", [0, 1, 2, 8, 10, 11]],
    [" 1, 3-4", [1, 3, 4]],
    ["7-7", [7]],
  ])("reads %j", (list, processors) => {
    expect(processorsOf(list)).toEqual(processors);
  });

  it.each(["", "x", "3-1", "1-", "-1", "1-2-3", "0x1", "1.5"])("finds none in %j", (list) => {
    expect(processorsOf(list)).toEqual([]);
  });

  it("leaves out what is none, and keeps the rest", () => {
    expect(processorsOf("0,x,2")).toEqual([0, 2]);
  });
});

describe("allowedProcessors", () => {
  it("are those of this process", (context) => {
    if (process.platform !== "linux") context.skip("only Linux says which processors a process may use");
    const allowed = allowedProcessors();
    expect(allowed.length).toBeGreaterThan(0);
    expect(allowed).toEqual([...new Set(allowed)].sort((a, b) => a - b));
    expect(allowed.every((processor) => Number.isInteger(processor) && processor >= 0)).toBe(true);
  });
});

describe("planPinning", () => {
  it("none pins nothing, and asks for nothing", async () => {
    vi.stubEnv("PATH", "/nowhere");
    expect(await planPinning("none")).toEqual({ processors: [], text: "none" });
  });

  it("auto takes all that this process may use", async (context) => {
    needTaskset(context);
    const { processors, text } = await planPinning("auto");
    expect(processors).toEqual(allowedProcessors());
    expect(text).toBe(`both processes of a pair on one of ${processors.join(", ")}`);
  });

  it("a list takes those, in their order", async (context) => {
    needTaskset(context);
    const listed = allowedProcessors().slice(-2).reverse();
    expect((await planPinning(listed)).processors).toEqual(listed);
  });

  it("refuses processors that this process may not use, by number", async (context) => {
    needTaskset(context);
    const allowed = allowedProcessors();
    const beyond = Math.max(...allowed) + 1;
    const planned = planPinning([allowed[0] as number, beyond, beyond + 1]);
    await expect(planned).rejects.toBeInstanceOf(UserError);
    await expect(planned).rejects.toThrow(
      `processor ${beyond}, ${beyond + 1} is not one of those that this process may use\n  at pin\n  It may use ${allowed.join(", ")}.`,
    );
  });

  it("without taskset auto pins nothing and says so, and a list is refused", async (context) => {
    if (process.platform !== "linux") context.skip("elsewhere the system does not say which processors there are");
    vi.stubEnv("PATH", "/nowhere");
    const plan = await planPinning("auto");
    expect(plan).toEqual({ processors: [], text: "none: there is no taskset (package util-linux)" });
    const listed = planPinning([allowedProcessors()[0] as number]);
    await expect(listed).rejects.toBeInstanceOf(UserError);
    await expect(listed).rejects.toThrow("pairs cannot be pinned: there is no taskset");
  });
});

it("where processes may not be put on processors auto says so, and a list is refused", async (context) => {
  if (process.platform !== "linux") context.skip("elsewhere the system does not say which processors there are");
  // One that answers what is asked, and sets nothing.
  const folder = temporaryFolder();
  writeFileSync(join(folder, "taskset"), '#!/bin/sh\n[ "$1" = -p ] && [ "$#" = 2 ]\n', { mode: 0o755 });
  vi.stubEnv("PATH", folder);
  const forbidden = "processes may not be put on processors here";
  expect(await planPinning("auto")).toEqual({ processors: [], text: `none: ${forbidden}` });
  await expect(planPinning([allowedProcessors()[0] as number])).rejects.toThrow(`cannot be pinned: ${forbidden}`);
});

describe("a real process", () => {
  let child: ChildProcess | undefined;
  afterEach(() => {
    child?.kill("SIGKILL");
    child = undefined;
  });

  /** A Node that has started all of its threads. */
  async function startNode(): Promise<number> {
    const text = "process.stdout.write('here'); setInterval(() => {}, 1000);";
    child = spawn(process.execPath, ["--eval", text], { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout as NodeJS.ReadableStream, "data");
    return child.pid as number;
  }

  function allowedOf(status: string): number[] {
    return processorsOf(/^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync(status, "utf8"))?.[1] ?? "");
  }

  function allowedOfThreads(pid: number): { readonly main: number[]; readonly others: readonly number[][] } {
    const others = readdirSync(`/proc/${pid}/task`).filter((thread) => thread !== String(pid));
    return {
      main: allowedOf(`/proc/${pid}/status`),
      others: others.map((thread) => allowedOf(`/proc/${pid}/task/${thread}/status`)),
    };
  }

  it("is pinned by its main thread alone", async (context) => {
    needTaskset(context);
    const pid = await startNode();
    const allowed = allowedProcessors();
    for (const processor of new Set([allowed.at(-1) as number, allowed[0] as number])) {
      expect(await pinMainThread(pid, processor)).toBe(true);
      const { main, others } = allowedOfThreads(pid);
      expect(main).toEqual([processor]);
      expect(others.length).toBeGreaterThan(0);
      for (const other of others) expect(other).toEqual(allowed);
    }
  });

  it("is pinned by all threads where that is asked for", async (context) => {
    needTaskset(context);
    const pid = await startNode();
    const processor = allowedProcessors().at(-1) as number;
    expect(await pinAllThreads(pid, processor)).toBe(true);
    const { main, others } = allowedOfThreads(pid);
    for (const threads of [main, ...others]) expect(threads).toEqual([processor]);
  });

  it("that is not there, or a processor that is not, gives false", async () => {
    // Above the largest number that Linux gives.
    expect(await pinMainThread(2 ** 22 + 1, 0)).toBe(false);
    expect(await pinMainThread(process.pid, 4095)).toBe(false);
  });
});
