/**
 * Tensors of another system's call: seen under another shape, or put together. Elements are copied as bits, never
 * computed with.
 */

import { type DType, ELEMENT_BYTE_LENGTH, type TensorData } from "../dtype.ts";
import { describe, dtypeError, shapeError } from "../errors.ts";
import { countElements, proveInteger, snapshot, spanOf } from "../layout/shape.ts";
import { captureTensor, dtypeOf, proveLayout, ResidentHandle, type TensorLike } from "../layout/tensor-like.ts";
import { arrayFacts, dataArray, rawArray } from "../layout/typed-array.ts";
import type { PlainTensor, Tensor } from "../tensor.ts";
import { contiguousStrides, type RawArray } from "../wasm/view.ts";

/** Anything that is taken as a tensor. */
export type AnyTensor = TensorLike | Tensor;

/** A tensor of the call, read once. */
export interface Source {
  /** How messages call it. */
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
  /** The array behind it, taken afresh: that of a Tensor moves when its memory grows. */
  readonly data: () => TensorData;
  /** What was given. */
  readonly given: AnyTensor;
}

/** Reads a tensor and proves that every element it reaches exists. */
export function readTensor(value: unknown, caller: string, name: string): Source {
  const captured = captureTensor(value, caller, name);
  const { shape } = captured;
  const dtype = dtypeOf(captured, caller);
  const elements = countElements(shape, caller, `${name}.shape`);
  if (ResidentHandle.residentOf(value as object) !== undefined) {
    const tensor = value as Tensor;
    const strides = contiguousStrides(shape, elements);
    return { name, dtype, shape, strides, offset: 0, data: () => tensor.view() as TensorData, given: tensor };
  }
  const { strides, offset } = proveLayout(captured, elements, caller);
  const { length } = arrayFacts(captured.data, caller, name);
  const reach = offset + (elements === 0 ? 0 : spanOf(shape, strides));
  const exact = captured.strides === undefined && captured.offset === undefined;
  if (exact ? length !== elements : length < reach) {
    throw shapeError(
      caller,
      `${name}.data holds ${length} elements, ${name}.shape [${shape.join(", ")}] needs ` +
        `${exact ? elements : reach}`,
    );
  }
  const data = captured.data as TensorData;
  return { name, dtype, shape, strides, offset, data: () => data, given: value as AnyTensor };
}

/** Reads a tensor that may be absent. */
export function readOptional(value: unknown, caller: string, name: string): Source | undefined {
  return value === undefined ? undefined : readTensor(value, caller, name);
}

/** Proves the number of axes. */
export function proveRank(source: Source, ranks: readonly number[], caller: string): void {
  if (ranks.includes(source.shape.length)) return;
  throw shapeError(caller, `${source.name}.shape has ${source.shape.length} axes; expected ${ranks.join(" or ")}`);
}

/** Proves that one axis has a certain size. */
export function proveSize(source: Source, axis: number, size: number, meaning: string, caller: string): void {
  const given = source.shape[axis];
  if (given === size) return;
  throw shapeError(caller, `${source.name}.shape[${axis}] (${meaning}) is ${given}; expected ${size}`);
}

/** The same elements seen under other axes. */
export function viewAs(source: Source, shape: readonly number[], strides: readonly number[], from = 0): TensorLike {
  const { data, dtype, offset } = source;
  return {
    get data() {
      return data();
    },
    shape,
    dtype,
    strides,
    offset: offset + from,
  };
}

/** An array of zeros for a new tensor, as users see it and as bits. */
export function allocate(
  dtype: DType,
  shape: readonly number[],
  caller: string,
): { plain: PlainTensor; raw: RawArray } {
  const elements = countElements(shape, caller, "the result");
  const buffer = new ArrayBuffer(elements * ELEMENT_BYTE_LENGTH[dtype]);
  return {
    plain: { data: dataArray(dtype, buffer, 0, elements), shape: [...shape], dtype },
    raw: rawArray(dtype, buffer, 0, elements),
  };
}

/** The bits of a source, from its first element on. */
export function bitsOf(source: Source, caller: string): RawArray {
  const { buffer, byteOffset, length } = arrayFacts(source.data(), caller, source.name);
  const skipped = Math.min(source.offset, length);
  const first = byteOffset + skipped * ELEMENT_BYTE_LENGTH[source.dtype];
  return rawArray(source.dtype, buffer, first, length - skipped);
}

/** The list in what may be a list, `{ data }` or a Tensor. */
export function listIn(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (ResidentHandle.residentOf(value) !== undefined) return (value as Tensor).view();
  return "data" in value ? value.data : value;
}

/** Integers given as a list or as a tensor, of numbers or of bigints (int64). */
export function readIntegers(value: unknown, count: number, caller: string, name: string): number[] {
  const list = snapshot(listIn(value), count, caller, name, count === 1 ? "one integer" : `${count} integers`);
  if (list.length !== count) throw shapeError(caller, `${name} has ${list.length} entries; expected ${count}`);
  return list.map((entry, index) =>
    proveInteger(
      typeof entry === "bigint" ? Number(entry) : entry,
      -(2 ** 31),
      2 ** 31 - 1,
      caller,
      `${name}[${index}]`,
    ),
  );
}

/** What a mask that may be boolean or added is to `attention`. */
export function asMaskOrBias(source: Source, caller: string): "mask" | "bias" {
  switch (source.dtype) {
    case "bool":
    case "uint8":
      return "mask";
    case "float32":
    case "float16":
    case "bfloat16":
      return "bias";
    default:
      throw dtypeError(
        caller,
        `${source.name} is ${describe(source.dtype)}; expected bool (true = attend) or a float type (added)`,
      );
  }
}
