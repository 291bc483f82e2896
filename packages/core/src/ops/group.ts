/**
 * The fused kernel: a node whose body is a graph that a device computes in one kernel. Made by the fusion pass.
 */

import type { Graph } from "../graph/graph.ts";
import { graphAttr } from "./attrs.ts";
import { of, opCase } from "./cases.ts";
import { singleNodeGraph } from "./case-graphs.ts";
import type { Op } from "./op.ts";
import { input } from "./ref-tensor.ts";
import { checkBodyInputs } from "./subgraph.ts";
import { ulps } from "./tolerance.ts";

export const group: Op = {
  name: "group",
  summary: "The outputs of its body, computed as one kernel",
  inputs: ["x..."],
  infer: (types, attrs) => {
    const body = graphAttr("group", attrs, "body");
    checkBodyInputs("group", body, types);
    return body.outputs.map(({ value }) => value.type);
  },
  reference: (inputs, attrs, _outputs, context) =>
    context.runGraph(
      graphAttr("group", attrs, "body"),
      inputs.map((_, i) => input(inputs, i)),
    ),
  tolerance: ulps(1),
  cases: () => [opCase("add", [of("f32", 3, 17), of("f32", 17)], { body: addBody() })],
};

function addBody(): Graph {
  return singleNodeGraph(
    "sum",
    "add",
    [
      { dtype: "f32", shape: [3, 17] },
      { dtype: "f32", shape: [17] },
    ],
    { dtype: "f32", shape: [3, 17] },
  );
}
