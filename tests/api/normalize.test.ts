// The normalisers through attentionPooling: their descriptions, their weights in float64, their ties and their draws.
import fc from "fast-check";
import {
  attentionPooling,
  dot,
  gaussian,
  gumbel,
  hardmax,
  init,
  type Normalize,
  sample,
  sigmoid,
  softmax,
  sparsemax,
  sum,
  threshold,
  topK,
} from "saccade";
import { beforeAll, describe, expect, it } from "vitest";
import { bitsOf, expectClose } from "./oracle.ts";
import { expectRefusal } from "./refusal.ts";

beforeAll(async () => {
  await init();
});

/** Rows of scores as queries against unit keys: the dot product gives them back. */
function pool(scores: readonly (readonly number[])[], normalize: Normalize, mask?: readonly boolean[]) {
  const n = scores[0]!.length;
  const unit = Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
  const tensor = (data: ArrayLike<number>, rows: number) => ({ data: Float32Array.from(data), shape: [rows, n] });
  const { weights, out } = attentionPooling(tensor(scores.flat(), scores.length), tensor(unit, n), tensor(unit, n), {
    score: dot(),
    normalize,
    returnWeights: true,
    ...(mask && { mask: { data: Uint8Array.from(mask, Number), shape: [n] } }),
  });
  // Unit values: the output is the weights again.
  expectClose(out.data, weights.data, 0);
  return Array.from({ length: scores.length }, (_, i) => [...weights.data.subarray(i * n, (i + 1) * n)]);
}

const weigh = (scores: readonly number[], normalize: Normalize, mask?: readonly boolean[]): number[] =>
  pool([scores], normalize, mask)[0]!;

function exactSoftmax(scores: readonly number[], temperature = 1): number[] {
  const most = Math.max(...scores);
  const p = scores.map((s) => Math.exp((s - most) / temperature));
  const total = p.reduce((a, b) => a + b, 0);
  return p.map((each) => each / total);
}

function exactSparsemax(scores: readonly number[]): number[] {
  const sorted = [...scores].sort((a, b) => b - a);
  let [total, tau] = [0, 0];
  sorted.forEach((z, k) => {
    total += z;
    if (1 + (k + 1) * z > total) tau = (total - 1) / (k + 1);
  });
  return scores.map((s) => Math.max(s - tau, 0));
}

const numbers = fc
  .constantFrom(1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65)
  .chain((length) => fc.array(fc.integer({ min: -64, max: 64 }), { minLength: length, maxLength: length }))
  .map((row) => row.map((n) => n / 16));

describe("weights", () => {
  it("are those of their formulas", () => {
    fc.assert(
      fc.property(
        numbers,
        fc.integer({ min: 1, max: 65 }),
        fc.constantFrom(0.25, 1, 3),
        (scores, count, temperature) => {
          const k = Math.min(count, scores.length);
          const exact = exactSoftmax(scores, temperature);
          expectClose(weigh(scores, softmax({ temperature })), exact, 1e-5);
          expectClose(weigh(scores, sparsemax()), exactSparsemax(scores), 1e-6);
          expectClose(
            weigh(scores, sigmoid()),
            scores.map((s) => 1 / (1 + Math.exp(-s))),
            1e-6,
          );
          const order = scores.map((_, j) => j).sort((a, b) => scores[b]! - scores[a]! || a - b);
          expect(weigh(scores, hardmax())).toEqual(scores.map((_, j) => (j === order[0] ? 1 : 0)));
          const kept = new Set(order.slice(0, k));
          const chosen = exactSoftmax(scores.map((s, j) => (kept.has(j) ? s : Number.NEGATIVE_INFINITY)));
          expectClose(weigh(scores, topK(k)), chosen, 1e-5);
        },
      ),
      { numRuns: 100, seed: 22 },
    );
  });

  it("of threshold are the large ones", () => {
    // Softmax: 0.643, 0.237, 0.0871, 0.0321.
    const scores = [0, 1, 2, 3];
    const [d, c, b, a] = exactSoftmax(scores) as [number, number, number, number];
    expectClose(weigh(scores, threshold(0)), [d, c, b, a]);
    expectClose(weigh(scores, threshold(0.05)), [0, c / (c + b + a), b / (c + b + a), a / (c + b + a)]);
    expectClose(weigh(scores, threshold(0.2)), [0, 0, b / (b + a), a / (b + a)]);
    expect(weigh(scores, threshold(1))).toEqual([0, 0, 0, 1]);
    expect(weigh([2, 2, 2, 1.9], threshold(1)).slice(3)).toEqual([0]);
  });

  it("of sum may be negative", () => {
    expect(weigh([1, 3, -2], sum())).toEqual([0.5, 1.5, -1]);
  });

  it("know no hidden key, and are all 0 where none is seen", () => {
    const all: Normalize[] = [
      ...[softmax(), sum(), hardmax(), topK(2), threshold(0.1), sparsemax(), sigmoid()],
      ...[sample({ seed: 1, draws: 9 }), gumbel({ seed: 1 }), gumbel({ seed: 1, hard: true })],
    ];
    for (const normalize of all) {
      expect(weigh([1, 9, 1], normalize, [false, false, false])).toEqual([0, 0, 0]);
      const one = weigh([1, 9, 0.5], normalize, [false, false, true]);
      expect(one.slice(0, 2)).toEqual([0, 0]);
      if (normalize.kind !== "sigmoid") expect(one[2]).toBe(1);
      // A row with a NaN among its visible scores is NaN, and no other row is.
      const [bad, good] = pool(
        [
          [1, Number.NaN, 1],
          [1, 2, 3],
        ],
        normalize,
      ) as [number[], number[]];
      expect(bad).toEqual([Number.NaN, Number.NaN, Number.NaN]);
      expect(good.some(Number.isNaN)).toBe(false);
    }
  });
});

