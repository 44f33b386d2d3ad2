// What a cache refuses, in which words, and that nothing has changed afterwards.
import { createEngine, init, KvCache, Tensor } from "saccade";
import { describe, expect, it } from "vitest";
import { expectRefusal, thrownBy, withEngine } from "../api/refusal.ts";
import { tensor } from "./model.ts";
import { same } from "./walk.ts";

const sizes = { batch: 2, numKvHeads: 2, headDim: 8, valueHeadDim: 4, capacity: 100 };
const key = (n: number) => tensor([2, n, 2, 8], n + 1);
const value = (n: number) => tensor([2, n, 2, 4], n + 2);
const any = (options: object) => () => new KvCache(options as never);

/** A refused call leaves the cache as it was, byte for byte. */
async function refuses(cache: KvCache, call: () => unknown, code: string, message: string | RegExp): Promise<void> {
  const before = cache.serialize();
  await expectRefusal(call, code, message);
  expect(same(cache.serialize(), before)).toBe(true);
}

describe("a cache that cannot be made", () => {
  it.each([
    ["no options", undefined, "ARGUMENT", /^KvCache: options is undefined; expected \{ batch/],
    [
      "no batch",
      { ...sizes, batch: undefined },
      "ARGUMENT",
      "KvCache: options.batch is undefined; expected an integer from 1 to 2147483647",
    ],
    ["a batch of 0", { ...sizes, batch: 0 }, "RANGE", /options\.batch is 0; expected an integer from 1/],
    ["a width of 0", { ...sizes, headDim: 0 }, "RANGE", /options\.headDim is 0/],
    ["a capacity of 0", { ...sizes, capacity: 0 }, "RANGE", /options\.capacity is 0/],
    ["a typo", { ...sizes, capcity: 3 }, "OPTION", /no option "capcity"; did you mean "capacity"\?/],
    ["a dtype", { ...sizes, dtype: "int4" }, "DTYPE", /options\.dtype is "int4"; expected one of "float32", .*"int8"/],
    [
      "pages of 100",
      { ...sizes, pageSize: 100 },
      "RANGE",
      "KvCache: options.pageSize is 100; expected a multiple of 64",
    ],
    ["a window without left", { ...sizes, window: {} }, "ARGUMENT", /options\.window\.left is undefined/],
    ["a window with right", { ...sizes, window: { left: 1, right: 0 } }, "OPTION", /no option "right"/],
    [
      "a window as large as the capacity",
      { ...sizes, window: { left: 100 } },
      "RANGE",
      /window\.left is 100, .*is 100;/,
    ],
    ["a block too large", { ...sizes, numKvHeads: 2 ** 20, headDim: 2 ** 20 }, "SHAPE", /more than a block of 64 keys/],
    [
      "more than there is memory",
      { ...sizes, capacity: 2 ** 31 - 1 },
      "OUT_OF_MEMORY",
      /bytes of wasm memory are needed/,
    ],
    ["rope on an odd width", { ...sizes, headDim: 7, rope: {} }, "SHAPE", /headDim.* is 7/],
    ["rope with positions", { ...sizes, rope: { offset: 3 } }, "OPTION", /no option "offset"/],
    [
      "rope that needs a length",
      { ...sizes, rope: { scaling: { type: "dynamic", factor: 2, maxPositionEmbeddings: 64 } } },
      "OPTION",
      /give options\.rope\.seqLen/,
    ],
    ["no engine", { ...sizes, engine: {} }, "ARGUMENT", /options\.engine is an object/],
  ])("%s", async (_, options, code, message) => {
    await expectRefusal(any(options as object), code, message);
  });
});

describe("a refused call changes nothing", () => {
  it("append", async () => {
    using cache = new KvCache(sizes);
    cache.append(key(60), value(60));
    const append = (k: unknown, v: unknown, options?: unknown) => () =>
      cache.append(k as never, v as never, options as never);
    const full = /^KvCache\.append: 41 rows for batch row 0, which holds 60 of 100 positions$/;
    await refuses(cache, append(key(41), value(41)), "CACHE_FULL", full);
    await refuses(cache, append(key(41), value(41), { lengths: [0, 41] }), "CACHE_FULL", /batch row 1/);
    const shape = /^KvCache\.append: key\.shape\[3\] \(headDim\) is 4, the cache has 8$/;
    await refuses(cache, append(value(1), value(1)), "SHAPE", shape);
    await refuses(cache, append(key(1), value(2)), "SHAPE", /value\.shape\[1\] \(n\) is 2, key has 1/);
    await refuses(cache, append(tensor([3, 1, 2, 8], 1), value(1)), "SHAPE", /key\.shape\[0\] \(batch\) is 3/);
    await refuses(cache, append(tensor([1, 2, 8], 1), value(1)), "SHAPE", /no axis for batch, the cache has 2/);
    await refuses(cache, append({ data: new Int32Array(32), shape: [2, 1, 2, 8] }, value(1)), "DTYPE", /key is int32/);
    await refuses(cache, append(key(2), value(2), { lengths: [3, 0] }), "RANGE", /lengths\[0\] is 3/);
    await refuses(cache, append(key(2), value(2), { lengths: [1] }), "SHAPE", /1 entries/);
    await refuses(cache, append(key(2), value(2), { length: [1, 1] }), "OPTION", /did you mean "lengths"/);
    await refuses(cache, append(undefined, value(2)), "ARGUMENT", /key is undefined/);
    cache.append(key(40), value(40));
    expect(cache.lengths).toEqual([100, 100]);
  });

  it("append of numbers that int8 cannot hold, where pages and table would have grown", async () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      using cache = new KvCache({ ...sizes, capacity: 4096, dtype: "int8", pageSize: 64 });
      cache.append(key(60), value(60));
      using _fork = cache.fork();
      const k = key(2000);
      k.data[k.data.length - 1] = bad;
      const message = "KvCache.append: key holds a number that is not finite, which an int8 cache cannot store";
      await refuses(cache, () => cache.append(k, value(2000)), "RANGE", message);
      const v = value(2000);
      v.data[1] = bad;
      await refuses(cache, () => cache.append(key(2000), v), "RANGE", /value holds a number/);
      // Rows that do not count are not looked at.
      cache.append(k, value(2000), { lengths: [2000, 1999] });
    }
  });

  it("append to a ring", async () => {
    using cache = new KvCache({ ...sizes, window: { left: 100 }, capacity: 128 });
    cache.append(key(28), value(28));
    const message =
      "KvCache.append: 29 rows for batch row 0, which takes at most capacity - left = 128 - 100 rows at once";
    await refuses(cache, () => cache.append(key(29), value(29)), "CACHE_FULL", message);
  });

  it("attend", async () => {
    using cache = new KvCache(sizes);
    cache.append(key(5), value(5));
    const query = tensor([2, 1, 4, 8], 1);
    const attend = (q: unknown, options?: unknown) => () => cache.attend(q as never, options as never);
    for (const name of ["kvLengths", "qOffset", "causal", "window", "cuQLens", "tap", "engine"]) {
      await refuses(cache, attend(query, { [name]: 1 }), "OPTION", new RegExp(`no option "${name}"`));
    }
    await refuses(
      cache,
      attend(tensor([2, 1, 4, 9], 1)),
      "SHAPE",
      /query\.shape\[3\] \(headDim\) is 9, the cache has 8/,
    );
    await refuses(cache, attend(tensor([1, 1, 4, 8], 1)), "SHAPE", /\(batch\) is 1, the cache has 2/);
    await refuses(cache, attend(tensor([2, 1, 3, 8], 1)), "SHAPE", /\(numHeads\) is 3, numKvHeads of the cache is 2/);
    const mask = { data: new Uint8Array(4), shape: [4], dtype: "bool" };
    await refuses(cache, attend(query, { mask }), "SHAPE", /mask\.shape\[0\] \(kvLen\) is 4; expected 5 or 1/);
    await refuses(
      cache,
      attend(query, { out: tensor([2, 1, 4, 8], 1) }),
      "SHAPE",
      /out\.shape is .*expected \[2, 1, 4, 4\]/,
    );
    const out = { data: query.data, shape: [2, 1, 4, 4], offset: 0, strides: [16, 16, 4, 1] };
    await refuses(cache, attend(query, { out }), "OVERLAP", /out shares memory with query/);
  });

  it("attend further back than a ring keeps", async () => {
    using cache = new KvCache({ ...sizes, window: { left: 100 }, capacity: 128 });
    for (let i = 0; i < 10; i++) cache.append(key(28), value(28));
    cache.attend(tensor([2, 28, 2, 8], 1));
    const message = /query row 0 of batch row 0 stands at position 251 and sees 100 keys before it, but .* from 152 on/;
    await refuses(cache, () => cache.attend(tensor([2, 29, 2, 8], 1)), "RANGE", message);
  });

  it("truncate, reorder, read", async () => {
    using cache = new KvCache({ ...sizes, window: { left: 100 }, capacity: 128 });
    for (let i = 0; i < 10; i++) cache.append(key(28), value(28), { lengths: [28, 20] });
    await refuses(
      cache,
      () => cache.truncate(281),
      "RANGE",
      "KvCache.truncate: n is 281; expected at most length, 280",
    );
    await refuses(cache, () => cache.truncate([280, 201]), "RANGE", /n\[1\] is 201; .* the batch row, 200/);
    await refuses(
      cache,
      () => cache.truncate([251, 200]),
      "RANGE",
      /keeps the positions from 152 on; expected at least 252/,
    );
    await refuses(cache, () => cache.truncate(-1), "RANGE", /n is -1/);
    await refuses(cache, () => cache.truncate([1]), "SHAPE", /1 entries/);
    await refuses(cache, () => cache.truncate("1" as never), "ARGUMENT", /n is "1"/);
    await refuses(cache, () => cache.reorder([0]), "SHAPE", /batchIndices has 1 entries/);
    await refuses(cache, () => cache.reorder([0, 2]), "RANGE", /batchIndices\[1\] is 2/);
    await refuses(cache, () => cache.read(0, 281), "RANGE", /positions 0 to 281; .* length, which is 280/);
    await refuses(cache, () => cache.read(5, 4), "RANGE", /positions 5 to 4/);
    await refuses(cache, () => cache.read(151, 152), "RANGE", /position 151 of batch row 0 has been forgotten/);
    expect(cache.read(152, 280).key.shape).toEqual([2, 128, 2, 8]);
    cache.truncate([252, 180]);
    cache.truncate(0);
    expect(cache.retained).toBe(0);
  });

  it("where memory is out: a page, a copy of a shared page, a fork, a result", () =>
    withEngine({ memory: { initialMiB: 1, maximumMiB: 2 } }, async (engine) => {
      const big = { batch: 1, numKvHeads: 8, headDim: 64, capacity: 2048, pageSize: 64, engine };
      const cache = new KvCache(big);
      const rows = (n: number) => tensor([1, n, 8, 64], n);
      cache.append(rows(100), rows(100));
      const other = cache.fork();
      const before = cache.serialize();
      await expectRefusal(() => cache.append(rows(500), rows(500)), "OUT_OF_MEMORY", /KvCache\.append/, engine);
      expect(same(cache.serialize(), before)).toBe(true);
      other.append(rows(10), rows(10));
      expect(same(cache.serialize(), before)).toBe(true);
      cache.append(rows(20), rows(20));
      const taken: Tensor[] = [];
      for (let bytes = 2 ** 20; bytes >= 64; bytes /= 2) {
        for (;;) {
          try {
            taken.push(Tensor.empty([bytes / 4], "float32", { engine }));
          } catch {
            break;
          }
        }
      }
      const live = engine.stats().liveBytes;
      expect(thrownBy(() => cache.fork()).code).toBe("ERR_SACCADE_OUT_OF_MEMORY");
      expect(thrownBy(() => new KvCache({ ...big, pageSize: undefined })).code).toBe("ERR_SACCADE_OUT_OF_MEMORY");
      expect(thrownBy(() => KvCache.deserialize(before, { engine })).code).toBe("ERR_SACCADE_OUT_OF_MEMORY");
      expect(engine.stats().liveBytes).toBe(live);
      for (const each of [...taken, cache, other]) each.dispose();
      expect(engine.stats().liveBytes).toBe(0);
    }));
});

