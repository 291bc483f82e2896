import { pbkdf2 } from "node:crypto";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { countBusyThreads } from "./busy-threads.ts";

const SPIN =
  "require('worker_threads').parentPort.postMessage(0); const end = Date.now() + Number(process.env.MS); while (Date.now() < end);";

/** Resolves when the worker computes. */
async function spinInWorker(ms: number): Promise<Worker> {
  const worker = new Worker(SPIN, { eval: true, env: { MS: String(ms) } });
  await new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  return worker;
}

function spinHere(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}

describe("threads that are busy", () => {
  it("counts this one and two workers", async (context) => {
    if (process.platform !== "linux") context.skip("only Linux says how long each thread was on a processor");
    const workers = [await spinInWorker(60_000), await spinInWorker(60_000)];
    expect(await countBusyThreads(async () => spinHere(1000))).toBe(3);
    for (const worker of workers) await worker.terminate();
  });

  it("asynchronous calls that take turns are one", async (context) => {
    if (process.platform !== "linux") context.skip("only Linux says how long each thread was on a processor");
    const turns = async (): Promise<void> => {
      for (let turn = 0; turn < 12; turn++) await promisify(pbkdf2)("password", "salt", 100_000, 64, "sha512");
    };
    expect(await countBusyThreads(turns)).toBe(1);
  });

  it("a thread that has ended meanwhile was one", async (context) => {
    if (process.platform !== "linux") context.skip("only Linux says how long each thread was on a processor");
    const both = async (): Promise<void> => {
      const worker = await spinInWorker(800);
      const ended = new Promise((resolve) => worker.once("exit", resolve));
      spinHere(800);
      await ended;
    };
    expect(await countBusyThreads(both)).toBe(2);
  });

  it("a thread that sleeps is not one", async (context) => {
    if (process.platform !== "linux") context.skip("only Linux says how long each thread was on a processor");
    const worker = new Worker("require('worker_threads').parentPort.postMessage(0); setTimeout(() => {}, 60_000)", {
      eval: true,
    });
    await new Promise((resolve) => worker.once("message", resolve));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await countBusyThreads(async () => spinHere(500))).toBe(1);
    await worker.terminate();
  });
});
