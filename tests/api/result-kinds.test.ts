// The kinds of weights, half floats in and out, targets of every kind, and what the types say about them.
import { type AttentionOptions, attention, type PlainTensor, Tensor, type TensorLike, type TopWeights } from "saccade";
import { describe, expect, expectTypeOf, it } from "vitest";
import { bitsOf, expectClose, oracle } from "./oracle.ts";
import { counted, thrownBy } from "./refusal.ts";

const [B, H, Q, KV] = [2, 4, 3, 5];
const q = counted(B, Q, H, 8);
const k = counted(B, KV, 2, 8);
const v = counted(B, KV, 2, 6);
const full = attention(q, k, v, { returnWeights: true }).weights;
/** Weights of a row. */
const row = (b: number, h: number, i: number): Float32Array =>
  full.data.subarray(((b * H + h) * Q + i) * KV, ((b * H + h) * Q + i + 1) * KV);

describe("returnWeights", () => {
  it("head-mean: heads summed ascending, then divided", () => {
    const { weights } = attention(q, k, v, { returnWeights: "head-mean" });
    expect(weights).toMatchObject({ shape: [B, Q, KV], dtype: "float32" });
    for (let b = 0; b < B; b++) {
      for (let i = 0; i < Q; i++) {
        for (let j = 0; j < KV; j++) {
          let sum = 0;
          for (let h = 0; h < H; h++) sum = Math.fround(sum + row(b, h, i)[j]!);
          expect(weights.data[(b * Q + i) * KV + j]).toBe(Math.fround(sum / H));
        }
      }
    }
  });

  it("head-mean without batch, without heads, and of no heads at all", () => {
    const one = counted(3, 8);
    expect(attention(one, one, one, { returnWeights: "head-mean" }).weights.shape).toEqual([3, 3]);
    const three = counted(3, 2, 8);
    expect(attention(three, three, three, { returnWeights: "head-mean" }).weights.shape).toEqual([3, 3]);
    const none = { data: new Float32Array(0), shape: [2, 3, 0, 8] };
    const weights = { data: new Float32Array(18).fill(7), shape: [2, 3, 3] };
    attention(none, none, none, { returnWeights: "head-mean", out: { out: { ...none }, weights } });
    expect([...weights.data]).toEqual(new Array(18).fill(0));
    using resident = Tensor.from({ data: new Float32Array(18).fill(7), shape: [2, 3, 3] });
    attention(none, none, none, { returnWeights: "head-mean", out: { out: { ...none }, weights: resident } });
    expect([...resident.view()]).toEqual(new Array(18).fill(0));
  });

  it("rows: those, in the order they are named", () => {
    const { weights } = attention(q, k, v, { returnWeights: { rows: new Uint8Array([2, 0]) } });
    expect(weights.shape).toEqual([B, H, 2, KV]);
    for (let b = 0; b < B; b++) {
      for (let h = 0; h < H; h++) {
        for (const [slot, i] of [2, 0].entries()) {
          const at = ((b * H + h) * 2 + slot) * KV;
          expect(bitsOf(weights.data.subarray(at, at + KV))).toEqual(bitsOf(row(b, h, i)));
        }
      }
    }
    expect(attention(q, k, v, { returnWeights: { rows: [] } }).weights.shape).toEqual([B, H, 0, KV]);
  });

  it("topK: descending, ties to the lower index, what is missing is 0 and -1", () => {
    const { weights } = attention(q, k, v, { returnWeights: { topK: 2 } });
    expect(weights.values).toMatchObject({ shape: [B, H, Q, 2], dtype: "float32" });
    expect(weights.indices).toMatchObject({ shape: [B, H, Q, 2], dtype: "int32" });
    for (let at = 0; at < B * H * Q; at++) {
      const of = full.data.subarray(at * KV, at * KV + KV);
      const order = [0, 1, 2, 3, 4].sort((a, b) => of[b]! - of[a]! || a - b);
      expect([...weights.indices.data.subarray(at * 2, at * 2 + 2)]).toEqual(order.slice(0, 2));
      expect([...weights.values.data.subarray(at * 2, at * 2 + 2)]).toEqual(order.slice(0, 2).map((j) => of[j]));
    }
    const zero = { data: new Float32Array(3), shape: [3, 1] };
    const ties = attention(zero, zero, zero, { returnWeights: { topK: 4 }, causal: true }).weights;
    const third = Math.fround(1 / 3);
    expect([...ties.indices.data]).toEqual([0, -1, -1, -1, 0, 1, -1, -1, 0, 1, 2, -1]);
    expect([...ties.values.data]).toEqual([1, 0, 0, 0, 0.5, 0.5, 0, 0, third, third, third, 0]);
  });

  it("false and left out are the same", () => {
    expect(attention(q, k, v, { returnWeights: false })).not.toHaveProperty("weights");
  });

  it("goes to targets: plain, strided, resident", () => {
    const out = { data: new Float32Array(144), shape: [2, 3, 4, 6] };
    using values = Tensor.zeros([2, 4, 3, 2]);
    const indices = { data: new Int32Array(100), shape: [2, 4, 3, 2], strides: [48, 12, 4, 1], offset: 3 };
    const target = { values, indices };
    const result = attention(q, k, v, { returnWeights: { topK: 2 }, out: { out, weights: target } });
    expect(result.weights).toBe(target);
    const fresh = attention(q, k, v, { returnWeights: { topK: 2 } }).weights;
    expect(bitsOf(values.view())).toEqual(bitsOf(fresh.values.data));
    expect([...indices.data.subarray(3 + 48, 3 + 50)]).toEqual([...fresh.indices.data.subarray(24, 26)]);
    expect(indices.data[5]).toBe(0);
    using mean = Tensor.empty([2, 3, 5]);
    expect(attention(q, k, v, { returnWeights: "head-mean", out: { out, weights: mean } }).weights).toBe(mean);
    expect(bitsOf(mean.view())).toEqual(bitsOf(attention(q, k, v, { returnWeights: "head-mean" }).weights.data));
    using resident = Tensor.empty([2, 4, 3, 2], "int32");
    attention(q, k, v, { returnWeights: { topK: 2 }, out: { out, weights: { values, indices: resident } } });
    expect([...resident.view()]).toEqual([...fresh.indices.data]);
  });
});

