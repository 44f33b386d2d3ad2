/**
 * Positions that are added to what attention reads: sinusoidal and learned ones, and the slopes of ALiBi.
 */

import type { Engine } from "./engine.ts";
import { rangeError, shapeError } from "./errors.ts";
import { instanceFor } from "./init.ts";
import { paperSlopes } from "./layout/alibi.ts";
import { resolveApart, resolveDestination } from "./layout/destinations.ts";
import { proveApartOrSame } from "./layout/in-place.ts";
import { captureIntegers, proveIntegerTensor } from "./layout/integers.ts";
import { proveFloatTensor } from "./layout/operands.ts";
import { proveWord, readOptions } from "./layout/options.ts";
import { plainOf } from "./layout/results.ts";
import { I32_MAXIMUM, I32_MINIMUM, MAXIMUM_SIZE, proveInteger, proveNumber } from "./layout/shape.ts";
import { captureTensor } from "./layout/tensor-like.ts";
import type { PlainTensor, TensorInput } from "./tensor.ts";
import { inSession } from "./wasm/operator.ts";

const LAYOUTS = ["interleaved", "concatenated"] as const;

/** Options of {@link sinusoidalPositions}. */
export interface SinusoidalOptions {
  /** The first row's position: any integer of 32 bits, as the last row's must be. Default 0. */
  readonly offset?: number | undefined;
  /** Base of the frequencies, from 1 up. Default 10000. */
  readonly base?: number | undefined;
  /**
   * `"interleaved"` (default): sines in even columns, cosines in odd ones, as the paper has it. `"concatenated"`: all sines,
   * then all cosines. With an odd dim the last frequency has its sine only.
   */
  readonly layout?: "interleaved" | "concatenated" | undefined;
  /** Where the result goes: float32 of its shape. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** Options of {@link addSinusoidalPositions}. */
export interface AddSinusoidalOptions extends SinusoidalOptions {
  /**
   * x is multiplied by it before positions are added: `"sqrt-dim"` is the root of dim, by which the paper and textbooks multiply
   * embeddings. Default 1.
   */
  readonly scale?: number | "sqrt-dim" | undefined;
  /** Where the result goes: float32 of x's shape. It may be x itself: then x is changed in place. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
}

const SINUSOIDAL = ["offset", "base", "layout", "out", "engine"] as const;

/** Proves the base of frequencies. */
export function proveBase(value: unknown, caller: string): number {
  const base = value === undefined ? 10000 : proveNumber(value, caller, "options.base");
  if (base >= 1) return base;
  throw rangeError(caller, `options.base is ${base}; expected a number from 1 up`);
}

/** Proves the first of `length` positions. */
export function proveOffset(value: unknown, length: number, caller: string): number {
  const offset = value === undefined ? 0 : proveInteger(value, I32_MINIMUM, I32_MAXIMUM, caller, "options.offset");
  if (offset + length - 1 <= I32_MAXIMUM) return offset;
  throw rangeError(
    caller,
    `options.offset is ${offset}; with ${length} rows the last position would pass ${I32_MAXIMUM}`,
  );
}

function proveSinusoidal(
  read: Partial<Record<(typeof SINUSOIDAL)[number], unknown>>,
  length: number,
  caller: string,
): { offset: number; base: number; concatenated: number } {
  const layout = read.layout === undefined ? "interleaved" : proveWord(read.layout, LAYOUTS, caller, "layout");
  const base = proveBase(read.base, caller);
  return { offset: proveOffset(read.offset, length, caller), base, concatenated: LAYOUTS.indexOf(layout) };
}

/**
 * The table of sinusoidal positions (Vaswani et al., "Attention Is All You Need", 2017): with `f_i = base^(-2i / dim)`, row p has
 * `sin(p f_i)` in column 2i and `cos(p f_i)` in column 2i + 1. Each element is the exact value of its angle rounded once to
 * float32, and has the same bits on every machine.
 *
 * @param length - rows: positions `offset` to `offset + length - 1`
 * @param dim - columns, from 1 up; it may be odd
 * @returns `[length, dim]`; the target itself where `out` is given
 * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_RANGE`,
 *   `ERR_SACCADE_SHAPE`, `ERR_SACCADE_STRIDE`; SaccadeError as `attention`
 *
 * @example
 * ```ts
 * import { init, sinusoidalPositions } from "saccade";
 *
 * await init();
 * const { data, shape } = sinusoidalPositions(60, 32);
 * console.log(shape, data[0], data[1]); // [60, 32] 0 1
 * ```
 */
export function sinusoidalPositions(length: number, dim: number, options?: SinusoidalOptions): PlainTensor<"float32"> {
  const caller = "sinusoidalPositions";
  const rows = proveInteger(length, 0, MAXIMUM_SIZE, caller, "length");
  const columns = proveInteger(dim, 1, MAXIMUM_SIZE, caller, "dim");
  const read = readOptions(options, SINUSOIDAL, caller);
  const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");
  const { offset, base, concatenated } = proveSinusoidal(read, rows, caller);
  const instance = instanceFor(read.engine, caller);
  const destination = resolveApart(target, [rows, columns], {}, instance, caller);
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    session.run("sinusoidal", {
      integers: [0, 1, rows, columns, concatenated, offset, 0],
      floats: [base, 1],
      inputs: [],
      outputs: [out],
    });
    return plainOf(out, read.out);
  });
}

