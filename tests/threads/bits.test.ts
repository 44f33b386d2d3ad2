/** The same bits on any number of threads. */
import { attention, createEngine, type Engine, linear, Tensor } from "saccade";
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
  it("attention, with lse and weights, on new arrays and on resident tensors", async () => {
    const shape = [2, 333, 4, 40];
    const [query, key, value] = [1, 2, 3].map((seed) => painted(seed, shape));
    const options = { causal: true, returnLse: true, returnWeights: true } as const;
    const run = (engine: Engine) => {
      const { out, lse, weights } = attention(query!, key!, value!, { ...options, engine });
      const target = Tensor.empty(shape, "float32", { engine });
      attention(Tensor.from(query!, { engine }), key!, value!, { causal: true, out: target, engine });
      return [out.data, lse.data, weights.data, target.toPlain().data].map(bits);
    };
    const expected = await withThreads(1, run);
    expect(await withThreads(threads, run)).toEqual(expected);
  });

  it("a linear layer", async () => {
    const [x, weight, bias] = [painted(1, [517, 300]), painted(2, [410, 300]), painted(3, [410])];
    const run = (engine: Engine) => bits(linear(x, weight, { bias, activation: "tanh", engine }).data);
    expect(await withThreads(threads, run)).toBe(await withThreads(1, run));
  });
});
