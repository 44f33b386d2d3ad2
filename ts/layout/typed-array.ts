/**
 * Reading a typed array without running any code of the caller: the getters used here are the engine's own, taken
 * before user code could replace them, so a subclass, a proxy or an own property named `length` cannot lie.
 */

import { type DataOf, DTYPE_LIST, type DType, ELEMENT_BYTE_LENGTH, isDType, type TensorData } from "../dtype.ts";
import { describe, dtypeError, found, SaccadeError, type SaccadeTypeError } from "../errors.ts";
import type { RawArray } from "../wasm/view.ts";

/** Per kind of typed array: the dtypes it may hold, the one meant where none is given first. */
const DTYPES_OF_ARRAY: Readonly<Record<string, readonly DType[]>> = {
  Float32Array: ["float32"],
  Float16Array: ["float16"],
  Int32Array: ["int32"],
  Uint8Array: ["uint8", "bool"],
  // Of these two neither is meant more than the other.
  Uint16Array: ["float16", "bfloat16"],
};

const typedArrayPrototype: object = Object.getPrototypeOf(Uint8Array.prototype);

function intrinsicGetter<T>(name: string | symbol): (this: unknown) => T {
  return Object.getOwnPropertyDescriptor(typedArrayPrototype, name)!.get as (this: unknown) => T;
}

const kindGetter = intrinsicGetter<string | undefined>(Symbol.toStringTag);
const bufferGetter = intrinsicGetter<ArrayBufferLike>("buffer");
const byteOffsetGetter = intrinsicGetter<number>("byteOffset");
const lengthGetter = intrinsicGetter<number>("length");
/** Any method that validates its receiver will do; this one does nothing else. */
const validate = Object.getOwnPropertyDescriptor(typedArrayPrototype, "keys")!.value as (this: unknown) => unknown;

/** The constructor's name of a true typed array (of any realm), else undefined. */
export function typedArrayKind(value: unknown): string | undefined {
  return kindGetter.call(value);
}

/** Bytes of a true typed array's elements. */
export function byteLengthOf(array: object): number {
  return intrinsicGetter<number>("byteLength").call(array);
}

/** Where a typed array lies: taken once, after the last code of the caller has run. */
export interface ArrayFacts {
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  readonly length: number;
}

/**
 * The facts of a typed array.
 *
 * @throws SaccadeError `ERR_SACCADE_DETACHED` where its buffer was detached, or resized so that it lies outside
 */
export function arrayFacts(array: unknown, caller: string, name: string): ArrayFacts {
  const length = lengthGetter.call(array);
  // Detached arrays, and those that a resized buffer no longer covers, report a length of 0.
  if (length === 0) {
    try {
      validate.call(array);
    } catch (cause) {
      throw new SaccadeError(
        "ERR_SACCADE_DETACHED",
        `${caller}: ${name}.data lies over a buffer that has been detached (transferred, or wasm memory that grew) or ` +
          "resized; make a new typed array (of a Tensor call view() again, or pass it)",
        { cause },
      );
    }
  }
  return { buffer: bufferGetter.call(array), byteOffset: byteOffsetGetter.call(array), length };
}

/**
 * The dtype of a tensor's `data`, proved against the `dtype` that was given with it, if any.
 *
 * @throws TypeError `ERR_SACCADE_DTYPE`, saying how to convert
 */
export function resolveDType(data: unknown, dtype: unknown, caller: string, name: string): DType {
  const kind = typedArrayKind(data);
  if (kind === undefined) throw notATypedArray(data, caller, name);
  const allowed = Object.hasOwn(DTYPES_OF_ARRAY, kind) ? DTYPES_OF_ARRAY[kind]! : undefined;
  if (allowed === undefined) {
    const map = kind.startsWith("Big") ? ", Number" : "";
    const advice = `convert it: Float32Array.from(${name}.data${map})`;
    throw dtypeError(caller, `${name}.data is a ${kind}, which no dtype uses; ${advice}`);
  }
  if (dtype === undefined && kind !== "Uint16Array") return allowed[0]!;
  const words = allowed.map((each) => JSON.stringify(each)).join(" or ");
  if (dtype === undefined) {
    throw dtypeError(caller, `${name}.data is a ${kind}, which may hold ${words}: give ${name}.dtype`);
  }
  if (!isDType(dtype)) throw dtypeError(caller, found(`${name}.dtype`, dtype, `one of ${DTYPE_LIST}`));
  if (allowed.includes(dtype)) return dtype;
  throw dtypeError(caller, `${name}.dtype is "${dtype}", but ${name}.data is a ${kind}, which holds ${words}`);
}

function notATypedArray(data: unknown, caller: string, name: string): SaccadeTypeError {
  const isBuffer = data instanceof ArrayBuffer || data instanceof DataView;
  const advice = Array.isArray(data)
    ? `convert it: Float32Array.from(${name}.data)`
    : isBuffer
      ? `make a typed array over it: new Float32Array(${name}.data)`
      : "expected a typed array, such as a Float32Array";
  return dtypeError(caller, `${name}.data is ${isBuffer ? "a raw buffer" : describe(data)}; ${advice}`);
}

/** By the length of an element. */
const RAW_ARRAYS = { 1: Uint8Array, 2: Uint16Array, 4: Int32Array } as const;

/** The bits of a range of elements as integers, so that copying never changes a NaN. */
export function rawArray(dtype: DType, buffer: ArrayBufferLike, byteOffset: number, length: number): RawArray {
  return new RAW_ARRAYS[ELEMENT_BYTE_LENGTH[dtype]](buffer as ArrayBuffer, byteOffset, length);
}

type ArrayConstructor = new (buffer: ArrayBuffer, byteOffset: number, length: number) => TensorData;

const float16Array = (globalThis as { Float16Array?: ArrayConstructor }).Float16Array;

/** Whether this engine has `Float16Array`. */
export const hasFloat16Array: boolean = float16Array !== undefined;

const DATA_ARRAYS: Readonly<Record<DType, ArrayConstructor>> = {
  float32: Float32Array,
  float16: float16Array ?? Uint16Array,
  bfloat16: Uint16Array,
  int32: Int32Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

/** The typed array that users see for a dtype. */
export function dataArray<D extends DType>(
  dtype: D,
  buffer: ArrayBuffer,
  byteOffset: number,
  length: number,
): DataOf[D];
export function dataArray(dtype: DType, buffer: ArrayBuffer, byteOffset: number, length: number): TensorData {
  return new DATA_ARRAYS[dtype](buffer, byteOffset, length);
}
