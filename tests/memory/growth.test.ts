// Memory that grows at bad moments, that cannot grow, that lies above 2 GiB; and many calls that leave nothing.
import { attention, createEngine, init, SaccadeError, Tensor } from "saccade";
import { describe, expect, it } from "vitest";
import { counted, expectWorks, withEngine } from "../api/refusal.ts";

const bits = (data: Float32Array): number[] => [...new Uint32Array(data.slice().buffer)];

describe("growing", () => {
  it("detaches views, not Tensors; old views are refused by name", () =>
    withEngine({ memory: { initialMiB: 1 } }, (engine) => {
      const x = counted(3, 4);
      using tensor = Tensor.from(x, { engine });
      const old = tensor.view();
      using big = Tensor.empty([2 ** 20], "float32", { engine });
      expect(old).toHaveLength(0);
      expect([...tensor.view()]).toEqual([...x.data]);
      expect(big.view()).toHaveLength(2 ** 20);
      expect(() => attention({ data: old, shape: [3, 4] }, x, x, { engine })).toThrow(
        expect.objectContaining({
          code: "ERR_SACCADE_DETACHED",
          message: expect.stringMatching(/call view\(\) again/),
        }),
      );
    }));

  it("in the middle of a call, with inputs and out already in memory", () =>
    withEngine({ memory: { initialMiB: 1 } }, (engine) => {
      const q = counted(70, 4, 16);
      const k = counted(700, 2, 16);
      using tq = Tensor.from(q, { engine });
      using out = Tensor.empty([70, 4, 16], "float32", { engine });
      const before = engine.stats().memoryBytes;
      const options = { returnLse: true, returnWeights: true, causal: true, qOffset: "bottom-right" } as const;
      const grown = attention(tq, k, k, { ...options, engine, out: { out } });
      expect(engine.stats().memoryBytes).toBeGreaterThan(before);
      const still = attention(q, k, k, options);
      expect(bits(out.view())).toEqual(bits(still.out.data));
      expect(bits(grown.lse.data)).toEqual(bits(still.lse.data));
      expect(bits(grown.weights.data)).toEqual(bits(still.weights.data));
    }));

  it("by out given as a view, which the call itself detaches", () =>
    withEngine({ memory: { initialMiB: 1 } }, (engine) => {
      const x = counted(1024, 2, 64);
      using out = Tensor.zeros([1024, 2, 64], "float32", { engine });
      attention(x, x, x, { engine, out: { data: out.view(), shape: out.shape } });
      expect(bits(out.view())).toEqual(bits(attention(x, x, x).out.data));
    }));

  it("a Tensor copied from a view of its own engine's memory, which the copy makes grow", () =>
    withEngine({ memory: { initialMiB: 1 } }, (engine) => {
      using big = Tensor.zeros([200_000], "float32", { engine });
      big.view()[199_999] = 7;
      using copy = Tensor.from({ data: big.view(), shape: [200_000] }, { engine });
      expect(copy.view()[199_999]).toBe(7);
    }));
});

