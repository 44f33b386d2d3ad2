/**
 * Lists of integers that may come as tensors too: positions, indices.
 */

import { dtypeError } from "../errors.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import { copyElements } from "../wasm/view.ts";
import { I32_MAXIMUM, I32_MINIMUM, proveIntegerList } from "./shape.ts";
import { type CapturedTensor, captureTensor, proveTensor } from "./tensor-like.ts";

/** Integers with their shape. */
export interface IntegerTensor {
  readonly data: Int32Array<ArrayBuffer>;
  readonly shape: readonly number[];
}

/** Integers as they were given: a list is proved and copied at once. */
export type CapturedIntegers = IntegerTensor | { readonly tensor: CapturedTensor };

/** Entries of a list: a bound on what is read from a hostile length. */
const MOST_INTEGERS = 2 ** 28;

/** Reads a list of integers or an int32 tensor: the only step that may run code of the caller. */
export function captureIntegers(value: unknown, caller: string, name: string): CapturedIntegers {
  const isList = Array.isArray(value) || ArrayBuffer.isView(value);
  if (!isList) return { tensor: captureTensor(value, caller, name) };
  const entries = proveIntegerList(value, MOST_INTEGERS, I32_MINIMUM, I32_MAXIMUM, caller, name);
  return { data: Int32Array.from(entries), shape: [entries.length] };
}

/** Proves captured integers; those of a tensor are copied at once, by calls that wait their turn too. */
export function proveIntegerTensor(captured: CapturedIntegers, instance: WasmInstance, caller: string): IntegerTensor {
  if (!("tensor" in captured)) return captured;
  const view = proveTensor(captured.tensor, instance, caller);
  const { shape, strides, elements, dtype, outside, address } = view;
  if (dtype !== "int32") {
    throw dtypeError(caller, `${captured.tensor.name} is ${dtype}; expected int32 (an Int32Array)`);
  }
  captured.tensor.resident?.assertWritten(caller, captured.tensor.name);
  const data = new Int32Array(elements);
  const from = outside ?? instance.memory(caller).views().i32;
  const rowMajor = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  if (elements > 0) copyElements(shape, from, outside === undefined ? address >>> 2 : 0, strides, data, 0, rowMajor);
  return { data, shape };
}
