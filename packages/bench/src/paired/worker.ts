/**
 * Entry point of the process of one arm: loads the arm's bench files and answers the orchestrator's requests, one at a
 * time. Between requests it waits on its IPC channel and uses no processor.
 *
 * The harness is that of the tool in both arms; the benches and everything they import are the arm's own.
 */

import { readFileSync } from "node:fs";
import { flushCompileCache, registerHooks } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UserError } from "@quern/core/errors";
import { benchesOfModule, type Bench } from "../define/bench.ts";
import { resolveHarness } from "../define/own-harness.ts";
import { fromSource, serve } from "../harness/worker-process.ts";
import { recordLoadedFiles } from "./arms/loaded-files.ts";
import type { PairedRequest, PairedResponse } from "./protocol.ts";
import { BenchSession } from "./session.ts";

const OWN = "@quern/bench";
const OWN_IMPORT = /import\s*(?:type\s*)?\{([^}]*)\}\s*from\s*["']@quern\/bench["']/g;
const LIGHT = /^(?:type\s+)?(?:defineBench|Bench|BenchContext|BenchParams)$/;

const definitions: string = new URL(fromSource ? "../define/bench.ts" : "../define/bench.js", import.meta.url).href;

/** True if all that a module takes from this package is in `define/bench.ts`, which is there already. */
function needsLittle(parent: string | undefined): boolean {
  if (parent === undefined || !parent.startsWith("file:")) return false;
  const source = readFileSync(fileURLToPath(parent), "utf8");
  if (source.split(OWN).length !== [...source.matchAll(OWN_IMPORT)].length + 1) return false;
  return [...source.matchAll(OWN_IMPORT)].every(([, names = ""]) =>
    names
      .split(",")
      .map((name) => name.trim())
      .every((name) => name === "" || LIGHT.test(name)),
  );
}

const recorder = recordLoadedFiles();
resolveHarness();
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === OWN && needsLittle(context.parentURL)
      ? { url: definitions, shortCircuit: true }
      : next(specifier, context),
});

const benches = new Map<string, Bench>();
const sessions = new Map<string, BenchSession>();

async function load(file: string, reserved: boolean): Promise<string[]> {
  const module = (await import(pathToFileURL(file).href)) as { readonly default?: unknown };
  const found = benchesOfModule(await module.default, file, reserved);
  for (const bench of found) benches.set(bench.id, bench);
  return found.map(({ id }) => id);
}

function sessionOf(id: string): BenchSession {
  const session = sessions.get(id);
  if (session === undefined) throw new UserError(`bench "${id}" was asked for before it was opened`);
  return session;
}

async function answer(request: PairedRequest): Promise<PairedResponse> {
  switch (request.kind) {
    case "load":
      return { kind: "load", ids: await load(request.file, request.reserved) };
    case "open": {
      const { id, index, seed, directory, collect } = request;
      const bench = benches.get(id);
      if (bench === undefined) throw new UserError(`no bench "${id}" was found in this build`);
      const { session, opened } = await BenchSession.open(bench, { seed, index, directory, collect });
      sessions.set(id, session);
      return { kind: "open", opened };
    }
    case "warm": {
      const { id, mode, warmUpMs, sliceMs } = request;
      return { kind: "warm", warmed: await sessionOf(id).warmUp(mode, warmUpMs, sliceMs) };
    }
    case "slice": {
      const { id, first, renew, collect } = request;
      return { kind: "slice", ...(await sessionOf(id).slice(first, renew, collect)) };
    }
    case "finish": {
      const session = sessionOf(request.id);
      sessions.delete(request.id);
      return { kind: "finish", check: await session.finish() };
    }
    case "close":
      // Their benches have failed already, or were not worth finishing.
      await Promise.allSettled([...sessions.values()].map((session) => session.close()));
      sessions.clear();
      return { kind: "close" };
    case "files":
      // Processes are killed, so what they have compiled would not be kept for the next ones.
      flushCompileCache();
      return { kind: "files", files: recorder.files() };
  }
}

serve(answer);
