/**
 * The sizes of a call of attention pooling, and what hides keys, proved against them.
 */

import { dtypeError, shapeError } from "../errors.ts";
import { LAYOUTS, type Layout } from "../layout/axes.ts";
import { type CapturedLengths, proveRowLengths } from "../layout/lengths.ts";

import { type CapturedTensor, proveTensor } from "../layout/tensor-like.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import type { TensorView } from "../wasm/view.ts";
import type { ScoreSpec } from "./score.ts";

export { LAYOUTS, type Layout };

/** Sizes of a call. */
export interface PoolingSizes {
  readonly rank: number;
  readonly layout: Layout;
  readonly batch: number;
  readonly qLen: number;
  readonly kvLen: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly queryDim: number;
  readonly keyDim: number;
  readonly valueDim: number;
  /** What the score is taken of: the last axis of query and key after their projections. */
  readonly features: number;
  /** `[batch, numHeads, qLen, kvLen]`, without the axes that the query leaves out. */
  readonly weightsShape: readonly number[];
}

/** @throws RangeError `ERR_SACCADE_SHAPE` where the shapes do not fit each other or the score */
export function resolvePooling(
  tensors: Readonly<Record<"query" | "key" | "value", { readonly shape: readonly number[] }>>,
  score: ScoreSpec,
  layout: Layout,
  caller: string,
): PoolingSizes {
  const { query, key, value } = tensors;
  const rank = query.shape.length;
  if (rank < 2 || rank > 4) {
    const full = layout === "bshd" ? "[batch, seq, heads, dim]" : "[batch, heads, seq, dim]";
    throw shapeError(
      caller,
      `query.shape has ${rank} axes; expected 4 (${full}), 3 ([batch, seq, dim]) or 2 ([seq, dim])`,
    );
  }
  for (const [name, { shape }] of Object.entries(tensors)) {
    if (shape.length !== rank) {
      throw shapeError(caller, `${name}.shape has ${shape.length} axes; expected ${rank}, as query.shape has`);
    }
    if (shape[rank - 1] === 0) throw shapeError(caller, `${name}.shape[${rank - 1}] is 0; expected at least 1`);
  }
  const seq = rank === 2 ? 0 : rank === 4 && layout === "bhsd" ? 2 : 1;
  const head = rank < 4 ? -1 : layout === "bhsd" ? 1 : 2;
  const same = (name: "key" | "value", other: "query" | "key", axis: number, meaning: string): void => {
    const [size, wanted] = [tensors[name].shape[axis], tensors[other].shape[axis]];
    if (size !== wanted) {
      throw shapeError(caller, `${name}.shape[${axis}] (${meaning}) is ${size}, ${other}.shape[${axis}] is ${wanted}`);
    }
  };
  if (rank > 2) {
    same("key", "query", 0, "batch");
    same("value", "query", 0, "batch");
  }
  same("value", "key", seq, "kvLen");
  if (head >= 0) same("value", "key", head, "numKvHeads");
  const numHeads = head < 0 ? 1 : query.shape[head]!;
  const numKvHeads = head < 0 ? 1 : key.shape[head]!;
  if (numKvHeads === 0 || numHeads % numKvHeads !== 0) {
    throw shapeError(
      caller,
      `query.shape[${head}] (numHeads) is ${numHeads}; expected a multiple of key.shape[${head}], which is ${numKvHeads}`,
    );
  }
  const [batch, qLen, kvLen] = [rank > 2 ? query.shape[0]! : 1, query.shape[seq]!, key.shape[seq]!];
  const [queryDim, keyDim, valueDim] = [query, key, value].map(({ shape }) => shape[rank - 1]!) as [
    number,
    number,
    number,
  ];
  const features = featuresOf(score, queryDim, keyDim, kvLen, rank - 1, caller);
  const weightsShape = [...(rank > 2 ? [batch] : []), ...(rank > 3 ? [numHeads] : []), qLen, kvLen];
  return {
    rank,
    layout,
    batch,
    qLen,
    kvLen,
    numHeads,
    numKvHeads,
    queryDim,
    keyDim,
    valueDim,
    features,
    weightsShape,
  };
}

