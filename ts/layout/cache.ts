/**
 * Reading and proving what a `KvCache` is made with, and what its methods are given.
 */

import { BLOCK, type BlockFormat, blockByteLength, CACHE_DTYPES, type CacheDType } from "../cache/format.ts";
import { type Geometry, geometryOf, type MemoryShape } from "../cache/geometry.ts";
import { argumentError, describe, dtypeError, rangeError, SaccadeRangeError, shapeError } from "../errors.ts";
import type { AxisOrder } from "../wasm/call.ts";
import { axesOf, type Layout } from "./axes.ts";
import { readOptions } from "./options.ts";
import { MAXIMUM_SIZE, proveInteger, proveIntegers } from "./shape.ts";
import { bareTensor, type CapturedTensor } from "./tensor-like.ts";

const KNOWN = [
  "batch",
  "numKvHeads",
  "headDim",
  "valueHeadDim",
  "capacity",
  "dtype",
  "window",
  "pageSize",
  "rope",
  "engine",
] as const;

/** The largest block that the wasm can address. */
const LARGEST_BLOCK = 2 ** 31 - 1;

/** The largest page: more than the memory has. */
const LARGEST_PAGE = 2 ** 32 - 1;

/** What a cache is made with, proved. */
export interface CacheShape extends MemoryShape {
  readonly batch: number;
  readonly format: BlockFormat;
  readonly geometry: Geometry;
}

/** Options of a cache, each read once. */
export type CapturedCache = Partial<Record<(typeof KNOWN)[number], unknown>>;

/** Reads the options of a cache. */
export function captureCache(options: unknown, caller: string): CapturedCache {
  if (options === undefined) {
    throw argumentError(caller, "options is undefined; expected { batch, numKvHeads, headDim, capacity }");
  }
  return readOptions(options, KNOWN, caller);
}

/** Proves the sizes of a cache. */
export function resolveCache(read: CapturedCache, caller: string): CacheShape {
  const integer = (name: (typeof KNOWN)[number], low: number): number =>
    proveInteger(read[name], low, MAXIMUM_SIZE, caller, `options.${name}`);
  const batch = integer("batch", 1);
  const headDim = integer("headDim", 1);
  const dtype = read.dtype === undefined ? "float32" : proveCacheDType(read.dtype, caller);
  const valueHeadDim = read.valueHeadDim === undefined ? headDim : integer("valueHeadDim", 0);
  const format = { dtype, numKvHeads: integer("numKvHeads", 1), headDim, valueHeadDim };
  const capacity = integer("capacity", 1);
  const pageSize = read.pageSize === undefined ? undefined : integer("pageSize", BLOCK);
  if (pageSize !== undefined && pageSize % BLOCK !== 0) {
    throw rangeError(caller, `options.pageSize is ${pageSize}; expected a multiple of ${BLOCK}`);
  }
  const window = read.window === undefined ? undefined : proveCacheWindow(read.window, capacity, caller);
  if (blockByteLength(format) > LARGEST_BLOCK) {
    const sizes = `numKvHeads ${format.numKvHeads}, headDim ${headDim}, valueHeadDim ${valueHeadDim}`;
    throw shapeError(caller, `${sizes} are more than a block of 64 keys can hold`);
  }
  const memory = { capacity, window, pageSize };
  const geometry = geometryOf(memory);
  const pageByteLength = geometry.pageBlocks * blockByteLength(format);
  if (!geometry.eager && pageByteLength > LARGEST_PAGE) {
    throw rangeError(
      caller,
      `options.pageSize is ${pageSize}; a page of ${pageByteLength} bytes is more than any memory holds`,
    );
  }
  return { ...memory, batch, format, geometry };
}

function proveCacheDType(dtype: unknown, caller: string): CacheDType {
  if (typeof dtype === "string" && Object.hasOwn(CACHE_DTYPES, dtype)) return dtype as CacheDType;
  const expected = Object.keys(CACHE_DTYPES).map((name) => JSON.stringify(name));
  throw dtypeError(caller, `options.dtype is ${describe(dtype)}; expected one of ${expected.join(", ")}`);
}