describe("a cache that is gone, or another engine's", () => {
  it("is refused by name", async () => {
    const cache = new KvCache(sizes);
    const foreign = await createEngine();
    using query = Tensor.from(tensor([2, 1, 4, 8], 1), { engine: foreign });
    using rows = Tensor.from(key(1), { engine: foreign });
    await expectRefusal(() => cache.attend(query), "FOREIGN", /query is a Tensor of another engine/);
    await expectRefusal(() => cache.append(rows, value(1)), "FOREIGN", /key is a Tensor of another engine/);
    const { batch, dtype, capacity } = cache;
    cache.dispose();
    cache.dispose();
    expect(cache.disposed).toBe(true);
    const message = "KvCache.attend: this cache cannot be used: it has been disposed";
    await expectRefusal(() => cache.attend(tensor([2, 1, 4, 8], 1)), "DISPOSED", message);
    const uses: (() => unknown)[] = [
      () => cache.append(key(1), value(1)),
      () => cache.truncate(0),
      () => cache.fork(),
      () => cache.reorder([0, 1]),
      () => cache.read(0, 0),
      () => cache.serialize(),
      () => cache.length,
      () => cache.lengths,
      () => cache.retained,
    ];
    for (const use of uses) await expectRefusal(use, "DISPOSED", /has been disposed/);
    expect([cache.batch, cache.dtype, cache.capacity]).toEqual([batch, dtype, capacity]);
    const orphan = new KvCache({ ...sizes, engine: foreign });
    foreign.dispose();
    expect(orphan.disposed).toBe(true);
    await expectRefusal(() => orphan.attend(tensor([2, 1, 4, 8], 1)), "DISPOSED", /the engine has been disposed/);
    orphan.dispose();
  });

  it("is looked at after the caller's own code has run", async () => {
    await init();
    const cache = new KvCache(sizes);
    const lengths = {
      length: 2,
      get 0() {
        cache.dispose();
        return 1;
      },
      1: 1,
    };
    await expect(async () => cache.append(key(1), value(1), { lengths })).rejects.toMatchObject({
      code: "ERR_SACCADE_DISPOSED",
    });
  });
});
