/**
 * No output may share a byte with an input or with another output. Ranges are compared by their first and last
 * element: views that interleave in one buffer count as overlapping.
 */

import { ELEMENT_BYTE_LENGTH } from "../dtype.ts";
import { SaccadeRangeError, strideError } from "../errors.ts";
import type { TensorView } from "../wasm/view.ts";
import { isInjective } from "./shape.ts";

/** A view under the name that messages use. */
export interface NamedView {
  readonly name: string;
  readonly view: TensorView | undefined;
}

function byteLength(view: TensorView): number {
  return view.span * ELEMENT_BYTE_LENGTH[view.dtype];
}

function overlap(a: TensorView, b: TensorView): boolean {
  if (a.span === 0 || b.span === 0) return false;
  if (a.address >= 0 && b.address >= 0) {
    return a.address < b.address + byteLength(b) && b.address < a.address + byteLength(a);
  }
  if (a.outside === undefined || b.outside === undefined || a.outside.buffer !== b.outside.buffer) return false;
  const aFirst = a.outside.byteOffset;
  const bFirst = b.outside.byteOffset;
  return aFirst < bFirst + byteLength(b) && bFirst < aFirst + byteLength(a);
}

/** @throws RangeError `ERR_SACCADE_OVERLAP`, or `ERR_SACCADE_STRIDE` for an output that overlaps itself */
export function proveApart(outputs: readonly NamedView[], inputs: readonly NamedView[], caller: string): void {
  outputs.forEach(({ name, view }, i) => {
    if (view === undefined) return;
    if (!view.contiguous && !isInjective(view.shape, view.strides)) {
      throw strideError(
        caller,
        `${name}.strides [${view.strides.join(", ")}] let two elements of shape [${view.shape.join(", ")}] ` +
          "share a place; an output cannot be written so",
      );
    }
    const prove = (other: NamedView): void => {
      if (other.view === undefined || !overlap(view, other.view)) return;
      throw new SaccadeRangeError(
        "ERR_SACCADE_OVERLAP",
        `${caller}: ${name} shares memory with ${other.name}; an output must not overlap an input or another output`,
      );
    };
    inputs.forEach(prove);
    for (let j = i + 1; j < outputs.length; j++) prove(outputs[j]!);
  });
}
