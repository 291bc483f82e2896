/**
 * Sequences and optionals whose length is known at import: lists of values that never become nodes of the graph.
 */

import { type Value, dimAdd } from "@quern/core";
import { concat, constant, scalar, sliceAxis, squeeze, unsqueeze } from "../build.ts";
import { type Item, type OnnxNode, type OpFunction, type Sequence, isValue } from "../node.ts";

function sequenceOf(elements: readonly Item[]): Sequence {
  return { kind: "sequence", elements };
}

function valuesOf(n: OnnxNode, index: number): Value[] {
  return n.sequence(index).map((item) => (isValue(item) ? item : n.unsupported(`a sequence of ${item.kind}s`)));
}

/** A constant position in a list of `count` places. */
function position(n: OnnxNode, index: number, count: number): number {
  const at = n.number(index) ?? n.unsupported("positions must be constant");
  const normal = at < 0 ? at + count : at;
  return normal >= 0 && normal < count ? normal : n.fail(`position ${at} is not in a sequence of ${count}`);
}

export const SequenceConstruct: OpFunction = (n) =>
  sequenceOf(n.items.map((item, i) => item ?? n.fail(`input ${i} is missing`)));
export const SequenceEmpty: OpFunction = () => sequenceOf([]);

export const SequenceAt: OpFunction = (n) => {
  const elements = n.sequence(0);
  return elements[position(n, 1, elements.length)] as Item;
};

export const SequenceInsert: OpFunction = (n) => {
  const elements = n.sequence(0);
  const at =
    n.optional(2) === undefined ? elements.length : (n.number(2) ?? n.unsupported("positions must be constant"));
  if (Math.abs(at) > elements.length) return n.fail(`position ${at} is not in a sequence of ${elements.length}`);
  // Negative positions count from the end, and -1 is before the last element, as for splicing.
  return sequenceOf(elements.toSpliced(at, 0, n.input(1)));
};

export const SequenceErase: OpFunction = (n) => {
  const elements = n.sequence(0);
  return sequenceOf(
    elements.toSpliced(n.optional(1) === undefined ? elements.length - 1 : position(n, 1, elements.length), 1),
  );
};

export const SequenceLength: OpFunction = (n) => scalar(n.b, "i64", n.sequence(0).length);

const MAX_PIECES = 4096;

export const SplitToSequence: OpFunction = (n) => {
  const { b } = n;
  const x = n.input(0);
  const axis = n.axis(n.int("axis", 0), x.type.shape.length);
  const size = x.type.shape[axis];
  if (typeof size !== "number") return n.unsupported("the axis must have a fixed size");
  const split = n.optional(1) === undefined ? undefined : n.constantNumbers(1, "sizes");
  const each = n.optional(1)?.type.shape.length === 0 ? (split?.[0] ?? 0) : 1;
  if (each < 1 || size / each > MAX_PIECES) return n.unsupported(`splitting ${size} elements by ${each}`);
  const perElement = split === undefined || n.input(1).type.shape.length === 0;
  const sizes = perElement
    ? Array.from({ length: Math.ceil(size / each) }, (_, i) => Math.min(each, size - i * each))
    : (split ?? []);
  let start = 0;
  const pieces = sizes.map((part) => {
    const piece = sliceAxis(b, x, axis, start, part);
    start = dimAdd(start, part) as number;
    return split === undefined && !n.flag("keepdims", true) ? squeeze(b, piece, [axis]) : piece;
  });
  if (start !== size) return n.fail(`sizes [${sizes.join(", ")}] do not add up to ${size}`);
  return sequenceOf(pieces);
};

export const ConcatFromSequence: OpFunction = (n) => {
  const values = valuesOf(n, 0);
  const [first] = values;
  if (first === undefined) return n.fail("the sequence is empty");
  const stack = n.flag("new_axis", false);
  const axis = n.axis(n.int("axis"), first.type.shape.length + (stack ? 1 : 0));
  return concat(n.b, stack ? values.map((value) => unsqueeze(n.b, value, [axis])) : values, axis);
};

export const SequenceMap: OpFunction = (n) => {
  const body = n.graph("body");
  const lists = n.items.map((item, i) => {
    if (item === undefined) return n.fail(`input ${i} is missing`);
    return isValue(item) || item.kind !== "sequence" ? item : item.elements;
  });
  const count = n.sequence(0).length;
  const rows = Array.from({ length: count }, (_, at) =>
    n.subgraphs.inline(
      body,
      lists.map((list) =>
        Array.isArray(list) ? ((list[at] as Item | undefined) ?? n.fail("sequences differ in length")) : (list as Item),
      ),
    ),
  );
  return body.output.map((_, i) => sequenceOf(rows.map((row) => row[i] as Item)));
};

export const Optional: OpFunction = (n) => ({ kind: "optional", value: n.items[0] });

export const OptionalHasElement: OpFunction = (n) => {
  const item = n.items[0];
  const has = item !== undefined && (isValue(item) || item.kind !== "optional" || item.value !== undefined);
  return constant(n.b, "bool", [has ? 1 : 0], []);
};

export const OptionalGetElement: OpFunction = (n) => {
  const item = n.items[0];
  if (item === undefined) return n.fail("input 0 is missing");
  if (isValue(item) || item.kind !== "optional") return item;
  return item.value ?? n.fail("the optional is empty");
};
