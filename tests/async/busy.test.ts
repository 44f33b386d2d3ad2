// Direct calls beside asynchronous ones: allowed, but for those that would tear what is in use.
import { attention, attentionAsync, createEngine, type Engine, KvCache, linear, linearAsync, Tensor } from "saccade";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { counted } from "../worker/cases.ts";
import { same } from "../worker/same.ts";

let engine: Engine;
beforeEach(async () => {
  engine = await createEngine();
});
afterEach(() => engine.dispose());

const x = counted(64, 8);
const busy = (words: RegExp) =>
  expect.objectContaining({ code: "ERR_SACCADE_BUSY", message: expect.stringMatching(words) });

describe("a tensor in use", () => {
  it("by a call that reads it can be read, not written", async () => {
    using tensor = Tensor.from(x, { engine });
    const promise = attentionAsync(tensor, x, x, { engine });
    same(attention(tensor, x, x, { engine }).out, attention(x, x, x, { engine }).out, "read");
    expect(() => attention(x, x, x, { out: tensor, engine })).toThrow(
      busy(/^attention: options\.out|^attention: out.*await/),
    );
    await promise;
    attention(x, x, x, { out: tensor, engine });
  });

  it("by a call that writes it can be neither read nor written, but by calls that wait their turn", async () => {
    using tensor = Tensor.zeros([64, 8], "float32", { engine });
    const weight = counted(8, 8);
    const first = attentionAsync(x, x, x, { out: tensor, engine });
    expect(() => linear(tensor, weight, { engine })).toThrow(busy(/x is in use/));
    const second = linearAsync(tensor, weight, { engine });
    await first;
    const expected = attention(x, x, x, { engine }).out;
    same(await second, linear(expected, weight, { engine }), "second");
    same(linear(tensor, weight, { engine }), linear(expected, weight, { engine }), "direct");
  });

  it("that is disposed of meanwhile stays as it is until the call has ended, then gives its memory back", async () => {
    const { liveBytes } = engine.stats();
    const tensor = Tensor.from(x, { engine });
    const promise = attentionAsync(tensor, tensor, tensor, { engine });
    tensor.dispose();
    expect(tensor.disposed).toBe(true);
    using other = Tensor.from({ data: new Float32Array(512).fill(9), shape: [64, 8] }, { engine });
    same((await promise).out, attention(x, x, x, { engine }).out, "out");
    other.dispose();
    expect(engine.stats()).toMatchObject({ liveBytes, tensors: 0 });
  });

  it("is free again when the call was refused or stopped", async () => {
    using tensor = Tensor.from(x, { engine });
    const abort = new AbortController();
    const stopped = attentionAsync(tensor, x, x, { engine, signal: abort.signal });
    abort.abort("enough");
    await expect(stopped).rejects.toBe("enough");
    await expect(attentionAsync(tensor, x, counted(63, 8), { engine })).rejects.toThrow(/value/);
    attention(x, x, x, { out: tensor, engine });
  });
});

describe("a cache in use", () => {
  const options = { batch: 1, numKvHeads: 1, headDim: 8, capacity: 64 };
  const rows = (n: number) => counted(1, n, 1, 8);

  it("can be read and forked, not changed", async () => {
    using cache = new KvCache({ ...options, engine });
    cache.append(rows(20), rows(20));
    const promise = cache.attendAsync(rows(1));
    expect(() => cache.append(rows(1), rows(1))).toThrow(busy(/^KvCache\.append: this cache is in use/));
    expect(() => cache.truncate(1)).toThrow(busy(/^KvCache\.truncate/));
    expect(() => cache.reorder([0])).toThrow(busy(/^KvCache\.reorder/));
    const expected = cache.attend(rows(1));
    using fork = cache.fork();
    fork.append(rows(3), rows(3));
    same(await promise, expected, "attend");
    cache.append(rows(1), rows(1));
    expect([cache.length, fork.length]).toEqual([21, 23]);
  });

  it("that is disposed of meanwhile answers, then gives its memory back", async () => {
    const { liveBytes } = engine.stats();
    const cache = new KvCache({ ...options, engine });
    cache.append(rows(20), rows(20));
    const expected = cache.attend(rows(1));
    const promise = cache.attendAsync(rows(1));
    cache.dispose();
    same(await promise, expected, "attend");
    expect(engine.stats().liveBytes).toBe(liveBytes);
    await expect(cache.attendAsync(rows(1))).rejects.toEqual(expect.objectContaining({ code: "ERR_SACCADE_DISPOSED" }));
  });
});
