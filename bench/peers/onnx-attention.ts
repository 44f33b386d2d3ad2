/** Attention as ONNX graphs: every operator that onnxruntime has for it, in every way that its keys can be given. */
import { arranged, permuted, reshaped, rowsOf, transposed } from "../attention/arrange.ts";
import { contributed, type Feed, feed, float, type Graph, type GraphChoice, int32, node } from "./onnx-graph.ts";
import type { AttentionTask, Numbers } from "./task.ts";

/** Operands in both layouts, made once for all graphs of a task. */
interface Arranged {
  readonly query: Numbers;
  readonly key: Numbers;
  readonly value: Numbers;
}

export function attentionGraphs(task: AttentionTask): readonly GraphChoice[] {
  const { spec } = task;
  const heads: Arranged = {
    query: arranged(task.query, spec.layout, "bhsd"),
    key: arranged(task.key, spec.layout, "bhsd"),
    value: arranged(task.value, spec.layout, "bhsd"),
  };
  const bias = task.bias();
  const whole = wholeGraphs(task, heads, bias);
  if (!decodes(task)) return [{ graphs: [...whole, ...pastGraphs(task, heads)] }];
  return [
    { label: "past", graphs: pastGraphs(task, heads) },
    { label: "whole keys", graphs: whole },
    { label: "constants", graphs: whole.map(withConstants) },
  ];
}

/** A few rows at the end of many keys. */
const decodes = ({ spec }: AttentionTask): boolean => spec.qLen < spec.kvLen;

/** Everything but the query in the model: then nothing is copied in a call, and nothing can be appended either. */
function withConstants({ how, nodes, inputs, constants, ...rest }: Graph): Graph {
  const { query, ...others } = inputs;
  return { how, nodes, inputs: { query: query! }, constants: { ...others, ...constants }, ...rest };
}

/** `[batch, seq, heads * dim]`, as MultiHeadAttention and GroupQueryAttention take queries. */
function flat(numbers: Numbers): Numbers {
  const [batch, heads, seq, dim] = numbers.shape as [number, number, number, number];
  return reshaped(permuted(numbers, [0, 2, 1, 3]), [batch, seq, heads * dim]);
}

/** All keys given as they are. */
function wholeGraphs(task: AttentionTask, heads: Arranged, bias: Numbers | null): Graph[] {
  const { spec } = task;
  const { query, key, value } = heads;
  const { numHeads, numKvHeads, qLen, kvLen, headDim, softcap } = spec;
  const readFlat = (out: Float32Array<ArrayBuffer>) => {
    const shape = [spec.batch, qLen, numHeads, spec.valueHeadDim];
    return arranged({ data: out, shape }, "bshd", spec.layout).data;
  };
  const readHeads = (out: Float32Array<ArrayBuffer>) => {
    const shape = [spec.batch, numHeads, qLen, spec.valueHeadDim];
    return arranged({ data: out, shape }, "bhsd", spec.layout).data;
  };
  // Both have an attribute for the square causal mask; anything else is an array that is added.
  const square = spec.causal && qLen === kvLen && !spec.window;
  const added: Readonly<Record<string, Feed>> = bias && !square ? { bias: feed(bias) } : {};
  const addedName = bias && !square ? "bias" : "";
  const graphs: Graph[] = [];
  if (numHeads === numKvHeads && softcap === undefined) {
    const attributes = { num_heads: { int: numHeads }, ...(square && { unidirectional: { int: 1 } }) };
    const names = ["query", "key", "value", "", "", addedName];
    const nodes = [contributed("MultiHeadAttention", names, ["out"], attributes)];
    const how = "MultiHeadAttention";
    const rows = { query: feed(flat(query)), key: feed(flat(key)), value: feed(flat(value)) };
    graphs.push({ how, nodes, inputs: { ...rows, ...added }, read: readFlat });
    const panels = { query: feed(flat(query)), key: feed(key), value: feed(value) };
    graphs.push({ how: `${how}, keys by head`, nodes, inputs: { ...panels, ...added }, read: readFlat });
  }
  {
    const attributes = {
      ...(square && { is_causal: { int: 1 } }),
      ...(softcap === undefined ? {} : { softcap: { float: softcap } }),
    };
    const nodes = [node("Attention", ["query", "key", "value", addedName], "out", attributes)];
    const inputs = { query: feed(query), key: feed(key), value: feed(value), ...added };
    graphs.push({ how: "Attention", nodes, inputs, read: readHeads });
  }
  const grouped = numHeads !== numKvHeads;
  if (softcap === undefined && !(grouped && bias)) {
    // A group's heads are rows of one product.
    const rows = reshaped(query, [spec.batch, numKvHeads, (numHeads / numKvHeads) * qLen, headDim]);
    const masked = bias ? [node("Add", ["scaled", "bias"], "masked")] : [];
    const tail = [
      node("Mul", ["scores", "scale"], "scaled"),
      ...masked,
      node("Softmax", [bias ? "masked" : "scaled"], "weights", { axis: { int: -1 } }),
      node("MatMul", ["weights", "value"], "out"),
    ];
    const given = { query: feed(rows), value: feed(value), ...(bias && { bias: feed(bias) }) };
    const constants = { scale: float(1 / Math.sqrt(headDim)) };
    graphs.push({
      how: "MatMul, Softmax, MatMul, keys transposed",
      nodes: [node("MatMul", ["query", "key"], "scores"), ...tail],
      inputs: { ...given, key: feed(transposed(key)) },
      constants,
      read: readHeads,
    });
  }
  return graphs;
}

