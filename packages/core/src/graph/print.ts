/**
 * Text form of graphs, read back exactly by `parse.ts`.
 *
 *   graph @mnist(%0 "x": f32[n, 784]) {
 *     %1 = constant {value = f32[784, 10] @0}
 *     %2 = matmul(%0, %1) : f32[n, 10] // "fc1"
 *     return %2 "y"
 *   }
 *
 * A constant stored in blocks has the encoding behind its type: `f32[4096, 4096] Q4_K @1`.
 *
 * Values are numbered in print order. Constants of up to 16 elements stand in the text as hex bytes; larger ones are
 * references `@k` into a side table, so that text stays readable and weights are never copied.
 */

import { printDim, printShape } from "../dim.ts";
import {
  type Attr,
  type ConstantData,
  type Graph,
  type Node,
  type TensorType,
  type Value,
  isConstantData,
  isGraph,
} from "./graph.ts";

/** Constants left out of the text, by reference number. */
export interface ConstantTable {
  readonly constants: ConstantData[];
}

const INLINE_CONSTANT_BYTES = 128;

export function printTensorType(type: TensorType): string {
  return `${type.dtype}${printShape(type.shape)}`;
}

export interface PrintOptions {
  /** Names of the source model behind nodes (default true). */
  readonly sourceNames?: boolean;
}

interface Printing extends PrintOptions {
  readonly table: ConstantTable;
}

/** Prints `graph`; large constants are appended to `table`. */
export function printGraph(graph: Graph, table: ConstantTable = { constants: [] }, options: PrintOptions = {}): string {
  return `${printGraphAt(graph, { table, ...options }, "")}\n`;
}

function printGraphAt(graph: Graph, printing: Printing, indent: string): string {
  const names = new Map<Value, string>();
  let next = 0;
  const name = (value: Value): string => {
    let text = names.get(value);
    if (text === undefined) names.set(value, (text = `%${next++}`));
    return text;
  };
  const inputs = graph.inputs.map(
    (input) => `${name(input.value)} ${JSON.stringify(input.name)}: ${printTensorType(input.value.type)}`,
  );
  const lines = [`graph @${JSON.stringify(graph.name)}(${inputs.join(", ")}) {`];
  for (const node of graph.nodes) {
    if (node.op !== "input") lines.push(`${indent}  ${printNode(node, name, printing, `${indent}  `)}`);
  }
  const outputs = graph.outputs.map((output) => `${name(output.value)} ${JSON.stringify(output.name)}`);
  lines.push(`${indent}  return ${outputs.join(", ")}`.trimEnd(), `${indent}}`);
  return lines.join("\n");
}

function printNode(node: Node, name: (value: Value) => string, printing: Printing, indent: string): string {
  const args = node.inputs.map((input) => (input === undefined ? "_" : name(input)));
  const results = node.outputs.map(name).join(", ");
  const call = args.length > 0 ? `(${args.join(", ")})` : "";
  const attrs = Object.entries(node.attrs).map(([key, attr]) => `${key} = ${printAttr(attr, printing, indent)}`);
  const attrText = attrs.length > 0 ? ` {${attrs.join(", ")}}` : "";
  const types = node.outputs.map((output) => printTensorType(output.type)).join(", ");
  const source = node.name === undefined || printing.sourceNames === false ? "" : ` // ${JSON.stringify(node.name)}`;
  return `${results} = ${node.op}${call}${attrText} : ${types}${source}`;
}

function printNumber(value: number): string {
  return Object.is(value, -0)
    ? "-0"
    : Number.isFinite(value)
      ? String(value)
      : value > 0
        ? "+inf"
        : value < 0
          ? "-inf"
          : "nan";
}

function printAttr(attr: Attr, printing: Printing, indent: string): string {
  if (typeof attr === "string") return JSON.stringify(attr);
  if (typeof attr === "boolean") return String(attr);
  if (typeof attr === "number") return printNumber(attr);
  if (Array.isArray(attr)) return `[${attr.map((item: Attr) => printAttr(item, printing, indent)).join(", ")}]`;
  if (isGraph(attr as Attr)) return printGraphAt(attr as Graph, printing, indent);
  if (isConstantData(attr as Attr)) return printConstant(attr as ConstantData, printing.table);
  return `<${printDim(attr as Exclude<Attr, readonly Attr[]> & object as never)}>`;
}

function printConstant(data: ConstantData, table: ConstantTable): string {
  const encoding = data.encoding === undefined ? "" : ` ${data.encoding.name}`;
  const type = `${data.dtype}${printShape(data.shape)}${encoding}`;
  if (data.bytes.byteLength <= INLINE_CONSTANT_BYTES) {
    return `${type} x"${Array.from(data.bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}"`;
  }
  let at = table.constants.indexOf(data);
  if (at < 0) at = table.constants.push(data) - 1;
  return `${type} @${at}`;
}