describe("draws", () => {
  const row = [0.5, -1, 2, 0, 1, 1, -2, 0.25];
  const rows = (count: number) => Array.from({ length: count }, () => row);

  it("are spread as softmax says", () => {
    const exact = exactSoftmax(row);
    const kinds: [Normalize, number][] = [
      [sample({ seed: 5 }), 4000],
      [sample({ seed: 6, draws: 4000 }), 1],
      [gumbel({ seed: 7, hard: true }), 4000],
    ];
    for (const [normalize, count] of kinds) {
      const weights = pool(rows(count), normalize);
      for (const each of weights) expect(each.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
      const chi = exact.reduce((total, p, j) => {
        const share = weights.reduce((sum, each) => sum + each[j]!, 0) / count;
        return total + (4000 * (share - p) ** 2) / p;
      }, 0);
      // 7 degrees of freedom: 29.9 is passed once in 10,000 seeds.
      expect(chi).toBeLessThan(29.9);
      expect(chi).toBeGreaterThan(0.5);
    }
  });

  it("depend on seed and row, and on nothing else", () => {
    for (const make of [(seed: number) => sample({ seed, draws: 3 }), (seed: number) => gumbel({ seed })]) {
      const many = pool(rows(9), make(1));
      expect(pool(rows(9), make(1))).toEqual(many);
      // A longer call begins with the rows of a shorter one.
      expect(pool(rows(20), make(1)).slice(0, 9)).toEqual(many);
      expect(new Set(many.map(String)).size).toBeGreaterThan(4);
      expect(pool(rows(9), make(2))).not.toEqual(many);
      expect(pool(rows(9), make(1 + 2 ** 32))).not.toEqual(many);
    }
  });

  it("number rows by batch, head and query", () => {
    const [batch, qLen, heads, kvLen, dim] = [2, 5, 3, 6, 2];
    const tensor = (seed: number, ...shape: number[]) => ({
      data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(seed + i * i)),
      shape,
    });
    const [query, key] = [tensor(1, batch, qLen, heads, dim), tensor(2, batch, kvLen, heads, dim)];
    const options = { score: dot(), returnWeights: true } as const;
    const value = tensor(3, batch, kvLen, heads, 1);
    const drawn = attentionPooling(query, key, value, { ...options, normalize: sample({ seed: 3, draws: 64 }) });
    const scores = attentionPooling(query, key, value, { ...options, returnScores: true }).scores!;
    // The same rows one below the other: as many rows, in that order.
    const flat = Array.from({ length: batch * heads * qLen }, (_, i) => [
      ...scores.data.subarray(i * kvLen, (i + 1) * kvLen),
    ]);
    expect(pool(flat, sample({ seed: 3, draws: 64 })).flat()).toEqual([...drawn.weights.data]);
  });

  it("leave the noise of a key where it is when others are hidden", () => {
    const all = weigh(row, gumbel({ seed: 9 }));
    const some = weigh(
      row,
      gumbel({ seed: 9 }),
      row.map((_, j) => j > 2),
    );
    for (const j of [3, 5, 7]) expect(some[j]! / some[4]!).toBeCloseTo(all[j]! / all[4]!, 4);
  });

  it("are sharper the colder they are", () => {
    const cold = weigh(row, gumbel({ seed: 9, temperature: 0.01 }));
    const hard = weigh(row, gumbel({ seed: 9, temperature: 0.01, hard: true }));
    expectClose(cold, hard, 1e-4);
    const warm = weigh(row, gumbel({ seed: 9, temperature: 100 }));
    expect(Math.max(...warm) - Math.min(...warm)).toBeLessThan(0.02);
  });
});

