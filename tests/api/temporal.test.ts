/** Attention along time: PyTorch's recorded case, definitions in f64, laws, and refusals. */
import fc from "fast-check";
import { attention, init, Tensor, temporalAttention, temporalSelfAttention } from "saccade";
import { beforeAll, describe, expect, it } from "vitest";
import { numbersOf, type StoredArray, tensorOf } from "../compat/arrays.ts";
import { readCase } from "../compat/files.ts";
import { layer, softmax } from "../reference/feature-map.ts";
import { bitsOf, expectClose } from "./oracle.ts";
import { counted, expectRefusal } from "./refusal.ts";

beforeAll(() => init());

const wave = (seed: number, ...shape: number[]) => ({
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) =>
    Math.sin(seed + i * 1.7 + i * i * 0.3),
  ),
  shape,
});

interface ClassicCase {
  inputs: Record<"x" | "lengths", StoredArray>;
  weights: Record<"W" | "b" | "v", StoredArray>;
  expected: Record<"weights" | "output" | "weighted_std", StoredArray>;
}

it("is PyTorch's recorded pooling, with its deviation", () => {
  const { inputs, weights, expected } = readCase<ClassicCase>("classic/temporal_attention_pooling.json");
  const numbers = (stored: StoredArray): number[] => numbersOf(tensorOf(stored));
  const learned = { w: tensorOf(weights.W), b: tensorOf(weights.b), v: tensorOf(weights.v) };
  const lengths = tensorOf(inputs.lengths);
  const result = temporalAttention(tensorOf(inputs.x), { ...learned, lengths, returnDeviation: true });
  expectClose(result.weights.data, numbers(expected.weights), 2e-7);
  expectClose(result.out.data, numbers(expected.output), 3e-7);
  expectClose(result.deviation.data, numbers(expected.weighted_std), 4e-7);
});

const problem = fc.record({
  batch: fc.integer({ min: 0, max: 3 }),
  time: fc.constantFrom(0, 1, 2, 5, 63, 64, 65, 130),
  frame: fc.constantFrom<number[]>([1], [3], [17], [2, 3], [2, 3, 4]),
  seed: fc.nat(1000),
});

describe("any frames", () => {
  it("are pooled by definition, learned or by a query, and what lies behind a length never shows", () => {
    fc.assert(
      fc.property(problem, fc.constantFrom("learned", "one query", "a query each"), (size, way) => {
        const { batch, time, frame, seed } = size;
        const frames = wave(seed, batch, time, ...frame);
        const features = frame.reduce((a, b) => a * b, 1);
        const lengths = Array.from({ length: batch }, (_, b) => (seed + b * 7) % (time + 1));
        const [w, b, v] = [wave(seed + 1, 4, features), wave(seed + 2, 4), wave(seed + 3, 4)];
        const query = way === "one query" ? wave(seed + 4, ...frame) : wave(seed + 4, batch, ...frame);
        const row = (n: number, t: number): number[] =>
          Array.from(frames.data.subarray((n * time + t) * features, (n * time + t + 1) * features));
        const expected = lengths.map((length, n) => {
          const rows = Array.from({ length }, (_, t) => row(n, t));
          const scores = rows.map((x) => {
            if (way === "learned") {
              return layer(w, x, b).reduce((sum, h, i) => sum + Math.tanh(h) * v.data[i]!, 0) / 0.5;
            }
            const at = way === "one query" ? 0 : n * features;
            return x.reduce((sum, value, d) => sum + value * query.data[at + d]!, 0) / Math.sqrt(features);
          });
          const weights = softmax(scores);
          const mean = Array.from({ length: features }, (_, d) =>
            rows.reduce((sum, x, t) => sum + weights[t]! * x[d]!, 0),
          );
          const variance = mean.map((m, d) => rows.reduce((sum, x, t) => sum + weights[t]! * (x[d]! - m) ** 2, 0));
          return { weights: Array.from({ length: time }, (_, t) => weights[t] ?? 0), mean, variance };
        });
        const poisoned = frames.data.slice();
        lengths.forEach((length, n) => {
          poisoned.fill(Number.NaN, (n * time + length) * features, (n + 1) * time * features);
        });
        const options = way === "learned" ? { w, b, v, temperature: 0.5 } : { query };
        const common = { lengths, returnDeviation: true, varianceFloor: 1e-4 };
        const result = temporalAttention({ data: poisoned, shape: frames.shape }, { ...options, ...common });
        expect([result.out.shape, result.weights.shape]).toEqual([
          [batch, ...frame],
          [batch, time],
        ]);
        expectClose(
          result.weights.data,
          expected.flatMap(({ weights }) => weights),
          1e-5,
        );
        expectClose(
          result.out.data,
          expected.flatMap(({ mean }) => mean),
          1e-5,
        );
        const deviations = expected.flatMap(({ variance }) =>
          variance.map((x) => Math.sqrt(Math.max(x, Math.fround(1e-4)))),
        );
        expectClose(result.deviation!.data, deviations, 1e-4);
      }),
      { numRuns: 80 },
    );
  });
});

