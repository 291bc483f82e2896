/** Ops that make tensors from arguments and shapes alone: constants, ranges, windows, random numbers. */

import { isFloat, shapeSize } from "@quern/core";
import { add, apply, cast, constant, dimTensor, expand, full, reshape, scalar, scaled, sub } from "../build.ts";
import type { OpFunction } from "../node.ts";
import { shapeArgument } from "./shape-argument.ts";

export const Constant: OpFunction = (n) => {
  const { b } = n;
  const value = n.tensor("value");
  if (value !== undefined) return b.constant(value);
  if (n.has("value_float")) return scalar(b, "f32", n.float("value_float"));
  if (n.has("value_int")) return scalar(b, "i64", n.int("value_int"));
  if (n.has("value_floats")) return constant(b, "f32", n.floats("value_floats") ?? []);
  if (n.has("value_ints")) return constant(b, "i64", n.ints("value_ints") ?? []);
  if (n.has("value_string") || n.has("value_strings")) return n.unsupported("strings are no tensors");
  if (n.has("sparse_value")) return n.unsupported("sparse tensors");
  return n.fail("no value is given");
};

export const Shape: OpFunction = (n) => {
  const { shape } = n.input(0).type;
  const rank = shape.length;
  const bound = (index: number): number => Math.max(0, Math.min(rank, index < 0 ? index + rank : index));
  const start = bound(n.int("start", 0));
  const end = n.has("end") ? bound(n.int("end")) : rank;
  return dimTensor(n.b, shape.slice(start, Math.max(start, end)));
};

export const Size: OpFunction = (n) => dimTensor(n.b, [shapeSize(n.input(0).type.shape)], []);

export const ConstantOfShape: OpFunction = (n) => {
  const value = n.tensor("value") ?? { dtype: "f32" as const, shape: [1], bytes: new Uint8Array(4) };
  const size = value.shape.reduce((elements, dim) => elements * dim, 1);
  if (size !== 1) return n.fail(`"value" must have one element, it has ${size}`);
  const element = n.b.constant({ ...value, shape: [] });
  const shape = n.dims(0);
  if (shape === undefined) return apply(n.b, "expandDynamic", [element, shapeArgument(n, 0)]);
  if (shape.some((dim) => typeof dim === "number" && dim < 0))
    return n.fail(`shape [${shape.join(", ")}] has a negative size`);
  return expand(n.b, element, shape);
};

export const Range: OpFunction = (n) => apply(n.b, "range", [n.input(0), n.input(1), n.input(2)]);

/** a0 - a1 cos(2πk/N) + a2 cos(4πk/N), N one less for symmetric windows. */
function cosineWindow(terms: readonly number[]): OpFunction {
  return (n) => {
    const { b } = n;
    const to = n.dtype("output_datatype") ?? "f32";
    if (!isFloat(to)) return n.unsupported("windows of integers");
    const size = n.number(0);
    const length = size === undefined ? cast(b, reshape(b, n.input(0), []), "i64") : scalar(b, "i64", size);
    if (size !== undefined && !(size >= 0 && size < 2 ** 31)) return n.fail(`a window of ${size} elements`);
    const k = cast(b, apply(b, "range", [scalar(b, "i64", 0), length, scalar(b, "i64", 1)]), "f32");
    const period = n.flag("periodic", true) ? length : sub(b, length, scalar(b, "i64", 1));
    const angle = apply(b, "div", [scaled(b, k, 2 * Math.PI), cast(b, period, "f32")]);
    const sum = terms.map((factor, i) => {
      const cosine = i === 0 ? undefined : scaled(b, apply(b, "cos", [scaled(b, angle, i)]), factor);
      return cosine ?? full(b, "f32", factor, k.type.shape);
    });
    return cast(
      b,
      sum.reduce((total, term) => add(b, total, term)),
      to,
    );
  };
}

export const HannWindow: OpFunction = cosineWindow([0.5, -0.5]);
export const HammingWindow: OpFunction = cosineWindow([25 / 46, -21 / 46]);
export const BlackmanWindow: OpFunction = cosineWindow([0.42, -0.5, 0.08]);

const RANDOM = "random numbers are not drawn inside graphs";
export const RandomNormal: OpFunction = (n) => n.unsupported(RANDOM);
export const RandomNormalLike: OpFunction = (n) => n.unsupported(RANDOM);
export const RandomUniform: OpFunction = (n) => n.unsupported(RANDOM);
export const RandomUniformLike: OpFunction = (n) => n.unsupported(RANDOM);
export const Multinomial: OpFunction = (n) => n.unsupported(RANDOM);
export const Bernoulli: OpFunction = (n) => n.unsupported(RANDOM);

/** Weights that turn a linear spectrum into mel bands: triangles between equally spaced mels. */
export const MelWeightMatrix: OpFunction = (n) => {
  const [bands, length, rate, low, high] = ["bands", "DFT length", "sample rate", "lower edge", "upper edge"].map(
    (what, i) => n.constantNumbers(i, what)[0] ?? n.fail(`${what} is empty`),
  ) as [number, number, number, number, number];
  const bins = Math.floor(length / 2) + 1;
  if (!(bands >= 1 && bins >= 1 && bands * bins <= 2 ** 22)) return n.fail(`a matrix of ${bins} × ${bands}`);
  const mel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700);
  const step = (mel(high) - mel(low)) / (bands + 2);
  const edges = Array.from({ length: bands + 2 }, (_, i) =>
    Math.floor(((length + 1) * (700 * (10 ** ((i * step + mel(low)) / 2595) - 1))) / rate),
  );
  const beyond = edges.find((edge) => !(edge >= 0 && edge < bins));
  if (beyond !== undefined) return n.fail(`a band edge at bin ${beyond} of ${bins}`);
  const weights = new Float64Array(bins * bands);
  for (let band = 0; band < bands; band++) {
    const [start, centre, end] = edges.slice(band, band + 3) as [number, number, number];
    if (centre === start) weights[centre * bands + band] = 1;
    else for (let i = start; i <= centre; i++) weights[i * bands + band] = (i - start) / (centre - start);
    if (end !== centre) for (let i = centre; i < end; i++) weights[i * bands + band] = (end - i) / (end - centre);
  }
  return constant(n.b, n.dtype("output_datatype") ?? "f32", Array.from(weights.subarray(0, bins * bands)), [
    bins,
    bands,
  ]);
};
