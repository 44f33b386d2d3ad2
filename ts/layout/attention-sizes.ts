/**
 * The sizes of a call of `attention`, from the shapes of its three tensors.
 */

import type { SaccadeRangeError } from "../errors.ts";
import { shapeError } from "../errors.ts";
import type { AttentionSizes } from "../wasm/call.ts";
import { axesOf } from "./axes.ts";
import type { CapturedAttention } from "./captured-attention.ts";

import { resolveShard, type Shard } from "./shard.ts";
import type { CapturedTensor } from "./tensor-like.ts";

/** @throws RangeError `ERR_SACCADE_SHAPE` where the shapes do not fit each other */
export function resolveSizes(
  { query, key, value, layout, caller }: CapturedAttention,
  shard: Shard | undefined,
): AttentionSizes {
  const axes = axesOf(query.shape, layout, caller);
  const rank = query.shape.length;
  if (key.shape.length !== rank) throw otherRank(key, rank, caller);
  if (value.shape.length !== rank) throw otherRank(value, rank, caller);
  const last = rank - 1;
  const numHeads = axes.head < 0 ? 1 : query.shape[axes.head]!;
  const numKvHeads = axes.head < 0 ? 1 : key.shape[axes.head]!;
  const headDim = query.shape[last]!;
  if (axes.batch >= 0) {
    sameSize(key, query, axes.batch, "batch", caller);
    sameSize(value, query, axes.batch, "batch", caller);
  }
  sameSize(key, query, last, "headDim", caller);
  if (headDim < 1) throw shapeError(caller, `query.shape[${last}] (headDim) is 0; expected at least 1`);
  sameSize(value, key, axes.seq, "kvLen", caller);
  if (axes.head >= 0) {
    sameSize(value, key, axes.head, "numKvHeads", caller);
    if (numKvHeads === 0 ? numHeads !== 0 : numHeads % numKvHeads !== 0) {
      throw shapeError(
        caller,
        `query.shape[${axes.head}] (numHeads) is ${numHeads}, key.shape[${axes.head}] (numKvHeads) is ${numKvHeads}; ` +
          "expected a multiple of it",
      );
    }
  }
  return {
    axes,
    batch: axes.batch < 0 ? 1 : query.shape[axes.batch]!,
    numHeads,
    numKvHeads,
    qLen: query.shape[axes.seq]!,
    kvLen: shard === undefined ? key.shape[axes.seq]! : shard.kvTotal,
    shard: shard === undefined ? undefined : resolveShard(shard, key.shape[axes.seq]!, caller),
    headDim,
    valueHeadDim: value.shape[last]!,
  };
}

function otherRank({ name, shape }: CapturedTensor, rank: number, caller: string): SaccadeRangeError {
  return shapeError(caller, `${name}.shape has ${shape.length} axes, query.shape has ${rank}; expected the same rank`);
}

function sameSize(tensor: CapturedTensor, model: CapturedTensor, axis: number, meaning: string, caller: string): void {
  const size = tensor.shape[axis];
  const expected = model.shape[axis];
  if (size === expected) return;
  throw shapeError(
    caller,
    `${tensor.name}.shape[${axis}] (${meaning}) is ${size}, ${model.name}.shape[${axis}] is ${expected}`,
  );
}
