/**
 * The tensors that a call reads, proved: query, key, value, and what broadcasts to the scores.
 */

import { type FloatDType, isFloat } from "../dtype.ts";
import { dtypeError, shapeError } from "../errors.ts";
import type { AttentionSizes } from "../wasm/call.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import type { TensorView } from "../wasm/view.ts";

import { type CapturedTensor, proveTensor } from "./tensor-like.ts";

/** A view of floats. */
export type FloatView = TensorView & { readonly dtype: FloatDType };

/** What masks and biases broadcast to. */
const SCORE_AXES: readonly string[] = ["batch", "numHeads", "qLen", "kvLen"];

/** The same for packed sequences: a batch of them, each padded to the longest. */
export const PACKED_SCORE_AXES: readonly string[] = ["sequences", "numHeads", "maxQ", "maxKv"];

/** Proves a query, key, value or bias: floats. */
export function proveFloatTensor(captured: CapturedTensor, instance: WasmInstance, caller: string): FloatView {
  const view = proveTensor(captured, instance, caller);
  if (isFloat(view.dtype)) return view as FloatView;
  throw dtypeError(
    caller,
    `${captured.name} is ${view.dtype}; expected float32, float16 or bfloat16: convert it first`,
  );
}

/** Proves a mask: truth values that broadcast to the scores. */
export function proveMask(
  captured: CapturedTensor,
  sizes: AttentionSizes,
  instance: WasmInstance,
  caller: string,
  axes: readonly string[] = SCORE_AXES,
): TensorView {
  const view = proveTensor(captured, instance, caller);
  const { dtype } = view;
  if (dtype !== "bool" && dtype !== "uint8") {
    throw dtypeError(
      caller,
      `${captured.name} is ${dtype}; expected bool or uint8 (a Uint8Array, not 0 = may attend)` +
        `${isFloat(dtype) ? "; numbers to add to the scores are options.bias" : ""}`,
    );
  }
  proveBroadcast(captured, sizes, axes, caller);
  return view;
}

/** Proves a bias: floats that broadcast to the scores. */
export function proveBias(
  captured: CapturedTensor,
  sizes: AttentionSizes,
  instance: WasmInstance,
  caller: string,
  axes: readonly string[] = SCORE_AXES,
): FloatView {
  const view = proveFloatTensor(captured, instance, caller);
  proveBroadcast(captured, sizes, axes, caller);
  return view;
}

/** Numpy's rule: from the last axis, each is the call's size or 1; axes may be missing in front. */
function proveBroadcast(
  { name, shape }: CapturedTensor,
  sizes: AttentionSizes,
  axes: readonly string[],
  caller: string,
): void {
  const { batch, numHeads, qLen, kvLen } = sizes;
  const full = [batch, numHeads, qLen, kvLen];
  const rank = shape.length;
  if (rank < 1 || rank > 4) {
    throw shapeError(caller, `${name}.shape has ${rank} axes; expected 1 to 4, to broadcast to [${full.join(", ")}]`);
  }
  const wrong = shape.findIndex((size, axis) => size !== 1 && size !== full[4 - rank + axis]);
  if (wrong < 0) return;
  const meaning = axes[4 - rank + wrong]!;
  throw shapeError(
    caller,
    `${name}.shape[${wrong}] (${meaning}) is ${shape[wrong]}; expected ${full[4 - rank + wrong]} or 1, to broadcast to ` +
      `[${axes.join(", ")}], which is [${full.join(", ")}]`,
  );
}
