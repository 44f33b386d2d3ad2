/**
 * A tensor with neighbouring axes taken as one: the same elements under another shape, copied nowhere.
 */

import type { TensorData } from "../dtype.ts";
import { strideError } from "../errors.ts";
import { countElements } from "./shape.ts";
import { type CapturedTensor, proveLayout, type TensorLike } from "./tensor-like.ts";
import { dataArray } from "./typed-array.ts";

/**
 * Axes `from` to `to` (exclusive) as one axis; where there is none between them, an axis of size 1.
 *
 * @throws RangeError `ERR_SACCADE_STRIDE` where the strides leave gaps between those axes
 */
export function mergeAxes(captured: CapturedTensor, from: number, to: number, caller: string): TensorLike {
  const { name, shape, resident } = captured;
  const elements = countElements(shape, caller, `${name}.shape`);
  const merged = shape.slice(from, to).reduce((product, size) => product * size, 1);
  const newShape = [...shape.slice(0, from), merged, ...shape.slice(to)];
  if (resident !== undefined) {
    resident.assertHeld(caller, name);
    const { address, dtype } = resident.view;
    const { buffer } = resident.instance.memory(caller).views();
    return { data: dataArray(dtype, buffer as ArrayBuffer, address, elements) as TensorData, shape: newShape, dtype };
  }
  const { strides, offset } = proveLayout(captured, elements, caller);
  const { data, dtype } = captured as { data: TensorData; dtype: TensorLike["dtype"] };
  // Nothing has no strides.
  if (elements === 0) return { data, shape: newShape, dtype };
  // A gap between two of the axes; an axis of one index has no stride to speak of.
  let inner: number | undefined;
  for (let axis = to - 1; axis >= from; axis--) {
    const size = shape[axis]!;
    if (size === 1) continue;
    if (inner !== undefined && strides[axis] !== inner) {
      throw strideError(
        caller,
        `${name}.strides [${strides.join(", ")}] leave gaps between axes ${from} to ${to - 1} of shape ` +
          `[${shape.join(", ")}], which are taken as one here; copy it to a contiguous tensor first`,
      );
    }
    inner = strides[axis]! * size;
  }
  // The innermost of them that has a step; where none has, the axis is of one index.
  const innermost = shape.findLastIndex((size, axis) => axis >= from && axis < to && size !== 1);
  const stride = innermost < 0 ? 1 : strides[innermost]!;
  return {
    data,
    shape: newShape,
    dtype,
    strides: [...strides.slice(0, from), stride, ...strides.slice(to)],
    offset,
  };
}
