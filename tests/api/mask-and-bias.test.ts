// mask and bias: every broadcast, both at once, wherever they live, and what they cost.
import { attention, createEngine, Tensor } from "saccade";
import { describe, expect, it } from "vitest";
import { bitsOf, expectClose, oracle } from "./oracle.ts";
import { counted } from "./refusal.ts";

const [B, H, Q, KV] = [2, 4, 3, 5];
const q = counted(B, Q, H, 8);
const k = counted(B, KV, 2, 8);
const v = counted(B, KV, 2, 6);

/** Shapes that broadcast to [2, 4, 3, 5]. */
const SHAPES = [
  [1],
  [5],
  [3, 5],
  [3, 1],
  [1, 5],
  [1, 1],
  [4, 3, 5],
  [1, 3, 5],
  [4, 1, 5],
  [4, 3, 1],
  [2, 4, 3, 5],
  [2, 1, 3, 5],
  [2, 1, 1, 5],
  [1, 4, 3, 5],
  [1, 1, 3, 5],
  [2, 4, 1, 1],
  [1, 1, 1, 1],
];

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** The index in a tensor of `shape` that broadcasts to `[b, h, i, j]`. */
function broadcastIndex(shape: readonly number[], index: readonly number[]): number {
  let at = 0;
  shape.forEach((size, axis) => {
    at = at * size + (size === 1 ? 0 : index[4 - shape.length + axis]!);
  });
  return at;
}

const bytes = (shape: readonly number[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length: sizeOf(shape) }, (_, i) => ((i * 5) % 7 < 4 ? i + 1 : 0));
const floats = (shape: readonly number[]): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: sizeOf(shape) }, (_, i) =>
    i % 6 === 4 ? Number.NEGATIVE_INFINITY : ((i * 3) % 8) / 4 - 1,
  );

