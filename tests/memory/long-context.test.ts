// Memory of a long context: O(qLen + kvLen), whatever is asked for that is not qLen x kvLen itself.
import { attention, createEngine, type Engine, Tensor } from "saccade";
import { describe, expect, it } from "vitest";

const { SACCADE_LONG } = process.env;
const MIB = 2 ** 20;
const MINUTES = 60_000;

/** One head of 64, painted by a small generator. */
function painted(length: number, seed: number, engine: Engine): Tensor<"float32"> {
  const tensor = Tensor.empty([1, length, 1, 64], "float32", { engine });
  const data = tensor.view();
  let state = seed;
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[i] = state / 2 ** 31 - 1;
  }
  return tensor;
}

interface Cost {
  /** Bytes in use at the height of the call, above those held before. */
  live: number;
  /** Bytes of the whole memory, above those held before. */
  memory: number;
}

async function cost(
  length: number,
  call: (q: Tensor, k: Tensor, v: Tensor, out: Tensor, engine: Engine) => void,
): Promise<Cost> {
  using engine = await createEngine({ memory: { initialMiB: 1 } });
  using q = painted(length, 1, engine);
  using k = painted(length, 2, engine);
  using v = painted(length, 3, engine);
  using out = Tensor.empty([1, length, 1, 64], "float32", { engine });
  const held = engine.stats().liveBytes;
  call(q, k, v, out, engine);
  const { peakBytes, memoryBytes, liveBytes } = engine.stats();
  expect(liveBytes).toBe(held);
  return { live: peakBytes - held, memory: memoryBytes - held };
}

describe("4,096 keys", () => {
  const length = 4096;
  it("causal: the packed keys and a tile", async () => {
    const { live } = await cost(length, (q, k, v, out, engine) => attention(q, k, v, { causal: true, out, engine }));
    expect(live).toBeLessThan(length * 64 * 4 + 0.5 * MIB);
  });

  it("top-k weights: qLen x k", async () => {
    const { live } = await cost(length, (q, k, v, out, engine) => {
      const { weights } = attention(q, k, v, { causal: true, out, engine, returnWeights: { topK: 4 } });
      expect([...weights.indices.data.subarray(0, 4)]).toEqual([0, -1, -1, -1]);
    });
    expect(live).toBeLessThan(length * 64 * 4 + length * 4 * 8 + 0.5 * MIB);
  });
});

describe.runIf(SACCADE_LONG === "1")("65,536 keys, causal, one head of 64", () => {
  const length = 65536;
  it(
    "within 32 MiB above resident tensors",
    async () => {
      const { live, memory } = await cost(length, (q, k, v, out, engine) =>
        attention(q, k, v, { causal: true, out, engine }),
      );
      expect(live).toBeLessThan(32 * MIB);
      expect(memory).toBeLessThan(32 * MIB);
    },
    10 * MINUTES,
  );

  it(
    "weights as top-k too",
    async () => {
      const { live, memory } = await cost(length, (q, k, v, out, engine) => {
        const { weights, lse } = attention(q, k, v, {
          causal: true,
          out,
          engine,
          returnLse: true,
          returnWeights: { topK: 8 },
        });
        const last = (length - 1) * 8;
        const top = weights.values.data.subarray(last, last + 8);
        expect([...top]).toEqual([...top].sort((a, b) => b - a));
        expect(new Set(weights.indices.data.subarray(last, last + 8)).size).toBe(8);
        expect(Number.isFinite(lse.data[length - 1])).toBe(true);
      });
      expect(live).toBeLessThan(32 * MIB);
      expect(memory).toBeLessThan(32 * MIB);
    },
    10 * MINUTES,
  );
});
