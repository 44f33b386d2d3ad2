/**
 * Packed sequences: several sequences one behind the other in one tensor, without padding.
 */

import { optionError, rangeError, type SaccadeRangeError, shapeError } from "../errors.ts";
import type { AttentionSizes, Sequences } from "../wasm/call.ts";
import type { CapturedAttention } from "./captured-attention.ts";

/**
 * The sequences of a call, proved; undefined where it is not packed.
 *
 * @throws TypeError `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`, `ERR_SACCADE_RANGE`
 */
export function resolveSequences(captured: CapturedAttention, sizes: AttentionSizes): Sequences | undefined {
  const { cuQLens: query, cuKvLens: key, caller } = captured;
  if (query === undefined && key === undefined) return undefined;
  if (query === undefined || key === undefined) {
    const [given, missing] = query === undefined ? ["cuKvLens", "cuQLens"] : ["cuQLens", "cuKvLens"];
    throw optionError(caller, `options.${given} is given without options.${missing}; packed sequences need both`);
  }
  const rank = captured.query.shape.length;
  if (rank !== 3) {
    throw shapeError(
      caller,
      `query.shape has ${rank} axes; expected 3 for packed sequences (cuQLens), all in one row without a batch`,
    );
  }
  proveCumulative(query, sizes.qLen, "cuQLens", "query", caller);
  proveCumulative(key, sizes.kvLen, "cuKvLens", "key", caller);
  if (query.length !== key.length) {
    throw shapeError(
      caller,
      `options.cuKvLens has ${key.length} entries, options.cuQLens has ${query.length}; expected the same number`,
    );
  }
  return { query, key, maxQ: longest(query), maxKv: longest(key) };
}

/** How many rows sequence `s` has. */
export function lengthOf(cumulative: readonly number[], s: number): number {
  return cumulative[s + 1]! - cumulative[s]!;
}

function longest(cumulative: readonly number[]): number {
  let most = 0;
  for (let s = 0; s + 1 < cumulative.length; s++) most = Math.max(most, lengthOf(cumulative, s));
  return most;
}

/** The sizes of the batch that the sequences would be, each padded to the longest: what masks and biases broadcast to. */
export function paddedSizes(sizes: AttentionSizes, { query, maxQ, maxKv }: Sequences): AttentionSizes {
  return { ...sizes, batch: query.length - 1, qLen: maxQ, kvLen: maxKv };
}

function proveCumulative(list: readonly number[], total: number, name: string, tensor: string, caller: string): void {
  const refuse = (index: number, expected: string): SaccadeRangeError =>
    rangeError(caller, `options.${name}[${index}] is ${list[index]}; expected ${expected}`);
  if (list.length === 0) {
    throw shapeError(caller, `options.${name} has no entries; expected one more than there are sequences, from 0 up`);
  }
  if (list[0] !== 0) throw refuse(0, "0");
  for (let i = 1; i < list.length; i++) {
    if (list[i]! < list[i - 1]!) throw refuse(i, `at least ${list[i - 1]}, the entry before it`);
  }
  const last = list.length - 1;
  if (list[last] !== total) throw refuse(last, `${total}, the rows of ${tensor}`);
}
