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
  const qLens = lengthsOf(query, sizes.qLen, "cuQLens", "query", caller);
  const kvLens = lengthsOf(key, sizes.kvLen, "cuKvLens", "key", caller);
  if (query.length !== key.length) {
    throw shapeError(
      caller,
      `options.cuKvLens has ${key.length} entries, options.cuQLens has ${query.length}; expected the same number`,
    );
  }
  return { query, key, qLens, kvLens, maxQ: largest(qLens), maxKv: largest(kvLens) };
}

function largest(lengths: readonly number[]): number {
  return lengths.reduce((most, length) => Math.max(most, length), 0);
}

/** The sizes of the batch that the sequences would be, each padded to the longest: what masks and biases broadcast to. */
export function paddedSizes(sizes: AttentionSizes, { qLens, maxQ, maxKv }: Sequences): AttentionSizes {
  return { ...sizes, batch: qLens.length, qLen: maxQ, kvLen: maxKv };
}

/** How many rows each sequence has, of sums that are proved. */
function lengthsOf(
  sums: readonly number[],
  total: number,
  name: string,
  tensor: string,
  caller: string,
): readonly number[] {
  const refuse = (index: number, expected: string): SaccadeRangeError =>
    rangeError(caller, `options.${name}[${index}] is ${sums[index]}; expected ${expected}`);
  if (sums.length === 0) {
    throw shapeError(caller, `options.${name} has no entries; expected one more than there are sequences, from 0 up`);
  }
  if (sums[0] !== 0) throw refuse(0, "0");
  const lengths = sums.slice(1).map((sum, s) => sum - sums[s]!);
  const falling = lengths.findIndex((length) => length < 0);
  if (falling >= 0) throw refuse(falling + 1, `at least ${sums[falling]}, the entry before it`);
  if (sums.at(-1) !== total) throw refuse(lengths.length, `${total}, the rows of ${tensor}`);
  return lengths;
}
