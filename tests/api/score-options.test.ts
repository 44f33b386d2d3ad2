// What changes scores and positions: softcap, sinks, ALiBi, windows, offsets, lengths; taps of the scores.
import { type AttentionOptions, attention, Tensor } from "saccade";
import { describe, expect, it } from "vitest";
import { bitsOf, expectClose, oracle, type Rules } from "./oracle.ts";
import { counted } from "./refusal.ts";

const [B, H, Q, KV] = [2, 4, 3, 5];
const q = counted(B, Q, H, 8);
const k = counted(B, KV, 2, 8);
const v = counted(B, KV, 2, 6);

function expectAs(options: AttentionOptions, rules: Rules): void {
  const expected = oracle(q, k, v, rules);
  const { out, lse } = attention(q, k, v, { ...options, returnLse: true });
  expectClose(out.data, expected.out);
  expectClose(lse.data, expected.lse);
}

describe("scores", () => {
  it("softcap bounds them", () => {
    expectAs({ softcap: 0.5, scale: 3 }, { softcap: 0.5, scale: 3 });
    expectAs({ softcap: 1e-3, scale: -2 }, { softcap: 1e-3, scale: -2 });
  });

  it("sinks take weight and give no value", () => {
    const sinks = [0.5, -1, 3, Number.NEGATIVE_INFINITY];
    expectAs({ sinks }, { sink: (h) => sinks[h]! });
    // One key with score 0 beside a sink of 0: half each.
    const one = { data: Float32Array.of(0), shape: [1, 1] };
    const value = { data: Float32Array.of(8), shape: [1, 1] };
    const { out, lse, weights } = attention(one, one, value, { sinks: [0], returnLse: true, returnWeights: true });
    expect([out.data[0], weights.data[0]]).toEqual([4, 0.5]);
    expect(lse.data[0]).toBe(Math.fround(Math.LN2));
  });

  it("a row that has a sink alone is 0, its lse the sink; NaN and Infinity make their head NaN", () => {
    const sinks = new Float32Array([1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    const { out, lse } = attention(q, k, v, { sinks, kvLengths: [0, 5], returnLse: true });
    const rows = (h: number): number[] => [...lse.data.subarray(h * Q, h * Q + Q)];
    expectClose(rows(0), [1.5, 1.5, 1.5], 1e-7);
    expect([...rows(1), ...rows(2)].every(Number.isNaN)).toBe(true);
    expect(rows(3)).toEqual(new Array(3).fill(Number.NEGATIVE_INFINITY));
    expect([...out.data.subarray(0, 6)]).toEqual(new Array(6).fill(0));
    expect([...out.data.subarray(6, 12)].every(Number.isNaN)).toBe(true);
  });

  it("ALiBi adds -slope * distance", () => {
    const slopes = [0.5, 0.25, -1, 0];
    expectAs({ alibiSlopes: slopes, qOffset: 1 }, { bias: (_b, h, i, j) => -slopes[h]! * Math.abs(i + 1 - j) });
    const auto = [2 ** -2, 2 ** -4, 2 ** -6, 2 ** -8];
    expectAs({ alibiSlopes: "auto", qOffset: -1 }, { bias: (_b, h, i, j) => -auto[h]! * Math.abs(i - 1 - j) });
    expect(bitsOf(attention(q, k, v, { alibiSlopes: [0, 0, 0, 0], qOffset: 0 }).out.data)).toEqual(
      bitsOf(attention(q, k, v).out.data),
    );
  });

  it('"auto" slopes are the paper\'s, for any number of heads', () => {
    // A row at a distance of 1 from one key and on the other: the tap shows the slope.
    const slopesOf = (heads: number): number[] => {
      const zero = (length: number) => ({ data: new Float32Array(length * heads), shape: [length, heads, 1] });
      const { scores } = attention(zero(1), zero(2), zero(2), { alibiSlopes: "auto", qOffset: 0, tap: "biased" });
      return Array.from({ length: heads }, (_, h) => -scores.data[h * 2 + 1]!);
    };
    const power = (heads: number, n: number): number[] =>
      Array.from({ length: n }, (_, h) => Math.fround(2 ** ((-8 * (h + 1)) / heads)));
    for (const heads of [1, 2, 4, 8, 16, 32, 64, 128]) expect(slopesOf(heads)).toEqual(power(heads, heads));
    const interleaved = (heads: number, closest: number): number[] =>
      [...power(closest, closest), ...power(2 * closest, 2 * closest).filter((_, h) => h % 2 === 0)].slice(0, heads);
    for (const heads of [3, 5, 6, 7]) expect(slopesOf(heads)).toEqual(interleaved(heads, heads < 4 ? 2 : 4));
    for (const heads of [12, 20, 40, 71])
      expect(slopesOf(heads)).toEqual(interleaved(heads, 2 ** Math.floor(Math.log2(heads))));
  });
});

describe("sight", () => {
  it.each([
    [{ left: 1 }, 0],
    [{ right: 1 }, 0],
    [{ left: 0, right: 0 }, 2],
    [{ left: 1, right: 2 }, -1],
    [{ left: 0, right: 0, first: 2 }, 4],
    [{ left: 10, right: 10 }, 0],
    [{ left: 0, right: 0, first: 9 }, 1],
    [{ first: 1 }, 0],
    [{}, 0],
  ] as const)("window %j at offset %i", (window, qOffset) => {
    const { left, right, first = 0 } = window as { left?: number; right?: number; first?: number };
    const inWindow = (i: number, j: number): boolean =>
      j < first || (i + qOffset - (left ?? 99) <= j && j <= i + qOffset + (right ?? 99));
    expectAs({ window, qOffset }, { sees: (_b, _h, i, j) => inWindow(i, j) });
    expectAs({ window, qOffset, causal: true }, { sees: (_b, _h, i, j) => inWindow(i, j) && j <= i + qOffset });
  });

  it("qLengths: rows behind them are 0, their lse -Infinity, sinks or not", () => {
    for (const sinks of [undefined, [1, 2, 3, 4]]) {
      const { out, lse } = attention(q, k, v, { qLengths: [1, 3], sinks, returnLse: true });
      const whole = attention(q, k, v, { sinks, returnLse: true });
      expect(bitsOf(out.data.subarray(0, 24))).toEqual(bitsOf(whole.out.data.subarray(0, 24)));
      expect([...out.data.subarray(24, 72)].every((x) => Object.is(x, 0))).toBe(true);
      expect([...lse.data.subarray(1, 3)]).toEqual([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]);
      expect(bitsOf(lse.data.subarray(12))).toEqual(bitsOf(whole.lse.data.subarray(12)));
    }
  });

  it('"bottom-right" counts from the lengths', () => {
    const lengths = { kvLengths: [5, 4], qLengths: [2, 3] };
    const named = attention(q, k, v, { causal: true, qOffset: "bottom-right", ...lengths });
    const given = attention(q, k, v, { causal: true, qOffset: [5 - 2, 4 - 3], ...lengths });
    expect(bitsOf(named.out.data)).toEqual(bitsOf(given.out.data));
    const onlyQ = attention(q, k, v, { causal: true, qOffset: "bottom-right", qLengths: [2, 3] });
    expect(bitsOf(onlyQ.out.data)).toEqual(
      bitsOf(attention(q, k, v, { causal: true, qOffset: [3, 2], qLengths: [2, 3] }).out.data),
    );
  });

  it("qOffset is not needed where positions do not matter", () => {
    expect(attention(q, k, v, { window: { first: 2 } }).out.shape).toEqual([2, 3, 4, 6]);
    const square = counted(2, 3, 4, 8);
    const options = { window: { left: 1 }, alibiSlopes: "auto", causal: true } as const;
    expect(bitsOf(attention(square, square, square, options).out.data)).toEqual(
      bitsOf(attention(square, square, square, { ...options, qOffset: "top-left" }).out.data),
    );
  });
});

describe("tap", () => {
  const dot = (i: number, h: number, j: number): number => {
    let sum = 0;
    for (let d = 0; d < 8; d++) sum += q.data[(i * H + h) * 8 + d]! * k.data[(j * 2 + (h >> 1)) * 8 + d]!;
    return sum;
  };

  it("shows each stage in natural units", () => {
    const bias = { data: Float32Array.of(0, 1, Number.NEGATIVE_INFINITY, 2, -1), shape: [5] };
    const options = { scale: 0.75, softcap: 2, bias, causal: true, qOffset: 2 } as const;
    const stages = {
      raw: (i: number, h: number, j: number) => dot(i, h, j),
      scaled: (i: number, h: number, j: number) => dot(i, h, j) * 0.75,
      capped: (i: number, h: number, j: number) => 2 * Math.tanh((dot(i, h, j) * 0.75) / 2),
      biased: (i: number, h: number, j: number) =>
        j <= i + 2 ? stages.capped(i, h, j) + bias.data[j]! : Number.NEGATIVE_INFINITY,
    };
    for (const tap of ["raw", "scaled", "capped", "biased"] as const) {
      const { scores } = attention(q, k, v, { ...options, tap });
      expect(scores).toMatchObject({ shape: [2, 4, 3, 5], dtype: "float32" });
      const expected: number[] = [];
      for (let h = 0; h < H; h++)
        for (let i = 0; i < Q; i++) for (let j = 0; j < KV; j++) expected.push(stages[tap](i, h, j));
      expectClose(scores!.data.subarray(0, expected.length), expected);
    }
  });

  it("goes to a target, and leaves out as it is", () => {
    using scores = Tensor.zeros([2, 4, 3, 5]);
    const out = { data: new Float32Array(144), shape: [2, 3, 4, 6] };
    const result = attention(q, k, v, { tap: "scaled", out: { out, scores } });
    expect(result.scores).toBe(scores);
    expect(result.out).toBe(out);
    expect(bitsOf(scores.view())).toEqual(bitsOf(attention(q, k, v, { tap: "scaled" }).scores.data));
    expect(bitsOf(out.data)).toEqual(bitsOf(attention(q, k, v).out.data));
    expect(attention(q, k, v)).not.toHaveProperty("scores");
  });
});