describe("a limit", () => {
  it("refuses what does not fit, says how much, loses nothing, and works on", () =>
    withEngine({ memory: { initialMiB: 1, maximumMiB: 2 } }, (engine) => {
      const refuse = (call: () => unknown): SaccadeError => {
        const before = engine.stats();
        let thrown: unknown;
        try {
          call();
        } catch (error) {
          thrown = error;
        }
        expect(thrown).toBeInstanceOf(SaccadeError);
        expect((thrown as SaccadeError).code).toBe("ERR_SACCADE_OUT_OF_MEMORY");
        expect(engine.stats().liveBytes).toBe(before.liveBytes);
        expect(engine.stats().tensors).toBe(before.tensors);
        expect(engine.stats().memoryBytes).toBeLessThanOrEqual(2 * 2 ** 20);
        expectWorks(engine);
        return thrown as SaccadeError;
      };
      const tensor = refuse(() => Tensor.zeros([2 ** 20], "float32", { engine }));
      expect(tensor).toMatchObject({ requestedBytes: 4 * 2 ** 20, limitBytes: 2 * 2 ** 20 });
      expect(tensor.message).toMatch(/^Tensor\.zeros: 4194304 bytes .*memory\.maximumMiB/);
      const x = counted(2048, 1, 64);
      using held = Tensor.from(counted(1024, 64), { engine });
      const out = counted(2048, 1, 64);
      const kept = [...out.data];
      // Inputs fit, one after the other, until they do not.
      expect(refuse(() => attention(x, x, x, { engine, out })).message).toMatch(/^attention: /);
      expect([...out.data]).toEqual(kept);
      expect([...held.view()]).toEqual([...counted(1024, 64).data]);
      // What failed once fits again once there is room: the arena's own idle chunk must not stand in the way.
      attention(counted(600, 1, 64), counted(600, 1, 64), counted(600, 1, 64), { engine });
      held.dispose();
      using nearlyAll = Tensor.zeros([1_900_000], "uint8", { engine });
      expect(nearlyAll.view()).toHaveLength(1_900_000);
    }));

  it("results that JavaScript itself cannot hold", () =>
    withEngine({}, async (engine) => {
      const row = { data: new Float32Array(1), shape: [2 ** 24, 1], strides: [0, 1] };
      const one = { data: new Float32Array(1), shape: [2 ** 24, 1], strides: [0, 1] };
      expect(() => attention(row, one, one, { engine, returnWeights: true })).toThrow(
        expect.objectContaining({ code: "ERR_SACCADE_OUT_OF_MEMORY" }),
      );
      expect(engine.stats().liveBytes).toBe(0);
      expectWorks(engine);
    }));
});

it("pointers above 2 GiB", () =>
  withEngine({}, (engine) => {
    const x = counted(70, 2, 24);
    using low = Tensor.empty([2 ** 29 + 2 ** 27], "float32", { engine });
    using high = Tensor.from(x, { engine });
    using out = Tensor.zeros([70, 2, 24], "float32", { engine });
    expect(high.view().byteOffset).toBeGreaterThan(2 ** 31);
    const expected = attention(x, x, x, { causal: true });
    attention(high, high, x, { causal: true, engine, out });
    expect(bits(out.view())).toEqual(bits(expected.out.data));
    expect(bits(attention(x, high, high, { causal: true, engine }).out.data)).toEqual(bits(expected.out.data));
    expect(bits(attention({ data: high.view(), shape: [70, 2, 24] }, x, x, { causal: true, engine }).out.data)).toEqual(
      bits(expected.out.data),
    );
    expect(low.disposed).toBe(false);
  }));

it("nothing is lost over many calls of many sizes", () =>
  withEngine({ memory: { initialMiB: 1 } }, (engine) => {
    let settled = 0;
    for (let round = 0; round < 3; round++) {
      for (let n = 1; n < 120; n += 7) {
        const x = counted(n, 2, (n % 13) + 1);
        using tensor = Tensor.from(x, { engine });
        attention(tensor, x, tensor, { engine, returnLse: true, returnWeights: n % 2 === 0 });
        expect(() => attention(tensor, x, x, { engine, scale: Number.NaN })).toThrow(RangeError);
      }
      expect(engine.stats()).toMatchObject({ liveBytes: 0, tensors: 0 });
      if (round === 1) settled = engine.stats().memoryBytes;
    }
    expect(engine.stats().memoryBytes).toBe(settled);
    expect(engine.stats().peakBytes).toBeGreaterThan(0);
  }));

it("many engines at once", async () => {
  const engines = await Promise.all(Array.from({ length: 12 }, () => createEngine({ memory: { maximumMiB: 16 } })));
  const x = counted(5, 3);
  const expected = bits(attention(x, x, x).out.data);
  const tensors = engines.map((engine) => Tensor.from(x, { engine }));
  engines.forEach((engine, i) => {
    expect(bits(attention(tensors[i]!, tensors[i]!, x, { engine }).out.data)).toEqual(expected);
    if (i % 2 === 0) engine.dispose();
  });
  engines.forEach((engine, i) => {
    expect(engine.disposed).toBe(i % 2 === 0);
    expect(tensors[i]!.disposed).toBe(i % 2 === 0);
    engine.dispose();
  });
  expectWorks(await init());
});