/**
 * Adds sinusoidal positions to a sequence: `scale * x + sinusoidalPositions(seq, dim)`, the same ones in every batch row.
 *
 * With `out` the very tensor that is x, x is changed in place: nothing is allocated for a Tensor of the engine.
 *
 * @param x - `[batch, seq, dim]` or `[seq, dim]`
 * @returns float32 of x's shape; the target itself where `out` is given
 * @throws as {@link sinusoidalPositions}, and RangeError `ERR_SACCADE_OVERLAP` where `out` overlaps x without being x
 *
 * @example
 * ```ts
 * import { addSinusoidalPositions, init, Tensor } from "saccade";
 *
 * await init();
 * using x = Tensor.zeros([1, 60, 32], "float32");
 * addSinusoidalPositions(x, { scale: "sqrt-dim", out: x });
 * ```
 */
export function addSinusoidalPositions(x: TensorInput, options?: AddSinusoidalOptions): PlainTensor<"float32"> {
  const caller = "addSinusoidalPositions";
  const captured = captureTensor(x, caller, "x");
  const read = readOptions(options, [...SINUSOIDAL, "scale"] as const, caller);
  const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");
  const root = read.scale === "sqrt-dim";
  const scale = read.scale === undefined || root ? 1 : proveNumber(read.scale, caller, "options.scale");
  const { shape } = captured;
  if (shape.length !== 2 && shape.length !== 3) {
    throw shapeError(caller, `x.shape is [${shape.join(", ")}]; expected [batch, seq, dim] or [seq, dim]`);
  }
  const [dim, seq, batch = 1] = [...shape].reverse() as [number, number, number?];
  if (dim === 0) throw shapeError(caller, `x.shape[${shape.length - 1}] (dim) is 0; expected at least 1`);
  const { offset, base, concatenated } = proveSinusoidal(read, seq, caller);
  const instance = instanceFor(read.engine, caller);
  const view = proveFloatTensor(captured, instance, caller);
  const destination = resolveDestination(target, shape, "float32", instance, caller);
  const inPlace = proveApartOrSame(destination, view, [], caller);
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    session.run("sinusoidal", {
      integers: [1, batch, seq, dim, concatenated, offset, root ? 1 : 0],
      floats: [base, scale],
      inputs: [inPlace ? undefined : session.input(view)],
      outputs: [out],
    });
    return plainOf(out, read.out);
  });
}

/** Options of {@link embedding}. */
export interface EmbeddingOptions {
  /** Where the result goes: float32 of its shape; it must not overlap the table. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/**
 * Rows of a table by their numbers, `out[t] = table[indices[t]]`: embeddings of tokens, and learned positions (Gehring et al.,
 * "Convolutional Sequence to Sequence Learning", 2017), whose indices are the positions.
 *
 * @param indices - integers from 0 to n - 1: a list, or an int32 tensor of any shape
 * @param table - `[n, dim]`
 * @returns `[...indices.shape, dim]`; the target itself where `out` is given
 * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_RANGE` (no such row),
 *   `ERR_SACCADE_SHAPE`, `ERR_SACCADE_STRIDE`, `ERR_SACCADE_OVERLAP`; SaccadeError as `attention`
 *
 * @example
 * ```ts
 * import { embedding, init } from "saccade";
 *
 * await init();
 * const table = { data: new Float32Array([0, 1, 10, 11]), shape: [2, 2] };
 * console.log(embedding([1, 0, 1], table).data); // 10, 11, 0, 1, 10, 11
 * ```
 */
export function embedding(
  indices: ArrayLike<number> | TensorInput,
  table: TensorInput,
  options?: EmbeddingOptions,
): PlainTensor<"float32"> {
  const caller = "embedding";
  const capturedIndices = captureIntegers(indices, caller, "indices");
  const captured = captureTensor(table, caller, "table");
  const read = readOptions(options, ["out", "engine"] as const, caller);
  const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");
  const instance = instanceFor(read.engine, caller);
  const list = proveIntegerTensor(capturedIndices, instance, caller);
  const view = proveFloatTensor(captured, instance, caller);
  if (view.shape.length !== 2) {
    throw shapeError(caller, `table.shape is [${view.shape.join(", ")}]; expected [n, dim]`);
  }
  const [n, dim] = view.shape as [number, number];
  const wrong = list.data.findIndex((index) => index < 0 || index >= n);
  if (wrong >= 0) {
    throw rangeError(caller, `indices[${wrong}] is ${list.data[wrong]}; expected a row of the table, which has ${n}`);
  }
  const destination = resolveApart(target, [...list.shape, dim], { table: view }, instance, caller);
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    session.run("embedding", {
      integers: [list.data.length, n, dim],
      inputs: [session.input(view), session.list(list.data)],
      outputs: [out],
    });
    return plainOf(out, read.out);
  });
}

/**
 * The slopes of ALiBi (Press, Smith and Lewis, "Train Short, Test Long", 2022), one per head, as the option `alibiSlopes` of
 * `attention` takes them: head h of n, a power of two, has `2^(-8 (h + 1) / n)`; else the slopes of the largest power of two below
 * n, then every other one of twice as many. Correctly rounded, without an engine.
 *
 * @param numHeads - from 0 to 4096
 * @throws TypeError `ERR_SACCADE_ARGUMENT`; RangeError `ERR_SACCADE_RANGE`
 *
 * @example
 * ```ts
 * import { alibiSlopes } from "saccade";
 *
 * console.log(alibiSlopes(4)); // 0.25, 0.0625, 0.015625, 0.00390625
 * ```
 */
export function alibiSlopes(numHeads: number): Float32Array<ArrayBuffer> {
  return paperSlopes(proveInteger(numHeads, 0, 4096, "alibiSlopes", "numHeads")).slice();
}
