/**
 * Results that may be written over the input that they are made of.
 */

import type { Destination } from "../wasm/call.ts";
import type { TensorView } from "../wasm/view.ts";
import { type NamedView, proveApart } from "./overlap.ts";

/**
 * Proves that a target overlaps no input, or is exactly `x`, element for element.
 *
 * @returns whether the operator has to work on the target's own elements, since they lie in its memory as it needs them
 */
export function proveApartOrSame(
  { target }: Destination,
  x: TensorView,
  others: readonly NamedView[],
  caller: string,
): boolean {
  if (target === undefined) return false;
  const same = isSame(target, x);
  const inputs = same ? others : [{ name: "x", view: x }, ...others];
  proveApart([{ name: "out", view: target }], inputs, caller);
  return same && x.address >= 0 && x.contiguous;
}

/** Whether two views have the same elements at the same places. */
function isSame(a: TensorView, b: TensorView): boolean {
  const sameArray =
    a.outside !== undefined && b.outside !== undefined
      ? a.outside.buffer === b.outside.buffer && a.outside.byteOffset === b.outside.byteOffset
      : a.address >= 0 && a.address === b.address;
  const sameStrides = a.strides.every((stride, axis) => a.shape[axis]! <= 1 || stride === b.strides[axis]);
  return sameArray && a.dtype === b.dtype && a.elements === b.elements && sameStrides;
}
