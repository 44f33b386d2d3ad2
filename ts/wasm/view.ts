/**
 * Strided views of elements, and copying between them. By the time a view is made, everything about it has been
 * proved: the strides fit in 32 bits, the last axis is contiguous, and every element lies inside the memory.
 */

import { type DType, ELEMENT_BYTE_LENGTH } from "../dtype.ts";
import { isContiguous } from "../layout/shape.ts";
import { rawArray } from "../layout/typed-array.ts";

/** Elements as bits: copying through integers cannot change a NaN. */
export type RawArray = Int32Array | Uint16Array | Uint8Array;

/** A proved view. Strides count elements; no view has a negative stride. */
export interface TensorView {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** Product of the shape. */
  readonly elements: number;
  /** Elements from the first to the last one reached, both included; 0 where there are none. */
  readonly span: number;
  readonly dtype: DType;
  /** Whether elements lie one behind the other in row-major order. */
  readonly contiguous: boolean;
  /** Address of the first element in this instance's memory, or -1 where the view lies outside it. */
  readonly address: number;
  /** The `span` elements from the first one on, where the view lies outside the instance's memory. */
  readonly outside: RawArray | undefined;
}

/** Row-major strides. Where there are no elements all are 0, since their product might not fit anywhere. */
export function contiguousStrides(shape: readonly number[], elements: number): number[] {
  const strides = new Array<number>(shape.length).fill(0);
  if (elements === 0) return strides;
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

/** A view of elements that lie one behind the other. */
export function rowMajor(
  dtype: DType,
  shape: readonly number[],
  elements: number,
  address: number,
  outside?: RawArray,
): TensorView {
  const strides = contiguousStrides(shape, elements);
  return { dtype, shape, strides, elements, span: elements, contiguous: true, address, outside };
}

/** A part of a proved view. One without elements lies nowhere: its place could be past the end of the memory. */
export function sliceView(view: TensorView, from: readonly number[], shape: readonly number[]): TensorView {
  const { dtype, strides, address, outside } = view;
  const elements = shape.reduce((product, size) => product * size, 1);
  if (elements === 0) return rowMajor(dtype, shape, 0, -1, rawArray(dtype, new ArrayBuffer(0), 0, 0));
  let first = 0;
  let span = 1;
  for (let axis = 0; axis < shape.length; axis++) {
    first += from[axis]! * strides[axis]!;
    span += (shape[axis]! - 1) * strides[axis]!;
  }
  return {
    dtype,
    shape,
    strides,
    elements,
    span,
    contiguous: isContiguous(shape, strides),
    address: address < 0 ? -1 : address + first * ELEMENT_BYTE_LENGTH[dtype],
    outside: outside?.subarray(first, first + span),
  };
}

/** Below this many elements in a row a plain loop beats making a view for `set`. */
const SHORT_RUN = 32;

/**
 * Copies every element of `shape` from one strided place to another. Both arrays have elements of the same size.
 *
 * @param sourceAt - index of the first element in `source`
 * @param targetAt - index of the first element in `target`
 */
export function copyElements(
  shape: readonly number[],
  source: RawArray,
  sourceAt: number,
  sourceStrides: readonly number[],
  target: RawArray,
  targetAt: number,
  targetStrides: readonly number[],
): void {
  // Trailing axes that lie in one run on both sides are copied as one.
  let run = 1;
  let axes = shape.length;
  while (axes > 0) {
    const size = shape[axes - 1]!;
    if (size !== 1 && (sourceStrides[axes - 1] !== run || targetStrides[axes - 1] !== run)) break;
    run *= size;
    axes -= 1;
  }
  if (run === 0 || shape.includes(0)) return;
  copyAxis(0, axes);

  function copyAxis(axis: number, depth: number, from = sourceAt, to = targetAt): void {
    if (axis === depth) {
      if (run >= SHORT_RUN) target.set(source.subarray(from, from + run), to);
      else for (let i = 0; i < run; i++) target[to + i] = source[from + i]!;
      return;
    }
    const sourceStride = sourceStrides[axis]!;
    const targetStride = targetStrides[axis]!;
    for (let i = 0; i < shape[axis]!; i++) copyAxis(axis + 1, depth, from + i * sourceStride, to + i * targetStride);
  }
}
