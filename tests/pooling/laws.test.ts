// What holds for every score: against its definition in f64, for shapes and layouts drawn at random.

import fc from "fast-check";
import {
  additive,
  attentionPooling,
  concat,
  cosine,
  createEngine,
  dot,
  epanechnikov,
  gaussian,
  general,
  location,
  mlp,
  type PoolingOptions,
  type Score,
  scaledDot,
  softmax,
  Tensor,
  triangular,
} from "saccade";
import { describe, expect, it } from "vitest";
import { type Definition, painted, rowsOf, softmaxOf } from "./oracle.ts";

const sum = (terms: number[]): number => terms.reduce((a, b) => a + b, 0);
const inner = (a: number[], b: number[]): number => sum(a.map((x, i) => x * b[i]!));
const distance = (a: number[], b: number[]): number => Math.sqrt(sum(a.map((x, i) => (x - b[i]!) ** 2)));
const times = (matrix: number[][], x: number[]): number[] => matrix.map((row) => inner(row, x));

/** Scores over a query of width 6 and keys of a width, each beside its definition. */
function scores(positions: number): Record<string, { keyDim: number; score: Score; define: Definition }> {
  const wq = painted(11, 0.6, 5, 6);
  const wk = painted(12, 0.6, 5, 4);
  const v = painted(13, 1, 5);
  const bias = painted(14, 0.5, 5);
  const general64 = painted(15, 0.5, 6, 4);
  const both = painted(16, 0.5, 5, 10);
  const deep = painted(17, 0.5, 3, 5);
  const last = painted(18, 1, 1, 3);
  const places = painted(19, 0.7, Math.max(positions, 1), 6);
  const [vs] = rowsOf({ ...v, shape: [1, 5] }) as [number[]];
  const [cs] = rowsOf({ ...bias, shape: [1, 5] }) as [number[]];
  const ln = (x: number): number => (x > 0 ? Math.log(x) : Number.NEGATIVE_INFINITY);
  return {
    dot: { keyDim: 6, score: dot(), define: inner },
    scaledDot: { keyDim: 6, score: scaledDot(), define: (q, k) => inner(q, k) / Math.sqrt(6) },
    cosine: {
      keyDim: 6,
      score: cosine({ scale: 3 }),
      define: (q, k) => (3 * inner(q, k)) / Math.sqrt(inner(q, q) * inner(k, k)),
    },
    general: {
      keyDim: 4,
      score: general({ w: general64 }),
      define: (q, k) => inner(q, times(rowsOf(general64), k)),
    },
    additive: {
      keyDim: 4,
      score: additive({ wq, wk, v, bias }),
      define(q, k) {
        const [a, b] = [times(rowsOf(wq), q), times(rowsOf(wk), k)];
        return sum(vs.map((v, h) => v * Math.tanh(a[h]! + b[h]! + cs[h]!)));
      },
    },
    concat: {
      keyDim: 4,
      score: concat({ w: both, v }),
      define: (q, k) => inner(vs, times(rowsOf(both), [...q, ...k]).map(Math.tanh)),
    },
    mlp: {
      keyDim: 4,
      score: mlp({ layers: [{ w: both, bias }, { w: deep }, { w: last }], activation: "relu" }),
      define(q, k) {
        const first = times(rowsOf(both), [...q, ...k]).map((x, h) => Math.max(0, x + cs[h]!));
        return inner(
          rowsOf(last)[0]!,
          times(rowsOf(deep), first).map((x) => Math.max(0, x)),
        );
      },
    },
    "mlp of one layer": {
      keyDim: 4,
      score: mlp({ layers: [{ w: painted(20, 1, 1, 10) }] }),
      define: (q, k) => inner(rowsOf(painted(20, 1, 1, 10))[0]!, [...q, ...k]),
    },
    gaussian: {
      keyDim: 6,
      score: gaussian({ width: 0.8 }),
      define: (q, k) => -((distance(q, k) / 0.8) ** 2) / 2,
    },
    triangular: { keyDim: 6, score: triangular({ width: 3 }), define: (q, k) => ln(1 - distance(q, k) / 3) },
    epanechnikov: { keyDim: 6, score: epanechnikov({ width: 3 }), define: (q, k) => ln(1 - (distance(q, k) / 3) ** 2) },
    location: { keyDim: 3, score: location({ w: places }), define: (q, _, j) => inner(rowsOf(places)[j]!, q) },
  };
}

const NAMES = Object.keys(scores(1));