describe("descriptions", () => {
  it("are frozen, say all their values, and survive JSON", () => {
    expect(softmax()).toEqual({ kind: "softmax", temperature: 1 });
    expect(sample({ seed: 4 })).toEqual({ kind: "sample", seed: 4, draws: 1 });
    expect(gumbel({ seed: 4 })).toEqual({ kind: "gumbel", seed: 4, temperature: 1, hard: false });
    expect(topK(3)).toEqual({ kind: "topK", k: 3 });
    expect(threshold(0.5)).toEqual({ kind: "threshold", threshold: 0.5 });
    const scores = [1, 2, 3, 4];
    const all = [softmax({ temperature: 2 }), sum(), hardmax(), topK(2), threshold(0.1), sparsemax(), sigmoid()];
    for (const each of [...all, sample({ seed: 1, draws: 5 }), gumbel({ seed: 2, hard: true })]) {
      expect(Object.isFrozen(each)).toBe(true);
      const copy = JSON.parse(JSON.stringify(each)) as Normalize;
      expect(weigh(scores, copy)).toEqual(weigh(scores, each));
    }
  });

  it("are refused where they make no sense", async () => {
    for (const k of [0, -1, 1.5, Number.NaN]) {
      await expectRefusal(() => topK(k), "RANGE", `topK: k is ${k}; expected an integer from 1 to 2^53 - 1`);
    }
    await expectRefusal(() => topK("2" as never), "ARGUMENT", /topK: k is "2"/);
    for (const t of [-0.1, 1.1, Number.NaN]) {
      await expectRefusal(() => threshold(t), "RANGE", `threshold: threshold is ${t}; expected a number from 0 to 1`);
    }
    await expectRefusal(() => sample(undefined as never), "ARGUMENT", /options\.seed is undefined/);
    for (const seed of [-1, 0.5, 2 ** 53, Number.NaN]) {
      await expectRefusal(
        () => sample({ seed }),
        "RANGE",
        /sample: options\.seed is .*; expected an integer from 0 to 2\^53 - 1/,
      );
      await expectRefusal(() => gumbel({ seed }), "RANGE", /gumbel: options\.seed is /);
    }
    await expectRefusal(() => sample({ seed: "1" as never }), "ARGUMENT", /options\.seed is "1"/);
    await expectRefusal(
      () => sample({ seed: 1, draws: 0 }),
      "RANGE",
      /options\.draws is 0; expected an integer from 1 to 16777216/,
    );
    for (const temperature of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      await expectRefusal(() => softmax({ temperature }), "RANGE", /softmax: options\.temperature is /);
      await expectRefusal(() => gumbel({ seed: 1, temperature }), "RANGE", /gumbel: options\.temperature is /);
    }
    await expectRefusal(() => gumbel({ seed: 1, hard: 1 as never }), "ARGUMENT", /gumbel: options\.hard is 1/);
    await expectRefusal(() => softmax({ temprature: 1 } as never), "OPTION", /did you mean "temperature"/);
  });

  it("are proved again where they are used", async () => {
    const use = (normalize: unknown) => () => weigh([1, 2, 3], normalize as Normalize);
    await expectRefusal(
      use(topK(4)),
      "RANGE",
      "attentionPooling: options.normalize is topK(4); expected at most kvLen, which is 3",
    );
    await expectRefusal(
      use("softmax"),
      "ARGUMENT",
      /options\.normalize is "softmax"; expected one of softmax\(\), sum\(\)/,
    );
    await expectRefusal(use(softmax), "ARGUMENT", /options\.normalize is a function/);
    await expectRefusal(use({ kind: "soft" }), "ARGUMENT", /is an object of kind "soft"/);
    await expectRefusal(use({ kind: "topK" }), "ARGUMENT", /options\.normalize\.k is undefined/);
    await expectRefusal(use({ kind: "topK", k: 0 }), "RANGE", /options\.normalize\.k is 0/);
    await expectRefusal(use({ kind: "sum", temperature: 1 }), "OPTION", /there is no option "temperature"/);
    await expectRefusal(use(Object.create({ kind: "sum" })), "ARGUMENT", /is an object of kind undefined/);
    let reads = 0;
    const counting = {
      kind: "softmax",
      get temperature() {
        reads++;
        return 1;
      },
    };
    use(counting)();
    expect(reads).toBe(1);
  });

  it("of kernels default to sum", () => {
    const tensor = (...data: number[]) => ({ data: Float32Array.from(data), shape: [data.length, 1] });
    const tensors = [tensor(100), tensor(0, 1, 2), tensor(1, 2, 3)] as const;
    const given = attentionPooling(...tensors, { score: gaussian(), normalize: sum(), returnWeights: true });
    const defaulted = attentionPooling(...tensors, { score: gaussian(), returnWeights: true });
    expect(bitsOf(defaulted.weights.data)).toEqual(bitsOf(given.weights.data));
    expect(given.weights.data[2]).toBe(1);
  });
});
