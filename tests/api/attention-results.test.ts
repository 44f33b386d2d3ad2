// What attention() gives back: shapes of every rank and layout, targets, strided views, and the same bits whichever
// way the same numbers are passed.
import { attention, init, Tensor } from "saccade";
import { describe, expect, expectTypeOf, it } from "vitest";
import { counted, withEngine } from "./refusal.ts";

const bits = (data: Float32Array): number[] => [...new Uint32Array(data.slice().buffer)];

/** The same tensor in the other layout: axes 1 and 2 (of four) swapped. */
function swapped({ data, shape }: { data: Float32Array; shape: number[] }): { data: Float32Array; shape: number[] } {
  const [a, b, c, d] = shape as [number, number, number, number];
  const moved = new Float32Array(data.length);
  for (let i = 0; i < a; i++)
    for (let j = 0; j < b; j++)
      for (let k = 0; k < c; k++)
        for (let l = 0; l < d; l++) moved[((i * c + k) * b + j) * d + l] = data[((i * b + j) * c + k) * d + l]!;
  return { data: moved, shape: [a, c, b, d] };
}

describe("shapes", () => {
  const all = { returnLse: true, returnWeights: true } as const;
  it.each([
    ["bshd", 4, [2, 3, 4, 8], [2, 5, 2, 8], [2, 5, 2, 6], [2, 3, 4, 6], [2, 4, 3], [2, 4, 3, 5]],
    ["bshd", 3, [3, 4, 8], [5, 2, 8], [5, 2, 6], [3, 4, 6], [4, 3], [4, 3, 5]],
    ["bshd", 2, [3, 8], [5, 8], [5, 6], [3, 6], [3], [3, 5]],
    ["bhsd", 4, [2, 4, 3, 8], [2, 2, 5, 8], [2, 2, 5, 6], [2, 4, 3, 6], [2, 4, 3], [2, 4, 3, 5]],
    ["bhsd", 3, [4, 3, 8], [2, 5, 8], [2, 5, 6], [4, 3, 6], [4, 3], [4, 3, 5]],
    ["bhsd", 2, [3, 8], [5, 8], [5, 6], [3, 6], [3], [3, 5]],
    ["bshd", 4, [2, 0, 4, 8], [2, 5, 2, 8], [2, 5, 2, 6], [2, 0, 4, 6], [2, 4, 0], [2, 4, 0, 5]],
    ["bshd", 4, [2, 3, 4, 8], [2, 0, 2, 8], [2, 0, 2, 6], [2, 3, 4, 6], [2, 4, 3], [2, 4, 3, 0]],
    ["bshd", 4, [0, 3, 4, 8], [0, 5, 2, 8], [0, 5, 2, 6], [0, 3, 4, 6], [0, 4, 3], [0, 4, 3, 5]],
    ["bshd", 4, [2, 3, 0, 8], [2, 5, 0, 8], [2, 5, 0, 6], [2, 3, 0, 6], [2, 0, 3], [2, 0, 3, 5]],
    ["bshd", 4, [2, 3, 4, 8], [2, 5, 2, 8], [2, 5, 2, 0], [2, 3, 4, 0], [2, 4, 3], [2, 4, 3, 5]],
    ["bshd", 2, [1, 1], [1, 1], [1, 1], [1, 1], [1], [1, 1]],
  ] as const)("%s of rank %i: query %j", (layout, _, query, key, value, out, lse, weights) => {
    const result = attention(counted(...query), counted(...key), counted(...value), { layout, ...all });
    for (const [tensor, shape] of [
      [result.out, out],
      [result.lse, lse],
      [result.weights, weights],
    ] as const) {
      expect(tensor.shape).toEqual(shape);
      expect(tensor.data).toHaveLength(shape.reduce((product: number, size) => product * size, 1));
      expect(tensor.dtype).toBe("float32");
    }
  });

  it("rows without keys are 0, their lse -Infinity, their weights 0", () => {
    const none = { data: new Float32Array(0), shape: [0, 4] };
    const { out, lse } = attention(counted(2, 4), none, none, { returnLse: true });
    expect([...out.data]).toEqual(new Array(8).fill(0));
    expect([...lse.data]).toEqual([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    const x = counted(2, 1, 1, 4);
    const { weights } = attention(x, x, x, { kvLengths: [1, 0], returnWeights: true });
    expect([...weights.data]).toEqual([1, 0]);
  });

  it("results own their memory", async () => {
    const x = counted(2, 4);
    const first = attention(x, x, x).out.data;
    const kept = [...first];
    for (let i = 0; i < 10; i++) attention(counted(64, 4), counted(64, 4), counted(64, 4));
    expect([...first]).toEqual(kept);
    expect((await init()).stats().liveBytes).toBe(0);
  });
});

describe("the same numbers, however they are passed", () => {
  const q = counted(2, 7, 4, 8);
  const k = counted(2, 9, 2, 8);
  const v = counted(2, 9, 2, 5);
  const options = { causal: true, qOffset: "bottom-right", returnLse: true, returnWeights: true } as const;
  const plain = attention(q, k, v, options);
  const expectSame = (result: typeof plain): void => {
    for (const name of ["out", "lse", "weights"] as const) {
      expect(bits(result[name].data)).toEqual(bits(plain[name].data));
    }
  };

  it("layout bhsd", () => {
    const result = attention(swapped(q), swapped(k), swapped(v), { ...options, layout: "bhsd" });
    expect(bits(swapped(result.out).data)).toEqual(bits(plain.out.data));
    expect(bits(result.lse.data)).toEqual(bits(plain.lse.data));
  });

  it("Tensors, and views of Tensors", () => {
    using tq = Tensor.from(q);
    using tk = Tensor.from(k);
    using tv = Tensor.from(v);
    expectSame(attention(tq, tk, tv, options));
    expectSame(attention({ data: tq.view(), shape: q.shape }, tk, { data: tv.view(), shape: v.shape }, options));
  });

  it("bhsd memory as a strided bshd view", () => {
    const view = (x: { data: Float32Array; shape: number[] }) => {
      const { data, shape } = swapped(x);
      const [, heads, seq, dim] = shape as [number, number, number, number];
      return { data, shape: x.shape, strides: [heads * seq * dim, dim, seq * dim, 1] };
    };
    expectSame(attention(view(q), view(k), view(v), options));
    using resident = Tensor.from(view(q));
    expectSame(attention(resident, view(k), view(v), options));
  });

  it("one qkv buffer, viewed three times", () => {
    const [seq, heads, dim] = [9, 2, 4];
    const qkv = counted(seq, 3, heads, dim);
    const part = (index: number) => ({
      data: qkv.data,
      shape: [seq, heads, dim],
      strides: [3 * heads * dim, dim, 1],
      offset: index * heads * dim,
    });
    const separate = (index: number) => {
      const data = new Float32Array(seq * heads * dim);
      for (let i = 0; i < seq; i++) {
        data.set(qkv.data.subarray((3 * i + index) * heads * dim, (3 * i + index + 1) * heads * dim), i * heads * dim);
      }
      return { data, shape: [seq, heads, dim] };
    };
    const viewed = attention(part(0), part(1), part(2), { causal: true });
    expect(bits(viewed.out.data)).toEqual(
      bits(attention(separate(0), separate(1), separate(2), { causal: true }).out.data),
    );
  });

  it("a broadcast batch, by a stride of 0", () => {
    const once = counted(1, 9, 2, 8);
    const twice = { data: Float32Array.from([...once.data, ...once.data]), shape: [2, 9, 2, 8] };
    const broadcast = { data: once.data, shape: [2, 9, 2, 8], strides: [0, 16, 8, 1] };
    expect(bits(attention(q, broadcast, v, options).out.data)).toEqual(bits(attention(q, twice, v, options).out.data));
  });

  it("qOffset as a number, per batch row, and as a word", () => {
    for (const qOffset of [2, [2, 2], new Int32Array([2, 2]), "bottom-right"] as const) {
      expectSame(attention(q, k, v, { ...options, qOffset }));
    }
    const lengths = attention(q, k, v, { ...options, kvLengths: [9, 7] });
    expectSame(attention(q, k, v, { ...options, kvLengths: new Uint8Array([9, 9]) }));
    const explicit = attention(q, k, v, { ...options, kvLengths: [9, 7], qOffset: [2, 0] });
    expect(bits(lengths.out.data)).toEqual(bits(explicit.out.data));
    const topLeft = attention(q, k, v, { causal: true, qOffset: "top-left" });
    expect(bits(topLeft.out.data)).toEqual(bits(attention(q, k, v, { causal: true, qOffset: 0 }).out.data));
    expect(bits(topLeft.out.data)).not.toEqual(bits(plain.out.data));
  });

  it("the default scale is 1 / sqrt(headDim)", () => {
    expect(bits(attention(q, k, v, { scale: 1 / Math.sqrt(8) }).out.data)).toEqual(bits(attention(q, k, v).out.data));
    expect(bits(attention(q, k, v, { scale: 0 }).out.data)).not.toEqual(bits(attention(q, k, v).out.data));
  });
});

describe("out", () => {
  const q = counted(2, 3, 4, 8);
  const k = counted(2, 5, 2, 8);
  const v = counted(2, 5, 2, 6);
  const plain = attention(q, k, v, { returnLse: true, returnWeights: true });

  it("a plain target is filled and given back", () => {
    const out = { data: new Float32Array(2 * 3 * 4 * 6), shape: [2, 3, 4, 6], note: "mine" };
    const result = attention(q, k, v, { out });
    expect(result.out).toBe(out);
    expect(bits(out.data)).toEqual(bits(plain.out.data));
  });

  it("a resident target: a chain of calls copies nothing and holds nothing", async () => {
    const engine = await init();
    using a = Tensor.from(counted(8, 4));
    using b = Tensor.empty([8, 4]);
    using c = Tensor.empty([8, 4]);
    const live = engine.stats().liveBytes;
    expect(attention(a, a, a, { out: b }).out).toBe(b);
    attention(b, a, a, { out: c });
    const first = attention(counted(8, 4), counted(8, 4), counted(8, 4)).out;
    expect(bits(c.view())).toEqual(bits(attention(first, counted(8, 4), counted(8, 4)).out.data));
    expect(engine.stats().liveBytes).toBe(live);
  });

  it("all three, plain, resident and strided", () => {
    using weights = Tensor.zeros([2, 4, 3, 5]);
    const lse = { data: new Float32Array(100), shape: [2, 4, 3], strides: [40, 10, 1], offset: 5 };
    const out = { data: new Float32Array(2 * 3 * 4 * 10), shape: [2, 3, 4, 6], strides: [120, 40, 10, 1], offset: 2 };
    const result = attention(q, k, v, { returnLse: true, returnWeights: true, out: { out, lse, weights } });
    expect(result).toEqual({ out, lse, weights });
    expect(result.weights).toBe(weights);
    expect(bits(weights.view())).toEqual(bits(plain.weights.data));
    for (let row = 0; row < 24; row++) {
      const from = 2 + row * 10;
      expect(bits(out.data.subarray(from, from + 6))).toEqual(bits(plain.out.data.subarray(row * 6, row * 6 + 6)));
      expect([...out.data.subarray(from + 6, from + 10)].every((x) => x === 0)).toBe(true);
    }
    expect([...out.data.subarray(0, 2)]).toEqual([0, 0]);
    expect(bits(lse.data.subarray(55, 58))).toEqual(bits(plain.lse.data.subarray(15, 18)));
    expect(lse.data[58]).toBe(0);
  });

  it("strided views of resident Tensors", () => {
    using outMemory = Tensor.zeros([3, 10]);
    using lseMemory = Tensor.zeros([2, 5]);
    const x = counted(3, 2, 4);
    const expected = attention(x, x, x, { returnLse: true });
    const out = { data: outMemory.view(), shape: [3, 2, 4], strides: [10, 5, 1], offset: 1 };
    const lse = { data: lseMemory.view(), shape: [2, 3], strides: [5, 1], offset: 2 };
    attention(x, x, x, { returnLse: true, out: { out, lse } });
    const rows = outMemory.view();
    for (let row = 0; row < 6; row++) {
      expect(bits(rows.subarray(1 + row * 5, 5 + row * 5))).toEqual(
        bits(expected.out.data.subarray(row * 4, row * 4 + 4)),
      );
      expect(rows[row * 5]).toBe(0);
    }
    const sums = lseMemory.view();
    expect(bits(sums.subarray(2, 5))).toEqual(bits(expected.lse.data.subarray(0, 3)));
    expect(bits(sums.subarray(7, 10))).toEqual(bits(expected.lse.data.subarray(3, 6)));
    expect([...sums.subarray(5, 7)]).toEqual([0, 0]);
  });
});

describe("types", () => {
  const x = counted(2, 4);

  it("lse and weights are there exactly when they are asked for", () => {
    const bare = attention(x, x, x);
    expectTypeOf(bare).not.toHaveProperty("lse");
    expect(bare).not.toHaveProperty("lse");
    expect(bare).not.toHaveProperty("weights");
    const withLse = attention(x, x, x, { returnLse: true });
    expectTypeOf(withLse.lse.data).toEqualTypeOf<Float32Array<ArrayBuffer>>();
    expectTypeOf(withLse).not.toHaveProperty("weights");
    const perhaps = attention(x, x, x, { returnLse: Math.random() < 2 });
    expectTypeOf(perhaps.lse?.shape).toEqualTypeOf<number[] | undefined>();
    expect(perhaps.lse?.shape).toEqual([2]);
    expectTypeOf(attention(x, x, x, { returnLse: false })).not.toHaveProperty("lse");
  });

  it("the target's own type comes back", () => {
    using out = Tensor.empty([2, 4]);
    expectTypeOf(attention(x, x, x, { out }).out).toEqualTypeOf<Tensor<"float32">>();
    const target = { ...counted(2, 4), note: "mine" };
    expectTypeOf(attention(x, x, x, { out: target }).out.note).toEqualTypeOf<string>();
    expectTypeOf(attention(x, x, x, { out: { out: target } }).out.note).toEqualTypeOf<string>();
  });

  it("what must not compile", () => {
    // @ts-expect-error -- a typo
    expect(() => attention(x, x, x, { casual: true, scale: 1 })).toThrow();
    // @ts-expect-error -- number[] is no typed array
    expect(() => attention({ data: [1, 2], shape: [1, 2] }, x, x)).toThrow();
    // @ts-expect-error -- nor is float64 a dtype
    expect(() => attention({ data: new Float64Array(2), shape: [1, 2] }, x, x)).toThrow();
  });
});

it("several engines, each with its own memory", () =>
  withEngine({ memory: { initialMiB: 1, maximumMiB: 64 } }, (first) =>
    withEngine({ memory: { maximumMiB: 32 } }, (second) => {
      const x = counted(33, 2, 8);
      using a = Tensor.from(x, { engine: first });
      using b = Tensor.from(x, { engine: second });
      const one = attention(a, a, a, { engine: first });
      const two = attention(b, b, b, { engine: second });
      expect(bits(one.out.data)).toEqual(bits(two.out.data));
      expect(bits(one.out.data)).toEqual(bits(attention(x, x, x).out.data));
      expect(first.stats().tensors).toBe(1);
      expect(first.stats().memoryBytes).toBeLessThan(second.stats().memoryBytes);
    }),
  ));
