/**
 * Reading a typed array without running any code of the caller: the getters used here are the engine's own, taken
 * before user code could replace them, so a subclass, a proxy or an own property named `length` cannot lie.
 */

import { type DataOf, DTYPE_LIST, type DType, ELEMENT_BYTE_LENGTH, isDType, type TensorData } from "../dtype.ts";
import { describe, dtypeError, SaccadeError, type SaccadeTypeError } from "../errors.ts";
import type { RawArray } from "../wasm/view.ts";

/** Per kind of typed array: the dtypes it may hold, the one meant where none is given first (undefined: say it). */
const DTYPES_OF_ARRAY: Readonly<Record<string, { readonly implied?: DType; readonly allowed: readonly DType[] }>> = {
  Float32Array: { implied: "float32", allowed: ["float32"] },
  Float16Array: { implied: "float16", allowed: ["float16"] },
  Int32Array: { implied: "int32", allowed: ["int32"] },
  Uint8Array: { implied: "uint8", allowed: ["uint8", "bool"] },
  Uint16Array: { allowed: ["float16", "bfloat16"] },
};

const typedArrayPrototype: object = Object.getPrototypeOf(Uint8Array.prototype);

function intrinsicGetter<T>(name: string | symbol): (this: unknown) => T {
  return Object.getOwnPropertyDescriptor(typedArrayPrototype, name)!.get as (this: unknown) => T;
}

const kindGetter = intrinsicGetter<string | undefined>(Symbol.toStringTag);
const bufferGetter = intrinsicGetter<ArrayBufferLike>("buffer");
const byteOffsetGetter = intrinsicGetter<number>("byteOffset");
const lengthGetter = intrinsicGetter<number>("length");
const byteLengthGetter = intrinsicGetter<number>("byteLength");
/** Any method that validates its receiver will do; this one does nothing else. */
const validate = Object.getOwnPropertyDescriptor(typedArrayPrototype, "keys")!.value as (this: unknown) => unknown;

/** The constructor's name of a true typed array (of any realm), else undefined. */
export function typedArrayKind(value: unknown): string | undefined {
  return kindGetter.call(value);
}

/** Bytes of a true typed array's elements. */
export function byteLengthOf(array: object): number {
  return byteLengthGetter.call(array);
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
          "resized; make a new typed array (for a Tensor, call view() again, or pass the Tensor itself)",
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
  const entry = Object.hasOwn(DTYPES_OF_ARRAY, kind) ? DTYPES_OF_ARRAY[kind] : undefined;
  if (entry === undefined) {
    throw dtypeError(caller, `${name}.data is a ${kind}, which no dtype uses; ${conversionFrom(kind, name)}`);
  }
  if (dtype === undefined) {
    if (entry.implied !== undefined) return entry.implied;
    throw dtypeError(caller, `${name}.data is a ${kind}, which may hold "float16" or "bfloat16": give ${name}.dtype`);
  }
  if (!isDType(dtype)) {
    throw dtypeError(caller, `${name}.dtype is ${describe(dtype)}; expected one of ${DTYPE_LIST}`);
  }
  if (!entry.allowed.includes(dtype)) {
    const wanted = entry.allowed.map((allowed) => JSON.stringify(allowed)).join(" or ");
    throw dtypeError(
      caller,
      `${name}.dtype is ${JSON.stringify(dtype)}, but ${name}.data is a ${kind}, which holds ${wanted}`,
    );
  }
  return dtype;
}

function notATypedArray(data: unknown, caller: string, name: string): SaccadeTypeError {
  const isBuffer = data instanceof ArrayBuffer || data instanceof DataView;
  const advice = Array.isArray(data)
    ? `convert it: Float32Array.from(${name}.data)`
    : isBuffer
      ? `make a typed array over it: new Float32Array(${name}.data)`
      : "expected a typed array, such as a Float32Array";
  const what = isBuffer ? "a raw buffer" : describe(data);
  return dtypeError(caller, `${name}.data is ${what}; ${advice}`);
}

function conversionFrom(kind: string, name: string): string {
  if (kind.startsWith("Big")) return `convert it: Float32Array.from(${name}.data, Number)`;
  if (kind === "Float64Array") return `convert it: Float32Array.from(${name}.data)`;
  if (kind === "Uint8ClampedArray" || kind === "Int8Array") {
    return `convert it: Float32Array.from(${name}.data), or view its bytes as a Uint8Array`;
  }
  return `convert it: Float32Array.from(${name}.data) or Int32Array.from(${name}.data)`;
}

/** The bits of a range of elements as integers, so that copying never changes a NaN. */
export function rawArray(dtype: DType, buffer: ArrayBufferLike, byteOffset: number, length: number): RawArray {
  switch (ELEMENT_BYTE_LENGTH[dtype]) {
    case 4:
      return new Int32Array(buffer, byteOffset, length);
    case 2:
      return new Uint16Array(buffer, byteOffset, length);
    case 1:
      return new Uint8Array(buffer, byteOffset, length);
  }
}

type ArrayConstructor = new (buffer: ArrayBuffer, byteOffset: number, length: number) => TensorData;

const float16Array = (globalThis as { Float16Array?: ArrayConstructor }).Float16Array;

/** Whether this engine has `Float16Array`. */
export const hasFloat16Array: boolean = float16Array !== undefined;

/** The typed array that users see for a dtype. */
export function dataArray<D extends DType>(
  dtype: D,
  buffer: ArrayBuffer,
  byteOffset: number,
  length: number,
): DataOf[D];
export function dataArray(dtype: DType, buffer: ArrayBuffer, byteOffset: number, length: number): TensorData {
  switch (dtype) {
    case "float32":
      return new Float32Array(buffer, byteOffset, length);
    case "float16":
      return new (float16Array ?? Uint16Array)(buffer, byteOffset, length);
    case "bfloat16":
      return new Uint16Array(buffer, byteOffset, length);
    case "int32":
      return new Int32Array(buffer, byteOffset, length);
    case "uint8":
    case "bool":
      return new Uint8Array(buffer, byteOffset, length);
  }
}
