/**
 * Reads attributes of nodes with their types. In: the untyped `Attrs` of a node. Out: typed values, or a `UserError`
 * which names the op and the attribute. A missing attribute gives the fallback, where there is one.
 */

import type { Dim } from "../dim.ts";
import { type DType, isDType } from "../dtype.ts";
import { UserError } from "../errors.ts";
import { type Attr, type Attrs, type ConstantData, type Graph, isConstantData, isGraph } from "../graph/graph.ts";

function read<T>(
  op: string,
  attrs: Attrs,
  name: string,
  what: string,
  is: (attr: Attr) => boolean,
  fallback: T | undefined,
): T {
  const attr = attrs[name];
  if (attr === undefined) {
    if (fallback !== undefined) return fallback;
    throw new UserError(`${op}: attribute "${name}" is missing (${what})`);
  }
  if (!is(attr)) throw new UserError(`${op}: attribute "${name}" must be ${what}`);
  return attr as T;
}

function isNumber(attr: Attr): boolean {
  return typeof attr === "number";
}

/** An integer, or a symbolic dimension: an object that is neither a list, a graph nor a constant. */
function isDim(attr: Attr): boolean {
  if (typeof attr === "number") return Number.isInteger(attr);
  return typeof attr === "object" && !Array.isArray(attr) && !isGraph(attr) && !isConstantData(attr);
}

export function numberAttr(op: string, attrs: Attrs, name: string, fallback?: number): number {
  return read(op, attrs, name, "a number", isNumber, fallback);
}

export function booleanAttr(op: string, attrs: Attrs, name: string, fallback?: boolean): boolean {
  return read(op, attrs, name, "true or false", (attr) => typeof attr === "boolean", fallback);
}

export function stringAttr(op: string, attrs: Attrs, name: string, fallback?: string): string {
  return read(op, attrs, name, "a string", (attr) => typeof attr === "string", fallback);
}

/** A string out of `choices`. */
export function choiceAttr<T extends string>(
  op: string,
  attrs: Attrs,
  name: string,
  choices: readonly T[],
  fallback?: T,
): T {
  const value = stringAttr(op, attrs, name, fallback);
  if (!choices.includes(value as T)) {
    throw new UserError(`${op}: attribute "${name}" is "${value}", expected one of ${choices.join(", ")}`);
  }
  return value as T;
}

export function dtypeAttr(op: string, attrs: Attrs, name: string, fallback?: DType): DType {
  const value = stringAttr(op, attrs, name, fallback);
  if (!isDType(value)) throw new UserError(`${op}: attribute "${name}" is "${value}", which is not a dtype`);
  return value;
}

export function numbersAttr(op: string, attrs: Attrs, name: string, fallback?: readonly number[]): readonly number[] {
  return read(op, attrs, name, "a list of numbers", (attr) => Array.isArray(attr) && attr.every(isNumber), fallback);
}

export function stringsAttr(op: string, attrs: Attrs, name: string, fallback?: readonly string[]): readonly string[] {
  return read(
    op,
    attrs,
    name,
    "a list of strings",
    (attr) => Array.isArray(attr) && attr.every((s) => typeof s === "string"),
    fallback,
  );
}

export function dimsAttr(op: string, attrs: Attrs, name: string, fallback?: readonly Dim[]): readonly Dim[] {
  return read(
    op,
    attrs,
    name,
    "a list of integers and dimensions",
    (attr) => Array.isArray(attr) && attr.every(isDim),
    fallback,
  );
}

export function graphAttr(op: string, attrs: Attrs, name: string): Graph {
  return read<Graph>(op, attrs, name, "a graph", isGraph, undefined);
}

export function constantAttr(op: string, attrs: Attrs, name: string): ConstantData {
  return read<ConstantData>(op, attrs, name, "constant data", isConstantData, undefined);
}

/** An axis of a tensor of `rank` axes: an integer in 0..rank-1. */
export function axisAttr(op: string, attrs: Attrs, rank: number, name: string = "axis", fallback?: number): number {
  const axis = numberAttr(op, attrs, name, fallback);
  checkAxis(op, axis, rank);
  return axis;
}

/** Distinct axes of a tensor of `rank` axes. */
export function axesAttr(
  op: string,
  attrs: Attrs,
  rank: number,
  name: string = "axes",
  fallback?: readonly number[],
): readonly number[] {
  const axes = numbersAttr(op, attrs, name, fallback);
  for (const axis of axes) checkAxis(op, axis, rank);
  if (new Set(axes).size !== axes.length) throw new UserError(`${op}: an axis occurs twice in [${axes.join(", ")}]`);
  return axes;
}

function checkAxis(op: string, axis: number, rank: number): void {
  if (Number.isInteger(axis) && axis >= 0 && axis < rank) return;
  const hint = axis < 0 && axis >= -rank ? `write ${axis + rank}: axes of nodes count from the first` : undefined;
  throw new UserError(`${op}: axis ${axis} is not in 0..${rank - 1} of a tensor with ${rank} axes`, { hint });
}
