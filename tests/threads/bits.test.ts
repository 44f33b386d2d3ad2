/** The same bits on any number of threads: what is cut, handed out and put together again. */
import { attention, createEngine, type Engine, KvCache, linear, maskedSoftmax, Tensor } from "saccade";
import { describe, expect, it } from "vitest";
import { painted } from "./painted.ts";

async function withThreads<R>(threads: number, body: (engine: Engine) => R): Promise<R> {
  const engine = await createEngine({ threads });
  try {
    expect(engine.stats()).toMatchObject({ threads });
    return body(engine);
  } finally {
    engine.dispose();
  }
}

const bits = (data: unknown) => Buffer.from((data as Float32Array).buffer).toString("base64");

describe.each([2, 3, 16])("%i threads", (threads) => {
  const same = async (run: (engine: Engine) => string[]) => {
    expect(await withThreads(threads, run)).toEqual(await withThreads(1, run));
  };

  it("attention, with lse and weights, on new arrays and on resident tensors", async () => {
    const shape = [2, 333, 4, 40];
    const [query, key, value] = [1, 2, 3].map((seed) => painted(seed, shape));
    const options = { causal: true, returnLse: true } as const;
    await same((engine) => {
      const all = attention(query!, key!, value!, { ...options, returnWeights: true, engine });
      const mean = attention(query!, key!, value!, { ...options, returnWeights: "head-mean", engine });
      const target = Tensor.empty(shape, "float32", { engine });
      attention(Tensor.from(query!, { engine }), key!, value!, { causal: true, out: target, engine });
      return [all.out.data, all.lse.data, all.weights.data, mean.weights.data, target.toPlain().data].map(bits);
    });
  });

  it("few rows over many keys, whose keys are split", async () => {
    const key = painted(2, [1, 20001, 1, 64]);
    const value = painted(3, [1, 20001, 1, 64]);
    value.data[17 * 64] = Number.NaN;
    value.data[8000 * 64 + 3] = Number.POSITIVE_INFINITY;
    await same((engine) =>
      [1, 3, 65].flatMap((qLen) => {
        const query = painted(1, [1, qLen, 2, 64]);
        const plain = { qOffset: "bottom-right", returnLse: true, engine } as const;
        const window = { left: 3000, first: 100 };
        return [
          attention(query, key, value, { ...plain, sinks: [0.5, -1] }),
          attention(query, key, value, { ...plain, causal: true, kvLengths: [18200] }),
          attention(query, key, value, { ...plain, causal: true, window }),
        ].flatMap(({ out, lse }) => [bits(out.data), bits(lse.data)]);
      }),
    );
  });

  it("decoding from a cache of each dtype", async () => {
    const key = painted(2, [1, 9000, 2, 64]);
    const value = painted(3, [1, 9000, 2, 64]);
    await same((engine) =>
      (["float32", "float16", "bfloat16", "int8"] as const).flatMap((dtype) => {
        const cache = new KvCache({ batch: 1, numKvHeads: 2, headDim: 64, capacity: 9000, dtype, engine });
        cache.append(key, value);
        const results = [1, 4].map((qLen) => bits(cache.attend(painted(1, [1, qLen, 8, 64])).out.data));
        cache.dispose();
        return results;
      }),
    );
  });

  it("operators", async () => {
    const [x, weight, bias] = [painted(1, [517, 300]), painted(2, [410, 300]), painted(3, [410])];
    const scores = painted(4, [700, 900]);
    await same((engine) => [
      bits(linear(x, weight, { bias, activation: "tanh", engine }).data),
      ...[0, 1].map((axis) => bits(maskedSoftmax(scores, { axis, engine }).data)),
    ]);
  });
});
