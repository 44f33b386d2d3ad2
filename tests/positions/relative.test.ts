/** T5's bias, and the attentions of Shaw and of Transformer-XL. */
import fc from "fast-check";
import { attention, createEngine, init, shawRelative, Tensor, t5RelativeBias, transformerXlAttention } from "saccade";
import { beforeAll, describe, expect, it } from "vitest";
import { expectRefusal } from "../api/refusal.ts";
import { numbersOf } from "../compat/arrays.ts";
import { classic, distance, painted } from "./recorded.ts";

beforeAll(() => init());

type Rows = { data: ArrayLike<number>; shape: ArrayLike<number> };

/** `softmax(score) (v_j + b_ij)` of one head in f64; a score of -Infinity hides its key. */
function reference(
  [qLen, kvLen, width]: readonly [number, number, number],
  score: (i: number, j: number) => number,
  value: (i: number, j: number, d: number) => number,
): { out: number[]; weights: number[] } {
  const out: number[] = [];
  const weights: number[] = [];
  for (let i = 0; i < qLen; i++) {
    const scores = Array.from({ length: kvLen }, (_, j) => score(i, j));
    const most = Math.max(...scores);
    const powers = scores.map((s) => (s === Number.NEGATIVE_INFINITY ? 0 : Math.exp(s - most)));
    const sum = powers.reduce((a, b) => a + b, 0);
    const row = powers.map((p) => (sum === 0 ? 0 : p / sum));
    weights.push(...row);
    for (let d = 0; d < width; d++) out.push(row.reduce((a, w, j) => (w === 0 ? a : a + w * value(i, j, d)), 0));
  }
  return { out, weights };
}

const dot = (a: Rows, rowA: number, b: Rows, rowB: number, dim: number): number => {
  let sum = 0;
  for (let d = 0; d < dim; d++) sum += a.data[rowA * dim + d]! * b.data[rowB * dim + d]!;
  return sum;
};

describe("t5RelativeBias", () => {
  it("has the recorded bias", () => {
    const { params, weights, expected } = classic("t5_relative_bias__bidirectional");
    const { data, shape } = t5RelativeBias(weights.embedding, {
      qLen: params.queryLength,
      kvLen: params.keyLength,
      qOffset: params.queryOffset,
      maxDistance: params.maxDistance,
    });
    expect(shape).toEqual(expected.bias.shape);
    expect([...data]).toEqual(numbersOf(expected.bias));
  });

  it("depends on distances alone, and looks back only where it is not bidirectional", () => {
    const table = painted(1, 8, 3);
    const options = { bidirectional: false, maxDistance: 20 };
    const whole = t5RelativeBias(table, { qLen: 40, kvLen: 40, ...options });
    const rows = t5RelativeBias(table, { qLen: 7, kvLen: 40, qOffset: 33, ...options });
    for (let head = 0; head < 3; head++) {
      expect([...rows.data.slice(head * 280, (head + 1) * 280)]).toEqual([
        ...whole.data.slice(head * 1600 + 33 * 40, (head + 1) * 1600),
      ]);
      // Keys after the query share the bucket of distance 0.
      expect([...whole.data.slice(head * 1600, head * 1600 + 40)]).toEqual(new Array(40).fill(table.data[head]));
      // Buckets 0, 1, 2, 3 of their own, the rest ever wider.
      const last = [...whole.data.slice(head * 1600 + 39 * 40, (head + 1) * 1600)].reverse();
      const buckets = last.map((bias) => [...table.data].findIndex((x, at) => at % 3 === head && x === bias) / 3);
      const far = (d: number) => Math.min(7, 4 + Math.floor((Math.log(d / 4) / Math.log(5)) * 4 + 1e-9));
      expect(buckets.map((b) => Math.floor(b))).toEqual(last.map((_, d) => (d < 4 ? d : far(d))));
    }
  });

  it("is a bias of attention", () => {
    const x = painted(2, 1, 6, 3, 8);
    const bias = t5RelativeBias(painted(1, 32, 3), { qLen: 6, kvLen: 6 });
    const { scores } = attention(x, x, x, { scale: 1, bias, tap: "biased" });
    const { scores: raw } = attention(x, x, x, { scale: 1, tap: "scaled" });
    expect([...scores.data]).toEqual([...raw.data].map((s, at) => Math.fround(s + bias.data[at]!)));
  });

  it("refuses what does not fit", async () => {
    const table = painted(1, 8, 2);
    const sizes = { qLen: 2, kvLen: 3 };
    await expectRefusal(() => t5RelativeBias(painted(1, 7, 2), sizes), "SHAPE", /numBuckets\) is 7; expected an even/);
    await expectRefusal(() => t5RelativeBias(painted(1, 8), sizes), "SHAPE", /expected \[numBuckets, numHeads\]/);
    await expectRefusal(() => t5RelativeBias(table, { ...sizes, maxDistance: 2 }), "RANGE", /maxDistance is 2/);
    await expectRefusal(() => t5RelativeBias(table, { qLen: 2 } as never), "ARGUMENT", /kvLen is undefined/);
    expect(t5RelativeBias(table, { qLen: 0, kvLen: 3 }).shape).toEqual([2, 0, 3]);
    expect(t5RelativeBias(table, { qLen: 2, kvLen: 0 }).shape).toEqual([2, 2, 0]);
  });
});

