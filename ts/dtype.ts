/**
 * Element types, the typed arrays that hold them, and how many bytes an element takes.
 */

/** The type of a tensor's elements. */
export type DType = "float32" | "float16" | "bfloat16" | "int32" | "uint8" | "bool";

/** The dtypes that attention computes with. */
export type FloatDType = "float32" | "float16" | "bfloat16";

/** `Float16Array` (as the engine and the compiler's libraries have it), else raw bits in a `Uint16Array`. */
export type Float16Data = typeof globalThis extends { Float16Array: { prototype: infer A } }
  ? A | Uint16Array
  : Uint16Array;

/** The typed arrays that can be a tensor's `data`. */
export type TensorData = Float32Array | Float16Data | Uint16Array | Int32Array | Uint8Array;

/** The typed array that holds a dtype. */
export interface DataOf {
  float32: Float32Array<ArrayBuffer>;
  float16: Float16Data;
  bfloat16: Uint16Array<ArrayBuffer>;
  int32: Int32Array<ArrayBuffer>;
  uint8: Uint8Array<ArrayBuffer>;
  bool: Uint8Array<ArrayBuffer>;
}

/** Bytes of an element. */
export const ELEMENT_BYTE_LENGTH: Readonly<Record<DType, 1 | 2 | 4>> = Object.freeze({
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int32: 4,
  uint8: 1,
  bool: 1,
});

/** Whether a dtype is one that attention computes with. */
export function isFloat(dtype: DType): dtype is FloatDType {
  return dtype === "float32" || dtype === "float16" || dtype === "bfloat16";
}

/** Whether a value names a dtype. */
export function isDType(value: unknown): value is DType {
  return typeof value === "string" && Object.hasOwn(ELEMENT_BYTE_LENGTH, value);
}

/** All dtypes, for messages. */
export const DTYPE_LIST = Object.keys(ELEMENT_BYTE_LENGTH)
  .map((name) => JSON.stringify(name))
  .join(", ");
