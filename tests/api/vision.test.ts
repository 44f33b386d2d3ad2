/** Attention over feature maps: PyTorch's recorded cases, definitions in f64, laws, and refusals. */
import fc from "fast-check";
import { createEngine, init, linear, Tensor } from "saccade";
import {
  cbam,
  channelAttention,
  channelSoftmaxAttention,
  eca,
  elementwiseAttention,
  type SoftmaxAttentionResult,
  spatialAttention,
  spatialSoftmaxAttention,
  squeezeExcite,
} from "saccade/vision";
import { beforeAll, describe, expect, it } from "vitest";
import { numbersOf, type StoredArray, tensorOf } from "../compat/arrays.ts";
import { readCase } from "../compat/files.ts";
import { average, convolve, layer, maximum, planes, sigmoid, softmax, transpose } from "../reference/feature-map.ts";
import { bitsOf, expectClose } from "./oracle.ts";
import { expectRefusal } from "./refusal.ts";

beforeAll(() => init());

interface ClassicCase {
  inputs: Record<"x", StoredArray>;
  weights: Record<"W1" | "b1" | "W2" | "b2" | "conv", StoredArray>;
  expected: Record<"channel_attention" | "after_channel" | "spatial_attention" | "output" | "gate", StoredArray>;
}

type Floats = { data: Float32Array<ArrayBuffer>; shape: number[] };

/** Numbers of no pattern from a seed. */
function noise(seed: number, ...shape: number[]): Floats {
  const elements = shape.reduce((a, b) => a * b, 1);
  const data = Float32Array.from({ length: elements }, (_, i) => {
    const mixed = Math.imul(i + 1 + seed * 7919, 0x9e3779b1);
    return Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b) / 2 ** 31;
  });
  return { data, shape };
}

const numbers = (stored: StoredArray): number[] => numbersOf(tensorOf(stored));

/** Proves the results of softmax attention against those of each batch row. */
function expectRows(
  result: SoftmaxAttentionResult<true>,
  rows: readonly { weights: number[]; out: number[]; map: number[][] }[],
): void {
  const all = (part: (row: (typeof rows)[number]) => number[]): number[] => rows.flatMap(part);
  const near = (got: Float32Array, want: number[]) => expectClose(got, want, 1e-5);
  near(
    result.weights.data,
    all(({ weights }) => weights),
  );
  near(
    result.out.data,
    all(({ out }) => out),
  );
  near(
    result.map.data,
    all(({ map }) => map.flat()),
  );
}

describe("PyTorch's recorded cases", () => {
  const { inputs, weights, expected } = readCase<ClassicCase>("classic/cbam.json");
  const x = tensorOf(inputs.x);
  const layers = {
    w1: tensorOf(weights.W1),
    b1: tensorOf(weights.b1),
    w2: tensorOf(weights.W2),
    b2: tensorOf(weights.b2),
  };
  const conv = tensorOf(weights.conv);

  it("CBAM, in one call and in two", () => {
    const { out, channelWeights, spatialWeights } = cbam(x, { ...layers, conv, returnWeights: true });
    expectClose(channelWeights!.data, numbers(expected.channel_attention), 2e-7);
    expectClose(spatialWeights!.data, numbers(expected.spatial_attention), 3e-7);
    expectClose(out.data, numbers(expected.output), 5e-7);
    const first = channelAttention(x, layers);
    expectClose(first.out.data, numbers(expected.after_channel), 4e-7);
    const second = spatialAttention(first.out, { conv });
    expect(bitsOf(second.out.data)).toEqual(bitsOf(out.data));
    expect([first.weights.shape, second.weights.shape]).toEqual([
      [2, 8],
      [2, 12, 10],
    ]);
    expect(cbam(x, { ...layers, conv })).toEqual({ out });
  });

  it("squeeze and excitation", () => {
    const recorded = readCase<ClassicCase>("classic/squeeze_excitation.json");
    const { out, weights: gate } = squeezeExcite(tensorOf(recorded.inputs.x), {
      w1: tensorOf(recorded.weights.W1),
      b1: tensorOf(recorded.weights.b1),
      w2: tensorOf(recorded.weights.W2),
      b2: tensorOf(recorded.weights.b2),
    });
    expectClose(gate.data, numbers(recorded.expected.gate), 2e-7);
    expectClose(out.data, numbers(recorded.expected.output), 5e-7);
  });

  it("the other order of the two maps is the kernel's channels exchanged", () => {
    const exchanged = {
      ...conv,
      data: Float32Array.from(conv.data as Float32Array, (_, i, all = conv.data) => Number(all[(i + 49) % 98])),
    };
    const [ours, theirs] = [spatialAttention(x, { conv }), spatialAttention(x, { conv: exchanged, order: "max-mean" })];
    expectClose(theirs.weights.data, [...ours.weights.data], 3e-7);
    expect(bitsOf(theirs.weights.data)).not.toEqual(
      bitsOf(spatialAttention(x, { conv, order: "max-mean" }).weights.data),
    );
  });
});

