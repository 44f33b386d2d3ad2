/** onnxruntime in wasm and natively: the same graphs on one thread. */
import type { Value } from "../../tests/compat/onnx-model.ts";
import { type OnnxRuntime, openSession } from "../../tests/compat/onnx-session.ts";
import type { Placed } from "../case.ts";
import { attentionGraphs } from "./onnx-attention.ts";
import { type Feed, feed, type Graph, type GraphChoice, int64, node } from "./onnx-graph.ts";
import type { Choice, Task } from "./task.ts";

/** Where Attention became one of ONNX's own operators. */
const OPSET = 23;

/** Loads what a session needs, by making one. */
export async function start(ort: OnnxRuntime, options: object): Promise<void> {
  const x: Feed = { type: "float32", data: Float32Array.of(1), shape: [1] };
  const { dispose } = await place(ort, options, { how: "", nodes: [node("Identity", ["x"], "out")], inputs: { x } });
  await dispose?.();
}

/** The rows of a task: of each, every graph that could be the fastest. */
export const onnxChoices =
  (ort: OnnxRuntime, options: object) =>
  (task: Task): readonly Choice[] =>
    graphsOf(task).map(({ label, graphs }) => ({
      ...(label === undefined ? {} : { label }),
      ways: graphs.map((graph) => ({ how: graph.how, place: () => place(ort, options, graph) })),
    }));

function graphsOf(task: Task): readonly GraphChoice[] {
  switch (task.kind) {
    case "attention":
      return attentionGraphs(task);
    case "additive": {
      const [qLen, hidden] = task.query.shape as [number, number];
      const nodes = [
        node("Add", ["query", "key"], "sum"),
        node("Tanh", ["sum"], "bent"),
        node("MatMul", ["bent", "v"], "columns"),
        node("Squeeze", ["columns", "last"], "scores"),
        node("Softmax", ["scores"], "weights", { axis: { int: -1 } }),
        node("MatMul", ["weights", "value"], "out"),
      ];
      const query = feed({ data: task.query.data, shape: [qLen, 1, hidden] });
      const key = feed({ data: task.key.data, shape: [1, ...task.key.shape] });
      const constants = { v: feed({ data: task.v.data, shape: [hidden, 1] }), last: int64(2) };
      const inputs = { query, key, value: feed(task.value) };
      return [{ graphs: [{ how: "Add, Tanh, MatMul, Softmax, MatMul", nodes, inputs, constants }] }];
    }
    case "linear": {
      // The weight lies in the model, where it is packed once.
      const nodes = [node("Gemm", ["x", "weight"], "out", { transB: { int: 1 } })];
      return [
        { graphs: [{ how: "Gemm", nodes, inputs: { x: feed(task.x) }, constants: { weight: feed(task.weight) } }] },
      ];
    }
    case "softmax": {
      const nodes = [node("Softmax", ["x"], "out", { axis: { int: task.axis } })];
      return [{ graphs: [{ how: "Softmax", nodes, inputs: { x: feed(task.x) } }] }];
    }
    case "layer-norm": {
      const attributes = { axis: { int: -1 }, epsilon: { float: task.epsilon } };
      const nodes = [node("LayerNormalization", ["x", "weight", "bias"], "out", attributes)];
      const constants = { weight: feed(task.weight), bias: feed(task.bias) };
      return [{ graphs: [{ how: "LayerNormalization", nodes, inputs: { x: feed(task.x) }, constants }] }];
    }
  }
}

/** A session, and its operands as the interface wants them: it copies those that are fed in every call. */
async function place(ort: OnnxRuntime, options: object, graph: Graph): Promise<Placed> {
  const { nodes, inputs, constants = {}, read } = graph;
  const declared = Object.entries(inputs).map(([name, { type }]): Value => ({ name, type }));
  const model = {
    opset: OPSET,
    nodes,
    inputs: declared,
    outputs: [{ name: "out", type: "float32" as const }],
    constants: Object.entries(constants).map(([name, each]) => ({ name, ...each })),
  };
  const session = await openSession(ort, model, inputs, options);
  let last = new Float32Array();
  return {
    async call() {
      const { out } = await session.run();
      last = out!.data as Float32Array<ArrayBuffer>;
    },
    result: () => (read ? read(last) : last),
    dispose: () => session.release(),
  };
}
