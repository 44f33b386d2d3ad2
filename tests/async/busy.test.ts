// Direct calls beside asynchronous ones: allowed, but for those that would tear what is in use.
import {
  attention,
  attentionAsync,
  createEngine,
  type Engine,
  embeddingAsync,
  KvCache,
  linear,
  linearAsync,
  Tensor,
} from "saccade";
import { eca, ecaAsync } from "saccade/vision";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { counted } from "../worker/cases.ts";
import { refusal } from "../worker/expected.ts";
import { same } from "../worker/same.ts";

let engine: Engine;
beforeEach(async () => {
  engine = await createEngine();
});
afterEach(() => engine.dispose());

const x = counted(64, 8);
const busy = (words: RegExp) => refusal("BUSY", words);

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

  it("cannot be copied to where it is read while it is still to be written", async () => {
    using tensor = Tensor.zeros([64, 8], "float32", { engine });
    const promise = attentionAsync(x, x, x, { out: tensor, engine });
    expect(() => tensor.toPlain()).toThrow(busy(/^Tensor\.toPlain: this tensor is in use/));
    await promise;
    same(tensor.toPlain(), attention(x, x, x, { engine }).out, "toPlain");
  });

  it("as a weight that must be finite is looked at in its turn", async () => {
    using weight = Tensor.zeros([3], "float32", { engine });
    const map = counted(1, 3, 2, 2);
    const row = (...data: number[]) => ({ data: new Float32Array(data), shape: [data.length] });
    const finite = linearAsync(row(1, 2), counted(3, 2), { out: weight, engine });
    const fine = ecaAsync(map, { w: weight, engine });
    const infinite = linearAsync(row(1, Number.NaN), counted(3, 2), { out: weight, engine });
    const wrong = ecaAsync(map, { w: weight, engine });
    await finite;
    same(await fine, eca(map, { w: linear(row(1, 2), counted(3, 2)), engine }), "fine");
    await infinite;
    await expect(wrong).rejects.toEqual(refusal("RANGE"));
    expect(engine.stats().liveBytes).toBe(64);
  });

  it("as indices is refused by calls that wait their turn too: indices are read at once", async () => {
    using values = Tensor.zeros([64, 2], "float32", { engine });
    using indices = Tensor.zeros([64, 2], "int32", { engine });
    const out = { weights: { values, indices }, out: counted(64, 8) };
    const promise = attentionAsync(x, x, x, { returnWeights: { topK: 2 }, out, engine });
    await expect(embeddingAsync(indices, x, { engine })).rejects.toEqual(busy(/^embedding: indices is in use/));
    await promise;
    expect((await embeddingAsync(indices, x, { engine })).shape).toEqual([64, 2, 8]);
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
    await expect(cache.attendAsync(rows(1))).rejects.toEqual(refusal("DISPOSED"));
  });
});