/** The last `qLen` keys are new, those before them are the past: the operators for decoding, always causal. */
function pastGraphs(task: AttentionTask, { query, key, value }: Arranged): Graph[] {
  const { spec } = task;
  const { numHeads, numKvHeads, qLen, kvLen, window, batch } = spec;
  const extras = spec.documents || spec.randomMask || spec.kvLengths || spec.bias || spec.alibi;
  const hidesLater = spec.causal || window?.right === 0 || qLen === 1;
  if (extras || !hidesLater || spec.softcap !== undefined) return [];
  const past = kvLen - qLen;
  const read = (out: Float32Array<ArrayBuffer>) =>
    arranged({ data: out, shape: [batch, qLen, numHeads, spec.valueHeadDim] }, "bshd", spec.layout).data;
  const inputs = {
    query: feed(flat(query)),
    key: feed(flat(rowsOf(key, past, kvLen))),
    value: feed(flat(rowsOf(value, past, kvLen))),
    ...(past > 0 && { past_key: feed(rowsOf(key, 0, past)), past_value: feed(rowsOf(value, 0, past)) }),
  };
  const before = past > 0 ? ["past_key", "past_value"] : ["", ""];
  const outputs = ["out", "present_key", "present_value"];
  const lengths = { last: int32(...Array.from({ length: batch }, () => kvLen - 1)), total: int32(kvLen) };
  const graphs: Graph[] = [
    {
      how: "GroupQueryAttention",
      nodes: [
        contributed("GroupQueryAttention", ["query", "key", "value", ...before, "last", "total"], outputs, {
          num_heads: { int: numHeads },
          kv_num_heads: { int: numKvHeads },
          ...(window?.left !== undefined && { local_window_size: { int: window.left + 1 } }),
        }),
      ],
      inputs: { ...inputs, ...lengths },
      read,
    },
  ];
  if (numHeads === numKvHeads && past > 0 && !window && qLen === 1) {
    graphs.push({
      how: "MultiHeadAttention",
      nodes: [
        contributed("MultiHeadAttention", ["query", "key", "value", "", "", "", ...before], outputs, {
          num_heads: { int: numHeads },
        }),
      ],
      inputs,
      read,
    });
  }
  if (past > 0 && !window) {
    graphs.push({
      how: "Attention",
      nodes: [
        {
          ...node("Attention", ["query", "key", "value", "", ...before], "out", {
            q_num_heads: { int: numHeads },
            kv_num_heads: { int: numKvHeads },
            is_causal: { int: 1 },
          }),
          outputs,
        },
      ],
      inputs,
      read,
    });
  }
  return graphs;
}
