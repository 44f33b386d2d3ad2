/**
 * From a captured call of `attention` to one frozen, fully resolved value: every default filled in, every length
 * proved. Runs no code of the caller.
 */

import type { DType } from "../dtype.ts";
import { SaccadeRangeError, SaccadeTypeError } from "../errors.ts";
import type { AttentionCall, AxisOrder, Destination } from "../wasm/attention.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import type { TensorView } from "../wasm/view.ts";
import { CALLER, type CapturedAttention, type Layout } from "./attention-capture.ts";
import { type NamedView, proveApart } from "./overlap.ts";
import { countElements } from "./shape.ts";
import { type CapturedTensor, dtypeOf, proveTensor } from "./tensor-like.ts";

/** Where each axis is, per layout and rank (the index into the list is the rank). */
const AXES: Readonly<Record<Layout, readonly (AxisOrder | undefined)[]>> = {
  bshd: [
    undefined,
    undefined,
    { batch: -1, seq: 0, head: -1 },
    { batch: -1, seq: 0, head: 1 },
    { batch: 0, seq: 1, head: 2 },
  ],
  bhsd: [
    undefined,
    undefined,
    { batch: -1, seq: 0, head: -1 },
    { batch: -1, seq: 1, head: 0 },
    { batch: 0, seq: 2, head: 1 },
  ],
};

/** Proves a captured call against an engine. */
export function resolveAttention(captured: CapturedAttention, instance: WasmInstance): AttentionCall {
  const { query, key, value, layout } = captured;
  const axes = resolveAxes(query, key, value, layout);
  const last = query.shape.length - 1;
  const batch = axes.batch < 0 ? 1 : query.shape[axes.batch]!;
  const numHeads = axes.head < 0 ? 1 : query.shape[axes.head]!;
  const numKvHeads = axes.head < 0 ? 1 : key.shape[axes.head]!;
  const qLen = query.shape[axes.seq]!;
  const kvLen = key.shape[axes.seq]!;
  const headDim = query.shape[last]!;
  const valueHeadDim = value.shape[last]!;
  if (axes.batch >= 0) {
    sameSize(key, query, axes.batch, "batch");
    sameSize(value, query, axes.batch, "batch");
  }
  sameSize(key, query, last, "headDim");
  if (headDim < 1) throw shapeError(`query.shape[${last}] (headDim) is 0; expected at least 1`);
  sameSize(value, key, axes.seq, "kvLen");
  if (axes.head >= 0) {
    sameSize(value, key, axes.head, "numKvHeads");
    if (numKvHeads === 0 ? numHeads !== 0 : numHeads % numKvHeads !== 0) {
      throw shapeError(
        `query.shape[${axes.head}] (numHeads) is ${numHeads}, key.shape[${axes.head}] (numKvHeads) is ${numKvHeads}; ` +
          "expected a multiple of it",
      );
    }
  }
  for (const tensor of [query, key, value]) proveFloat32(tensor);
  const kvLengths = proveKvLengths(captured.kvLengths, kvLen);
  const qOffset = resolveQOffset(captured, qLen, kvLen, kvLengths);

  const outShape = query.shape.slice();
  outShape[last] = valueHeadDim;
  const rowShape = axes.batch >= 0 ? [batch, numHeads, qLen] : axes.head >= 0 ? [numHeads, qLen] : [qLen];
  const out = resolveDestination(captured.out, outShape, instance);
  const lse = wanted(captured.returnLse, captured.outLse, "lse", "returnLse")
    ? resolveDestination(captured.outLse, rowShape, instance)
    : undefined;
  const weights = wanted(captured.returnWeights, captured.outWeights, "weights", "returnWeights")
    ? resolveDestination(captured.outWeights, [...rowShape, kvLen], instance)
    : undefined;
  const call: AttentionCall = {
    caller: CALLER,
    batch,
    numHeads,
    numKvHeads,
    qLen,
    kvLen,
    headDim,
    valueHeadDim,
    axes,
    query: proveTensor(query, instance, CALLER),
    key: proveTensor(key, instance, CALLER),
    value: proveTensor(value, instance, CALLER),
    out,
    lse,
    weights,
    scale: captured.scale,
    causal: captured.causal,
    qOffset,
    kvLengths,
    findEmptyRow: captured.onEmptyRow === "throw",
  };
  if (out.target !== undefined || lse?.target !== undefined || weights?.target !== undefined) {
    proveOutputsApart(call, captured);
  }
  return Object.freeze(call);
}

function shapeError(message: string): SaccadeRangeError {
  return new SaccadeRangeError("ERR_SACCADE_SHAPE", `${CALLER}: ${message}`);
}

