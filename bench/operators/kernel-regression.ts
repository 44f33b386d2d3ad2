/** The gradient of a kernel's width. */
import { type FittedWidth, fitWidth } from "saccade";
import type { BenchCase } from "../case.ts";
import { family, painted } from "./case.ts";
import { U } from "./definition.ts";

const operatorCase = family("kernel-regression");

const M = 500;
const RATE = 0.5 / M;

/** Loss and its derivative with respect to w = 1 / width, every sample predicted from the others. */
function steepness(x: ArrayLike<number>, y: ArrayLike<number>, w: number): { loss: number; gradient: number } {
  let [loss, sum] = [0, 0];
  for (let i = 0; i < M; i++) {
    let [total, far, found, foundFar] = [0, 0, 0, 0];
    for (let j = 0; j < M; j++) {
      if (j === i) continue;
      const d = ((x[i]! - x[j]!) * w) ** 2;
      const p = Math.exp(-d / 2);
      total += p;
      far += p * d;
      found += p * y[j]!;
      foundFar += p * y[j]! * d;
    }
    const error = found / total - y[i]!;
    loss += error * error;
    sum += error * ((foundFar - (found / total) * far) / total);
  }
  return { loss, gradient: (-2 * sum) / w };
}

/** An epoch goes through all pairs twice: for its step, and for the loss that is left. */
const pairs = 2 * M * M;

export const KERNEL_REGRESSION: readonly BenchCase[] = [
  operatorCase(
    {
      name: "fit-width",
      words: `fitWidth, ${M} samples, one epoch`,
      // Twelve steps of float64 a pair.
      ...{ flops: 2 * 12 * pairs, exponentials: pairs },
    },
    () => {
      const x = painted(1, [M], 1.5);
      const noise = painted(2, [M], 0.2);
      const y = { data: noise.data.map((e, i) => Math.sin(2 * x.data[i]!) + e), shape: [M] };
      return {
        operands: { x, y },
        start: ({ x, y }, { engine }) => {
          return () => fitWidth(x, y, { initialWidth: 0.5, learningRate: RATE, epochs: 1, engine });
        },
        numbersOf: ({ width, loss, history: [first] }: FittedWidth) => [first!.loss, first!.gradient, width, loss],
        *compare(got) {
          const first = steepness(x.data, y.data, 2);
          const w = Math.abs(2 - RATE * first.gradient);
          const exact = [first.loss, first.gradient, 1 / w, steepness(x.data, y.data, w).loss];
          // Weights are float32, all sums float64.
          for (let n = 0; n < 4; n++) yield [got[n]!, exact[n]!, 32 * U * Math.abs(exact[n]!)];
        },
      };
    },
  ),
];
