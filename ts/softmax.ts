/**
 * Softmax of any tensor along any axis, with lengths and masks, and the logarithm of its denominator.
 */

import type { Engine } from "./engine.ts";
import { dtypeError, rangeError, shapeError } from "./errors.ts";
import { instanceFor } from "./init.ts";
import { resolveApart, resolveDestination } from "./layout/destinations.ts";
import { captureLengths, type Lengths, proveRowLengths } from "./layout/lengths.ts";
import { proveFloatTensor } from "./layout/operands.ts";
import { proveBoolean, readOptions } from "./layout/options.ts";
import { plainOf } from "./layout/results.ts";
import { MAXIMUM_RANK, proveInteger, proveNumber } from "./layout/shape.ts";
import { type CapturedTensor, captureTensor, proveTensor } from "./layout/tensor-like.ts";
import type { PlainTensor, TensorInput } from "./tensor.ts";
import type { WasmInstance } from "./wasm/instance.ts";
import { inSession, type Session, type Slot } from "./wasm/operator.ts";
import type { TensorView } from "./wasm/view.ts";

/** Which elements of a row count; of {@link maskedSoftmax} and {@link logSumExp}. */
export interface VisibleOptions {
  /** The axis along which rows run; counted from the end where it is negative. Default -1. */
  readonly axis?: number | undefined;
  /**
   * Valid elements of each row, the others lying behind them. With `rows` for x's shape without the axis: one per index of
   * rows' first axis, or one per index of its first and last (for x of `[batch, queries, keys]`: `[batch]` or `[batch, queries]`),
   * or of rows' shape; as a list, a list of lists, or an int32 tensor.
   */
  readonly lengths?: ArrayLike<number> | ArrayLike<ArrayLike<number>> | TensorInput | undefined;
  /** bool or uint8, not 0 = visible; broadcast to x by numpy's rules. Both it and `lengths` must let an element be seen. */
  readonly mask?: TensorInput | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** Options of {@link maskedSoftmax}. */
export interface SoftmaxOptions extends VisibleOptions {
  /** Divides x: above 1 the weights come nearer to each other. Default 1. */
  readonly temperature?: number | undefined;
  /** Gives the natural logarithm of the weights, computed without taking it of them. Default false. */
  readonly log?: boolean | undefined;
  /** Where the result goes: float32 of x's shape; it must not overlap an input. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
}

/** Options of {@link logSumExp}. */
export interface LogSumExpOptions extends VisibleOptions {
  /** Keeps the axis, with size 1. Default false. */
  readonly keepDims?: boolean | undefined;
}

/** What the wasm makes of a row. */
const WEIGHTS = 0;
const LOGARITHMS = 1;
const LOG_SUM_EXP = 2;

const VISIBLE = ["axis", "lengths", "mask", "engine"] as const;

/**
 * Softmax along an axis, over what lengths and mask leave visible: `exp(x / temperature) / sum exp(x / temperature)`
 * (Bridle 1990), 0 for what is hidden. A row in which nothing is visible is all 0 (with `log`: -Infinity). What is hidden never
 * shows, NaN and Infinity included; an -Infinity counts as hidden. A visible NaN or +Infinity makes its row NaN. Float32
 * whatever x's dtype; the bits of a row do not depend on the axis it runs along, nor on the rows beside it.
 *
 * @param x - of any rank from 1
 * @returns the weights, of x's shape; the target itself where `out` is given
 * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
 *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE`, `ERR_SACCADE_OVERLAP`; SaccadeError as `attention`
 *
 * @example
 * ```ts
 * import { init, maskedSoftmax } from "saccade";
 *
 * await init();
 * const scores = { data: new Float32Array([1, 1, 7, 2, 9, 9]), shape: [2, 3] };
 * console.log(maskedSoftmax(scores, { lengths: [2, 1] }).data); // 0.5, 0.5, 0, 1, 0, 0
 * ```
 */
export function maskedSoftmax(x: TensorInput, options?: SoftmaxOptions): PlainTensor<"float32"> {
  const caller = "maskedSoftmax";
  const captured = captureTensor(x, caller, "x");
  const read = readOptions(options, [...VISIBLE, "temperature", "log", "out"], caller);
  const visible = captureVisible(read, captured, caller);
  const temperature = read.temperature === undefined ? 1 : proveTemperature(read.temperature, caller);
  const log = read.log !== undefined && proveBoolean(read.log, caller, "log");
  const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");
  const instance = instanceFor(read.engine, caller);
  const rows = proveRows(captured, visible, instance, caller);
  const destination = resolveApart(target, rows.x.shape, { x: rows.x, mask: rows.mask }, instance, caller);
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    if (out.elements > 0) {
      runSoftmax(session, log ? LOGARITHMS : WEIGHTS, rows, temperature, out);
    }
    return plainOf(out, read.out);
  });
}

/**
 * The natural logarithm of the sum of `exp(x)` along an axis, over what lengths and mask leave visible; -Infinity where
 * nothing is. Computed from the largest element on, so that nothing overflows (Blanchard, Higham and Higham 2021); a visible NaN or
 * +Infinity gives NaN.
 *
 * @param x - of any rank from 1
 * @returns x's shape without the axis (`keepDims`: with size 1 there)
 * @throws as {@link maskedSoftmax}
 *
 * @example
 * ```ts
 * import { init, logSumExp } from "saccade";
 *
 * await init();
 * const x = { data: new Float32Array([1000, 1000, -1000, 0]), shape: [2, 2] };
 * console.log(logSumExp(x).data); // 1000.6931762695312, 0
 * ```
 */
