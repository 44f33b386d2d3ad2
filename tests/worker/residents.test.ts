// Tensors and caches that live in a worker: handles here, memory there.
import * as fc from "fast-check";
import * as saccade from "saccade";
import { createWorkerEngine, type WorkerEngine, type WorkerKvCache, WorkerTensor } from "saccade/worker";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { counted } from "./cases.ts";
import { refusal } from "./expected.ts";
import { outcomeOf, same, sameOutcome } from "./same.ts";

let remote: WorkerEngine;
let other: WorkerEngine;
beforeAll(async () => {
  [remote, other] = await Promise.all([createWorkerEngine(), createWorkerEngine({ build: "strict" })]);
});
afterAll(() => {
  remote.dispose();
  other.dispose();
});

let live: { liveBytes: number; tensors: number };
beforeEach(async () => {
  live = await remote.stats();
});
const expectNothingHeld = async (): Promise<void> => {
  const { liveBytes, tensors } = await remote.stats();
  expect({ liveBytes, tensors }).toEqual({ liveBytes: live.liveBytes, tensors: live.tensors });
};

describe("a tensor in a worker", () => {
  it("is what it was made of, and gives its memory back", async () => {
    const source = counted(2, 3);
    const tensor = await remote.Tensor.from(source);
    expect(tensor).toBeInstanceOf(WorkerTensor);
    expect([tensor.shape, tensor.dtype, tensor.disposed]).toEqual([[2, 3], "float32", false]);
    same(await tensor.toPlain(), { ...source, dtype: "float32" }, "toPlain");
    expect((await remote.stats()).tensors).toBe(live.tensors + 1);
    tensor.dispose();
    tensor.dispose();
    expect(tensor.disposed).toBe(true);
    await expectNothingHeld();
  });

  it("zeros and empty have a shape and a dtype, and copies of strided sources are row-major", async () => {
    const zeros = await remote.Tensor.zeros([2, 2], "int32");
    same(await zeros.toPlain(), { data: new Int32Array(4), shape: [2, 2], dtype: "int32" }, "zeros");
    const empty = await remote.Tensor.empty([3]);
    expect([empty.shape, empty.dtype]).toEqual([[3], "float32"]);
    const strided = { data: new Float32Array([1, 2, 3, 4, 5, 6]), shape: [2, 2], strides: [3, 1], offset: 1 };
    const copy = await remote.Tensor.from(strided);
    expect([...(await copy.toPlain()).data]).toEqual([2, 3, 5, 6]);
    for (const tensor of [zeros, empty, copy]) tensor.dispose();
    await expectNothingHeld();
  });

  it("goes wherever a tensor goes, and a target comes back as the very object", async () => {
    const x = counted(1, 5, 2, 8);
    const tensor = await remote.Tensor.from(x);
    const out = await remote.Tensor.zeros([1, 5, 2, 8]);
    const lse = await remote.Tensor.zeros([1, 2, 5]);
    const result = await remote.attention(tensor, x, tensor, { causal: true, returnLse: true, out: { out, lse } });
    expect(result.out).toBe(out);
    expect(result.lse).toBe(lse);
    const expected = saccade.attention(x, x, x, { causal: true, returnLse: true });
    same(await out.toPlain(), expected.out, "out");
    same(await lse.toPlain(), expected.lse, "lse");
    for (const each of [tensor, out, lse]) each.dispose();
    await expectNothingHeld();
  });

  it("is refused where it does not belong, by name", async () => {
    const x = counted(3, 4);
    const [mine, theirs, gone] = await Promise.all([
      remote.Tensor.from(x),
      other.Tensor.from(x),
      remote.Tensor.from(x),
    ]);
    gone.dispose();
    const here = saccade.Tensor.from(x);
    await expect(remote.attention(theirs, x, x)).rejects.toEqual(
      refusal("FOREIGN", /argument 1 lives in another worker/),
    );
    await expect(remote.attention(x, here, x)).rejects.toEqual(
      refusal("FOREIGN", /argument 2 is a Tensor of an engine of this/),
    );
    await expect(remote.attention(x, x, x, { bias: gone })).rejects.toEqual(
      refusal("DISPOSED", /options\.bias .* disposed/),
    );
    await expect(gone.toPlain()).rejects.toEqual(refusal("DISPOSED", /disposed/));
    expect(() => saccade.attention(mine, mine, mine)).toThrow(refusal("FOREIGN", /lives in a worker/));
    for (const each of [mine, theirs, here]) each.dispose();
    await expectNothingHeld();
  });

  it("engines and targets of this thread are refused, with what to do instead", async () => {
    const x = counted(3, 4);
    const engine = await saccade.init();
    await expect(remote.attention(x, x, x, { engine })).rejects.toEqual(refusal("OPTION", /engine of its own/));
    for (const out of [counted(3, 4), { out: counted(3, 4) }]) {
      await expect(remote.attention(x, x, x, { out })).rejects.toEqual(refusal("UNSUPPORTED", /options\.out/));
    }
  });
});