const shapes = fc.record({
  batch: fc.integer({ min: 0, max: 2 }),
  channels: fc.constantFrom(1, 2, 3, 8, 65),
  height: fc.integer({ min: 0, max: 5 }),
  width: fc.constantFrom(0, 1, 3, 4, 5, 8, 9, 17),
  seed: fc.nat(1000),
});

describe("any map", () => {
  it("spatial softmax attention is its definition", () => {
    fc.assert(
      fc.property(shapes, fc.constantFrom(1, 0.3, 4), fc.constantFrom(1, 3), (size, temperature, k) => {
        const { batch, channels, height, width, seed } = size;
        const x = noise(seed, batch, channels, height, width);
        const w = noise(seed + 1, 1, channels, k, k);
        const bias = noise(seed + 2, 1);
        const vector = k === 1 && seed % 2 === 1 ? { data: w.data, shape: [channels] } : w;
        const result = spatialSoftmaxAttention(x, { w: vector, bias, temperature, returnMap: true });
        expect([result.out.shape, result.weights.shape, result.map.shape]).toEqual([
          [batch, channels],
          [batch, height, width],
          x.shape,
        ]);
        const expected = planes(x).map((maps) => {
          const weights = softmax(convolve(maps, [height, width], w, 0, bias), temperature);
          const map = maps.map((plane) => plane.map((value, p) => value * weights[p]!));
          return { weights, map, out: map.map((plane) => plane.reduce((a, b) => a + b, 0)) };
        });
        expectRows(result, expected);
      }),
      { numRuns: 60 },
    );
  });

  it("channel softmax attention is its definition", () => {
    fc.assert(
      fc.property(shapes, fc.constantFrom(1, 0.3), ({ batch, channels, height, width, seed }, temperature) => {
        const x = noise(seed, batch, channels, height, width);
        const [w, bias] = [noise(seed + 1, channels, channels), noise(seed + 2, channels)];
        const result = channelSoftmaxAttention(x, { w, bias, temperature, returnMap: true });
        const expected = planes(x).map((maps) => {
          const weights = softmax(layer(w, maps.map(average), bias), temperature);
          const map = maps.map((plane, c) => plane.map((value) => value * weights[c]!));
          return {
            weights,
            map,
            out: transpose(map, height * width).map((column) => column.reduce((a, b) => a + b, 0)),
          };
        });
        expect(result.out.shape).toEqual([batch, height, width]);
        expectRows(result, expected);
      }),
      { numRuns: 60 },
    );
  });

  it("every gate is its definition", () => {
    fc.assert(
      fc.property(shapes, fc.constantFrom(1, 3, 5), ({ batch, channels, height, width, seed }, k) => {
        const x = noise(seed, batch, channels, height, width);
        const [w1, b1] = [noise(seed + 1, 3, channels), noise(seed + 2, 3)];
        const [w2, b2] = [noise(seed + 3, channels, 3), noise(seed + 4, channels)];
        const mlp = (d: number[]): number[] =>
          layer(
            w2,
            layer(w1, d, b1).map((h) => Math.max(h, 0)),
            b2,
          );
        const size = [height, width] as const;
        const conv = noise(seed + 5, 1, 2, k, 3);
        const line = noise(seed + 6, k);
        const mixing = noise(seed + 7, channels, channels, k, 1);
        const bias = noise(seed + 8, 1);
        // Per gate: its result, and its value at channel c and place p of planes.
        const gates: [ReturnType<typeof eca>, (maps: number[][]) => (c: number, p: number) => number][] = [
          [
            channelAttention(x, { w1, b1, w2, b2 }),
            (maps) => {
              const [a, m] = [mlp(maps.map(average)), mlp(maps.map(maximum))];
              return (c) => sigmoid(a[c]! + m[c]!);
            },
          ],
          [
            squeezeExcite(x, { w1, w2 }),
            (maps) => {
              const scores = layer(
                w2,
                layer(w1, maps.map(average)).map((h) => Math.max(h, 0)),
              );
              return (c) => sigmoid(scores[c]!);
            },
          ],
          [
            eca(x, { w: seed % 2 === 1 ? line : { ...line, shape: [1, 1, k] } }),
            (maps) => {
              const kernel = { data: line.data, shape: [1, 1, 1, k] };
              const scores = convolve([maps.map(average)], [1, channels], kernel, 0);
              return (c) => sigmoid(scores[c]!);
            },
          ],
          [
            spatialAttention(x, { conv, bias }),
            (maps) => {
              const columns = transpose(maps, height * width);
              const scores = convolve([columns.map(average), columns.map(maximum)], size, conv, 0, bias);
              return (_, p) => sigmoid(scores[p]!);
            },
          ],
          [
            elementwiseAttention(x, { w: mixing, bias: b2 }),
            (maps) => {
              const scores = maps.map((_, o) => convolve(maps, size, mixing, o, b2));
              return (c, p) => sigmoid(scores[c]![p]!);
            },
          ],
        ];
        for (const [{ out, weights }, define] of gates) {
          expect(out.shape).toEqual(x.shape);
          const expected = planes(x).map((maps) => {
            const gate = define(maps);
            return maps.map((plane, c) => plane.map((value, p) => value * gate(c, p)));
          });
          expectClose(out.data, expected.flat(2), 2e-5);
          expect(weights.data.every((gate) => gate >= 0 && gate <= 1)).toBe(true);
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe("laws", () => {
  const x = noise(1, 2, 6, 5, 7);
  const options = { w1: noise(2, 3, 6), w2: noise(3, 6, 3), conv: noise(4, 1, 2, 7, 7) };

  it("a batch row has the same bits alone", () => {
    const alone = { data: x.data.slice(x.data.length / 2), shape: [1, 6, 5, 7] };
    expect(bitsOf(cbam(alone, options).out.data)).toEqual(bitsOf(cbam(x, options).out.data.slice(x.data.length / 2)));
  });

  it("strides, halves, resident tensors and targets change no bit", async () => {
    const { out } = cbam(x, options);
    // Channels last in memory would not be contiguous along the width; a padded row is.
    const padded = {
      data: new Float32Array(2 * 6 * 5 * 9 + 1).fill(Number.NaN),
      shape: x.shape,
      strides: [270, 45, 9, 1],
      offset: 1,
    };
    x.data.forEach((value, i) => {
      padded.data[1 + Math.floor(i / 7) * 9 + (i % 7)] = value;
    });
    expect(bitsOf(cbam(padded, options).out.data)).toEqual(bitsOf(out.data));
    const resident = Tensor.from(x);
    const target = Tensor.zeros(x.shape, "float32");
    expect(cbam(resident, { ...options, out: target }).out).toBe(target);
    expect(bitsOf(target.toPlain().data as Float32Array)).toEqual(bitsOf(out.data));
    resident.dispose();
    target.dispose();
    const half = {
      data: Uint16Array.from(x.data, (_, i) => 0x3c00 + ((i * 37) % 1024)),
      shape: x.shape,
      dtype: "float16" as const,
    };
    const exact = { data: Float32Array.from(half.data, (bits) => 1 + (bits - 0x3c00) / 1024), shape: x.shape };
    expect(bitsOf(cbam(half, options).out.data)).toEqual(bitsOf(cbam(exact, options).out.data));
    const engine = await createEngine();
    expect(bitsOf(cbam(x, { ...options, engine }).out.data)).toEqual(bitsOf(out.data));
    engine.dispose();
  });

  it("one place takes all the weight, whatever its score, and equal scores share it", () => {
    const w = { data: new Float32Array([3, -7]), shape: [2] };
    const one = spatialSoftmaxAttention({ data: new Float32Array([5, -2]), shape: [1, 2, 1, 1] }, { w });
    expect([...one.out.data, ...one.weights.data]).toEqual([5, -2, 1]);
    const even = spatialSoftmaxAttention({ data: new Float32Array(16).fill(2), shape: [1, 2, 2, 4] }, { w });
    expect([...even.weights.data]).toEqual(new Array(8).fill(0.125));
  });

  it("a place whose weight is 0 does not show", () => {
    const data = new Float32Array([1, Number.NaN, 0, -1e30]);
    const map = { data, shape: [1, 2, 1, 2] };
    const { out } = spatialSoftmaxAttention(map, { w: { data: new Float32Array([0, 1]), shape: [2] } });
    expect([...out.data]).toEqual([Number.NaN, Number.NaN]); // NaN is in the score itself: 0 * NaN
    data[1] = 7;
    expect([...spatialSoftmaxAttention(map, { w: { data: new Float32Array([0, 1]), shape: [2] } }).out.data]).toEqual([
      1, 0,
    ]);
  });

  it("leaves the main entry's engine as it is: they share it", async () => {
    const engine = await init();
    const before = engine.stats();
    eca(x, { w: noise(9, 3) });
    expect(engine.stats().peakBytes).toBeGreaterThanOrEqual(before.peakBytes);
    expect(engine.stats().liveBytes).toBe(before.liveBytes);
    expect(linear(noise(1, 1, 2), noise(2, 1, 2)).shape).toEqual([1, 1]);
  });
});

describe("refusals", () => {
  const x = noise(1, 1, 4, 3, 3);
  const [w1, w2, conv] = [noise(2, 2, 4), noise(3, 4, 2), noise(4, 1, 2, 3, 3)];
  // biome-ignore lint/suspicious/noExplicitAny: calls that types forbid
  const any = (value: unknown): any => value;
  it.each<[string, () => unknown, string, string | RegExp]>([
    ["no options", () => cbam(x, any(undefined)), "ARGUMENT", "cbam: options.w1 is missing; expected a tensor"],
    ["a typo", () => eca(x, any({ W: w1 })), "OPTION", /^eca: there is no option "W"; did you mean "w"\?$/],
    [
      "rank 3",
      () => squeezeExcite({ ...x, shape: [4, 3, 3] }, { w1, w2 }),
      "SHAPE",
      "squeezeExcite: x.shape is [4, 3, 3]; expected [batch, channels, height, width]",
    ],
    [
      "no channel",
      () => squeezeExcite(noise(1, 1, 0, 3, 3), { w1, w2 }),
      "SHAPE",
      "squeezeExcite: x.shape is [1, 0, 3, 3]; expected at least one channel",
    ],
    [
      "w1 of other channels",
      () => channelAttention(x, { w1: noise(1, 2, 5), w2 }),
      "SHAPE",
      "channelAttention: w1.shape is [2, 5]; expected [hidden, 4] (hidden, channels) with at least one hidden unit",
    ],
    [
      "no hidden unit",
      () => channelAttention(x, { w1: noise(1, 0, 4), w2: noise(1, 4, 0) }),
      "SHAPE",
      /^channelAttention: w1\.shape is \[0, 4\]/,
    ],
    [
      "w2 not transposed",
      () => cbam(x, { w1, w2: w1, conv }),
      "SHAPE",
      "cbam: w2.shape is [2, 4]; expected [4, 2] (channels, hidden)",
    ],
    [
      "b2 of another size",
      () => cbam(x, { w1, w2, b2: noise(1, 3), conv }),
      "SHAPE",
      "cbam: b2.shape is [3]; expected [4] (channels)",
    ],
    [
      "an even kernel",
      () => spatialAttention(x, { conv: noise(1, 1, 2, 2, 3) }),
      "SHAPE",
      "spatialAttention: conv.shape is [1, 2, 2, 3]; expected [1, 2, height, width] with odd height and width",
    ],
    [
      "an even line",
      () => eca(x, { w: noise(1, 4) }),
      "SHAPE",
      "eca: w.shape is [4]; expected [k] or [1, 1, k] with an odd k",
    ],
    [
      "an unknown order",
      () => spatialAttention(x, { conv, order: any("max") }),
      "OPTION",
      'spatialAttention: options.order is "max"; expected "mean-max" or "max-mean"',
    ],
    [
      "a temperature of 0",
      () => spatialSoftmaxAttention(x, { w: noise(1, 4), temperature: 0 }),
      "RANGE",
      /options\.temperature is 0/,
    ],
    [
      "integers",
      () => eca({ data: new Int32Array(36), shape: x.shape }, { w: noise(1, 3) }),
      "DTYPE",
      /^eca: x is int32; expected float32/,
    ],
    [
      "out of another shape",
      () => eca(x, { w: noise(1, 3), out: noise(1, 4) }),
      "SHAPE",
      "eca: out.shape is [4]; expected [1, 4, 3, 3]",
    ],
    [
      "out over x",
      () => eca(x, { w: noise(1, 3), out: x }),
      "OVERLAP",
      "eca: out shares memory with x; an output must not overlap an input or another output",
    ],
    [
      "out over weights",
      () => elementwiseAttention(x, { w: { data: x.data.subarray(0, 16), shape: [4, 4] }, out: x }),
      "OVERLAP",
      /shares memory with/,
    ],
    [
      "w of no known form",
      () => elementwiseAttention(x, { w: noise(1, 4) }),
      "SHAPE",
      "elementwiseAttention: w.shape is [4]; expected [4, 4] (channels, channels)",
    ],
    [
      "no flag",
      () => cbam(x, { w1, w2, conv, returnWeights: any(1) }),
      "ARGUMENT",
      "cbam: options.returnWeights is 1; expected true or false",
    ],
  ])("%s", (_, call, code, message) => expectRefusal(call, code, message));
});
