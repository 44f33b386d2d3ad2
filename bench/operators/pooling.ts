/** Attention pooling of 128 queries over 1,024 keys: scores, and every normaliser that does more than softmax. */

import {
  attentionPooling,
  cosine,
  gaussian,
  gumbel,
  type Normalize,
  type Score,
  sample,
  scaledDot,
  sparsemax,
  topK,
} from "saccade";
import type { BenchCase, Work } from "../case.ts";
import type { Numbers } from "../peers/task.ts";
import { type Compared, family, painted } from "./case.ts";
import { dots, product, rowOf, type Scores, softmaxError, softmaxOf, spread, U, weighted } from "./definition.ts";
import { openUniforms } from "./philox.ts";

const operatorCase = family("pooling");

const [Q_LEN, KV_LEN, DIM] = [128, 1024, 64];
const PAIRS = Q_LEN * KV_LEN;
const PRODUCT = 2 * PAIRS * DIM;
const SEED = 2024;

/** The weights of query row i, and what they may err by: relative to themselves and absolutely. */
interface Weights {
  readonly weights: readonly number[];
  readonly error: readonly [relative: number, absolute?: number];
}
type Weigh = (scores: Scores, i: number) => Weights;

const weighSoftmax: Weigh = (scores) => ({ weights: softmaxOf(scores.exact), error: [softmaxError(scores)] });

const without = (scores: Scores, kept: (j: number) => boolean): Scores => ({
  ...scores,
  exact: scores.exact.map((s, j) => (kept(j) ? s : Number.NEGATIVE_INFINITY)),
});

function weighTopK(k: number): Weigh {
  return (scores) => {
    const { exact } = scores;
    const order = exact.map((_, j) => j).sort((a, b) => exact[b]! - exact[a]! || a - b);
    const kept = new Set(order.slice(0, k));
    return { weights: softmaxOf(without(scores, (j) => kept.has(j)).exact), error: [softmaxError(scores)] };
  };
}

const weighSparsemax: Weigh = ({ exact, error }) => {
  let [total, tau, count] = [0, 0, 0];
  for (const s of [...exact].sort((a, b) => b - a)) {
    total += s;
    count += 1;
    if (1 + count * s > total) tau = (total - 1) / count;
  }
  // A key at the edge may have its error's weight.
  return { weights: exact.map((s) => Math.max(s - tau, 0)), error: [U, 2 * error] };
};

function weighSample(draws: number): Weigh {
  return ({ exact }, i) => {
    const weights = new Array<number>(exact.length).fill(0);
    const sums: number[] = [];
    for (const p of softmaxOf(exact)) sums.push((sums.at(-1) ?? 0) + p);
    for (const u of openUniforms(SEED, i, 0, draws))
      weights[sums.findIndex((sum) => sum > u * sums.at(-1)!)]! += 1 / draws;
    return { weights, error: [U] };
  };
}

const weighGumbel: Weigh = ({ exact, error }, i) => {
  const noise = openUniforms(SEED, i, 1, exact.length).map((u) => -Math.log(-Math.log(u)));
  const noisy = exact.map((s, j) => s + noise[j]!);
  return weighSoftmax({ exact: noisy, error: error + 2 * U * Math.max(...noisy.map(Math.abs), ...noise) }, i);
};

interface PoolingCase extends Work {
  readonly name: string;
  readonly words: string;
  readonly score?: Score;
  /** The score in float64, of one query and all keys. */
  readonly scoresOf?: (query: Float32Array, keys: readonly Float32Array[]) => Scores;
  readonly normalize?: Normalize;
  readonly weigh?: Weigh;
}

const scaledDots = (query: Float32Array, keys: readonly Float32Array[]) => dots(query, keys, 1 / Math.sqrt(DIM));