describe("self-attention along time", () => {
  const frames = wave(3, 2, 9, 3, 4, 5);

  it("is attention with places as heads", () => {
    const merged = { data: frames.data, shape: [2, 9, 12, 5] };
    const options = { causal: true, window: { left: 3 } };
    const { out, weights } = temporalSelfAttention(frames, { ...options, lengths: [9, 4], returnWeights: true });
    const expected = attention(merged, merged, merged, {
      ...options,
      kvLengths: [9, 4],
      qLengths: [9, 4],
      returnWeights: true,
    });
    expect(out.shape).toEqual(frames.shape);
    expect(weights.shape).toEqual([2, 3, 4, 9, 9]);
    expect(bitsOf(out.data)).toEqual(bitsOf(expected.out.data as Float32Array));
    expect(bitsOf(weights.data)).toEqual(bitsOf(expected.weights.data));
    const resident = Tensor.from(frames);
    expect(bitsOf(temporalSelfAttention(resident, { ...options, lengths: [9, 4] }).out.data)).toEqual(bitsOf(out.data));
    resident.dispose();
  });

  it("a stream does not depend on what follows, nor a place on its neighbours", () => {
    const { out } = temporalSelfAttention(frames, { causal: true });
    const begun = { data: frames.data.slice(0, 4 * 60), shape: [1, 4, 3, 4, 5] };
    expect(bitsOf(temporalSelfAttention(begun, { causal: true }).out.data)).toEqual(bitsOf(out.data.slice(0, 240)));
    // Place (1, 2) alone, viewed where it lies.
    const place = { data: frames.data, shape: [2, 9, 1, 1, 5], strides: [540, 60, 20, 5, 1], offset: 30 };
    const alone = temporalSelfAttention(place, { causal: true }).out.data;
    const there = Float32Array.from(alone, (_, i) => out.data[Math.floor(i / 5) * 60 + 30 + (i % 5)]!);
    expect(bitsOf(alone)).toEqual(bitsOf(there));
  });

  it.each([[[2, 0, 3]], [[0, 2, 3]], [[2, 3, 0, 4]]])("of nothing is nothing: %j", (shape) => {
    const { out, weights } = temporalSelfAttention(counted(...shape), {
      lengths: shape[0] ? [0, 0] : [],
      returnWeights: true,
    });
    expect([out.shape, out.data.length, weights.data.length]).toEqual([shape, 0, 0]);
  });

  it("takes frames whose places lie apart, as long as they are one axis", () => {
    const wide = { data: new Float32Array(2 * 3 * 2 * 8), shape: [2, 3, 2, 2, 2], strides: [48, 16, 8, 4, 1] };
    expect(temporalSelfAttention(wide).out.shape).toEqual([2, 3, 2, 2, 2]);
    return expectRefusal(
      () => temporalSelfAttention({ ...wide, strides: [48, 16, 8, 3, 1] }),
      "STRIDE",
      "temporalSelfAttention: frames.strides [48, 16, 8, 3, 1] leave gaps between axes 2 to 3 of shape [2, 3, 2, 2, 2], " +
        "which are taken as one here; copy it to a contiguous tensor first",
    );
  });
});

