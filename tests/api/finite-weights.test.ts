/** Weights that are not finite are refused by every function that has weights; what lies between their rows is not looked at. */
import { type Engine, init, selfAttention, Tensor, type TensorInput, temporalAttention } from "saccade";
import { BahdanauDecoder, GRU, MultiHeadAttention } from "saccade/nn";
import {
  cbam,
  channelAttention,
  channelSoftmaxAttention,
  eca,
  elementwiseAttention,
  spatialAttention,
  spatialSoftmaxAttention,
  squeezeExcite,
} from "saccade/vision";
import { beforeAll, describe, expect, it } from "vitest";
import { counted, expectRefusal } from "./refusal.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await init();
});

const x = counted(2, 4, 3, 3);
const bottleneck = { w1: counted(2, 4), b1: counted(2), w2: counted(4, 2), b2: counted(4) };
const spatial = { conv: counted(1, 2, 3, 3), bias: counted(1) };
const projections = { wq: counted(4, 4), wk: counted(4, 4), wv: counted(4, 4), bq: counted(4) };
const gru = { weight_ih: counted(12, 8), weight_hh: counted(12, 4), bias_ih: counted(12), bias_hh: counted(12) };
const decoder = { wq: counted(6, 4), wk: counted(6, 5), v: counted(6) };

type Weights = Readonly<Record<string, TensorInput>>;
// biome-ignore lint/suspicious/noExplicitAny: one list for functions of many types
type Call = (weights: any) => unknown;

const calls: readonly (readonly [string, Weights, Call])[] = [
  ["channelAttention", bottleneck, (w) => channelAttention(x, w)],
  ["squeezeExcite", bottleneck, (w) => squeezeExcite(x, w)],
  ["spatialAttention", spatial, (w) => spatialAttention(x, w)],
  ["cbam", { ...bottleneck, ...spatial }, (w) => cbam(x, w)],
  ["eca", { w: counted(3) }, (w) => eca(x, w)],
  ["elementwiseAttention", { w: counted(4, 4), bias: counted(4) }, (w) => elementwiseAttention(x, w)],
  ["spatialSoftmaxAttention", { w: counted(4), bias: counted(1) }, (w) => spatialSoftmaxAttention(x, w)],
  ["channelSoftmaxAttention", { w: counted(4, 4), bias: counted(4) }, (w) => channelSoftmaxAttention(x, w)],
  ["temporalAttention", { w: counted(5, 9), b: counted(5), v: counted(5) }, (w) => temporalAttention(x, w)],
  ["selfAttention", projections, (w) => selfAttention(counted(3, 4), w)],
  [
    "MultiHeadAttention",
    { ...projections, wo: counted(4, 4), bo: counted(4) },
    (w) => new MultiHeadAttention({ ...w, numHeads: 2 }).dispose(),
  ],
  [
    "GRU",
    { weight_ih_l0: counted(6, 3), weight_hh_l0: counted(6, 2), bias_ih_l0: counted(6), bias_hh_l0: counted(6) },
    (w) => new GRU(w).dispose(),
  ],
  ["BahdanauDecoder", gru, (w) => new BahdanauDecoder({ ...decoder, gru: w }).dispose()],
];

describe.each(calls)("%s", (name, weights, call) => {
  it("refuses weights that are not finite, and takes others", async () => {
    call(weights);
    for (const [key, weight] of Object.entries(weights)) {
      const { data, shape } = weight as { data: Float32Array; shape: number[] };
      const last = data.length - 1;
      const message = `${name}: ${key}.data has NaN or Infinity at element ${last}; expected finite numbers`;
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        await expectRefusal(
          () => call({ ...weights, [key]: { data: data.with(last, value), shape } }),
          "RANGE",
          message,
        );
      }
      const resident = Tensor.from({ data: data.with(last, Number.NaN), shape }, { engine });
      await expectRefusal(() => call({ ...weights, [key]: resident }), "RANGE", message);
      resident.dispose();
    }
  });
});

it("halves count too, and the largest of them are finite", async () => {
  const half = (bits: number, dtype: "float16" | "bfloat16") => ({
    data: Uint16Array.of(0, bits, 0),
    shape: [3],
    dtype,
  });
  for (const [dtype, largest, infinity] of [
    ["float16", 0x7bff, 0xfc00],
    ["bfloat16", 0x7f7f, 0xff80],
  ] as const) {
    expect(() => eca(x, { w: half(largest, dtype) })).not.toThrow();
    await expectRefusal(
      () => eca(x, { w: half(infinity, dtype) }),
      "RANGE",
      /^eca: w\.data has NaN or Infinity at element 1/,
    );
  }
});

it("what lies between the rows of a view is nobody's weight", async () => {
  const data = Float32Array.from({ length: 24 }, (_, i) => (i % 6 < 4 ? 1 : Number.NaN));
  const w = { data, shape: [4, 4], strides: [6, 1] };
  expect(elementwiseAttention(x, { w }).out.data.every(Number.isFinite)).toBe(true);
  await expectRefusal(
    () => elementwiseAttention(x, { w: { ...w, data: data.with(8, Number.NaN) } }),
    "RANGE",
    /w\.data has NaN or Infinity at element 6/,
  );
});
