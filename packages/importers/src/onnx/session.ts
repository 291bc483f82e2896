/** What all scopes of one import share: the file, its functions and opsets, and the list of what is unsupported. */

import { type ConstantData, type Shape, type Unsupported, UnsupportedError, UserError } from "@quern/core";
import type { FunctionProto, ModelProto } from "./proto/schema.ts";
import type { ResolveExternal } from "./tensor.ts";

/** Latest released version of the default domain. */
export const LATEST_OPSET = 28;

/** Nodes that functions and unrolled loops may add: functions that call functions cannot grow without bound. */
const MAX_ADDED_NODES = 100_000;

export type Opsets = ReadonlyMap<string, number>;

export function normalDomain(domain: string): string {
  return domain === "ai.onnx" ? "" : domain;
}

/** What all scopes of one import share. */
export class ImportSession {
  readonly file: string;
  readonly external: ResolveExternal | undefined;
  readonly shapes: Readonly<Record<string, Shape>>;
  readonly constants: Readonly<Record<string, ConstantData>>;
  readonly functions: Map<string, FunctionProto> = new Map();
  readonly #unsupported = new Map<string, Unsupported>();
  readonly #limit: number;
  #nodes = 0;

  constructor(file: string, model: ModelProto, given: Pick<ImportSession, "external" | "shapes" | "constants">) {
    this.file = file;
    this.external = given.external;
    this.shapes = given.shapes;
    this.constants = given.constants;
    this.#limit = MAX_ADDED_NODES + (model.graph?.node.length ?? 0);
    for (const body of model.functions) {
      const key = functionKey(body.domain, body.name, body.overload);
      if (this.functions.has(key)) throw new UserError(`function ${key} is defined twice`, { where: file });
      this.functions.set(key, body);
    }
  }

  report(items: readonly Unsupported[]): void {
    for (const item of items) this.#unsupported.set(`${item.op}\n${item.where}\n${item.reason}`, item);
  }

  get unsupported(): readonly Unsupported[] {
    return [...this.#unsupported.values()];
  }

  countNode(where: string): void {
    if (++this.#nodes > this.#limit)
      throw new UserError(`more than ${this.#limit} nodes after inlining functions`, { where });
  }
}

export function functionKey(domain: string, name: string, overload: string): string {
  return `${normalDomain(domain)}::${name}${overload === "" ? "" : `::${overload}`}`;
}

export function opsetsOf(
  imports: readonly { readonly domain: string; readonly version: number }[],
  where: string,
): Map<string, number> {
  const opsets = new Map<string, number>();
  for (const { domain, version } of imports) {
    const name = normalDomain(domain);
    if (version < 1) throw new UserError(`opset version ${version} of domain "${name}" does not exist`, { where });
    if (name === "" && version > LATEST_OPSET) {
      throw new UnsupportedError({
        op: `opset ${version}`,
        where,
        reason: `the latest known version of the default domain is ${LATEST_OPSET}`,
      });
    }
    opsets.set(name, version);
  }
  return opsets;
}
