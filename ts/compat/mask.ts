/**
 * Masks of other systems as `attention` takes them.
 */

import { dtypeError, shapeError } from "../errors.ts";

import type { TensorLike } from "../layout/tensor-like.ts";
import { contiguousStrides, copyElements } from "../wasm/view.ts";
import { type AnyTensor, allocate, bitsOf, type Source } from "./tensor.ts";

/** What no attention is to each type that a mask can have: false, or the bits of -Infinity. */
const NOTHING: { readonly [dtype in string]?: number } = {
  bool: 0,
  uint8: 0,
  float32: 0xff800000 | 0,
  float16: 0xfc00,
  bfloat16: 0xff80,
};

/** The mask itself, or a copy whose last axis is filled up to `kvLen` with "do not attend". */
export function padLastAxis(mask: Source, kvLen: number, caller: string): AnyTensor {
  const axis = mask.shape.length - 1;
  if (axis < 0) throw shapeError(caller, `${mask.name}.shape has no axes; expected at least the one of the keys`);
  if (mask.shape[axis]! >= kvLen) return mask.given;
  const shape = [...mask.shape.slice(0, axis), kvLen];
  const { plain, raw } = allocate(mask.dtype, shape, caller);
  raw.fill(NOTHING[mask.dtype]!);
  copyElements(mask.shape, bitsOf(mask, caller), 0, mask.strides, raw, 0, contiguousStrides(shape, raw.length));
  return plain;
}

/** Integers of which those above 0 mean "attend", as a boolean tensor of another shape. */
export function fromIntegers(mask: Source, shape: readonly number[], caller: string): TensorLike {
  if (mask.dtype !== "int32" && mask.dtype !== "bool" && mask.dtype !== "uint8") {
    throw dtypeError(caller, `${mask.name} is ${mask.dtype}; expected int32`);
  }
  const { raw } = allocate(mask.dtype, mask.shape, caller);
  copyElements(mask.shape, bitsOf(mask, caller), 0, mask.strides, raw, 0, contiguousStrides(mask.shape, raw.length));
  return { data: Uint8Array.from(raw, (entry) => (entry > 0 ? 1 : 0)), shape, dtype: "bool" };
}