describe("shawRelative", () => {
  it("has the recorded output and weights", () => {
    const { inputs, weights, expected } = classic("shaw_relative");
    const tables = { relativeKey: weights.relative_key, relativeValue: weights.relative_value };
    const { query, key, value } = inputs;
    const result = shawRelative(query, key, value, { ...tables, layout: "bhsd", returnWeights: true });
    expect(result.out.shape).toEqual(expected.output.shape);
    expect(result.weights!.shape).toEqual(expected.weights.shape);
    expect(distance(result.out.data, numbersOf(expected.output))).toBeLessThan(6e-7);
    expect(distance(result.weights!.data, numbersOf(expected.weights))).toBeLessThan(2e-7);
  });

  it("is the paper's formula, with offset, causal mask and lengths", () => {
    const sizes = fc.record({
      qLen: fc.integer({ min: 1, max: 9 }),
      kvLen: fc.integer({ min: 0, max: 80 }),
      dim: fc.integer({ min: 1, max: 9 }),
      width: fc.integer({ min: 1, max: 5 }),
      keyClip: fc.integer({ min: 0, max: 40 }),
      valueClip: fc.option(fc.integer({ min: 0, max: 40 }), { nil: undefined }),
      qOffset: fc.integer({ min: -20, max: 90 }),
      causal: fc.boolean(),
      scale: fc.option(fc.double({ min: -1, max: 1, noNaN: true }), { nil: undefined }),
    });
    fc.assert(
      fc.property(sizes, ({ qLen, kvLen, dim, width, keyClip, valueClip, qOffset, causal, scale }) => {
        const [query, key, value] = [painted(1, qLen, dim), painted(2, kvLen, dim), painted(3, kvLen, width)];
        const relativeKey = painted(4, 2 * keyClip + 1, dim);
        const relativeValue = valueClip === undefined ? undefined : painted(5, 2 * valueClip + 1, width);
        const clip = (i: number, j: number, k: number) => Math.min(k, Math.max(-k, j - i - qOffset)) + k;
        const expected = reference(
          [qLen, kvLen, width],
          (i, j) =>
            causal && j > i + qOffset
              ? Number.NEGATIVE_INFINITY
              : (scale ?? 1 / Math.sqrt(dim)) *
                (dot(query, i, key, j, dim) + dot(query, i, relativeKey, clip(i, j, keyClip), dim)),
          (i, j, d) => value.data[j * width + d]! + (relativeValue?.data[clip(i, j, valueClip ?? 0) * width + d] ?? 0),
        );
        const options = { relativeKey, relativeValue, qOffset, causal, scale, returnWeights: true };
        const { out, weights } = shawRelative(query, key, value, options);
        expect(distance(out.data, expected.out)).toBeLessThan(5e-6);
        expect(distance(weights!.data, expected.weights)).toBeLessThan(5e-6);
      }),
      { numRuns: 80 },
    );
  });

  it("gives each head and batch row, in either layout, with grouped keys", () => {
    const [query, key, value] = [painted(1, 2, 5, 4, 6), painted(2, 2, 7, 2, 6), painted(3, 2, 7, 2, 3)];
    const tables = { relativeKey: painted(4, 5, 6), relativeValue: painted(5, 9, 3) };
    const kvLengths = [7, 4];
    const { out } = shawRelative(query, key, value, { ...tables, qOffset: 2, kvLengths });
    expect(out.shape).toEqual([2, 5, 4, 3]);
    const head = ({ data }: Rows, [seq, heads, dim]: number[], b: number, h: number, n = seq!) => ({
      data: Float32Array.from({ length: n * dim! }, (_, at) => {
        const [i, d] = [Math.floor(at / dim!), at % dim!];
        return data[((b * seq! + i) * heads! + h) * dim! + d]!;
      }),
      shape: [n, dim!],
    });
    for (const [b, h] of [
      [0, 0],
      [0, 3],
      [1, 1],
      [1, 2],
    ] as const) {
      const n = kvLengths[b]!;
      const one = shawRelative(
        head(query, [5, 4, 6], b, h),
        head(key, [7, 2, 6], b, Math.floor(h / 2), n),
        head(value, [7, 2, 3], b, Math.floor(h / 2), n),
        { ...tables, qOffset: 2 },
      );
      expect([...one.out.data]).toEqual([...head(out, [5, 4, 3], b, h).data]);
    }
  });

  it("shows nothing that lies under a mask", () => {
    const [query, key, value] = [painted(1, 3, 4), painted(2, 5, 4), painted(3, 5, 4)];
    const mask = { data: Uint8Array.of(1, 1, 0, 1, 0), shape: [5] };
    const options = { relativeKey: painted(4, 3, 4), relativeValue: painted(5, 3, 4), mask, qOffset: 1 };
    const { out } = shawRelative(query, key, value, options);
    for (const row of [2, 4]) {
      key.data.fill(Number.NaN, row * 4, row * 4 + 4);
      value.data.fill(Number.POSITIVE_INFINITY, row * 4, row * 4 + 4);
    }
    expect(shawRelative(query, key, value, options).out.data).toEqual(out.data);
    const nothing = { ...options, mask: { data: new Uint8Array(5), shape: [5] } };
    expect([...shawRelative(query, key, value, nothing).out.data]).toEqual(new Array(12).fill(0));
  });

  it("writes to a target, keeps no memory, and takes an empty call", async () => {
    using engine = await createEngine();
    const x = painted(1, 1, 4, 2, 4);
    using out = Tensor.empty([1, 4, 2, 4], "float32", { engine });
    const before = engine.stats().liveBytes;
    const options = { relativeKey: painted(2, 3, 4), engine };
    expect(shawRelative(x, x, x, { ...options, out }).out).toBe(out);
    expect([...out.toPlain().data]).toEqual([...shawRelative(x, x, x, options).out.data]);
    expect(engine.stats().liveBytes).toBe(before);
    expect(shawRelative(painted(1, 0, 4), painted(1, 0, 4), painted(1, 0, 4), options).out.shape).toEqual([0, 4]);
  });

  it("refuses what does not fit", async () => {
    const x = painted(1, 3, 4);
    const relativeKey = painted(2, 3, 4);
    await expectRefusal(
      () => shawRelative(x, x, x, { relativeKey: painted(2, 4, 4) }),
      "SHAPE",
      /shape\[0\] is 4; expected an odd/,
    );
    await expectRefusal(
      () => shawRelative(x, x, x, { relativeKey: painted(2, 3, 5) }),
      "SHAPE",
      /expected \[2 k \+ 1, 4\]/,
    );
    await expectRefusal(() => shawRelative(x, x, x, {} as never), "ARGUMENT", /relativeKey is undefined/);
    await expectRefusal(() => shawRelative(painted(1, 2, 4), x, x, { relativeKey }), "OPTION", /give options.qOffset/);
    await expectRefusal(() => shawRelative(x, x, x, { relativeKey, bias: x } as never), "OPTION", /no option "bias"/);
    await expectRefusal(
      () => shawRelative(x, x, x, { relativeKey, out: x }),
      "OVERLAP",
      /out shares memory with query/,
    );
    await expectRefusal(
      () => shawRelative(x, painted(1, 3, 5), x, { relativeKey }),
      "SHAPE",
      /shawRelative: key.shape\[1\]/,
    );
  });
});

