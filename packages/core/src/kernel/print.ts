/**
 * Text form of kernels, exact and stable: `parseKernel(printKernel(k))` prints the same text again.
 *
 * One statement per line; values are `%id`, parameters `$name`, literals `type(value)`, locals `name#id`.
 */

import { printDim } from "../dim.ts";
import { type Block, type Buffer, type Def, type KValue, type Kernel, type Local, type Stmt, printType } from "./ir.ts";

export function printKernel(kernel: Kernel): string {
  const lines = [`kernel ${JSON.stringify(kernel.name)} {`];
  for (const buffer of kernel.buffers)
    lines.push(`  buffer ${printBuffer(buffer)} ${buffer.access} align ${buffer.alignBytes}`);
  for (const scalar of kernel.scalars) lines.push(`  scalar ${scalar.name}: ${scalar.dtype}`);
  for (const name of kernel.symbols) lines.push(`  symbol ${name}`);
  for (const buffer of kernel.scratch) lines.push(`  scratch ${printBuffer(buffer)} align ${buffer.alignBytes}`);
  for (const local of kernel.locals) lines.push(`  local ${printLocal(local)}: ${printType(local.type)}`);
  printBlock(kernel.body, "  ", lines);
  lines.push("}");
  return `${lines.join("\n")}\n`;
}

function printBuffer(buffer: Buffer): string {
  return `${buffer.name}: ${buffer.dtype}[${printDim(buffer.size)}]`;
}

function printLocal(local: Local): string {
  return `${local.name}#${local.id}`;
}

/** A value where it is used. */
export function printValue(value: KValue): string {
  if (value.def.kind === "const") return `${printType(value.type)}(${printLiteral(value.def.value)})`;
  if (value.def.kind === "param") return `$${value.def.name}`;
  return `%${value.id}`;
}

function printLiteral(value: number | bigint | boolean): string {
  if (Object.is(value, -0)) return "-0";
  if (value === Infinity) return "inf";
  if (value === -Infinity) return "-inf";
  return Number.isNaN(value) ? "nan" : String(value);
}

function printValues(values: readonly KValue[]): string {
  return values.map(printValue).join(", ");
}

function suffix(word: string, value: KValue | undefined): string {
  return value === undefined ? "" : ` ${word} ${printValue(value)}`;
}

function printDef(def: Def): string {
  switch (def.kind) {
    case "const":
    case "param":
    case "axis":
    case "reduced":
      return def.kind;
    case "prim":
      return `${def.prim} ${printValues(def.args)}`;
    case "read":
      return `read ${printLocal(def.local)}`;
    case "load":
      return `load ${def.buffer.name}[${printValue(def.index)}]${suffix("mask", def.mask)}${suffix("other", def.other)}`;
    case "broadcast":
      return `broadcast ${printValue(def.value)}`;
    case "iota":
      return `iota ${printValue(def.start)}`;
    case "horizontal":
      return `horizontal ${def.combiner} ${printValue(def.value)}`;
    case "shuffle":
      return `shuffle ${printValue(def.a)}, ${printValue(def.b)} [${def.pattern.join(", ")}]`;
    case "extract":
      return `extract ${printValue(def.value)} [${def.lane}]`;
    case "tileLoad":
      return `tileLoad ${def.buffer.name}[${printValue(def.index)}] stride ${printValue(def.stride)}`;
    case "intrinsic":
      return `intrinsic ${def.name} ${printValues(def.args)}`;
  }
}

function typed(value: KValue): string {
  return `%${value.id}: ${printType(value.type)}`;
}

function printBlock(block: Block, indent: string, lines: string[]): void {
  for (const statement of block) printStatementLines(statement, indent, lines);
}

/** The first line of a statement, for messages. */
export function printStatement(statement: Stmt): string {
  const lines: string[] = [];
  printStatementLines(statement, "", lines);
  return lines[0] as string;
}

function printStatementLines(statement: Stmt, indent: string, lines: string[]): void {
  const line = (text: string): void => {
    lines.push(indent + text);
  };
  const body = (block: Block): void => printBlock(block, `${indent}  `, lines);
  switch (statement.kind) {
    case "let":
      return line(`${typed(statement.value)} = ${printDef(statement.value.def)}`);
    case "assign":
      return line(`${printLocal(statement.local)} = ${printValue(statement.value)}`);
    case "store":
      return line(
        `store ${statement.buffer.name}[${printValue(statement.index)}] = ${printValue(statement.value)}${suffix("mask", statement.mask)}`,
      );
    case "tileStore":
      return line(
        `tileStore ${statement.buffer.name}[${printValue(statement.index)}] stride ${printValue(statement.stride)} = ${printValue(statement.value)}`,
      );
    case "tileMma":
      return line(`tileMma ${printLocal(statement.acc)} += ${printValue(statement.a)}, ${printValue(statement.b)}`);
    case "for": {
      const step = statement.step === 1 ? "" : ` step ${statement.step}`;
      const unroll = statement.unroll === 1 ? "" : ` unroll ${statement.unroll}`;
      line(
        `for %${statement.axis.id} = ${printValue(statement.start)} to ${printValue(statement.end)}${step}${unroll} {`,
      );
      body(statement.body);
      return line("}");
    }
    case "if":
      line(`if ${printValue(statement.condition)} {`);
      body(statement.then);
      if (statement.else.length > 0) {
        line("} else {");
        body(statement.else);
      }
      return line("}");
    case "parallel":
    case "each":
      line(`${statement.kind} %${statement.axis.id} < ${printValue(statement.count)} {`);
      body(statement.body);
      return line("}");
    case "reduce":
      line(
        `${typed(statement.result)} = reduce ${statement.combiner} %${statement.axis.id} < ${printValue(statement.count)} {`,
      );
      body(statement.body);
      return line(`} yield ${printValue(statement.yields)}`);
    case "barrier":
      return line("barrier");
    case "prefetch":
      return line(`prefetch ${statement.buffer.name}[${printValue(statement.index)}] level ${statement.level}`);
  }
}
