/** Softmax along either axis of a square, and log-sum-exp. */
import { logSumExp, maskedSoftmax, type PlainTensor } from "saccade";
import type { BenchCase } from "../case.ts";
import { type Compared, family, painted } from "./case.ts";
import { spread, U } from "./definition.ts";

const operatorCase = family("softmax");

const N = 1000;
const SQUARE = { bytes: 4 * N * N, exponentials: N * N };

/** Weights and the logarithm of their denominator, with the bounds of section 14 of NUMERICS.md. */
function exactRow(row: readonly number[]) {
  const scores = row.map((x) => x * Math.LOG2E);
  const most = Math.max(...scores);
  const powers = scores.map((t) => 2 ** (t - most));
  const total = powers.reduce((a, b) => a + b, 0);
  const errors = scores.map((t) => Math.LN2 * (2 * Math.abs(t) + Math.abs(t - most)) + 2.6);
  const blocks = Math.ceil(row.length / 64);
  const sum = powers.reduce((h, p, j) => h + (p / total) * errors[j]!, 0) + 19 + Math.ceil(Math.log2(blocks));
  const logarithm = (most + Math.log2(total)) * Math.LN2;
  return {
    weights: powers.map((p, j) => [p / total, U * (p / total) * (errors[j]! + sum + 2) + 2 ** -126] as const),
    logarithm: [logarithm, U * (sum + Math.abs(logarithm))] as const,
  };
}

function softmaxCase(axis: 0 | 1): BenchCase {
  const along = axis === 0 ? "axis 0" : "the last axis";
  const named = { name: `softmax-axis-${axis}`, words: `softmax, ${N} x ${N}, along ${along}` };
  return operatorCase({ ...named, ...SQUARE, divisions: N * N }, () => {
    const x = painted(1, [N, N], 4);
    return {
      operands: { x },
      out: [N, N],
      task: { kind: "softmax", x, axis },
      start: ({ x }, options) => {
        return () => maskedSoftmax(x, { axis, ...options });
      },
      *compare(got) {
        for (const i of spread(N)) {
          const at = (j: number) => (axis === 0 ? j * N + i : i * N + j);
          const { weights } = exactRow(Array.from({ length: N }, (_, j) => x.data[at(j)]!));
          yield* weights.map(([exact, bound], j): Compared => [got[at(j)]!, exact, bound]);
        }
      },
    };
  });
}

const logSumExpCase = operatorCase(
  { name: "log-sum-exp", words: `log-sum-exp, ${N} x ${N}, along the last axis`, ...SQUARE },
  () => {
    const x = painted(1, [N, N], 4);
    return {
      operands: { x },
      start: ({ x }, { engine }) => {
        return () => logSumExp(x, { engine });
      },
      numbersOf: ({ data }: PlainTensor<"float32">) => data,
      *compare(got) {
        for (const i of spread(N)) {
          yield [got[i]!, ...exactRow([...x.data.subarray(i * N, (i + 1) * N)]).logarithm];
        }
      },
    };
  },
);

export const SOFTMAX: readonly BenchCase[] = [softmaxCase(1), softmaxCase(0), logSumExpCase];