describe("a cache in a worker", () => {
  const options = { batch: 2, numKvHeads: 1, headDim: 4, capacity: 64 };
  const tokens = (n: number) => counted(2, n, 1, 4);

  it("says how long it is, as of the last answer", async () => {
    using cache = await remote.KvCache.create(options);
    expect([cache.batch, cache.dtype, cache.capacity, cache.length]).toEqual([2, "float32", 64, 0]);
    const appended = cache.append(tokens(3), tokens(3), { lengths: [3, 1] });
    expect(cache.length).toBe(0);
    await appended;
    expect([cache.length, cache.lengths, cache.retained]).toEqual([3, [3, 1], 3]);
    using fork = await cache.fork();
    await fork.truncate(1);
    expect([cache.length, fork.length, fork.lengths]).toEqual([3, 1, [1, 1]]);
    const bytes = await cache.serialize();
    using again = await remote.KvCache.deserialize(bytes);
    expect(again.lengths).toEqual([3, 1]);
    same(await again.read(0, 3), await cache.read(0, 3), "read");
  });

  it("a refused call changes nothing", async () => {
    using cache = await remote.KvCache.create(options);
    await cache.append(tokens(60), tokens(60));
    await expect(cache.append(tokens(5), tokens(5))).rejects.toEqual(refusal("CACHE_FULL", /^KvCache\.append/));
    await expect(cache.truncate(61)).rejects.toEqual(refusal("RANGE", /^KvCache\.truncate/));
    expect(cache.length).toBe(60);
    await expect(remote.KvCache.create({ ...options, batch: 0 })).rejects.toEqual(refusal("RANGE", /batch/));
    await expect(cache.read(0, 1, { lenghts: 1 } as never)).rejects.toEqual(refusal("OPTION", /no option "lenghts"/));
  });

  it("gives its memory back", async () => {
    const cache = await remote.KvCache.create(options);
    await cache.append(tokens(3), tokens(3));
    cache.dispose();
    await expect(cache.attend(tokens(1))).rejects.toEqual(refusal("DISPOSED", /disposed/));
    await expectNothingHeld();
  });

  it("any sequence of steps gives what the direct cache gives", async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("append"), n: fc.integer({ min: 0, max: 40 }) }),
      fc.record({ kind: fc.constant("attend"), n: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ kind: fc.constantFrom("truncate", "reorder", "read"), n: fc.nat(70) }),
    );
    type Cache = saccade.KvCache | WorkerKvCache;
    const run = (cache: Cache, { kind, n }: { kind: string; n: number }): unknown => {
      const either = cache as saccade.KvCache;
      if (kind === "append") return either.append(tokens(n), tokens(n));
      if (kind === "attend") return either.attend(tokens(n), { returnLse: true });
      if (kind === "truncate") return either.truncate([n, Math.max(0, n - 1)]);
      return kind === "reorder" ? either.reorder([n % 3, 0]) : either.read(0, n);
    };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
        using direct = new saccade.KvCache(options);
        using there = await remote.KvCache.create(options);
        for (const each of steps) {
          sameOutcome(await outcomeOf(() => run(there, each)), await outcomeOf(() => run(direct, each)), each.kind);
          expect(there.lengths).toEqual(direct.lengths);
        }
      }),
      { numRuns: 30 },
    );
    await expectNothingHeld();
  });
});
