/** Layer normalisation of many rows. */
import { layerNorm } from "saccade";
import type { BenchCase } from "../case.ts";
import { type Compared, family, painted } from "./case.ts";
import { spread, U } from "./definition.ts";

const operatorCase = family("layer-norm");
const [ROWS, WIDTH, EPSILON] = [1024, 768, 1e-5];

const layerNormCase = operatorCase(
  {
    name: "layer-norm",
    words: `layer norm, ${ROWS} x ${WIDTH}`,
    // Mean, centred squares, and the product with weight and bias.
    flops: 7 * ROWS * WIDTH,
    bytes: 4 * ROWS * WIDTH,
  },
  () => {
    const operands = { x: painted(1, [ROWS, WIDTH]), weight: painted(2, [WIDTH]), bias: painted(3, [WIDTH]) };
    return {
      operands,
      out: [ROWS, WIDTH],
      task: { kind: "layer-norm", ...operands, epsilon: EPSILON },
      start: ({ x, weight, bias }, options) => {
        return () => layerNorm(x, { weight, bias, epsilon: EPSILON, ...options });
      },
      *compare(got) {
        const { x, weight, bias } = operands;
        for (const i of spread(ROWS)) {
          const row = [...x.data.subarray(i * WIDTH, (i + 1) * WIDTH)];
          const mean = row.reduce((a, b) => a + b, 0) / WIDTH;
          const size = row.reduce((a, b) => a + Math.abs(b), 0) / WIDTH;
          const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / WIDTH;
          const scale = 1 / Math.sqrt(variance + EPSILON);
          // Sums of 64 at a time: what the mean is off by, and what the variance is, relative to itself.
          const steps = 64 + Math.ceil(WIDTH / 64);
          for (let d = 0; d < WIDTH; d++) {
            const z = (row[d]! - mean) * scale;
            const w = Math.abs(weight.data[d]!);
            const exact = z * weight.data[d]! + bias.data[d]!;
            const bound = U * (w * (steps * size * scale + (steps + 8) * Math.abs(z)) + 2 * Math.abs(exact));
            yield [got[i * WIDTH + d]!, exact, bound] satisfies Compared;
          }
        }
      },
    };
  },
);

export const LAYER_NORM: readonly BenchCase[] = [layerNormCase];