function proveCacheWindow(window: unknown, capacity: number, caller: string): NonNullable<MemoryShape["window"]> {
  const about = `${caller}: options.window`;
  const read = readOptions(window, ["left", "first"] as const, about);
  const left = proveInteger(read.left, 0, MAXIMUM_SIZE, caller, "options.window.left");
  const first =
    read.first === undefined ? 0 : proveInteger(read.first, 0, MAXIMUM_SIZE, caller, "options.window.first");
  if (left >= capacity) {
    throw new SaccadeRangeError(
      "ERR_SACCADE_RANGE",
      `${about}.left is ${left}, options.capacity is ${capacity}; expected a capacity above it: a row sees ${left} keys ` +
        "before its own, and one append holds at most capacity - left rows",
    );
  }
  return { left, first };
}

/** Sizes of a tensor that is appended, proved against the cache. */
export interface AppendedSizes {
  readonly axes: AxisOrder;
  readonly n: number;
}

/** Proves the shapes of key and value against a cache. */
export function proveAppended(
  key: CapturedTensor,
  value: CapturedTensor,
  batch: number,
  { numKvHeads, headDim, valueHeadDim }: BlockFormat,
  caller: string,
): AppendedSizes {
  const axes = axesOf(key.shape, "bshd", caller, "key");
  const n = key.shape[axes.seq]!;
  proveFits(key, axes, [batch, n, numKvHeads, headDim], ["batch", "n", "numKvHeads", "headDim"], caller);
  if (value.shape.length !== key.shape.length) {
    throw shapeError(
      caller,
      `value.shape has ${value.shape.length} axes, key.shape has ${key.shape.length}; expected the same rank`,
    );
  }
  proveFits(value, axes, [batch, n, numKvHeads, valueHeadDim], ["batch", "n", "numKvHeads", "valueHeadDim"], caller);
  return { axes, n };
}

function proveFits(
  { name, shape }: CapturedTensor,
  axes: AxisOrder,
  expected: readonly number[],
  meanings: readonly string[],
  caller: string,
): void {
  [axes.batch, axes.seq, axes.head, shape.length - 1].forEach((axis, index) => {
    const size = axis < 0 ? 1 : shape[axis]!;
    if (size === expected[index]) return;
    const given =
      axis < 0
        ? `${name}.shape has no axis for ${meanings[index]}`
        : `${name}.shape[${axis}] (${meanings[index]}) is ${size}`;
    const whose = meanings[index] === "n" ? "key has" : "the cache has";
    throw shapeError(caller, `${given}, ${whose} ${expected[index]}`);
  });
}

/** Proves that a query can attend a cache, and gives the shapes of all keys and values in its layout and rank. */
export function keysFor(
  query: CapturedTensor,
  layout: Layout,
  batch: number,
  kvLen: number,
  { numKvHeads, headDim, valueHeadDim }: BlockFormat,
  caller: string,
): { readonly key: CapturedTensor; readonly value: CapturedTensor } {
  const axes = axesOf(query.shape, layout, caller);
  const last = query.shape.length - 1;
  const heads = axes.head < 0 ? 1 : query.shape[axes.head]!;
  const qLen = query.shape[axes.seq]!;
  proveFits(query, axes, [batch, qLen, heads, headDim], ["batch", "qLen", "numHeads", "headDim"], caller);
  if (axes.head < 0 ? numKvHeads !== 1 : heads % numKvHeads !== 0) {
    const given =
      axes.head < 0 ? "query.shape has no axis for heads" : `query.shape[${axes.head}] (numHeads) is ${heads}`;
    throw shapeError(caller, `${given}, numKvHeads of the cache is ${numKvHeads}; expected a multiple of it`);
  }
  const tensor = (name: string, width: number): CapturedTensor => {
    const shape = query.shape.map((size, axis) => {
      if (axis === last) return width;
      return axis === axes.seq ? kvLen : axis === axes.head ? numKvHeads : size;
    });
    return bareTensor(name, shape);
  };
  return { key: tensor("key", headDim), value: tensor("value", valueHeadDim) };
}

/** Proves a length per batch row, or one for all. */
export function proveLengthsOf(
  value: unknown,
  batch: number,
  low: number,
  high: number,
  caller: string,
  name: string,
): number | readonly number[] {
  if (typeof value === "number") return proveInteger(value, low, high, caller, name);
  return proveIntegers(value, batch, low, high, caller, name, "one per batch row");
}
