/** Gates and softmax over a feature map, and pooling over time. */

import { temporalAttention } from "saccade";
import { cbam, eca, spatialSoftmaxAttention, squeezeExcite } from "saccade/vision";
import {
  average,
  convolve,
  layer,
  maximum,
  planes,
  sigmoid,
  softmax,
  transpose,
} from "../../tests/reference/feature-map.ts";
import type { BenchCase } from "../case.ts";
import type { Numbers } from "../peers/task.ts";
import { type Compared, family, painted } from "./case.ts";
import { product, rowOf, softmaxError, U, weighted } from "./definition.ts";

const operatorCase = family("vision");

const [CHANNELS, SIDE] = [64, 56];
const PLACES = SIDE * SIDE;
const SHAPE = [1, CHANNELS, SIDE, SIDE];
const HIDDEN = 16;
const SIZES = `[${SHAPE.join(", ")}]`;
/** A gate needs all of the map before the first element can be multiplied. */
const TWICE = { bytes: 4 * CHANNELS * PLACES, passes: 2 };

const magnitudes = ({ data, shape }: Numbers): Numbers => ({ data: data.map(Math.abs), shape });
const bottleneck = () => ({
  w1: painted(2, [HIDDEN, CHANNELS], 0.25),
  b1: painted(3, [HIDDEN]),
  w2: painted(4, [CHANNELS, HIDDEN], 0.25),
  b2: painted(5, [CHANNELS]),
});

/** Scores of channels, and the same of magnitudes: 160 roundings are those of an average and two layers. */
function scoresOf({ w1, b1, w2, b2 }: ReturnType<typeof bottleneck>, squeezed: number[], sizes: number[]) {
  const inner = layer(w1, squeezed, b1).map((x) => Math.max(0, x));
  const large = layer(magnitudes(w2), layer(magnitudes(w1), sizes, magnitudes(b1)), magnitudes(b2));
  return { exact: layer(w2, inner, b2), error: large.map((size) => 160 * U * size) };
}

/** Elements times gates, whose scores have errors. */
function* gated(
  got: ArrayLike<number>,
  x: readonly (readonly number[])[],
  gate: (c: number, p: number) => number,
  error: (c: number, p: number) => number,
): Generator<Compared> {
  for (const [c, plane] of x.entries()) {
    for (const [p, value] of plane.entries()) {
      yield [got[c * PLACES + p]!, value * gate(c, p), Math.abs(value) * (error(c, p) / 4 + 8 * U)];
    }
  }
}

const squeezeExciteCase = operatorCase(
  { name: "squeeze-excite", words: `squeeze and excitation, ${SIZES}, ${HIDDEN} hidden`, ...TWICE },
  () => {
    const [x, layers] = [painted(1, SHAPE), bottleneck()];
    return {
      operands: { x, ...layers },
      out: SHAPE,
      start: ({ x, ...layers }, options) => {
        return () => squeezeExcite(x, { ...layers, ...options });
      },
      *compare(got) {
        const [map, sizes] = [planes(x)[0]!, planes(magnitudes(x))[0]!];
        const { exact, error } = scoresOf(layers, map.map(average), sizes.map(average));
        yield* gated(
          got,
          map,
          (c) => sigmoid(exact[c]!),
          (c) => error[c]!,
        );
      },
    };
  },
);

const cbamCase = operatorCase(
  // The map once for each gate, and once to be multiplied.
  { name: "cbam", words: `CBAM, ${SIZES}, ${HIDDEN} hidden, 7 x 7`, ...TWICE, passes: 3 },
  () => {
    const [x, layers] = [painted(1, SHAPE), bottleneck()];
    const conv = painted(6, [1, 2, 7, 7], 0.25);
    return {
      operands: { x, ...layers, conv },
      out: SHAPE,
      start: ({ x, conv, ...layers }, options) => {
        return () => cbam(x, { ...layers, conv, ...options });
      },
      *compare(got) {
        const [map, sizes] = [planes(x)[0]!, planes(magnitudes(x))[0]!];
        const means = scoresOf(layers, map.map(average), sizes.map(average));
        const most = scoresOf(layers, map.map(maximum), sizes.map(maximum));
        const perChannel = means.exact.map((s, c) => sigmoid(s + most.exact[c]!));
        const channelError = Math.max(...means.error.map((e, c) => e + most.error[c]!));
        const refined = map.map((plane, c) => plane.map((value) => value * perChannel[c]!));
        const columns = transpose(refined, PLACES);
        const pooled = [columns.map(average), columns.map(maximum)];
        const scores = convolve(pooled, [SIDE, SIDE], conv, 0);
        // An element of the refined map is 4 at most.
        const kernel = magnitudes(conv).data.reduce((a, b) => a + b, 0);
        const error = channelError + kernel * 4 * (channelError / 4 + (66 + 99 + 8) * U);
        yield* gated(
          got,
          refined,
          (_, p) => sigmoid(scores[p]!),
          () => error,
        );
      },
    };
  },
);

