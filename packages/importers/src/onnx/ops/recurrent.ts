/** Recurrent layers, in the gate order and tensor layout of ONNX. */

import { type Attrs, type Value, dimEqual } from "@quern/core";
import { applyAll } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";

const DEFAULTS: Readonly<Record<string, readonly string[]>> = {
  lstm: ["Sigmoid", "Tanh", "Tanh"],
  gru: ["Sigmoid", "Tanh"],
  rnn: ["Tanh"],
};

/** Graph op names of the activations, by their ONNX name in lower case. */
const ACTIVATIONS: Readonly<Record<string, string>> = {
  sigmoid: "sigmoid",
  tanh: "tanh",
  relu: "relu",
  affine: "affine",
  leakyrelu: "leakyRelu",
  thresholdedrelu: "thresholdedRelu",
  scaledtanh: "scaledTanh",
  hardsigmoid: "hardSigmoid",
  elu: "elu",
  softsign: "softsign",
  softplus: "softplus",
};

function recurrent(n: OnnxNode, name: "lstm" | "gru" | "rnn", extra: Attrs): readonly Value[] {
  const direction = n.choice("direction", ["forward", "reverse", "bidirectional"], "forward");
  const directions = direction === "bidirectional" ? 2 : 1;
  const [x, w, r] = [n.input(0), n.input(1), n.input(2)];
  const hidden = n.has("hidden_size") ? n.int("hidden_size") : r.type.shape[2];
  if (typeof hidden !== "number") return n.unsupported("weights must have fixed sizes");
  if (x.type.shape.length !== 3 || w.type.shape.length !== 3 || r.type.shape.length !== 3)
    return n.fail("input and weights need 3 axes");
  if (dimEqual(w.type.shape[0] ?? 0, directions) === false)
    return n.fail(`weights are for ${String(w.type.shape[0])} directions, not for ${direction}`);
  const given = n.strings("activations") ?? Array.from({ length: directions }, () => DEFAULTS[name] ?? []).flat();
  const activations = given.map(
    (text) => ACTIVATIONS[text.toLowerCase()] ?? n.fail(`there is no activation "${text}"`),
  );
  const expected = (DEFAULTS[name]?.length ?? 0) * directions;
  if (activations.length !== expected) return n.fail(`${activations.length} activations, expected ${expected}`);
  return applyAll(
    n.b,
    name,
    [x, w, r, ...[3, 4, 5, 6, 7].slice(0, name === "lstm" ? 5 : 3).map((i) => n.optional(i))],
    {
      hidden,
      direction,
      activations,
      activationAlpha: n.floats("activation_alpha") ?? [],
      activationBeta: n.floats("activation_beta") ?? [],
      ...(n.has("clip") ? { clip: n.float("clip") } : {}),
      layout: n.int("layout", 0),
      ...extra,
    },
  );
}

export const LSTM: OpFunction = (n) => recurrent(n, "lstm", { inputForget: n.flag("input_forget", false) });
export const GRU: OpFunction = (n) => recurrent(n, "gru", { linearBeforeReset: n.flag("linear_before_reset", false) });
export const RNN: OpFunction = (n) => recurrent(n, "rnn", {});
