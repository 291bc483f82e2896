/**
 * Types of graph inputs: element type and shape, with named dimensions as symbols.
 *
 * Equal `dim_param`s are one symbol. Names such as `past + 1` are read as expressions where all their symbols occur on
 * their own elsewhere, so that every symbol can be bound from an input. Unnamed dimensions get a symbol of their own.
 */

import {
  type DType,
  type Dim,
  type Shape,
  UnsupportedError,
  UserError,
  collectSymbols,
  parseDim,
  symbol,
} from "@quern/core";
import type { DimensionProto, TypeProto, ValueInfoProto } from "./proto/schema.ts";
import { checkedElementCount, dtypeOf } from "./tensor.ts";

/** Names that exporters write for "unknown". */
const UNNAMED: ReadonlySet<string> = new Set(["", "?", "None", "unk", "unknown"]);

export class DimNames {
  readonly #symbols = new Map<string, Dim>();
  readonly #used = new Set<string>();

  /** `inputs` are all inputs of the model: expressions may only use names that occur on their own. */
  constructor(inputs: readonly ValueInfoProto[]) {
    const params = inputs.flatMap((input) => input.type?.tensorType?.shape?.dim ?? []).map((dim) => dim.dimParam);
    for (const param of params) if (/^[A-Za-z_]\w*$/.test(param) && !UNNAMED.has(param)) this.#define(param);
    for (const param of params)
      if (!this.#symbols.has(param) && !UNNAMED.has(param))
        this.#symbols.set(param, this.#expression(param) ?? this.#fresh(param));
  }

  #define(name: string): void {
    this.#used.add(name);
    this.#symbols.set(name, symbol(name));
  }

  #expression(text: string): Dim | undefined {
    if (text.length > 200 || !/^[\w\s+*()-]+$/.test(text)) return undefined;
    try {
      const dim = parseDim(text);
      const symbols = new Set<string>();
      collectSymbols(dim, symbols);
      return [...symbols].every((name) => this.#symbols.has(name)) ? dim : undefined;
    } catch {
      // Not an expression: the text is just a name.
      return undefined;
    }
  }

  /** A symbol named after `hint`, different from all others. */
  #fresh(hint: string): Dim {
    const base = hint
      .replace(/\W/g, "_")
      .replace(/^(?=\d)|^$/, "_")
      .slice(0, 64);
    let name = base;
    for (let n = 2; this.#used.has(name); n++) name = `${base}_${n}`;
    this.#used.add(name);
    return symbol(name);
  }

  dim(proto: DimensionProto, hint: string, where: string): Dim {
    // Some exporters write -1 for "unknown".
    if (proto.dimValue !== undefined && proto.dimValue !== -1) {
      checkedElementCount([proto.dimValue], where);
      return proto.dimValue;
    }
    return this.#symbols.get(proto.dimParam) ?? this.#fresh(hint);
  }
}

/** The tensor type of a graph input. `given` replaces the shape in the file. */
export function inputType(
  info: ValueInfoProto,
  names: DimNames,
  given: Shape | undefined,
  where: string,
): { dtype: DType; shape: Shape } {
  const tensor = info.type?.tensorType;
  if (tensor === undefined) {
    const kind = describeType(info.type);
    if (kind === undefined) throw new UserError("an input without a type", { where });
    throw new UnsupportedError({ op: `graph input of type ${kind}`, where, reason: "graph inputs are tensors" });
  }
  const dtype = dtypeOf(tensor.elemType, where);
  if (given !== undefined) return { dtype, shape: given };
  if (tensor.shape === undefined) {
    throw new UnsupportedError({
      op: "graph input of unknown rank",
      where,
      reason: "the number of axes must be known: pass its shape in `shapes`",
    });
  }
  const shape = tensor.shape.dim.map((dim, axis) => names.dim(dim, `${info.name}_${axis}`, where));
  checkedElementCount(
    shape.filter((dim) => typeof dim === "number"),
    where,
  );
  return { dtype, shape };
}

function describeType(type: TypeProto | undefined): string | undefined {
  if (type?.sequenceType !== undefined) return "sequence";
  if (type?.mapType !== undefined) return "map";
  if (type?.optionalType !== undefined) return "optional";
  if (type?.sparseTensorType !== undefined) return "sparse tensor";
  return undefined;
}