describe("transformerXlAttention", () => {
  it("has the recorded output and weights", () => {
    const { inputs, weights: vectors, expected } = classic("transformer_xl_relative");
    const { query, key, value } = inputs;
    const options = { r: vectors.r, u: vectors.u, v: vectors.v_bias, layout: "bhsd", returnWeights: true } as const;
    const { out, weights } = transformerXlAttention(query, key, value, options);
    expect(out.shape).toEqual(expected.output.shape);
    expect(distance(out.data, numbersOf(expected.output))).toBeLessThan(6e-7);
    expect(distance(weights!.data, numbersOf(expected.weights))).toBeLessThan(2e-7);
  });

  it("is the paper's formula, causal or not, with r of each head or of all", () => {
    const sizes = fc.record({
      qLen: fc.integer({ min: 1, max: 9 }),
      memory: fc.integer({ min: 0, max: 70 }),
      dim: fc.integer({ min: 1, max: 9 }),
      causal: fc.boolean(),
      perHead: fc.boolean(),
    });
    fc.assert(
      fc.property(sizes, ({ qLen, memory, dim, causal, perHead }) => {
        const [heads, kvLen] = [2, memory + qLen];
        const [query, key, value] = [
          painted(1, qLen, heads, dim),
          painted(2, kvLen, heads, dim),
          painted(3, kvLen, heads, dim),
        ];
        const n = causal ? kvLen : kvLen + qLen - 1;
        const r = perHead ? painted(4, heads, n, dim) : painted(4, n, dim);
        const [u, v] = [painted(5, heads, dim), painted(6, heads, dim)];
        const { out } = transformerXlAttention(query, key, value, { r, u, v, causal: causal ? undefined : false });
        for (let h = 0; h < heads; h++) {
          const plus = (vector: Rows, i: number) => ({
            data: Float64Array.from(
              { length: dim },
              (_, d) => query.data[(i * heads + h) * dim + d]! + vector.data[h * dim + d]!,
            ),
            shape: [dim],
          });
          const expected = reference(
            [qLen, kvLen, dim],
            (i, j) => {
              const t = kvLen - 1 - (i + memory - j);
              if (causal && j > i + memory) return Number.NEGATIVE_INFINITY;
              const content = dot(plus(u, i), 0, key, j * heads + h, dim);
              return (content + dot(plus(v, i), 0, r, (perHead ? h * n : 0) + t, dim)) / Math.sqrt(dim);
            },
            (_, j, d) => value.data[(j * heads + h) * dim + d]!,
          );
          const rows = [...out.data].filter((_, at) => Math.floor(at / dim) % heads === h);
          expect(distance(rows, expected.out)).toBeLessThan(5e-6);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("refuses what does not fit", async () => {
    const [query, key] = [painted(1, 3, 4), painted(2, 5, 4)];
    const options = { r: painted(3, 5, 4), u: painted(4, 1, 4), v: painted(5, 1, 4) };
    const refuse = (change: object, code: string, message: RegExp) =>
      expectRefusal(() => transformerXlAttention(query, key, key, { ...options, ...change }), code, message);
    await refuse({ r: painted(3, 6, 4) }, "SHAPE", /r.shape is \[6, 4\]; expected \[5, 4\] or \[7, 4\]/);
    await refuse({ causal: false }, "SHAPE", /expected \[7, 4\]/);
    await refuse({ u: painted(4, 4) }, "SHAPE", /u.shape is \[4\]; expected \[1, 4\]/);
    await refuse({ v: undefined }, "ARGUMENT", /v is undefined/);
    await refuse({ causal: 1 }, "ARGUMENT", /causal is 1/);
    await expectRefusal(() => transformerXlAttention(key, query, query, options), "SHAPE", /memory comes first/);
  });
});