/** The last axis of the features, proved against the score's weights. */
function featuresOf(
  { kind, query, key, both, positions, last }: ScoreSpec,
  queryDim: number,
  keyDim: number,
  kvLen: number,
  axis: number,
  caller: string,
): number {
  const expect = (name: "query" | "key", size: number, wanted: number, why: string): void => {
    if (size === wanted) return;
    throw shapeError(caller, `${name}.shape[${axis}] (${name}Dim) is ${size}; expected ${wanted}, ${why}`);
  };
  if (positions !== undefined) {
    expect("query", queryDim, positions.shape[1]!, `as w.shape[1] of ${kind}`);
    if (positions.shape[0]! < kvLen) {
      throw shapeError(
        caller,
        `${kind}'s w.shape[0] (positions) is ${positions.shape[0]}; expected at least kvLen, which is ${kvLen}`,
      );
    }
    return queryDim;
  }
  if (both !== undefined) {
    const [features, columns] = both.shape as [number, number];
    if (columns !== queryDim + keyDim) {
      throw shapeError(
        caller,
        `query.shape[${axis}] + key.shape[${axis}] (queryDim + keyDim) is ${queryDim} + ${keyDim}; ` +
          `expected ${columns}, as w.shape[1] of ${kind}`,
      );
    }
    return features;
  }
  if (kind === "general") {
    expect("query", queryDim, query!.shape[1]!, "as w.shape[0] of general");
    expect("key", keyDim, query!.shape[0]!, "as w.shape[1] of general");
    return keyDim;
  }
  if (last !== undefined) {
    const why = (w: unknown, name: string): string =>
      w === undefined ? `as v of ${kind}, which has no ${name}` : `as ${name}.shape[1] of ${kind}`;
    expect("query", queryDim, query?.shape[1] ?? last.elements, why(query, "wq"));
    expect("key", keyDim, key?.shape[1] ?? last.elements, why(key, "wk"));
    return last.elements;
  }
  expect("key", keyDim, queryDim, "as the query's");
  return queryDim;
}

/** Lengths of keys as the wasm takes them: none, one per batch row, or one for each query. */
export interface KeyLengths {
  readonly kind: 0 | 1 | 2;
  readonly lengths: Int32Array | undefined;
}

/** Proves `kvLengths`: none, a number per batch row, or one for every query. */
export function proveKeyLengths(
  captured: CapturedLengths | undefined,
  { batch, qLen, kvLen }: Pick<PoolingSizes, "batch" | "qLen" | "kvLen">,
  instance: WasmInstance,
  caller: string,
): KeyLengths {
  if (captured === undefined) return { kind: 0, lengths: undefined };
  const name = "options.kvLengths";
  const meaning = " ([batch] or [batch, qLen])";
  const { values } = proveRowLengths(captured, name, [batch, qLen], kvLen, "kvLen", instance, caller, meaning);
  const perRow = ("tensor" in captured ? captured.tensor : captured).shape.length === 1;
  return { kind: perRow ? 1 : 2, lengths: values };
}

/** A mask and its four sizes, each 1 or the whole axis. */
export interface PoolingMask {
  readonly view: TensorView | undefined;
  readonly sizes: readonly number[];
}

/** Proves a mask: truth values that broadcast to the weights, by numpy's rules. */
export function proveMask(
  captured: CapturedTensor | undefined,
  { weightsShape }: Pick<PoolingSizes, "weightsShape">,
  instance: WasmInstance,
  caller: string,
): PoolingMask {
  if (captured === undefined) return { view: undefined, sizes: [1, 1, 1, 1] };
  const view = proveTensor(captured, instance, caller);
  const { dtype, shape } = view;
  if (dtype !== "bool" && dtype !== "uint8") {
    throw dtypeError(caller, `${captured.name} is ${dtype}; expected bool or uint8 (a Uint8Array, not 0 = may attend)`);
  }
  const missing = weightsShape.length - shape.length;
  const fits = (size: number, axis: number): boolean => size === 1 || size === weightsShape[missing + axis];
  if (missing < 0 || shape.length === 0 || !shape.every(fits)) {
    throw shapeError(
      caller,
      `${captured.name}.shape is [${shape.join(", ")}]; expected one that broadcasts to [${weightsShape.join(", ")}]`,
    );
  }
  const full = [...new Array<number>(missing).fill(1), ...shape];
  // Sequences without heads have one.
  const sizes = full.length === 2 ? [1, 1, ...full] : full.length === 3 ? [full[0]!, 1, full[1]!, full[2]!] : full;
  return { view, sizes };
}