describe("refusals", () => {
  const frames = counted(2, 3, 4);
  const learned = { w: counted(5, 4), v: counted(5) };
  it.each<[string, () => unknown, string, string | RegExp]>([
    [
      "neither way",
      () => temporalAttention(frames),
      "OPTION",
      "temporalAttention: expected either w and v (learned pooling) or query",
    ],
    [
      "both ways",
      () => temporalAttention(frames, { ...learned, query: counted(4) }),
      "OPTION",
      "temporalAttention: w belongs to learned pooling, and query is given",
    ],
    [
      "a temperature for a query",
      () => temporalAttention(frames, { query: counted(4), temperature: 2 }),
      "OPTION",
      /temperature belongs to learned pooling/,
    ],
    [
      "a scale for a layer",
      () => temporalAttention(frames, { ...learned, scale: 2 }),
      "OPTION",
      /scale belongs to a given query/,
    ],
    [
      "v of another size",
      () => temporalAttention(frames, { ...learned, v: counted(4) }),
      "SHAPE",
      "temporalAttention: v.shape is [4]; expected [5] (hidden)",
    ],
    [
      "w of other features",
      () => temporalAttention(frames, { ...learned, w: counted(5, 3) }),
      "SHAPE",
      /^temporalAttention: w\.shape is \[5, 3\]; expected \[hidden, 4\]/,
    ],
    [
      "a query of another shape",
      () => temporalAttention(frames, { query: counted(3) }),
      "SHAPE",
      "temporalAttention: query.shape is [3]; expected [4] or [2, 4] (a frame, or one per batch row)",
    ],
    ["frames without features", () => temporalAttention(counted(2, 3), learned), "SHAPE", /at least 3 axes/],
    ["empty frames", () => temporalAttention(counted(2, 3, 0), learned), "SHAPE", /at least one number/],
    [
      "a length too long",
      () => temporalAttention(frames, { ...learned, lengths: [4, 1] }),
      "RANGE",
      /options\.lengths\[0\] is 4; expected at most frames\.shape\[1\], which is 3/,
    ],
    [
      "lengths of another batch",
      () => temporalAttention(frames, { ...learned, lengths: [1] }),
      "SHAPE",
      /options\.lengths has shape \[1\]; expected \[2\]/,
    ],
    [
      "a floor below 0",
      () => temporalAttention(frames, { ...learned, varianceFloor: -1 }),
      "RANGE",
      /varianceFloor is -1/,
    ],
    [
      "out over the frames",
      () => temporalAttention(frames, { ...learned, out: { data: frames.data, shape: [2, 4], strides: [4, 1] } }),
      "OVERLAP",
      /shares memory with frames/,
    ],
    [
      "frames whose buffer goes while lengths are read",
      () => {
        const gone = counted(2, 3, 4);
        const lengths = {
          length: 2,
          get 0() {
            structuredClone(gone.data.buffer, { transfer: [gone.data.buffer] });
            return 3;
          },
          1: 3,
        };
        return temporalAttention(gone, { ...learned, lengths });
      },
      "DETACHED",
      /^temporalAttention: frames\.data/,
    ],
    [
      "an option of attention",
      () => temporalSelfAttention(frames, { causal: 1 as never }),
      "ARGUMENT",
      "temporalSelfAttention: options.causal is 1; expected true or false",
    ],
    [
      "a length of frames",
      () => temporalSelfAttention(frames, { lengths: [3, 4] }),
      "RANGE",
      "temporalSelfAttention: options.lengths[1] is 4; expected at most frames.shape[1], which is 3",
    ],
    [
      "frames of no numbers",
      () => temporalSelfAttention(counted(2, 3, 0)),
      "SHAPE",
      "temporalSelfAttention: frames.shape is [2, 3, 0]; expected a dim of at least 1",
    ],
    [
      "a key of another shape",
      () => temporalSelfAttention(frames, { key: counted(2, 4, 4) }),
      "SHAPE",
      "temporalSelfAttention: key.shape is [2, 4, 4]; expected [2, 3, 4] (as frames)",
    ],
    ["a typo", () => temporalSelfAttention(frames, { casual: true } as object), "OPTION", /did you mean "causal"/],
  ])("%s", (_, call, code, message) => expectRefusal(call, code, message));
});
