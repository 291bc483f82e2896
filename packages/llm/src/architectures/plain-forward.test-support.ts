/**
 * A decoder in straight loops over float64, without graph, cache or ops: what step graphs are judged by. It computes every
 * token of one sequence with a full matrix of scores per head, and is told what to do by `PlainModel` alone, which tests
 * write by hand for each architecture.
 */

export type Rows = Float64Array[];

export interface PlainModel {
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Elements and shape of a tensor; undefined where the model has none of that name. */
  tensor(name: string): { readonly shape: readonly number[]; readonly data: Float64Array } | undefined;
  readonly epsilon: number;
  readonly layerNorms?: boolean;
  readonly embeddingFactor?: number;
  /** The angle of a pair of elements of queries and keys; absent without rope. */
  readonly angle?: (pair: number, position: number, layer: number) => number;
  readonly ropePairs?: "neighbours" | "halves";
  readonly ropeDims?: number;
  readonly ropeMagnitude?: number;
  readonly scoreFactor: number;
  readonly scoreCap?: number;
  readonly logitCap?: number;
  /** Tokens seen, the own one included. */
  readonly window?: (layer: number) => number;
  readonly activation: (x: number) => number;
  readonly expertsUsed?: number;
}

export const siluOf = (x: number): number => x / (1 + Math.exp(-x));
export const geluOf = (x: number): number =>
  0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));

/** Logits of every token, and the states they come from. */
export function plainForward(model: PlainModel, ids: readonly number[]): { logits: Rows; hidden: Rows } {
  const embedding = matrix(model, "token_embd.weight");
  const places = model.tensor("position_embd.weight");
  let x: Rows = ids.map((id, position) =>
    embedding[id]!.map(
      (value, i) =>
        value * (model.embeddingFactor ?? 1) +
        (places === undefined ? 0 : places.data[position * embedding[id]!.length + i]!),
    ),
  );
  for (let layer = 0; layer < model.layers; layer++) {
    const at = `blk.${layer}.`;
    const mixed = attention(
      model,
      layer,
      x.map((row) => norm(model, `${at}attn_norm`, row)),
    );
    x = x.map((row, t) => plus(row, maybeNorm(model, `${at}post_attention_norm`, mixed[t]!)));
    x = x.map((row) => {
      const deep = feedForward(model, at, norm(model, `${at}ffn_norm`, row));
      return plus(row, maybeNorm(model, `${at}post_ffw_norm`, deep));
    });
  }
  const hidden = x.map((row) => norm(model, "output_norm", row));
  const head = model.tensor("output.weight") === undefined ? "token_embd" : "output";
  const cap = model.logitCap ?? 0;
  const logits = hidden.map((row) => {
    const raw = times(model, head, row);
    return cap === 0 ? raw : raw.map((value) => cap * Math.tanh(value / cap));
  });
  return { logits, hidden };
}

function attention(model: PlainModel, layer: number, x: Rows): Rows {
  const { heads, kvHeads, headDim } = model;
  const at = `blk.${layer}.`;
  const turned = (row: Float64Array, position: number, count: number, normName: string): Float64Array[] =>
    headsOf(row, count, headDim).map((head) => rotate(model, layer, position, maybeNorm(model, at + normName, head)));
  const projected = x.map((row) => {
    if (model.tensor(`${at}attn_qkv.weight`) === undefined)
      return ["attn_q", "attn_k", "attn_v"].map((name) => times(model, at + name, row));
    const all = times(model, `${at}attn_qkv`, row);
    const [q, kv] = [heads * headDim, kvHeads * headDim];
    return [all.slice(0, q), all.slice(q, q + kv), all.slice(q + kv)];
  }) as [Float64Array, Float64Array, Float64Array][];
  const queries = projected.map(([q], t) => turned(q, t, heads, "attn_q_norm"));
  const keys = projected.map(([, k], t) => turned(k, t, kvHeads, "attn_k_norm"));
  const values = projected.map(([, , v]) => headsOf(v, kvHeads, headDim));
  const cap = model.scoreCap ?? 0;
  const window = model.window?.(layer) ?? Infinity;
  return x.map((_, t) => {
    const mixed = new Float64Array(heads * headDim);
    for (let head = 0; head < heads; head++) {
      const shared = Math.floor(head / (heads / kvHeads));
      const weights = x.map((_row, s) => {
        if (s > t || t - s >= window) return -Infinity;
        const score = model.scoreFactor * dot(queries[t]![head]!, keys[s]![shared]!);
        return cap === 0 ? score : cap * Math.tanh(score / cap);
      });
      const top = Math.max(...weights);
      const total = weights.reduce((sum, score) => sum + Math.exp(score - top), 0);
      weights.forEach((score, s) => {
        const share = Math.exp(score - top) / total;
        values[s]![shared]!.forEach((value, i) => (mixed[head * headDim + i]! += share * value));
      });
    }
    return times(model, `${at}attn_output`, mixed);
  });
}

