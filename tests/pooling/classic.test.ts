// Attention pooling against what PyTorch recorded for the textbooks' scores.
import {
  additive,
  attentionPooling,
  boxcar,
  concat,
  cosine,
  dot,
  gaussian,
  general,
  linear,
  location,
  mlp,
  type Score,
  triangular,
} from "saccade";
import { describe, expect, it } from "vitest";
import { type ClassicCase, type Numbers, readClassic } from "./oracle.ts";

function expectNear(got: Numbers | undefined, want: Numbers, tolerance: number): void {
  expect(got?.shape).toEqual(want.shape);
  want.data.forEach((value, i) => {
    const given = got!.data[i]!;
    expect(Math.abs(given - value), `element ${i}: ${given}, expected ${value}`).toBeLessThanOrEqual(tolerance);
  });
}

type Params = ClassicCase["params"];
const SCORES: Record<string, (weights: Record<string, Numbers>, params: Params) => Score> = {
  additive_bahdanau: ({ Wq, Wk, v }) => additive({ wq: Wq!, wk: Wk!, v: v! }),
  luong_general: ({ W }) => general({ w: W! }),
  luong_concat: ({ W, v }) => concat({ w: W!, v: v! }),
  cosine: (_, { scale }) => cosine({ scale: Number(scale) }),
  mlp: ({ W1, b1, w2, b2 }) =>
    mlp({
      layers: [
        { w: W1!, bias: b1! },
        { w: { data: w2!.data, shape: [1, 8] }, bias: b2! },
      ],
      activation: "relu",
    }),
  gaussian_distance: () => gaussian(),
};

describe("recorded scores", () => {
  it.each(Object.keys(SCORES))("%s", (name) => {
    const { inputs, weights, params, expected } = readClassic(name);
    const { query, key, value, key_lengths } = inputs as Record<"query" | "key" | "value" | "key_lengths", Numbers>;
    const score = SCORES[name]!(weights, params);
    const options = { score, returnWeights: true, returnScores: true };
    const result = attentionPooling(
      query,
      key,
      value,
      key_lengths ? { ...options, kvLengths: key_lengths.data } : options,
    );
    expectNear(result.out, expected.output!, 1e-6);
    expectNear(result.weights, expected.weights!, 1e-6);
    const kvLen = key.shape[1]!;
    expected.scores!.data.forEach((want, i) => {
      const hidden = key_lengths !== undefined && i % kvLen >= key_lengths.data[Math.floor(i / kvLen / 3)]!;
      const got = result.scores!.data[i]!;
      if (hidden) expect(got).toBe(Number.NEGATIVE_INFINITY);
      else expect(Math.abs(got - want)).toBeLessThanOrEqual(4e-6);
    });
  });

  it("a Bahdanau decoder's projected keys", () => {
    const { inputs, weights, expected } = readClassic("additive_bahdanau");
    const { query, key, value } = inputs as Record<"query" | "key" | "value", Numbers>;
    const { Wq, Wk, v } = weights as Record<"Wq" | "Wk" | "v", Numbers>;
    const projected = linear(key, Wk);
    const reused = attentionPooling(query, projected, value, { score: additive({ wq: Wq, v }) }).out;
    expectNear(reused, expected.output!, 1e-6);
    const whole = attentionPooling(query, key, value, { score: additive({ wq: Wq, wk: Wk, v }) }).out;
    expect(reused.data).toEqual(whole.data);
    const both = attentionPooling(linear(query, Wq), projected, value, { score: additive({ v }) }).out;
    expect(both.data).toEqual(whole.data);
  });

  it("temporal attention pooling: one query that says nothing", () => {
    const { inputs, weights, expected } = readClassic("temporal_attention_pooling");
    const { x, lengths } = inputs as Record<"x" | "lengths", Numbers>;
    const { W, b, v } = weights as Record<"W" | "b" | "v", Numbers>;
    const nothing = { data: new Float32Array(3 * 5), shape: [3, 1, 5] };
    const { out, weights: got } = attentionPooling(nothing, x, x, {
      score: additive({ wk: W, v, bias: b }),
      kvLengths: lengths.data,
      returnWeights: true,
    });
    expectNear({ data: out.data, shape: [3, 6] }, expected.output!, 1e-6);
    expectNear({ data: got!.data, shape: [3, 7] }, expected.weights!, 1e-6);
  });

  const KERNELS: [string, Score][] = [
    // Constant 1: every query takes the mean.
    ["constant", location({ w: { data: new Float32Array(50), shape: [50, 1] } })],
    ["gaussian", gaussian()],
    // What d2l calls by this name is the triangle.
    ["epanechnikov", triangular({ width: 1 })],
  ];
  it.each(KERNELS)("Nadaraya-Watson with kernel %s", (name, score) => {
    const { inputs, expected } = readClassic(`nadaraya_watson__kernel_${name}`);
    const column = (name: string) => ({ data: inputs[name]!.data, shape: [50, 1] });
    const [query, key, value] = [column("x_test"), column("x_train"), column("y_train")];
    const { out, weights } = attentionPooling(query, key, value, { score, returnWeights: true });
    expectNear({ data: out.data, shape: [50] }, expected.prediction!, 2e-6);
    expectNear(weights, expected.weights!, 2e-6);
  });

  it("a uniform kernel takes the mean of what lies within its width", () => {
    const column = (...data: number[]) => ({ data: Float32Array.from(data), shape: [data.length, 1] });
    const [query, key, value] = [column(0, 10), column(-1, -0.5, 0.25, 1), column(8, 1, 3, 8)];
    const { out, weights } = attentionPooling(query, key, value, { score: boxcar({ width: 1 }), returnWeights: true });
    expect([...out.data]).toEqual([2, 0]);
    expect([...weights.data]).toEqual([0, 0.5, 0.5, 0, 0, 0, 0, 0]);
  });

  it("dot is general with the identity", () => {
    const { inputs } = readClassic("cosine");
    const { query, key, value } = inputs as Record<"query" | "key" | "value", Numbers>;
    const identity = Float32Array.from({ length: 36 }, (_, i) => (i % 7 === 0 ? 1 : 0));
    const w = { data: identity, shape: [6, 6] };
    const a = attentionPooling(query, key, value, { score: general({ w }) });
    const b = attentionPooling(query, key, value, { score: dot() });
    expectNear(a.out, b.out, 1e-6);
  });
});
