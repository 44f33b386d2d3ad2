/**
 * The weights of a score: copied when the score is made, so that nothing can change them later, and proved finite then.
 */

import type { FloatDType } from "../dtype.ts";
import { isFloat } from "../dtype.ts";
import { dtypeError, type SaccadeRangeError, shapeError } from "../errors.ts";
import { proveFiniteBits } from "../layout/finite.ts";
import { captureTensor, proveTensor } from "../layout/tensor-like.ts";
import { rawArray } from "../layout/typed-array.ts";
import type { TensorInput } from "../tensor.ts";
import { contiguousStrides, copyElements, type RawArray, type TensorView } from "../wasm/view.ts";

/** A copy, row-major, outside every engine's memory. */
export type Weight = TensorView & { readonly dtype: FloatDType };

/** Copies and proves a weight; `expected` describes its shape, `-1` stands for any size from 1 up. */
export function takeWeight(
  value: TensorInput,
  sizes: readonly number[],
  expected: string,
  caller: string,
  name: string,
): Weight {
  const captured = captureTensor(value, caller, name);
  const view = proveTensor(captured, undefined, caller);
  const { dtype, shape, elements } = view;
  if (!isFloat(dtype)) {
    throw dtypeError(caller, `${name} is ${dtype}; expected float32, float16 or bfloat16: convert it first`);
  }
  const wrong = (message: string): SaccadeRangeError => shapeError(caller, `${message}; expected ${expected}`);
  if (shape.length !== sizes.length) throw wrong(`${name}.shape is [${shape.join(", ")}]`);
  shape.forEach((size, axis) => {
    const wanted = sizes[axis]!;
    if (wanted < 0 ? size < 1 : size !== wanted) throw wrong(`${name}.shape[${axis}] is ${size}`);
  });
  const memory = captured.resident?.instance.memory(caller).views().buffer;
  const source = view.outside ?? rawArray(dtype, memory!, view.address, view.span);
  const copy = dtype === "float32" ? new Int32Array(elements) : new Uint16Array(elements);
  const strides = contiguousStrides(shape, elements);
  copyElements(shape, source, 0, view.strides, copy, 0, strides);
  proveFiniteBits(copy, 0, elements, dtype, caller, name);
  return weightOf(copy, shape, dtype);
}

function weightOf(data: RawArray, shape: readonly number[], dtype: FloatDType): Weight {
  const elements = data.length;
  const strides = contiguousStrides(shape, elements);
  return { dtype, shape, strides, elements, span: elements, contiguous: true, address: -1, outside: data };
}

/** The transpose of a matrix. */
export function transposed({ shape, dtype, outside }: Weight): Weight {
  const [rows, columns] = shape as [number, number];
  const copy = dtype === "float32" ? new Int32Array(rows * columns) : new Uint16Array(rows * columns);
  copyElements([columns, rows], outside!, 0, [1, columns], copy, 0, [rows, 1]);
  return weightOf(copy, [columns, rows], dtype);
}

/** A single one, as a weight of shape [1]. */
export function unit(): Weight {
  return weightOf(new Int32Array(Float32Array.of(1).buffer), [1], "float32");
}
