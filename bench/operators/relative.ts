/** Attention whose scores know distances: Shaw's and Transformer-XL's. */

import { shawRelative, transformerXlAttention } from "saccade";
import type { BenchCase } from "../case.ts";
import type { Numbers } from "../peers/task.ts";
import { family, painted } from "./case.ts";
import { product, softmaxError, softmaxOf, spread, U, weighted } from "./definition.ts";

const operatorCase = family("relative");

const [LENGTH, HEADS, DIM] = [128, 8, 64];
const SHAPE = [1, LENGTH, HEADS, DIM];
const SIZES = `${HEADS} heads x ${LENGTH} x ${DIM}`;
const PAIRS = HEADS * LENGTH * LENGTH;
/** Keys that a causal row sees. */
const SEEN = (HEADS * LENGTH * (LENGTH + 1)) / 2;

/** One row of one head. */
const at = (data: ArrayLike<number>, i: number, h: number): number[] =>
  Array.from({ length: DIM }, (_, d) => data[(i * HEADS + h) * DIM + d]!);

const inputs = () => ({ query: painted(1, SHAPE), key: painted(2, SHAPE), value: painted(3, SHAPE) });

/** Rows of a result out of the pairs' exact scores, each with its bound, and of what a key adds. */
function* compareRows(
  got: ArrayLike<number>,
  visible: (i: number) => number,
  score: (h: number, i: number, j: number) => { readonly exact: number; readonly bound: number },
  value: (h: number, i: number, j: number) => ArrayLike<number>,
) {
  for (const row of spread(LENGTH * HEADS, 12)) {
    const [i, h] = [Math.floor(row / HEADS), row % HEADS];
    const scores = Array.from({ length: visible(i) }, (_, j) => score(h, i, j));
    const exact = scores.map((s) => s.exact / Math.sqrt(DIM));
    const largest = Math.max(...exact.map(Math.abs));
    const error = Math.max(...scores.map((s) => s.bound)) / Math.sqrt(DIM) + 6 * U * largest;
    const relative = softmaxError({ exact, error });
    yield* weighted(got, row * DIM, softmaxOf(exact), (j) => value(h, i, j), [relative]);
  }
}

const sum = (a: ArrayLike<number>, b: ArrayLike<number>): number[] => Array.from(a, (x, d) => x + b[d]!);

function shawCase(farthest: number): BenchCase {
  const rows = 2 * farthest + 1;
  const words = `Shaw's relative keys and values, ${SIZES}, ${rows} distances`;
  const flops = 4 * PAIRS * DIM + 4 * LENGTH * HEADS * rows * DIM;
  return operatorCase({ name: "shaw", words, flops, exponentials: PAIRS }, () => {
    const tables = { relativeKey: painted(4, [rows, DIM]), relativeValue: painted(5, [rows, DIM]) };
    const { query, key, value } = inputs();
    const near = ({ data }: Numbers, i: number, j: number): ArrayLike<number> => {
      const t = Math.min(Math.max(j - i, -farthest), farthest) + farthest;
      return data.subarray(t * DIM, (t + 1) * DIM);
    };
    return {
      operands: { query, key, value, ...tables },
      out: SHAPE,
      start: ({ query, key, value, ...tables }, options) => {
        return () => shawRelative(query, key, value, { ...tables, ...options });
      },
      *compare(got) {
        const score = (h: number, i: number, j: number) => {
          const q = at(query.data, i, h);
          const [content, position] = [product(q, at(key.data, j, h)), product(q, near(tables.relativeKey, i, j))];
          return { exact: content.exact + position.exact, bound: content.bound + position.bound };
        };
        const each = (h: number, i: number, j: number) => sum(at(value.data, j, h), near(tables.relativeValue, i, j));
        yield* absolutely(compareRows(got, () => LENGTH, score, each));
      },
    };
  });
}

/** Value and position may cancel each other: their sizes are at most 2 each, not that of the sum. */
function* absolutely(compared: ReturnType<typeof compareRows>) {
  for (const [got, exact, bound] of compared) yield [got, exact, bound + 4 * U * 64] as const;
}

function transformerXlCase(): BenchCase {
  const words = `Transformer-XL's attention, ${SIZES}, causal`;
  const flops = 6 * SEEN * DIM;
  return operatorCase({ name: "transformer-xl", words, flops, exponentials: SEEN }, () => {
    const tables = { r: painted(4, [LENGTH, DIM]), u: painted(5, [HEADS, DIM]), v: painted(6, [HEADS, DIM]) };
    const { query, key, value } = inputs();
    return {
      operands: { query, key, value, ...tables },
      out: SHAPE,
      start: ({ query, key, value, ...tables }, options) => {
        return () => transformerXlAttention(query, key, value, { ...tables, ...options });
      },
      *compare(got) {
        const rowAt = ({ data }: Numbers, t: number) => data.subarray(t * DIM, (t + 1) * DIM);
        const score = (h: number, i: number, j: number) => {
          const q = at(query.data, i, h);
          const content = product(sum(q, rowAt(tables.u, h)), at(key.data, j, h));
          const position = product(sum(q, rowAt(tables.v, h)), rowAt(tables.r, LENGTH - 1 - (i - j)));
          return { exact: content.exact + position.exact, bound: 1.1 * (content.bound + position.bound) };
        };
        yield* compareRows(
          got,
          (i) => i + 1,
          score,
          (h, _, j) => at(value.data, j, h),
        );
      },
    };
  });
}

export const RELATIVE: readonly BenchCase[] = [shawCase(16), transformerXlCase()];