function resolveAxes(query: CapturedTensor, key: CapturedTensor, value: CapturedTensor, layout: Layout): AxisOrder {
  const rank = query.shape.length;
  const axes = AXES[layout][rank];
  if (axes === undefined) {
    const full = layout === "bshd" ? "[batch, seq, heads, headDim]" : "[batch, heads, seq, headDim]";
    throw shapeError(
      `query.shape has ${rank} axes; expected 4 (${full}), 3 (without batch) or 2 (${"[seq, headDim]"}, one head)`,
    );
  }
  for (const { name, shape } of [key, value]) {
    if (shape.length !== rank) {
      throw shapeError(`${name}.shape has ${shape.length} axes, query.shape has ${rank}; expected the same rank`);
    }
  }
  return axes;
}

function sameSize(tensor: CapturedTensor, model: CapturedTensor, axis: number, meaning: string): void {
  const size = tensor.shape[axis];
  const expected = model.shape[axis];
  if (size === expected) return;
  throw shapeError(
    `${tensor.name}.shape[${axis}] (${meaning}) is ${size}, ${model.name}.shape[${axis}] is ${expected}`,
  );
}

function proveFloat32(tensor: CapturedTensor): void {
  const dtype: DType = dtypeOf(tensor, CALLER);
  if (dtype === "float32") return;
  throw new SaccadeTypeError(
    "ERR_SACCADE_DTYPE",
    `${CALLER}: ${tensor.name} is ${dtype}; this version takes float32 only (a Float32Array): convert it first`,
  );
}

function proveKvLengths(lengths: readonly number[] | undefined, kvLen: number): readonly number[] | undefined {
  if (lengths === undefined) return undefined;
  const over = lengths.findIndex((length) => length > kvLen);
  if (over < 0) return lengths;
  throw new SaccadeRangeError(
    "ERR_SACCADE_RANGE",
    `${CALLER}: options.kvLengths[${over}] is ${lengths[over]}; expected at most kvLen, which is ${kvLen}`,
  );
}

function resolveQOffset(
  { causal, qOffset }: CapturedAttention,
  qLen: number,
  kvLen: number,
  kvLengths: readonly number[] | undefined,
): readonly number[] | number | undefined {
  if (qOffset === undefined && causal && qLen !== kvLen) {
    throw new SaccadeTypeError(
      "ERR_SACCADE_OPTION",
      `${CALLER}: causal with qLen ${qLen} and kvLen ${kvLen} needs options.qOffset, the position of query row 0 among ` +
        'the keys, since systems disagree on it: "bottom-right" (the last query row sees the last key, as when ' +
        'decoding with a cache), "top-left" (query row 0 sees key 0 only), or a number',
    );
  }
  if (!causal || qOffset === undefined || qOffset === "top-left") return undefined;
  if (qOffset !== "bottom-right") return qOffset;
  return kvLengths === undefined ? kvLen - qLen : kvLengths.map((length) => length - qLen);
}

/** Whether a second result is computed; a target for one that is not asked for is a contradiction. */
function wanted(asked: boolean, target: CapturedTensor | undefined, name: string, option: string): boolean {
  if (target === undefined || asked) return asked;
  throw new SaccadeTypeError(
    "ERR_SACCADE_OPTION",
    `${CALLER}: options.out.${name} is given, but options.${option} is not true`,
  );
}

function resolveDestination(
  captured: CapturedTensor | undefined,
  shape: readonly number[],
  instance: WasmInstance,
): Destination {
  const elements = countElements(shape, CALLER, captured?.name ?? "the result");
  if (captured === undefined) return { shape, elements, target: undefined };
  const given = captured.shape;
  if (given.length !== shape.length || given.some((size, axis) => size !== shape[axis])) {
    throw shapeError(`${captured.name}.shape is [${given.join(", ")}]; expected [${shape.join(", ")}]`);
  }
  proveFloat32(captured);
  return { shape, elements, target: proveTensor(captured, instance, CALLER) };
}

function proveOutputsApart(call: AttentionCall, captured: CapturedAttention): void {
  const outputs: NamedView[] = [];
  const add = (tensor: CapturedTensor | undefined, view: TensorView | undefined): void => {
    if (tensor !== undefined && view !== undefined) outputs.push({ name: tensor.name, view });
  };
  add(captured.out, call.out.target);
  add(captured.outLse, call.lse?.target);
  add(captured.outWeights, call.weights?.target);
  const inputs = [
    { name: "query", view: call.query },
    { name: "key", view: call.key },
    { name: "value", view: call.value },
  ];
  proveApart(outputs, inputs, CALLER);
}

/** Where row `index` of `[batch, numHeads, qLen]` is, in words. */
export function describeRow(call: AttentionCall, index: number): string {
  const row = index % call.qLen;
  const head = Math.floor(index / call.qLen) % call.numHeads;
  const batch = Math.floor(index / call.qLen / call.numHeads);
  return `batch ${batch}, head ${head}, query row ${row}`;
}