const ecaCase = operatorCase({ name: "eca", words: `ECA, ${SIZES}, 5 channels`, ...TWICE }, () => {
  const operands = { x: painted(1, SHAPE), w: painted(2, [5]) };
  return {
    operands,
    out: SHAPE,
    start: ({ x, w }, options) => {
      return () => eca(x, { w, ...options });
    },
    *compare(got) {
      const [map, sizes] = [planes(operands.x)[0]!, planes(magnitudes(operands.x))[0]!];
      const kernel = { data: operands.w.data, shape: [1, 1, 1, 5] };
      const scores = convolve([map.map(average)], [1, CHANNELS], kernel, 0);
      const large = convolve([sizes.map(average)], [1, CHANNELS], magnitudes(kernel), 0);
      yield* gated(
        got,
        map,
        (c) => sigmoid(scores[c]!),
        (c) => 32 * U * large[c]!,
      );
    },
  };
});

const spatialSoftmaxCase = operatorCase(
  {
    name: "spatial-softmax",
    words: `softmax over places, ${SIZES}`,
    ...{ ...TWICE, flops: 4 * CHANNELS * PLACES, exponentials: PLACES },
  },
  () => {
    const operands = { x: painted(1, SHAPE), w: painted(2, [CHANNELS], 0.25) };
    return {
      operands,
      out: [1, CHANNELS],
      start: ({ x, w }, options) => {
        return () => spatialSoftmaxAttention(x, { w, ...options });
      },
      *compare(got) {
        const columns = transpose(planes(operands.x)[0]!, PLACES);
        const products = columns.map((column) => product(column, operands.w.data));
        const exact = products.map((p) => p.exact);
        const relative = softmaxError({ exact, error: Math.max(...products.map((p) => p.bound)) });
        yield* weighted(got, 0, softmax(exact), (p) => columns[p]!, [relative]);
      },
    };
  },
);

function temporalCase(batch: number, time: number, features: number, hidden: number): BenchCase {
  const words = `attention over time, [${batch}, ${time}, ${features}], ${hidden} hidden`;
  const tangents = batch * time * hidden;
  const flops = 2 * tangents * features + 2 * batch * time * features;
  return operatorCase({ name: "temporal", words, flops, divisions: tangents }, () => {
    const operands = {
      frames: painted(1, [batch, time, features]),
      w: painted(2, [hidden, features], 1 / 16),
      b: painted(3, [hidden]),
      v: painted(4, [hidden], 0.25),
    };
    return {
      operands,
      out: [batch, features],
      start: ({ frames, ...layer }, options) => {
        return () => temporalAttention(frames, { ...layer, ...options });
      },
      *compare(got) {
        const { frames, w, b, v } = operands;
        const size = v.data.reduce((sum, x) => sum + Math.abs(x), 0);
        for (let n = 0; n < batch; n++) {
          let error = 0;
          const exact = Array.from({ length: time }, (_, t) => {
            let score = 0;
            for (let h = 0; h < hidden; h++) {
              const inner = product(rowOf(frames, n * time + t), rowOf(w, h));
              score += v.data[h]! * Math.tanh(inner.exact + b.data[h]!);
              error = Math.max(error, size * (inner.bound + (8 + 68) * U));
            }
            return score;
          });
          const frame = (t: number) => rowOf(frames, n * time + t);
          yield* weighted(got, n * features, softmax(exact), frame, [softmaxError({ exact, error })]);
        }
      },
    };
  });
}

export const VISION: readonly BenchCase[] = [
  cbamCase,
  squeezeExciteCase,
  ecaCase,
  spatialSoftmaxCase,
  temporalCase(4, 32, 256, 128),
];
