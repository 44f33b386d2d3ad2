/**
 * Valid lengths: how many elements of a row count, the others lying behind them. They are given for the leading rows, or for
 * every row, and broadcast to the rest.
 */

import { describe, SaccadeRangeError, SaccadeTypeError, shapeError } from "../errors.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import { proveIntegerTensor } from "./integers.ts";
import { snapshot } from "./shape.ts";
import { type CapturedTensor, captureTensor } from "./tensor-like.ts";

/** A bound on what is read from a hostile length. */
const MOST_LENGTHS = 2 ** 28;

/** Lengths as they were given, each property read once. */
export type CapturedLengths =
  | { readonly entries: readonly unknown[]; readonly shape: readonly number[] }
  | { readonly tensor: CapturedTensor };

/** Reads lengths: a list, a list of lists of the same length, or an int32 tensor. */
export function captureLengths(value: unknown, caller: string, name: string): CapturedLengths {
  if (typeof value === "object" && value !== null && "shape" in value) {
    return { tensor: captureTensor(value, caller, name) };
  }
  const list = snapshot(value, MOST_LENGTHS, caller, name, "integers");
  if (typeof list[0] !== "object" || list[0] === null) return { entries: list, shape: [list.length] };
  const width = snapshot(list[0], MOST_LENGTHS, caller, `${name}[0]`, "integers").length;
  const entries = list.flatMap((row, index) => {
    const each = snapshot(row, MOST_LENGTHS, caller, `${name}[${index}]`, `${width} integers`);
    if (each.length === width) return each;
    throw shapeError(caller, `${name}[${index}] has ${each.length} entries, ${name}[0] has ${width}`);
  });
  return { entries, shape: [list.length, width] };
}

/** Lengths of rows, and the shape that broadcasts to them. */
export interface Lengths {
  readonly values: Int32Array;
  /** A size per axis of the rows: theirs, or 1. */
  readonly sizes: readonly number[];
}

/**
 * Proves lengths for rows of shape `rows`: of its first axis, of its first and its last, or of all; each from 0 to `most`.
 *
 * @param whole - how messages name `most`
 * @param meaning - how messages name the forms
 */
export function proveRowLengths(
  captured: CapturedLengths,
  name: string,
  rows: readonly number[],
  most: number,
  whole: string,
  instance: WasmInstance,
  caller: string,
  meaning = "",
): Lengths {
  const { entries, shape } = "tensor" in captured ? entriesOf(captured, instance, caller) : captured;
  // A row that is all there is counts as the only one of a batch.
  const full = rows.length === 0 ? [1] : rows;
  const rank = full.length;
  const partial = [full[0]!, ...full.slice(1).map(() => 1)];
  if (shape.length === 2) partial[rank - 1] = full[rank - 1]!;
  const sizes = shape.length === rank ? full : partial;
  const expected = shape.length === rank ? full : shape.length === 1 ? [full[0]!] : [full[0]!, full[rank - 1]!];
  if (shape.length !== expected.length || shape.some((size, axis) => size !== expected[axis])) {
    const forms = [[full[0]!], ...(rank > 1 ? [[full[0]!, full[rank - 1]!]] : []), ...(rank > 2 ? [full] : [])];
    throw shapeError(
      caller,
      `${name} has shape [${shape.join(", ")}]; expected ${forms.map((form) => `[${form.join(", ")}]`).join(" or ")}${meaning}`,
    );
  }
  const values = new Int32Array(entries.length);
  for (let i = 0; i < entries.length; i++) {
    const length = entries[i];
    if (typeof length === "number" && Number.isInteger(length) && length >= 0 && length <= most) values[i] = length;
    else throw wrongLength(length, `${name}[${indexOf(i, shape).join("][")}]`, most, whole, caller);
  }
  return { values, sizes: rows.length === 0 ? [] : sizes };
}

function entriesOf(
  captured: { readonly tensor: CapturedTensor },
  instance: WasmInstance,
  caller: string,
): { readonly entries: ArrayLike<number>; readonly shape: readonly number[] } {
  const { data, shape } = proveIntegerTensor(captured, instance, caller);
  return { entries: data, shape };
}

function wrongLength(length: unknown, name: string, most: number, whole: string, caller: string): Error {
  const expected =
    typeof length === "number" && length > most ? `at most ${whole}, which is ${most}` : "an integer from 0 up";
  const message = `${caller}: ${name} is ${describe(length)}; expected ${expected}`;
  return typeof length === "number"
    ? new SaccadeRangeError("ERR_SACCADE_RANGE", message)
    : new SaccadeTypeError("ERR_SACCADE_ARGUMENT", message);
}

/** Where element i of a row-major array lies, axis by axis. */
function indexOf(i: number, shape: readonly number[]): number[] {
  const index: number[] = [];
  let rest = i;
  for (const size of [...shape].reverse()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return index;
}
