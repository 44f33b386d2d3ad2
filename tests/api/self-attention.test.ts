/** Self-attention has the bits of the projections and of attention, one after the other. */
import fc from "fast-check";
import { attention, init, linear, type SelfAttentionOptions, selfAttention, Tensor, type TensorLike } from "saccade";
import { beforeAll, describe, expect, it } from "vitest";
import { painted } from "../nn/classic.ts";
import { bitsOf } from "./oracle.ts";
import { expectRefusal } from "./refusal.ts";

beforeAll(() => init());

const problem = fc.record({
  batch: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
  seq: fc.constantFrom(0, 1, 2, 5, 9, 63, 65),
  dim: fc.constantFrom(1, 3, 8, 65),
  kvHeads: fc.integer({ min: 1, max: 3 }),
  group: fc.integer({ min: 1, max: 2 }),
  headDim: fc.constantFrom(1, 4, 7),
  valueHeadDim: fc.constantFrom(1, 5),
  biases: fc.boolean(),
  causal: fc.boolean(),
  masked: fc.boolean(),
  scale: fc.constantFrom(undefined, 0.3),
});

describe("selfAttention", () => {
  it("is its steps, bit for bit", () => {
    fc.assert(
      fc.property(
        problem,
        ({ batch, seq, dim, kvHeads, group, headDim, valueHeadDim, biases, causal, masked, scale }) => {
          const numHeads = kvHeads * group;
          const leading = batch === undefined ? [seq] : [batch, seq];
          const x = painted(1, ...leading, dim);
          const wq = painted(2, numHeads * headDim, dim);
          const wk = painted(3, kvHeads * headDim, dim);
          const wv = painted(4, kvHeads * valueHeadDim, dim);
          const [bq, bk, bv] = biases
            ? [painted(5, wq.shape[0]!), painted(6, wk.shape[0]!), painted(7, wv.shape[0]!)]
            : [undefined, undefined, undefined];
          const mask = {
            data: Uint8Array.from({ length: seq * seq }, (_, i) => Number((i * 7) % 5 > 1)),
            shape: [seq, seq],
          };
          const shared = { causal, scale, ...(masked ? { mask } : {}) };
          const heads = (weight: TensorLike, bias: TensorLike | undefined, count: number, width: number) => {
            const { data } = linear(x, weight, { bias });
            return { data, shape: [...leading, count, width] };
          };
          const expected = attention(
            heads(wq, bq, numHeads, headDim),
            heads(wk, bk, kvHeads, headDim),
            heads(wv, bv, kvHeads, valueHeadDim),
            {
              ...shared,
              returnWeights: true,
            },
          );
          const { out, weights } = selfAttention(x, {
            ...{ wq, wk, wv, bq, bk, bv, numHeads, numKvHeads: kvHeads },
            ...shared,
            returnWeights: true,
          });
          expect(out.shape).toEqual([...leading, numHeads * valueHeadDim]);
          expect(bitsOf(out.data)).toEqual(bitsOf(expected.out.data));
          expect(weights.shape).toEqual(expected.weights.shape);
          expect(bitsOf(weights.data)).toEqual(bitsOf(expected.weights.data));
        },
      ),
      { numRuns: 60 },
    );
  });

  it("reads tensors where they lie and writes where it is told, leaving nothing behind", async () => {
    const engine = await init();
    const [x, w] = [painted(1, 4, 6), painted(2, 6, 6)];
    const expected = bitsOf(selfAttention(x, { wq: w, wk: w, wv: w }).out.data);
    const held = [Tensor.from(x), Tensor.from(w), Tensor.empty([4, 6])] as const;
    const before = engine.stats();
    const { out } = selfAttention(held[0], { wq: held[1], wk: held[1], wv: held[1], out: held[2] });
    expect(out).toBe(held[2]);
    expect(bitsOf(held[2].toPlain().data)).toEqual(expected);
    expect(engine.stats().liveBytes).toBe(before.liveBytes);
    const wide = { data: new Float32Array(4 * 10).fill(9), shape: [4, 6], strides: [10, 1], offset: 2 };
    selfAttention(held[0], { wq: w, wk: w, wv: w, out: wide });
    expect(bitsOf(wide.data.slice(12, 18))).toEqual(expected.slice(24, 48));
    expect([wide.data[1], wide.data[8]]).toEqual([9, 9]);
    for (const tensor of held) tensor.dispose();
  });

  it("names what is wrong", async () => {
    const [x, w] = [painted(1, 4, 6), painted(2, 6, 6)];
    const refused = (changes: object, code: string, message: RegExp, rows: TensorLike = x): Promise<void> =>
      expectRefusal(
        () => selfAttention(rows, { wq: w, wk: w, wv: w, ...changes } as SelfAttentionOptions<false>),
        code,
        message,
      );
    await refused({ wk: undefined }, "ARGUMENT", /wk is undefined/);
    await refused(
      { wk: painted(1, 6, 5) },
      "SHAPE",
      /x.shape\[1\] \(features\) is 6, wk.shape\[1\] \(inFeatures\) is 5/,
    );
    await refused({ numHeads: 4 }, "SHAPE", /wq.shape\[0\] \(outFeatures\) is 6; expected a multiple of the 4 heads/);
    await refused({ numHeads: 0 }, "RANGE", /options.numHeads is 0/);
    await refused({ wo: w }, "OPTION", /there is no option "wo"/);
    await refused({ kvLengths: [5] }, "RANGE", /options.kvLengths\[0\] is 5; expected at most kvLen, which is 4/);
    await refused({ out: x }, "OVERLAP", /out shares memory with x/);
    await refused(
      {},
      "SHAPE",
      /x.shape has 1 axes; expected \[seq, features\] or \[batch, seq, features\]/,
      painted(1, 6),
    );
    const both = Tensor.zeros([4, 6]);
    await refused(
      { out: both, bias: { data: both.view(), shape: [4, 4], strides: [6, 1], offset: 0 } },
      "OVERLAP",
      /out shares memory with bias/,
    );
    both.dispose();
  });
});
