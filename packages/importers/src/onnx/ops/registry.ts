/**
 * Op functions by domain and name. A family module is a file whose exports are named as ONNX names the ops; listing it
 * here registers them.
 */

import type { OpFamily, OpFunction } from "../node.ts";
import * as attention from "./attention.ts";
import * as contrib from "./contrib.ts";
import * as control from "./control.ts";
import * as indexing from "./indexing.ts";
import * as linear from "./linear.ts";
import * as loss from "./loss.ts";
import * as math from "./math.ts";
import * as ml from "./ml.ts";
import * as movement from "./movement.ts";
import * as norm from "./norm.ts";
import * as pool from "./pool.ts";
import * as quantized from "./quantized.ts";
import * as recurrent from "./recurrent.ts";
import * as reduce from "./reduce.ts";
import * as scan from "./scan.ts";
import * as sequence from "./sequence.ts";
import * as signal from "./signal.ts";
import * as slicing from "./slicing.ts";
import * as sources from "./sources.ts";
import * as vision from "./vision.ts";

/** Families of each domain; "" is the default one. Made on first use, so that import order does not matter. */
function domains(): Readonly<Record<string, readonly OpFamily[]>> {
  return {
    "": [
      math,
      movement,
      slicing,
      indexing,
      reduce,
      linear,
      pool,
      norm,
      vision,
      recurrent,
      control,
      scan,
      quantized,
      sources,
      sequence,
      signal,
      attention,
      loss,
    ],
    "com.microsoft": [contrib],
    "ai.onnx.ml": [ml],
  };
}

let table: ReadonlyMap<string, OpFunction> | undefined;

function functions(): ReadonlyMap<string, OpFunction> {
  table ??= new Map(
    Object.entries(domains()).flatMap(([domain, families]) =>
      families.flatMap((family) => Object.entries(family).map(([name, run]) => [`${domain}::${name}`, run] as const)),
    ),
  );
  return table;
}

export function findOpFunction(domain: string, name: string): OpFunction | undefined {
  return functions().get(`${domain}::${name}`);
}

/** Every op that can be imported, as "domain::Name". */
export function importableOps(): readonly string[] {
  return [...functions().keys()];
}