describe.each(NAMES)("%s", (name) => {
  const shapes = fc.record({
    batch: fc.integer({ min: 1, max: 2 }),
    qLen: fc.integer({ min: 1, max: 6 }),
    kvLen: fc.constantFrom(1, 3, 4, 5, 7, 8, 9, 63, 64, 65),
    numKvHeads: fc.integer({ min: 1, max: 2 }),
    group: fc.integer({ min: 1, max: 2 }),
    valueDim: fc.constantFrom(1, 3, 8, 9),
    layout: fc.constantFrom("bshd" as const, "bhsd" as const),
    seed: fc.nat(1000),
  });

  it("is its definition, in every layout, with lengths and masks", () => {
    fc.assert(
      fc.property(shapes, ({ batch, qLen, kvLen, numKvHeads, group, valueDim, layout, seed }) => {
        const { keyDim, score, define } = scores(kvLen)[name]!;
        const numHeads = numKvHeads * group;
        const shape = (seq: number, heads: number, dim: number): number[] =>
          layout === "bshd" ? [batch, seq, heads, dim] : [batch, heads, seq, dim];
        const at = (seq: number, heads: number, b: number, i: number, h: number): number =>
          layout === "bshd" ? (b * seq + i) * heads + h : (b * heads + h) * seq + i;
        const query = painted(seed, 1, ...shape(qLen, numHeads, 6));
        const key = painted(seed + 1, 1, ...shape(kvLen, numKvHeads, keyDim));
        const value = painted(seed + 2, 1, ...shape(kvLen, numKvHeads, valueDim));
        const kvLengths = Array.from({ length: batch }, (_, b) =>
          Array.from({ length: qLen }, (_, i) => (seed + 5 * b + 3 * i) % (kvLen + 1)),
        );
        const mask = { data: Uint8Array.from({ length: kvLen }, (_, j) => Number((j + seed) % 5 > 0)), shape: [kvLen] };
        const options: PoolingOptions = { score, layout, kvLengths, mask, normalize: softmax(), returnWeights: true };
        const { out, weights } = attentionPooling(query, key, value, options);
        const [queries, keys, values] = [rowsOf(query), rowsOf(key), rowsOf(value)];
        let row = 0;
        for (let b = 0; b < batch; b++) {
          for (let h = 0; h < numHeads; h++) {
            for (let i = 0; i < qLen; i++, row++) {
              const place = (j: number): number => at(kvLen, numKvHeads, b, j, Math.floor(h / group));
              const q = queries[at(qLen, numHeads, b, i, h)]!;
              const scored = Array.from({ length: kvLen }, (_, j) =>
                j < kvLengths[b]![i]! && mask.data[j] ? define(q, keys[place(j)]!, j) : Number.NEGATIVE_INFINITY,
              );
              const want = softmaxOf(scored);
              want.forEach((w, j) => {
                expect(Math.abs(weights!.data[row * kvLen + j]! - w)).toBeLessThan(5e-6);
                if (scored[j] === Number.NEGATIVE_INFINITY) expect(weights!.data[row * kvLen + j]).toBe(0);
              });
              for (let d = 0; d < valueDim; d++) {
                const exact = sum(want.map((w, j) => (w === 0 ? 0 : w * values[place(j)]![d]!)));
                const got = out.data[at(qLen, numHeads, b, i, h) * valueDim + d]!;
                expect(Math.abs(got - exact)).toBeLessThan(1e-5);
              }
            }
          }
        }
      }),
      { numRuns: 25 },
    );
  });

  it("gives a batch row and a query the same bits alone, and never shows what is hidden", () => {
    const { keyDim, score } = scores(13)[name]!;
    const [query, key, value] = [painted(1, 1, 3, 6, 6), painted(2, 1, 3, 13, keyDim), painted(3, 1, 3, 13, 5)];
    const kvLengths = [13, 4, 0];
    const { out } = attentionPooling(query, key, value, { score, kvLengths });
    for (let b = 0; b < 3; b++) {
      const part = (t: typeof query, seq: number, dim: number) => ({
        data: t.data.slice(b * seq * dim, (b + 1) * seq * dim),
        shape: [seq, dim],
      });
      const [k, v] = [part(key, 13, keyDim), part(value, 13, 5)];
      k.data.fill(Number.NaN, kvLengths[b]! * keyDim);
      v.data.fill(Number.POSITIVE_INFINITY, kvLengths[b]! * 5);
      for (let i = 0; i < 6; i++) {
        const row = { data: query.data.slice((b * 6 + i) * 6, (b * 6 + i + 1) * 6), shape: [1, 6] };
        const alone = attentionPooling(row, k, v, { score, kvLengths: [kvLengths[b]!] }).out;
        expect(alone.data).toEqual(out.data.slice((b * 6 + i) * 5, (b * 6 + i + 1) * 5));
      }
    }
    expect(out.data.subarray(2 * 30).every((x) => Object.is(x, 0))).toBe(true);
  });

  it("takes halves as the numbers they are, resident tensors and a target", async () => {
    const { keyDim, score } = scores(9)[name]!;
    const bf16 = ({ data, shape }: { data: Float32Array; shape: number[] }) => {
      const bits = new Uint32Array(Float32Array.from(data).buffer).map((b) => b >>> 16);
      const half = { data: Uint16Array.from(bits), shape, dtype: "bfloat16" as const };
      return { half, whole: { data: new Float32Array(bits.map((b) => b << 16).buffer), shape } };
    };
    const [q, k, v] = [painted(1, 1, 4, 6), painted(2, 1, 9, keyDim), painted(3, 1, 9, 5)].map(bf16) as [
      ReturnType<typeof bf16>,
      ReturnType<typeof bf16>,
      ReturnType<typeof bf16>,
    ];
    const want = attentionPooling(q.whole, k.whole, v.whole, { score }).out;
    expect(attentionPooling(q.half, k.half, v.half, { score }).out.data).toEqual(want.data);
    const engine = await createEngine();
    const out = Tensor.zeros([4, 5], "float32", { engine });
    const resident = [q, k, v].map(({ whole }) => Tensor.from(whole, { engine })) as [Tensor, Tensor, Tensor];
    expect(attentionPooling(...resident, { score, out, engine }).out).toBe(out);
    expect(out.toPlain().data).toEqual(want.data);
    engine.dispose();
  });
});
