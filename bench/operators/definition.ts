/** Definitions in float64 that several cases share, and what float32 rounding explains (NUMERICS.md, sections 13 to 16). */
import type { Numbers } from "../peers/task.ts";
import type { Compared } from "./case.ts";

export const U = 2 ** -24;

/** Rows of a table, as plain numbers. */
export const rowOf = ({ data, shape }: Numbers, i: number): Float32Array => {
  const width = shape.at(-1)!;
  return data.subarray(i * width, (i + 1) * width);
};

/** Some indices below a count, spread over all of it. */
export function* spread(count: number, some = 6): Generator<number> {
  const step = Math.max(1, Math.floor(count / some)) | 1;
  for (let i = 0; i < count; i += step) yield i;
}

/** A sum of products, and what the matrix product may err by. */
export function product(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
): { readonly exact: number; readonly bound: number } {
  let [exact, magnitude] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    const term = a[i]! * b[i]!;
    exact += term;
    magnitude += Math.abs(term);
  }
  return { exact, bound: U * (Math.min(a.length, 64) + Math.ceil(a.length / 64) + 1) * magnitude };
}

export function softmaxOf(scores: readonly number[]): number[] {
  const most = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const powers = scores.map((s) => Math.exp(s - most));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / total);
}

/** A row of scores, each within `error` of what was computed. */
export interface Scores {
  readonly exact: readonly number[];
  readonly error: number;
}

/** Dot products of a row with some others. */
export function dots(query: ArrayLike<number>, keys: readonly ArrayLike<number>[], scale: number): Scores {
  const products = keys.map((key) => product(query, key));
  const bound = Math.max(...products.map((p) => p.bound)) * scale;
  const exact = products.map((p) => p.exact * scale);
  return { exact, error: bound + 3 * U * Math.max(...exact.map(Math.abs)) };
}

/** What a softmax weight may err by, relative to itself. */
export function softmaxError({ exact, error }: Scores): number {
  return 2 * error + U * (2 * (5 * Math.max(...exact.map(Math.abs)) + 2.6) + 24);
}

/** `sum w v`, a row of the result, whose weights are within `relative` of themselves and `absolute`. */
export function* weighted(
  got: ArrayLike<number>,
  at: number,
  weights: readonly number[],
  value: (j: number) => ArrayLike<number>,
  [relative, absolute = 0]: readonly [relative: number, absolute?: number],
): Generator<Compared> {
  const width = value(0).length;
  const [exact, bound] = [new Float64Array(width), new Float64Array(width)];
  const all = relative + U * (66 + Math.ceil(weights.length / 64));
  weights.forEach((w, j) => {
    if (w === 0) return;
    const row = value(j);
    for (let d = 0; d < width; d++) {
      exact[d]! += w * row[d]!;
      bound[d]! += (w * all + absolute) * Math.abs(row[d]!);
    }
  });
  for (let d = 0; d < width; d++) yield [got[at + d]!, exact[d]!, bound[d]!];
}
