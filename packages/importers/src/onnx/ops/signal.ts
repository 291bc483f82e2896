/**
 * Discrete Fourier transforms as products with cosine and sine matrices, for transforms of fixed length. Right for the
 * window sizes of audio models; a fast transform would be an op of its own.
 */

import { type Value, dimEqual } from "@quern/core";
import { add, apply, concat, constant, mul, reshape, scaled, sliceAxis, sub, transpose, unsqueeze } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";

const MAX_LENGTH = 2048;

interface ComplexPair {
  readonly real: Value;
  readonly imaginary: Value | undefined;
}

/** Transforms the last axis of `x`, which has `length` elements, to `bins` frequencies. */
function transform(
  n: OnnxNode,
  x: ComplexPair,
  length: number,
  bins: number,
  inverse: boolean,
): ComplexPair & { readonly imaginary: Value } {
  const { b } = n;
  const { dtype } = x.real.type;
  const table = (f: (angle: number) => number): Value => {
    const values: number[] = [];
    for (let t = 0; t < length; t++)
      for (let k = 0; k < bins; k++) values.push(f((2 * Math.PI * ((t * k) % length)) / length));
    return constant(b, dtype, values, [length, bins]);
  };
  const times = (value: Value, matrix: Value): Value => apply(b, "matmul", [value, matrix]);
  const [cosines, sines] = [table(Math.cos), table((angle) => (inverse ? -Math.sin(angle) : Math.sin(angle)))];
  const real = times(x.real, cosines);
  const negative = times(x.real, sines);
  const scale = inverse ? 1 / length : 1;
  if (x.imaginary === undefined) return { real: scaled(b, real, scale), imaginary: scaled(b, negative, -scale) };
  return {
    real: scaled(b, add(b, real, times(x.imaginary, sines)), scale),
    imaginary: scaled(b, sub(b, times(x.imaginary, cosines), negative), scale),
  };
}

function parts(n: OnnxNode, x: Value): ComplexPair {
  const rank = x.type.shape.length;
  const pick = (i: number): Value => reshape(n.b, sliceAxis(n.b, x, rank - 1, i, 1), x.type.shape.slice(0, -1));
  const last = x.type.shape[rank - 1];
  if (last === 1) return { real: pick(0), imaginary: undefined };
  return last === 2 ? { real: pick(0), imaginary: pick(1) } : n.fail("the last axis must hold real numbers or pairs");
}

function joined(n: OnnxNode, { real, imaginary }: { readonly real: Value; readonly imaginary: Value }): Value {
  const rank = real.type.shape.length;
  return concat(n.b, [unsqueeze(n.b, real, [rank]), unsqueeze(n.b, imaginary, [rank])], rank);
}

function checkedLength(n: OnnxNode, length: unknown): number {
  if (typeof length !== "number") return n.unsupported("the transform's length must be fixed");
  return Number.isInteger(length) && length >= 1 && length <= MAX_LENGTH
    ? length
    : n.unsupported(`a transform of ${length} elements`);
}

export const DFT: OpFunction = (n) => {
  const { b } = n;
  const x = n.input(0);
  const rank = x.type.shape.length;
  const axis = n.axis(
    n.opset < 20 ? n.int("axis", 1) : n.optional(2) === undefined ? -2 : (n.constantNumbers(2, "axis")[0] ?? -2),
    rank,
  );
  if (axis === rank - 1) return n.fail("the last axis holds the numbers' parts");
  const inverse = n.flag("inverse", false);
  const onesided = n.flag("onesided", false);
  const size = checkedLength(n, x.type.shape[axis]);
  if (inverse && onesided) return inverseReal(n, x, axis);
  const length = n.optional(1) === undefined ? size : checkedLength(n, n.constantNumbers(1, "dft_length")[0]);
  const fitted = fit(n, x, axis, size, length);
  const order = [...Array.from({ length: rank - 1 }, (_, i) => i).filter((i) => i !== axis), axis, rank - 1];
  const y = transform(
    n,
    parts(n, transpose(b, fitted, order)),
    length,
    onesided ? Math.floor(length / 2) + 1 : length,
    inverse,
  );
  return transpose(
    b,
    joined(n, y),
    order.map((_, i) => order.indexOf(i)),
  );
};