describe("broadcasting", () => {
  it.each(SHAPES.map((shape) => [shape]))("a mask %j", (shape) => {
    const data = bytes(shape);
    const sees = (...index: number[]): boolean => data[broadcastIndex(shape, index)] !== 0;
    const expected = oracle(q, k, v, { sees });
    const options = { returnLse: true, returnWeights: true } as const;
    const { out, lse, weights } = attention(q, k, v, { ...options, mask: { data, shape } });
    expectClose(out.data, expected.out);
    expectClose(lse.data, expected.lse);
    expectClose(weights.data, expected.weights);
    using resident = Tensor.from({ data, shape, dtype: "bool" });
    expect(bitsOf(attention(q, k, v, { mask: resident }).out.data)).toEqual(bitsOf(out.data));
  });

  it.each(SHAPES.map((shape) => [shape]))("a bias %j, and both at once", (shape) => {
    const data = floats(shape);
    const bias = (...index: number[]): number => data[broadcastIndex(shape, index)]!;
    const expected = oracle(q, k, v, { bias });
    const { out, lse } = attention(q, k, v, { returnLse: true, bias: { data, shape } });
    expectClose(out.data, expected.out);
    expectClose(lse.data, expected.lse);
    const mask = bytes([3, 5]);
    const both = attention(q, k, v, { bias: { data, shape }, mask: { data: mask, shape: [3, 5], dtype: "bool" } });
    const sees = (_b: number, _h: number, i: number, j: number): boolean => mask[i * 5 + j] !== 0;
    expectClose(both.out.data, oracle(q, k, v, { bias, sees }).out);
  });

  it("half float biases are taken exactly", () => {
    // 1.5, -2, -Infinity, 0.25, 0
    const half = { data: Uint16Array.of(0x3e00, 0xc000, 0xfc00, 0x3400, 0), shape: [5], dtype: "float16" } as const;
    const brain = { data: Uint16Array.of(0x3fc0, 0xc000, 0xff80, 0x3e80, 0), shape: [5], dtype: "bfloat16" } as const;
    const single = { data: Float32Array.of(1.5, -2, Number.NEGATIVE_INFINITY, 0.25, 0), shape: [5] };
    const expected = bitsOf(attention(q, k, v, { bias: single }).out.data);
    expect(bitsOf(attention(q, k, v, { bias: half }).out.data)).toEqual(expected);
    expect(bitsOf(attention(q, k, v, { bias: brain }).out.data)).toEqual(expected);
    using resident = Tensor.from(half);
    expect(bitsOf(attention(q, k, v, { bias: resident }).out.data)).toEqual(expected);
  });

  it("strided masks: gaps between rows, and a stride of 0", () => {
    const dense = bytes([3, 5]);
    const gaps = new Uint8Array(40).fill(9);
    for (let i = 0; i < 3; i++) gaps.set(dense.subarray(i * 5, i * 5 + 5), 2 + i * 13);
    const expected = bitsOf(attention(q, k, v, { mask: { data: dense, shape: [3, 5] } }).out.data);
    const strided = { data: gaps, shape: [3, 5], strides: [13, 1], offset: 2 };
    expect(bitsOf(attention(q, k, v, { mask: strided }).out.data)).toEqual(expected);
    const row = { data: dense.slice(0, 5), shape: [2, 4, 3, 5], strides: [0, 0, 0, 1] };
    const once = { data: dense.slice(0, 5), shape: [5] };
    expect(bitsOf(attention(q, k, v, { mask: row }).out.data)).toEqual(
      bitsOf(attention(q, k, v, { mask: once }).out.data),
    );
  });

  it("what lies under a mask never shows", () => {
    const poisoned = { data: k.data.slice(), shape: k.shape };
    const values = { data: v.data.slice(), shape: v.shape };
    for (const b of [0, 1]) {
      poisoned.data.fill(Number.NaN, (b * KV + 2) * 16, (b * KV + 3) * 16);
      values.data.fill(Number.POSITIVE_INFINITY, (b * KV + 2) * 12, (b * KV + 3) * 12);
    }
    const mask = { data: Uint8Array.of(1, 1, 0, 1, 1), shape: [5] };
    expect(bitsOf(attention(q, poisoned, values, { mask }).out.data)).toEqual(
      bitsOf(attention(q, k, v, { mask }).out.data),
    );
  });

  it("rows without keys, by mask and by bias", () => {
    const none = { data: new Uint8Array(1), shape: [1] };
    const { out, lse } = attention(q, k, v, { mask: none, returnLse: true });
    expect([...out.data].every((x) => Object.is(x, 0))).toBe(true);
    expect([...lse.data].every((x) => x === Number.NEGATIVE_INFINITY)).toBe(true);
    const hidden = { data: new Float32Array(5).fill(Number.NEGATIVE_INFINITY), shape: [5] };
    expect([...attention(q, k, v, { bias: hidden }).out.data].every((x) => Object.is(x, 0))).toBe(true);
    const empty = { data: new Uint8Array(0), shape: [3, 0] };
    const keyless = { data: new Float32Array(0), shape: [2, 0, 2, 8] };
    expect(attention(q, keyless, keyless, { mask: empty }).out.shape).toEqual([2, 3, 4, 8]);
    expect(attention(q, keyless, keyless, { mask: none }).out.shape).toEqual([2, 3, 4, 8]);
  });

  it("layout and rank do not change the axes of a mask", () => {
    const one = counted(1, 4, 3, 8);
    const other = counted(1, 2, 5, 8);
    const mask = { data: bytes([4, 3, 5]), shape: [4, 3, 5] };
    const full = attention(one, other, other, { layout: "bhsd", mask }).out.data;
    const drop = (x: { data: Float32Array<ArrayBuffer>; shape: number[] }) => ({
      data: x.data,
      shape: x.shape.slice(1),
    });
    const without = attention(drop(one), drop(other), drop(other), { layout: "bhsd", mask }).out;
    expect(bitsOf(without.data)).toEqual(bitsOf(full));
    expect(without.shape).toEqual([4, 3, 8]);
  });
});

it("nothing is broadcast in memory, and resident masks are not copied", async () => {
  using engine = await createEngine();
  const length = 1024;
  const shape = [4, length, 2, 4];
  using x = Tensor.zeros(shape, "float32", { engine });
  using out = Tensor.empty(shape, "float32", { engine });
  const run = (options: object): number => {
    const before = engine.stats().liveBytes;
    attention(x, x, x, { out, engine, ...options });
    return engine.stats().peakBytes - before;
  };
  const plain = run({});
  const data = new Uint8Array(length * length).fill(1);
  // Four batch rows and two heads share one matrix: a megabyte, not eight.
  const copied = run({ mask: { data, shape: [length, length] } });
  expect(copied - plain).toBe(length * length);
  using fresh = await createEngine();
  using y = Tensor.zeros(shape, "float32", { engine: fresh });
  using target = Tensor.empty(shape, "float32", { engine: fresh });
  using mask = Tensor.from({ data, shape: [length, length], dtype: "bool" }, { engine: fresh });
  const before = fresh.stats().liveBytes;
  attention(y, y, y, { out: target, mask, engine: fresh });
  expect(fresh.stats().peakBytes - before).toBe(plain);
});