function feedForward(model: PlainModel, at: string, x: Float64Array): Float64Array {
  if (model.tensor(`${at}ffn_gate_inp.weight`) !== undefined) return experts(model, at, x);
  const up = times(model, `${at}ffn_up`, x);
  const down = model.tensor(`${at}ffn_down.weight`)!.shape[1]!;
  if (model.tensor(`${at}ffn_gate.weight`) !== undefined) {
    const gate = times(model, `${at}ffn_gate`, x);
    return times(
      model,
      `${at}ffn_down`,
      up.map((value, i) => model.activation(gate[i]!) * value),
    );
  }
  // Gate and up in one.
  if (up.length === 2 * down)
    return times(
      model,
      `${at}ffn_down`,
      up.slice(0, down).map((gate, i) => model.activation(gate) * up[down + i]!),
    );
  return times(model, `${at}ffn_down`, up.map(model.activation));
}

function experts(model: PlainModel, at: string, x: Float64Array): Float64Array {
  const scores = times(model, `${at}ffn_gate_inp`, x);
  const raw = scores.map((score) => Math.exp(score - Math.max(...scores)));
  const order = [...raw.keys()].sort((a, b) => raw[b]! - raw[a]!).slice(0, model.expertsUsed);
  const total = order.reduce((sum, expert) => sum + raw[expert]!, 0);
  const result = new Float64Array(x.length);
  for (const expert of order) {
    const one = (name: string, input: Float64Array): Float64Array => {
      const { shape, data } = model.tensor(`${at}${name}.weight`)!;
      const [, out, inner] = shape as [number, number, number];
      const rows = data.subarray(expert * out * inner, (expert + 1) * out * inner);
      return Float64Array.from({ length: out }, (_, row) => dot(rows.subarray(row * inner, (row + 1) * inner), input));
    };
    const gate = one("ffn_gate_exps", x);
    const inner = one("ffn_up_exps", x).map((value, i) => value * model.activation(gate[i]!));
    one("ffn_down_exps", inner).forEach((value, i) => (result[i]! += (value * raw[expert]!) / total));
  }
  return result;
}

/** Pairs as complex numbers, multiplied by e^(i · angle). */
function rotate(model: PlainModel, layer: number, position: number, head: Float64Array): Float64Array {
  const { angle, ropePairs, ropeDims = 0, ropeMagnitude = 1 } = model;
  if (angle === undefined) return head;
  const result = head.slice();
  for (let pair = 0; pair < ropeDims / 2; pair++) {
    const [re, im] = ropePairs === "halves" ? [pair, pair + ropeDims / 2] : [2 * pair, 2 * pair + 1];
    const turn = angle(pair, position, layer);
    result[re] = ropeMagnitude * (head[re]! * Math.cos(turn) - head[im]! * Math.sin(turn));
    result[im] = ropeMagnitude * (head[re]! * Math.sin(turn) + head[im]! * Math.cos(turn));
  }
  return result;
}

function norm(model: PlainModel, name: string, x: Float64Array): Float64Array {
  const weight = model.tensor(`${name}.weight`)!.data;
  const mean = model.layerNorms === true ? x.reduce((sum, value) => sum + value, 0) / x.length : 0;
  const spread = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  const bias = model.tensor(`${name}.bias`)?.data;
  return x.map((value, i) => ((value - mean) / Math.sqrt(spread + model.epsilon)) * weight[i]! + (bias?.[i] ?? 0));
}

function maybeNorm(model: PlainModel, name: string, x: Float64Array): Float64Array {
  return model.tensor(`${name}.weight`) === undefined ? x : norm(model, name, x);
}

function times(model: PlainModel, name: string, x: Float64Array): Float64Array {
  const bias = model.tensor(`${name}.bias`)?.data;
  return Float64Array.from(matrix(model, `${name}.weight`), (row, i) => dot(row, x) + (bias?.[i] ?? 0));
}

function matrix(model: PlainModel, name: string): Rows {
  const { shape, data } = model.tensor(name)!;
  const columns = shape[1]!;
  return Array.from({ length: shape[0]! }, (_, row) => data.subarray(row * columns, (row + 1) * columns));
}

function headsOf(row: Float64Array, count: number, headDim: number): Float64Array[] {
  return Array.from({ length: count }, (_, head) => row.slice(head * headDim, (head + 1) * headDim));
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

function plus(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + b[i]!);
}
