/**
 * Proving ordinary results that are to be merged: `out` and `lse` of calls over different keys.
 */

import { dtypeError, rangeError, shapeError, wrongKind } from "../errors.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import type { MergedRows, MergeSizes } from "../wasm/merge.ts";
import { contiguousStrides, copyElements, type TensorView } from "../wasm/view.ts";
import { axesOf, LAYOUTS, type Layout } from "./axes.ts";
import { optionNames, proveBoolean, proveWord, unknownOption } from "./options.ts";
import { snapshot } from "./shape.ts";
import { type CapturedTensor, captureTensor, dtypeOf, proveTensor } from "./tensor-like.ts";

/** The most results of one merge. */
const MAXIMUM_STATES = 65536;

/** Options of a merge, each read once. */
export interface CapturedMergeOptions {
  returnLse: boolean;
  engine: unknown;
  layout: Layout;
}

/** Reads the options of `mergePartials` and `mergeStates`. */
export function captureMergeOptions(options: unknown, known: readonly string[], caller: string): CapturedMergeOptions {
  const captured: CapturedMergeOptions = { returnLse: false, engine: undefined, layout: "bshd" };
  for (const name of optionNames(options, caller)) {
    const value = (options as Record<string, unknown>)[name];
    if (!known.includes(name)) throw unknownOption(name, known, caller);
    if (value === undefined) continue;
    if (name === "returnLse") captured.returnLse = proveBoolean(value, caller, name);
    else if (name === "layout") captured.layout = proveWord(value, LAYOUTS, caller, name);
    else captured.engine = value;
  }
  return captured;
}

/** Results of equal shapes, as contiguous `[batch, numHeads, qLen, …]`. */
export interface ProvedResults {
  readonly sizes: MergeSizes;
  readonly rank: number;
  readonly results: readonly MergedRows[];
}

/** Reads and proves the results given to `mergeStates`. */
export function proveResults(states: unknown, layout: Layout, instance: WasmInstance, caller: string): ProvedResults {
  const given = snapshot(states, MAXIMUM_STATES, caller, "states", "an array of { out, lse }");
  if (given.length === 0) {
    throw rangeError(caller, "states is empty; expected at least one { out, lse }");
  }
  // All of the caller's code runs first, so that nothing can change what has been proved.
  const captured = given.map((state, i) => {
    if (typeof state !== "object" || state === null) {
      throw wrongKind(caller, `states[${i}]`, state, "{ out, lse }");
    }
    const { out, lse } = state as { readonly out: unknown; readonly lse: unknown };
    return {
      out: captureTensor(out, caller, `states[${i}].out`),
      lse: captureTensor(lse, caller, `states[${i}].lse`),
    };
  });
  const { shape } = captured[0]!.out;
  const axes = axesOf(shape, layout, caller);
  const rank = shape.length;
  const sizes: MergeSizes = {
    batch: axes.batch < 0 ? 1 : shape[axes.batch]!,
    numHeads: axes.head < 0 ? 1 : shape[axes.head]!,
    numKvHeads: axes.head < 0 ? 1 : shape[axes.head]!,
    qLen: shape[axes.seq]!,
    valueHeadDim: shape[rank - 1]!,
  };
  const { batch, numHeads, qLen, valueHeadDim } = sizes;
  const lseShape = [batch, numHeads, qLen].slice(4 - rank);
  const rows = batch * numHeads * qLen;
  const results = captured.map(({ out, lse }) => {
    sameShape(out, shape, caller);
    sameShape(lse, lseShape, caller);
    const view = proveFloats(out, instance, caller);
    const { strides } = view;
    const byRow = [
      axes.batch < 0 ? 0 : strides[axes.batch]!,
      axes.head < 0 ? 0 : strides[axes.head]!,
      strides[axes.seq]!,
      1,
    ];
    const lseView = proveFloats(lse, instance, caller);
    return {
      out: gather(view, [batch, numHeads, qLen, valueHeadDim], byRow, rows * valueHeadDim, instance, caller),
      lse: gather(lseView, lseShape, lseView.strides, rows, instance, caller),
    };
  });
  return { sizes, rank, results };
}

function sameShape(tensor: CapturedTensor, shape: readonly number[], caller: string): void {
  if (tensor.shape.length === shape.length && tensor.shape.every((size, axis) => size === shape[axis])) return;
  throw shapeError(caller, `${tensor.name}.shape is [${tensor.shape.join(", ")}]; expected [${shape.join(", ")}]`);
}

function proveFloats(tensor: CapturedTensor, instance: WasmInstance, caller: string): TensorView {
  const dtype = dtypeOf(tensor, caller);
  if (dtype !== "float32") {
    throw dtypeError(caller, `${tensor.name} is ${dtype}; expected float32`);
  }
  return proveTensor(tensor, instance, caller);
}

function gather(
  view: TensorView,
  shape: readonly number[],
  strides: readonly number[],
  elements: number,
  instance: WasmInstance,
  caller: string,
): Float32Array<ArrayBuffer> {
  const data = new Float32Array(elements);
  const source = view.outside ?? instance.memory(caller).views().i32;
  const at = view.outside === undefined ? view.address >>> 2 : 0;
  copyElements(shape, source, at, strides, new Int32Array(data.buffer), 0, contiguousStrides(shape, elements));
  return data;
}
