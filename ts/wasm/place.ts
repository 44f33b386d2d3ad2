/**
 * Inputs and outputs on their way into linear memory and back. What lives there already is used where it lies; the
 * rest is copied once, bit by bit.
 */

import { type DType, ELEMENT_BYTE_LENGTH, type TensorData } from "../dtype.ts";
import { dataArray, rawArray } from "../layout/typed-array.ts";
import type { Destination } from "./call.ts";
import { type LinearMemory, type MemoryViews, outOfMemory } from "./memory.ts";
import { contiguousStrides, copyElements, type RawArray, type TensorView } from "./view.ts";

/** An input or output as the wasm will see it. */
export interface Placed {
  readonly address: number;
  readonly strides: readonly number[];
  readonly dtype: DType;
}

/** The whole memory as elements of a dtype's size. */
export function rawMemory(dtype: DType, views: MemoryViews): RawArray {
  const size = ELEMENT_BYTE_LENGTH[dtype];
  return size === 4 ? views.i32 : size === 2 ? views.u16 : views.u8;
}

/** Where an input lies, or is copied to: nothing is ever broadcast. */
export function placeInput(view: TensorView, memory: LinearMemory, caller: string): Placed {
  const { outside, dtype, shape, elements, span } = view;
  if (outside === undefined) return view;
  const size = ELEMENT_BYTE_LENGTH[dtype];
  // It is copied as it lies, or element by element where most of its span is not its own.
  const isSparse = span >= 2 * elements;
  const strides = isSparse ? contiguousStrides(shape, elements) : view.strides;
  const address = memory.scratch.allocate((isSparse ? elements : span) * size, caller);
  const raw = rawMemory(dtype, memory.views());
  if (isSparse) copyElements(shape, outside, 0, view.strides, raw, address / size, strides);
  else raw.set(outside, address / size);
  return { address, strides, dtype };
}

/** Copies 32-bit numbers into temporary memory: integers, or the bits of floats. The address is 0 where there are none. */
export function placeList(list: ArrayLike<number> | undefined, memory: LinearMemory, caller: string): number {
  if (list === undefined) return 0;
  const address = memory.scratch.allocate(list.length * 4, caller);
  const { f32, i32 } = memory.views();
  const to = list instanceof Float32Array ? f32 : i32;
  for (let i = 0, at = address >>> 2; i < list.length; i++) to[at + i] = list[i]!;
  return address;
}

/** A new array of floats. */
export function newFloats(elements: number, memory: LinearMemory, caller: string): Float32Array<ArrayBuffer> {
  try {
    return new Float32Array(elements);
  } catch (cause) {
    throw outOfMemory(caller, elements * 4, memory, cause);
  }
}

/** Memory for a result that has no target. */
export function newData(destination: Destination, memory: LinearMemory, caller: string): TensorData | undefined {
  if (destination.target !== undefined) return undefined;
  const { elements, dtype } = destination;
  const byteLength = elements * ELEMENT_BYTE_LENGTH[dtype];
  try {
    return dtype === "float32"
      ? new Float32Array(elements)
      : dataArray(dtype, new ArrayBuffer(byteLength), 0, elements);
  } catch (cause) {
    throw outOfMemory(caller, byteLength, memory, cause);
  }
}

/** Where the wasm writes an output that may have any strides. */
export function placeOutput(destination: Destination, memory: LinearMemory, caller: string): Placed {
  const { target } = destination;
  return target !== undefined && target.address >= 0 ? target : newPlace(destination, memory, caller);
}

/** Where the wasm writes an output that must be row-major. */
export function placeContiguous(destination: Destination, memory: LinearMemory, caller: string): Placed {
  const { target } = destination;
  return target !== undefined && target.address >= 0 && target.contiguous
    ? target
    : newPlace(destination, memory, caller);
}

function newPlace({ shape, elements, dtype }: Destination, memory: LinearMemory, caller: string): Placed {
  const address = memory.scratch.allocate(elements * ELEMENT_BYTE_LENGTH[dtype], caller);
  return { address, strides: contiguousStrides(shape, elements), dtype };
}

/** Copies an output from its place to the new array or the target. */
export function takeOut(
  { target, shape, elements, dtype }: Destination,
  place: Placed,
  data: TensorData | undefined,
  views: MemoryViews,
): void {
  if (data instanceof Float32Array) {
    const at = place.address >>> 2;
    data.set(views.f32.subarray(at, at + elements));
    return;
  }
  const memory = rawMemory(dtype, views);
  const at = place.address / ELEMENT_BYTE_LENGTH[dtype];
  if (data !== undefined) {
    rawArray(dtype, data.buffer, 0, elements).set(memory.subarray(at, at + elements));
  } else if (target !== undefined && target !== place) {
    const toAt = target.outside === undefined ? target.address / ELEMENT_BYTE_LENGTH[dtype] : 0;
    copyElements(shape, memory, at, place.strides, target.outside ?? memory, toAt, target.strides);
  }
}