export function logSumExp(x: TensorInput, options?: LogSumExpOptions): PlainTensor<"float32"> {
  const caller = "logSumExp";
  const captured = captureTensor(x, caller, "x");
  const read = readOptions(options, [...VISIBLE, "keepDims"], caller);
  const visible = captureVisible(read, captured, caller);
  const keepDims = read.keepDims !== undefined && proveBoolean(read.keepDims, caller, "keepDims");
  const instance = instanceFor(read.engine, caller);
  const rows = proveRows(captured, visible, instance, caller);
  const { shape } = rows.x;
  const kept = shape.flatMap((size, axis) => (axis === visible.axis ? (keepDims ? [1] : []) : [size]));
  const destination = resolveDestination(undefined, kept, "float32", instance, caller);
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    if (out.elements > 0) {
      runSoftmax(session, LOG_SUM_EXP, rows, 1, out);
    }
    return plainOf(out);
  });
}

interface CapturedVisible {
  readonly axis: number;
  readonly lengths: ReturnType<typeof captureLengths> | undefined;
  readonly mask: CapturedTensor | undefined;
}

function captureVisible(
  read: Partial<Record<(typeof VISIBLE)[number], unknown>>,
  x: CapturedTensor,
  caller: string,
): CapturedVisible {
  const rank = x.shape.length;
  if (rank === 0) {
    throw shapeError(caller, "x.shape is []; expected at least one axis");
  }
  const axis = read.axis === undefined ? -1 : proveInteger(read.axis, -rank, rank - 1, caller, "options.axis");
  return {
    axis: axis < 0 ? axis + rank : axis,
    lengths: read.lengths === undefined ? undefined : captureLengths(read.lengths, caller, "options.lengths"),
    mask: read.mask === undefined ? undefined : captureTensor(read.mask, caller, "mask"),
  };
}

/** Above 0, and so that log2(e) / temperature is a number that float32 has. */
export function proveTemperature(value: unknown, caller: string): number {
  const temperature = proveNumber(value, caller, "options.temperature");
  const factor = Math.fround(Math.LOG2E / temperature);
  if (temperature > 0 && factor > 0 && factor < Number.POSITIVE_INFINITY) return temperature;
  throw rangeError(
    caller,
    `options.temperature is ${temperature}; expected a number above 0 that float32 can divide by`,
  );
}

/** Rows proved, with the wasm's integers for them. */
interface RowsCall {
  readonly x: TensorView;
  readonly mask: TensorView | undefined;
  readonly lengths: Lengths | undefined;
  readonly integers: readonly number[];
}

function proveRows(
  captured: CapturedTensor,
  { axis, lengths, mask }: CapturedVisible,
  instance: WasmInstance,
  caller: string,
): RowsCall {
  const x = proveFloatTensor(captured, instance, caller);
  const { shape } = x;
  const rows = shape.filter((_, a) => a !== axis);
  const maskView = mask === undefined ? undefined : proveMask(mask, shape, instance, caller);
  const rowLengths =
    lengths === undefined
      ? undefined
      : proveRowLengths(lengths, "options.lengths", rows, shape[axis]!, `x.shape[${axis}]`, instance, caller);
  // The wasm takes as many axes as a tensor can have, those that are missing in front.
  const padded = (sizes: readonly number[] = []): number[] =>
    [...new Array<number>(MAXIMUM_RANK).fill(1), ...sizes].slice(-MAXIMUM_RANK);
  const lengthSizes = rowLengths && [...rowLengths.sizes.slice(0, axis), 1, ...rowLengths.sizes.slice(axis)];
  return {
    x,
    mask: maskView,
    lengths: rowLengths,
    integers: [
      axis + MAXIMUM_RANK - shape.length,
      ...padded(shape),
      ...padded(maskView?.shape),
      ...padded(lengthSizes),
    ],
  };
}

function proveMask(
  captured: CapturedTensor,
  shape: readonly number[],
  instance: WasmInstance,
  caller: string,
): TensorView {
  const view = proveTensor(captured, instance, caller);
  if (view.dtype !== "bool" && view.dtype !== "uint8") {
    throw dtypeError(caller, `mask is ${view.dtype}; expected bool or uint8 (a Uint8Array, not 0 = visible)`);
  }
  const missing = shape.length - view.shape.length;
  const wrong = view.shape.findIndex((size, a) => missing + a < 0 || (size !== 1 && size !== shape[missing + a]));
  if (wrong < 0) return view;
  throw shapeError(
    caller,
    `mask.shape [${view.shape.join(", ")}] does not broadcast to x.shape [${shape.join(", ")}]: ` +
      (missing < 0
        ? "it has more axes"
        : `mask.shape[${wrong}] is ${view.shape[wrong]}; expected ${shape[missing + wrong]} or 1`),
  );
}

function runSoftmax(
  session: Session,
  form: number,
  { integers, ...rows }: RowsCall,
  temperature: number,
  out: Slot,
): void {
  const { x, mask, lengths } = rows;
  session.run("softmax", {
    integers: [form, ...integers],
    floats: [temperature],
    inputs: [session.input(x), mask && session.raw(mask), lengths && session.list(lengths.values)],
    outputs: [out],
  });
}