/** Multiples of 1/8 below 1 are exact in every float. */
const half = ({ data, shape }: { data: Float32Array; shape: number[] }) => ({
  data: Uint16Array.from(data, (x) => {
    if (x === 0) return 0;
    const exponent = Math.floor(Math.log2(Math.abs(x)));
    return (x < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | ((Math.abs(x) / 2 ** exponent - 1) * 1024);
  }),
  shape,
  dtype: "float16" as const,
});
const brain = ({ data, shape }: { data: Float32Array<ArrayBuffer>; shape: number[] }) => ({
  data: Uint16Array.from(new Uint32Array(data.slice().buffer), (bits) => bits >>> 16),
  shape,
  dtype: "bfloat16" as const,
});
const widen = (data: ArrayLike<number>): number[] => [
  ...new Float32Array(Uint32Array.from(data as ArrayLike<number>, (bits) => bits << 16).buffer),
];

describe("half floats", () => {
  const plain = attention(q, k, v, { returnLse: true });

  it("of any mixture give the bits of their exact values", () => {
    for (const [a, b, c] of [
      [half(q), half(k), half(v)],
      [brain(q), brain(k), brain(v)],
      [half(q), k, brain(v)],
      [q, brain(k), half(v)],
    ] as const) {
      const { out, lse } = attention(a, b, c, { outDtype: "float32", returnLse: true });
      expect(bitsOf(out.data)).toEqual(bitsOf(plain.out.data));
      expect(bitsOf(lse.data)).toEqual(bitsOf(plain.lse.data));
      using resident = Tensor.from(b);
      expect(bitsOf(attention(a, resident, c, { outDtype: "float32" }).out.data)).toEqual(bitsOf(plain.out.data));
    }
  });

  it("out has the query's dtype, rounded once, in an array of its kind", () => {
    const { out } = attention(half(q), k, v);
    expect(out.dtype).toBe("float16");
    const Float16 = (globalThis as { Float16Array?: unknown }).Float16Array ?? Uint16Array;
    expect(out.data).toBeInstanceOf(Float16);
    const wide = attention(brain(q), k, v).out;
    expect(wide.dtype).toBe("bfloat16");
    expect(wide.data).toBeInstanceOf(Uint16Array);
    const rounded = Array.from(new Uint32Array(plain.out.data.slice().buffer), (bits) => {
      const sticky = bits & 0xffff;
      return (bits >>> 16) + (sticky > 0x8000 || (sticky === 0x8000 && (bits >>> 16) & 1) ? 1 : 0);
    });
    expect([...wide.data]).toEqual(rounded);
    expectClose(widen(wide.data as Uint16Array), plain.out.data, 2 ** -8);
    expect(attention(half(q), k, v, { outDtype: "bfloat16" }).out.data).toEqual(wide.data);
    expect(attention(q, k, v, { outDtype: "float16" }).out.data).toEqual(out.data);
  });

  it("a target has the dtype of the result", () => {
    const out = { data: new Uint16Array(144), shape: [2, 3, 4, 6], dtype: "bfloat16" } as const;
    attention(q, k, v, { out, outDtype: "bfloat16" });
    expect(out.data).toEqual(attention(q, k, v, { outDtype: "bfloat16" }).out.data);
    using resident = Tensor.empty([2, 3, 4, 6], "float16");
    expect(attention(half(q), k, v, { out: resident }).out).toBe(resident);
    expect(bitsOf(resident.view())).toEqual(bitsOf(attention(half(q), k, v).out.data));
  });
});

describe("onEmptyRow: throw", () => {
  const mask = { data: Uint8Array.of(1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1), shape: [3, 5] };
  it("a row with a sink is not empty; one behind qLengths is not looked at", () => {
    expect(thrownBy(() => attention(q, k, v, { mask, onEmptyRow: "throw" })).message).toBe(
      'attention: batch 0, head 0, query row 1 sees no key, and options.onEmptyRow is "throw"',
    );
    expect(attention(q, k, v, { mask, onEmptyRow: "throw", sinks: [0, 1, 2, 3] }).out.shape).toEqual([2, 3, 4, 6]);
    const { message } = thrownBy(() =>
      attention(q, k, v, { mask, onEmptyRow: "throw", sinks: [0, 0, Number.NEGATIVE_INFINITY, 0] }),
    );
    expect(message).toMatch(/^attention: batch 0, head 2, query row 1 sees no key and has no sink, and/);
    expect(attention(q, k, v, { mask, onEmptyRow: "throw", qLengths: [1, 0] }).out.shape).toEqual([2, 3, 4, 6]);
    expect(thrownBy(() => attention(q, k, v, { mask, onEmptyRow: "throw", qLengths: [1, 2] })).message).toMatch(
      /^attention: batch 1, head 0, query row 1 sees/,
    );
  });
});

it("all options at once", () => {
  const sees = (_b: number, _h: number, i: number, j: number): boolean =>
    j !== 3 && j <= i + 2 && j >= i - 1 && j < 4 + _b;
  const options = {
    scale: 0.5,
    softcap: 3,
    causal: true,
    qOffset: 2,
    window: { left: 3 },
    mask: { data: Uint8Array.of(1, 1, 1, 0, 1), shape: [5] },
    bias: { data: Float32Array.of(0, 0.5, -1, 7, 0.25), shape: [5] },
    kvLengths: [4, 5],
    alibiSlopes: "auto",
    sinks: [0, 1, -1, 0.5],
    returnLse: true,
    returnWeights: true,
    tap: "biased",
  } as const;
  const bias = (_b: number, h: number, i: number, j: number): number =>
    options.bias.data[j]! - 2 ** (-2 * (h + 1)) * Math.abs(i + 2 - j);
  const expected = oracle(q, k, v, { scale: 0.5, softcap: 3, sees, bias, sink: (h) => options.sinks[h]! });
  const { out, lse, weights } = attention(q, k, v, options);
  expectClose(out.data, expected.out);
  expectClose(lse.data, expected.lse);
  expectClose(weights.data, expected.weights);
});

describe("types", () => {
  const x = counted(2, 4);

  it("weights, scores and dtypes follow the options", () => {
    const top = attention(x, x, x, { returnWeights: { topK: 1 }, tap: "raw", outDtype: "bfloat16" });
    expectTypeOf(top.weights).toEqualTypeOf<TopWeights>();
    expectTypeOf(top.scores).toEqualTypeOf<PlainTensor<"float32">>();
    expectTypeOf(top.out).toEqualTypeOf<PlainTensor<"bfloat16">>();
    const mean = attention(x, x, x, { returnWeights: "head-mean" });
    expectTypeOf(mean.weights).toEqualTypeOf<PlainTensor<"float32">>();
    expectTypeOf(mean).not.toHaveProperty("scores");
    expectTypeOf(attention(half(x), x, x).out.dtype).toEqualTypeOf<"float16">();
    using resident = Tensor.zeros([2, 4], "bfloat16");
    expectTypeOf(attention(resident, x, x).out).toEqualTypeOf<PlainTensor<"bfloat16">>();
    const unknown: TensorLike = x;
    expectTypeOf(attention(unknown, x, x).out.dtype).toEqualTypeOf<"float32" | "float16" | "bfloat16">();
    const y = counted(2, 1, 4);
    const cu = { cuQLens: [0, 2], cuKvLens: [0, 2] };
    const packed = attention(y, y, y, { ...cu, qLengths: [1], returnWeights: { topK: 1 }, tap: "raw" });
    expectTypeOf(packed.weights).toEqualTypeOf<TopWeights>();
    expectTypeOf(packed.scores).toEqualTypeOf<PlainTensor<"float32">>();
    expectTypeOf(attention(y, y, y, cu)).not.toHaveProperty("weights");
    const some: AttentionOptions = { returnLse: true };
    expectTypeOf(attention(x, x, x, some).scores).toEqualTypeOf<PlainTensor<"float32"> | undefined>();
  });

  it("contradictions do not compile", () => {
    const three = counted(2, 1, 4);
    // @ts-expect-error -- one without the other
    expect(() => attention(three, three, three, { cuQLens: [0, 2] })).toThrow();
    // @ts-expect-error -- not both
    expect(() => attention(x, x, x, { returnWeights: { rows: [0], topK: 1 } })).toThrow();
    // @ts-expect-error -- no float
    expect(() => attention(x, x, x, { outDtype: "int32" })).toThrow();
    // @ts-expect-error -- no stage
    expect(() => attention(x, x, x, { tap: "softmaxed" })).toThrow();
    // @ts-expect-error -- a typo in a window
    expect(() => attention(x, x, x, { window: { letf: 1 } })).toThrow();
    // @ts-expect-error -- a typo beside other options
    expect(() => attention(x, x, x, { sofcap: 1, causal: true })).toThrow();
  });
});
