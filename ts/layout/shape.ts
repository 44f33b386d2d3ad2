/**
 * Proving numbers: shapes, strides, lists of integers. Everything is computed in f64 and refused above 2^53, so no
 * product can wrap.
 */

import { argumentError, describe, shapeError, strideError, unfit, wrongKind } from "../errors.ts";

/** The most axes that a tensor can have. */
export const MAXIMUM_RANK = 8;

/** What a shape must be, in words. */
export const RANK_EXPECTED: string = `an array of at most ${MAXIMUM_RANK} sizes`;

/** The largest size of an axis: positions must fit in an i32. */
export const MAXIMUM_SIZE = 2 ** 31 - 1;

/** The range of a position. */
export const I32_MINIMUM: number = -(2 ** 31);
export const I32_MAXIMUM: number = 2 ** 31 - 1;

/** The largest stride: it must fit in a u32. */
export const MAXIMUM_STRIDE = 2 ** 32 - 1;

/** Reads an array-like exactly once, entry by entry, into an array of our own; at most `limit` entries. */
export function snapshot(list: unknown, limit: number, caller: string, name: string, expected: string): unknown[] {
  if (typeof list !== "object" || list === null) throw wrongKind(caller, name, list, expected);
  const { length } = list as ArrayLike<unknown>;
  if (!Number.isSafeInteger(length) || length < 0) {
    throw argumentError(caller, `${name} is not an array (its length is ${describe(length)}); expected ${expected}`);
  }
  if (length > limit) throw shapeError(caller, `${name} has ${length} entries; expected ${expected}`);
  const entries: unknown[] = new Array(length);
  for (let i = 0; i < length; i++) entries[i] = (list as ArrayLike<unknown>)[i];
  return entries;
}

/** Whether an entry of a shape or of strides, which must be a number, is an integer from 0 to `most`. */
function fits(entry: unknown, most: number, caller: string, name: string): entry is number {
  if (typeof entry !== "number") throw wrongKind(caller, name, entry, "a number");
  return Number.isInteger(entry) && entry >= 0 && entry <= most;
}

/** Proves that entry `axis` of a shape is a size: an integer from 0 to {@link MAXIMUM_SIZE}. */
export function proveSize(size: unknown, caller: string, name: string, axis: number): number {
  const entry = `${name}[${axis}]`;
  // -0 is a size, and would divide.
  if (fits(size, MAXIMUM_SIZE, caller, entry)) return size || 0;
  throw shapeError(caller, `${entry} is ${describe(size)}; expected an integer from 0 to ${MAXIMUM_SIZE}`);
}

/** Proves a shape; the result is frozen. */
export function proveShape(entries: readonly unknown[], caller: string, name: string): readonly number[] {
  return Object.freeze(entries.map((size, axis) => proveSize(size, caller, name, axis)));
}

/** Product of a shape. */
export function countElements(shape: readonly number[], caller: string, name: string): number {
  let elements = 1;
  for (const size of shape) elements *= size;
  // An axis of no size counts, however large the others are together.
  if (shape.includes(0)) return 0;
  if (elements <= Number.MAX_SAFE_INTEGER) return elements;
  throw shapeError(caller, `${name} [${shape.join(", ")}] has more than 2^53 elements`);
}

/** Proves strides for a shape: integers from 0 up, the last axis contiguous. Axes of at most one index get 0. */
export function proveStrides(
  entries: readonly unknown[],
  shape: readonly number[],
  caller: string,
  name: string,
): readonly number[] {
  const rank = shape.length;
  if (entries.length !== rank) {
    throw strideError(
      caller,
      `${name} has ${entries.length} entries; expected one per axis of the shape, which has ${rank}`,
    );
  }
  const strides = entries.map((stride, axis) => {
    const entry = `${name}[${axis}]`;
    if (!fits(stride, MAXIMUM_STRIDE, caller, entry)) {
      const expected = `expected an integer from 0 to ${MAXIMUM_STRIDE} (elements)`;
      throw strideError(caller, `${entry} is ${describe(stride)}; ${expected}`);
    }
    const isLong = shape[axis]! > 1;
    if (axis < rank - 1) return isLong ? stride : 0;
    if (isLong && stride !== 1) {
      throw strideError(caller, `${entry} is ${stride}; the last axis must be contiguous (stride 1)`);
    }
    return 1;
  });
  return Object.freeze(strides);
}

/** Elements from the first to the last one that a view reaches, both included. */
export function spanOf(shape: readonly number[], strides: readonly number[]): number {
  let span = 1;
  for (let axis = 0; axis < shape.length; axis++) {
    if (shape[axis] === 0) return 0;
    span += (shape[axis]! - 1) * strides[axis]!;
  }
  return span;
}

/** Whether elements lie one behind the other in row-major order. */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis]!;
    if (size > 1 && strides[axis] !== expected) return false;
    expected *= size;
  }
  return true;
}

/** Whether no two indices of a view reach the same element, as far as nested strides can show it. */
export function isInjective(shape: readonly number[], strides: readonly number[]): boolean {
  const axes = shape.map((_, axis) => axis).filter((axis) => shape[axis]! > 1);
  axes.sort((a, b) => strides[a]! - strides[b]!);
  let reach = 1;
  for (const axis of axes) {
    if (strides[axis]! < reach) return false;
    reach += (shape[axis]! - 1) * strides[axis]!;
  }
  return true;
}

/** Proves a list of `length` integers, each in `[low, high]`; `each` says what there is one of. */
export function proveIntegers(
  list: unknown,
  length: number,
  low: number,
  high: number,
  caller: string,
  name: string,
  each: string,
): readonly number[] {
  const entries = exactly(list, length, caller, name, `${length} integers, ${each}`);
  return entries.map((entry, index) => proveInteger(entry, low, high, caller, `${name}[${index}]`));
}

/** Proves a list of at most `most` integers, each in `[low, high]`. */
export function proveIntegerList(
  list: unknown,
  most: number,
  low: number,
  high: number,
  caller: string,
  name: string,
  expected = "an array of integers",
): readonly number[] {
  const entries = snapshot(list, most, caller, name, `${expected}, at most ${most}`);
  return entries.map((entry, index) => proveInteger(entry, low, high, caller, `${name}[${index}]`));
}

/** Proves a list of numbers, one per query head unless `each` says of what, and rounds each to float32. */
export function proveFloats(
  list: unknown,
  length: number,
  caller: string,
  name: string,
  or = "",
  each = "one per query head",
): Float32Array<ArrayBuffer> {
  const entries = exactly(list, length, caller, name, `${or}${length} numbers, ${each}`);
  return Float32Array.from(entries, (entry, index) => {
    if (typeof entry === "number") return entry;
    throw wrongKind(caller, `${name}[${index}]`, entry, "a number");
  });
}

function exactly(list: unknown, length: number, caller: string, name: string, expected: string): unknown[] {
  const entries = snapshot(list, length, caller, name, expected);
  if (entries.length === length) return entries;
  throw shapeError(caller, `${name} has ${entries.length} entries; expected ${expected}`);
}

/** Proves a finite number. */
export function proveNumber(value: unknown, caller: string, name: string): number {
  if (Number.isFinite(value)) return value as number;
  throw unfit(caller, name, value, "a finite number");
}

/** Proves an integer in `[low, high]`; -0 becomes 0. What else is taken, `or` says. */
export function proveInteger(value: unknown, low: number, high: number, caller: string, name: string, or = ""): number {
  if (Number.isInteger(value) && (value as number) >= low && (value as number) <= high) return (value as number) || 0;
  throw unfit(caller, name, value, `an integer from ${low} to ${high}${or}`);
}