/** Cuts or pads with zeros to `length` elements. */
function fit(n: OnnxNode, x: Value, axis: number, size: number, length: number): Value {
  if (length <= size) return sliceAxis(n.b, x, axis, 0, length);
  const zero = x.type.shape.map(() => 0);
  return apply(n.b, "pad", [x], { before: zero, after: zero.with(axis, length - size), mode: "constant", value: 0 });
}

/** The real signal behind the first half of a spectrum: the other half is its mirrored conjugate. */
function inverseReal(n: OnnxNode, x: Value, axis: number): Value {
  const { b } = n;
  const rank = x.type.shape.length;
  const half = checkedLength(n, x.type.shape[axis]);
  const length = n.optional(1) === undefined ? 2 * (half - 1) : checkedLength(n, n.constantNumbers(1, "dft_length")[0]);
  const bins = Math.floor(length / 2) + 1;
  const order = [...Array.from({ length: rank - 1 }, (_, i) => i).filter((i) => i !== axis), axis, rank - 1];
  const { real, imaginary } = parts(n, transpose(b, fit(n, x, axis, half, bins), order));
  if (imaginary === undefined) return n.fail("the spectrum must be complex");
  const mirrored = length - bins;
  const last = real.type.shape.length - 1;
  const start = length % 2 === 0 ? bins - 2 : bins - 1;
  const mirror = (value: Value): Value => sliceAxis(b, value, last, start, mirrored, -1);
  const full =
    mirrored === 0
      ? { real, imaginary }
      : {
          real: concat(b, [real, mirror(real)], last),
          imaginary: concat(b, [imaginary, scaled(b, mirror(imaginary), -1)], last),
        };
  const y = transform(n, full, length, length, true).real;
  return transpose(
    b,
    unsqueeze(b, y, [rank - 1]),
    order.map((_, i) => order.indexOf(i)),
  );
}

export const STFT: OpFunction = (n) => {
  const { b } = n;
  const signal = n.input(0);
  const step = n.constantNumbers(1, "frame_step")[0] ?? 0;
  const window = n.optional(2);
  const length = checkedLength(
    n,
    n.optional(3) === undefined ? window?.type.shape[0] : n.constantNumbers(3, "frame_length")[0],
  );
  const size = signal.type.shape[1];
  if (typeof size !== "number") return n.unsupported("the signal must have a fixed length");
  if (!(step >= 1)) return n.fail(`frame_step is ${step}`);
  const frames = Math.floor((size - length) / step) + 1;
  if (frames < 1 || frames * length > 2 ** 22)
    return n.fail(`${frames} frames of ${length} elements from a signal of ${size}`);
  const at = constant(
    b,
    "i64",
    Array.from({ length: frames * length }, (_, i) => Math.floor(i / length) * step + (i % length)),
    [frames, length],
  );
  const onesided = n.flag("onesided", true);
  const wave = signal.type.shape.length === 2 ? unsqueeze(b, signal, [2]) : signal;
  const { real, imaginary } = parts(n, wave);
  const framed = (value: Value): Value => {
    const cut = apply(b, "gather", [value, at], { axis: 1 });
    if (window === undefined) return cut;
    if (dimEqual(window.type.shape[0] ?? 0, length) === false)
      return n.unsupported("a window of another length than the frames");
    return mul(b, cut, window);
  };
  const complex = { real: framed(real), imaginary: imaginary === undefined ? undefined : framed(imaginary) };
  return joined(
    n,
    transform(n, complex, length, onesided && imaginary === undefined ? Math.floor(length / 2) + 1 : length, false),
  );
};