function pooled(given: PoolingCase): BenchCase {
  const { score = scaledDot(), scoresOf = scaledDots, normalize, weigh = weighSoftmax, ...named } = given;
  return operatorCase(named, () => {
    const operands = {
      query: painted(1, [Q_LEN, DIM]),
      key: painted(2, [KV_LEN, DIM]),
      value: painted(3, [KV_LEN, DIM]),
    };
    return {
      operands,
      out: [Q_LEN, DIM],
      start: ({ query, key, value }, options) => {
        return () => attentionPooling(query, key, value, { score, normalize, ...options });
      },
      *compare(got) {
        const keys = Array.from({ length: KV_LEN }, (_, j) => rowOf(operands.key, j));
        for (const i of spread(Q_LEN)) {
          const { weights, error } = weigh(scoresOf(rowOf(operands.query, i), keys), i);
          yield* weighted(got, i * DIM, weights, (j) => rowOf(operands.value, j), error);
        }
      },
    };
  });
}

const sized = (words: string): string => `${words}, ${Q_LEN} queries x ${KV_LEN} keys x ${DIM}`;

const WIDTH = 4;

/** Minus half the squared distance, in widths. */
function gaussians(query: Float32Array, keys: readonly Float32Array[]): Scores {
  const exact = keys.map((key) => -query.reduce((sum, x, d) => sum + (x - key[d]!) ** 2, 0) / (2 * WIDTH ** 2));
  return { exact, error: 69 * U * Math.max(...exact.map(Math.abs)) };
}

const CASES: readonly PoolingCase[] = [
  { name: "pool-dot", words: sized("scaled dot, softmax"), flops: 2 * PRODUCT, exponentials: PAIRS },
  // Values of keys without weight are not added: what is left are the scores.
  { name: "pool-top-k", words: sized("topK(32)"), flops: PRODUCT, normalize: topK(32), weigh: weighTopK(32) },
  { name: "pool-sparsemax", words: sized("sparsemax"), flops: PRODUCT, normalize: sparsemax(), weigh: weighSparsemax },
  {
    name: "pool-sample",
    words: sized("sample of 16 draws"),
    ...{ flops: PRODUCT, exponentials: PAIRS },
    ...{ normalize: sample({ seed: SEED, draws: 16 }), weigh: weighSample(16) },
  },
  {
    name: "pool-gumbel",
    words: sized("gumbel"),
    // Two logarithms a key, each a polynomial of float64 with some 25 steps and a division.
    ...{ flops: 2 * PRODUCT + PAIRS * 2 * 50, exponentials: PAIRS, divisions: PAIRS * 5 },
    ...{ normalize: gumbel({ seed: SEED }), weigh: weighGumbel },
  },
  {
    name: "pool-gaussian",
    words: sized("gaussian, sum"),
    // A difference, a square and its sum for every score.
    ...{ flops: 1.5 * PRODUCT + PRODUCT, exponentials: PAIRS },
    ...{ score: gaussian({ width: WIDTH }), scoresOf: gaussians },
  },
];

const MANY = 8192;
const FEW = 4;

/** One query and narrow values, so that the time is that of the rows of unit length. */
const cosineCase = operatorCase(
  {
    name: "pool-cosine",
    words: `cosine, 1 query x ${MANY} keys x ${DIM} made rows of unit length`,
    ...{ flops: MANY * DIM * 4, bytes: 4 * MANY * (DIM + FEW), divisions: MANY * DIM },
  },
  () => {
    const operands = { query: painted(1, [1, DIM]), key: painted(2, [MANY, DIM]), value: painted(3, [MANY, FEW]) };
    const unit = (row: ArrayLike<number>): number[] => {
      const length = Math.sqrt(product(row, row).exact);
      return Array.from(row, (x) => x / length);
    };
    const unitRow = (of: Numbers, i: number) => unit(rowOf(of, i));
    return {
      operands,
      out: [1, FEW],
      start: ({ query, key, value }, options) => {
        const score = cosine({ scale: 8 });
        return () => attentionPooling(query, key, value, { score, ...options });
      },
      *compare(got): Iterable<Compared> {
        const keys = Array.from({ length: MANY }, (_, j) => unitRow(operands.key, j));
        const { exact, error } = dots(unitRow(operands.query, 0), keys, 8);
        const scores = { exact, error: error + 8 * 2 * 14 * U };
        yield* weighted(got, 0, softmaxOf(exact), (j) => rowOf(operands.value, j), [softmaxError(scores)]);
      },
    };
  },
);

export const POOLING: readonly BenchCase[] = [...CASES.map(pooled), cosineCase];
