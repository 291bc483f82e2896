/**
 * What every executable does before it runs: checks the tensors it was given and finds the values of the symbols.
 *
 * In: the declared inputs of a graph and tensors by name. Out: tensors in order and a value for each symbol of the
 * declared shapes, or one `UserError` that lists every problem. A symbol has one value wherever it occurs.
 */

import {
  type Dim,
  type DimBindings,
  type Shape,
  collectSymbols,
  evaluateDim,
  printDim,
  printShape,
  substituteDim,
} from "../dim.ts";
import { UserError } from "../errors.ts";
import type { TensorSpec, Tensors } from "./device.ts";
import type { Tensor } from "./tensor.ts";

export interface BoundInputs {
  /** In the order of the declaration. */
  readonly tensors: readonly Tensor[];
  readonly bindings: DimBindings;
}

/** Checks `inputs` against `specs`. `fixed` are symbol values that compilation specialised for. */
export function bindInputs(specs: readonly TensorSpec[], inputs: Tensors, fixed: DimBindings = {}): BoundInputs {
  return bindExact(specs, inputs, fixed) ?? bindEach(specs, inputs, fixed);
}

/** What most runs are, looked at in a fraction of a microsecond: every input there, with the very sizes declared. */
function bindExact(specs: readonly TensorSpec[], inputs: Tensors, fixed: DimBindings): BoundInputs | undefined {
  if (Object.keys(inputs).length !== specs.length) return undefined;
  const tensors: Tensor[] = [];
  for (const { name, dtype, shape } of specs) {
    const tensor = Object.hasOwn(inputs, name) ? inputs[name] : undefined;
    if (tensor === undefined || tensor.disposed || tensor.dtype !== dtype) return undefined;
    if (tensor.shape.length !== shape.length) return undefined;
    for (let axis = 0; axis < shape.length; axis++) if (shape[axis] !== tensor.shape[axis]) return undefined;
    tensors.push(tensor);
  }
  return { tensors, bindings: fixed };
}

function bindEach(specs: readonly TensorSpec[], inputs: Tensors, fixed: DimBindings): BoundInputs {
  const problems: string[] = [];
  const names = new Set(specs.map((spec) => spec.name));
  for (const name of Object.keys(inputs)) {
    if (!names.has(name))
      problems.push(
        `there is no input "${name}"; the inputs are ${specs.map((spec) => `"${spec.name}"`).join(", ") || "none"}`,
      );
  }
  const given: { spec: TensorSpec; tensor: Tensor }[] = [];
  for (const spec of specs) {
    const tensor = Object.hasOwn(inputs, spec.name) ? inputs[spec.name] : undefined;
    const problem = describeProblem(spec, tensor);
    if (problem !== undefined) problems.push(problem);
    else given.push({ spec, tensor: tensor as Tensor });
  }
  const { bindings, conflicts } = bindShapes(
    given.map(({ spec, tensor }) => ({ name: `input "${spec.name}"`, declared: spec.shape, actual: tensor.shape })),
    fixed,
  );
  problems.push(...conflicts);
  if (problems.length > 0) throw new UserError(problems.join("\n"));
  return { tensors: given.map(({ tensor }) => tensor), bindings };
}

function describeProblem(spec: TensorSpec, tensor: Tensor | undefined): string | undefined {
  const expected = (): string => `${spec.dtype}${printShape(spec.shape)}`;
  if (tensor === undefined) return `input "${spec.name}" is missing, expected ${expected()}`;
  const both = (): string => `given ${tensor.dtype}${printShape(tensor.shape)}, expected ${expected()}`;
  if (tensor.disposed) return `input "${spec.name}" was disposed`;
  if (tensor.dtype !== spec.dtype)
    return `input "${spec.name}" has dtype ${tensor.dtype}, expected ${spec.dtype} (${both()})`;
  if (tensor.shape.length !== spec.shape.length)
    return `input "${spec.name}" has ${tensor.shape.length} axes, expected ${spec.shape.length} (${both()})`;
  return undefined;
}

interface ShapeFact {
  /** For messages: `input "x"`. */
  readonly name: string;
  readonly declared: Shape;
  readonly actual: readonly number[];
}

/** Finds symbol values from shapes of equal rank. Plain symbols decide first, then sizes linear in one symbol. */
function bindShapes(facts: readonly ShapeFact[], fixed: DimBindings): { bindings: DimBindings; conflicts: string[] } {
  const bindings: Record<string, number> = { ...fixed };
  const origin = new Map<string, string>(Object.keys(fixed).map((name) => [name, "the compiled bindings"]));
  const conflicts: string[] = [];
  const open = facts.flatMap(({ name, declared, actual }) =>
    declared.map((dim, axis) => ({
      place: `${name} axis ${axis}`,
      dim,
      size: actual[axis] as number,
      declared,
      actual,
    })),
  );
  const isPlain = (dim: Dim): boolean =>
    typeof dim !== "number" && symbolsOf(dim).length === 1 && symbolsOf(dim)[0] === printDim(dim);
  // Stable order: whatever is a plain symbol first.
  for (const { place, dim, size, declared, actual } of open.toSorted(
    (a, b) => Number(isPlain(b.dim)) - Number(isPlain(a.dim)),
  )) {
    const unknown = symbolsOf(dim).filter((name) => bindings[name] === undefined);
    const context = (): string => `given ${printShape(actual)}, expected ${printShape(declared)}`;
    if (unknown.length === 1) {
      const [name] = unknown as [string];
      const value = solve(dim, name, size, bindings);
      if (value === undefined)
        conflicts.push(`${place} has size ${size}, which ${printDim(dim)} cannot be (${context()})`);
      else {
        bindings[name] = value;
        origin.set(name, place);
      }
    } else if (unknown.length === 0) {
      const expected = evaluateDim(dim, bindings);
      if (expected === size) continue;
      const reason =
        typeof dim === "number"
          ? ""
          : ` = ${printDim(dim)} from ${symbolsOf(dim)
              .map((name) => origin.get(name))
              .join(" and ")}`;
      conflicts.push(`${place} has size ${size}, expected ${expected}${reason} (${context()})`);
    }
  }
  return { bindings, conflicts };
}

function symbolsOf(dim: Dim): string[] {
  const names = new Set<string>();
  collectSymbols(dim, names);
  return [...names];
}

/** The size of symbol `name` for which `dim` is `size`; undefined when there is none, or none that is easy to find. */
function solve(dim: Dim, name: string, size: number, bindings: DimBindings): number | undefined {
  const at = (value: number): number =>
    evaluateDim(
      substituteDim(dim, (other) => (other === name ? value : bindings[other])),
      {},
    );
  const [zero, one] = [at(0), at(1)];
  const value = one === zero ? 0 : Math.round((size - zero) / (one - zero));
  return value >= 0 && at(value) === size ? value : undefined;
}
