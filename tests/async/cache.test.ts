// Caches fill, are read, stored and restored by asynchronous calls as they are by direct ones: the same bits, in slices, and where a call
// is stopped nothing of it is left.
import { createEngine, type Engine, KvCache, type KvCacheOptions } from "saccade";
import { afterEach, describe, expect, it, vi } from "vitest";
import { counted } from "../worker/cases.ts";
import { refusal, turn } from "../worker/expected.ts";
import { outcomeOf, same, sameOutcome } from "../worker/same.ts";

const SIZES = { batch: 2, numKvHeads: 2, headDim: 16, capacity: 2048 };
const FORMS: readonly (readonly [string, Partial<KvCacheOptions>])[] = [
  ["float32", {}],
  ["float16 in pages", { dtype: "float16", pageSize: 128 }],
  ["int8", { dtype: "int8" }],
  ["int8, a rotary ring", { dtype: "int8", rope: {}, window: { left: 200, first: 4 }, capacity: 1800 }],
];
const rows = (n: number) => counted(2, n, 2, 16);

let engines: Engine[] = [];
const engineOf = async (threads: number) => {
  const engine = await createEngine({ threads });
  engines.push(engine);
  return engine;
};
afterEach(() => {
  vi.restoreAllMocks();
  for (const engine of engines) engine.dispose();
  engines = [];
});

/** A clock that goes on with every look by more than a slice lasts. */
function slowClock(): void {
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => {
    now += 6;
    return now;
  });
}

describe.each(FORMS)("a cache of %s", (_, options) => {
  it.each([1, 2])("has the bits of direct calls on %i threads, and gives all memory back", async (threads) => {
    const engine = await engineOf(threads);
    const live = engine.stats().liveBytes;
    const expected = new KvCache({ ...SIZES, ...options, engine });
    const cache = new KvCache({ ...SIZES, ...options, engine });
    const lengths = { lengths: [1500, 700] };
    // By such a clock another thread would be late at once.
    if (threads === 1) slowClock();
    for (const [n, more] of [[100], [1500, lengths], [3]] as const) {
      expected.append(rows(n), rows(n), more);
      const seen: number[] = [];
      const total = new Set<number>();
      const onProgress = (progress: { done: number; total: number }) => {
        seen.push(progress.done);
        total.add(progress.total);
      };
      await cache.appendAsync(rows(n), rows(n), { ...more, onProgress });
      expect(seen).toEqual(seen.toSorted((a, b) => a - b));
      expect([...total]).toEqual([seen.at(-1)]);
    }
    expect(cache.lengths).toEqual(expected.lengths);
    const bytes = expected.serialize();
    same(await cache.serializeAsync(), bytes, "serialize");
    const from = cache.length - 150;
    same(await cache.readAsync(from, cache.length), expected.read(from, cache.length), "read");
    const restored = await KvCache.deserializeAsync(bytes, { engine });
    same(restored.serialize(), bytes, "deserialize");
    for (const each of [restored, cache, expected]) each.dispose();
    expect(engine.stats().liveBytes).toBe(live);
  });

  it("is as it was where appending is stopped on the way, and can be used", async () => {
    const engine = await engineOf(1);
    using cache = new KvCache({ ...SIZES, ...options, engine });
    cache.append(rows(100), rows(100));
    const [before, live] = [cache.serialize(), engine.stats().liveBytes];
    slowClock();
    const stop = new AbortController();
    let reports = 0;
    const onProgress = () => {
      reports += 1;
      if (reports === 4) stop.abort(new Error("stopped"));
    };
    await expect(cache.appendAsync(rows(1500), rows(1500), { signal: stop.signal, onProgress })).rejects.toThrow(
      "stopped",
    );
    expect(reports).toBe(4);
    while (engine.stats().liveBytes !== live) await turn();
    same(cache.serialize(), before, "content");
    cache.append(rows(5), rows(5));
    expect(cache.lengths).toEqual([105, 105]);
  });
});

describe("asynchronous calls to a cache", () => {
  it("that write keep others away, those that read keep writers away", async () => {
    const engine = await engineOf(1);
    using cache = new KvCache({ ...SIZES, engine });
    cache.append(rows(10), rows(10));
    const busy = refusal("BUSY", /this cache is in use/);
    const appended = cache.appendAsync(rows(10), rows(10));
    const query = counted(2, 1, 2, 16);
    for (const call of [
      () => cache.append(rows(1), rows(1)),
      () => cache.attend(query),
      () => cache.read(0, 1),
      () => cache.fork(),
      () => cache.serialize(),
      () => cache.truncate(1),
      () => cache.reorder([1, 0]),
    ]) {
      expect(call).toThrow(busy);
    }
    await expect(cache.attendAsync(query)).rejects.toEqual(busy);
    await appended;
    const reads = [cache.readAsync(0, 20), cache.serializeAsync(), cache.attendAsync(query)];
    expect(() => cache.append(rows(1), rows(1))).toThrow(busy);
    await expect(cache.appendAsync(rows(1), rows(1))).rejects.toEqual(busy);
    cache.read(0, 1);
    await Promise.all(reads);
    cache.append(rows(1), rows(1));
    expect(cache.lengths).toEqual([21, 21]);
  });

  it("are refused as the direct ones are, and change nothing", async () => {
    for (const threads of [1, 2]) {
      const engine = await engineOf(threads);
      using cache = new KvCache({ ...SIZES, dtype: "int8", engine });
      cache.append(rows(10), rows(10));
      const before = cache.serialize();
      const infinite = rows(1000);
      infinite.data[20_000] = Number.POSITIVE_INFINITY;
      const live = engine.stats().liveBytes;
      for (const [key, value, options] of [
        [rows(1000), infinite],
        [infinite, rows(1000)],
        [rows(2040), rows(2040)],
        [rows(3), rows(2)],
        [rows(3), rows(3), { lengths: [4, 0] }],
        [rows(3), rows(3), { nonsense: 1 }],
      ] as const) {
        const expected = await outcomeOf(() => cache.append(key, value, options as object));
        sameOutcome(await outcomeOf(() => cache.appendAsync(key, value, options as object)), expected, "append");
      }
      sameOutcome(await outcomeOf(() => cache.readAsync(0, 11)), await outcomeOf(() => cache.read(0, 11)), "read");
      const broken = before.slice();
      broken[broken.length >> 1]! ^= 1;
      sameOutcome(
        await outcomeOf(() => KvCache.deserializeAsync(broken, { engine })),
        await outcomeOf(() => KvCache.deserialize(broken, { engine })),
        "deserialize",
      );
      await expect(cache.readAsync(0, 1, { nonsense: 1 } as object)).rejects.toThrow(/nonsense/);
      await expect(cache.serializeAsync({ nonsense: 1 } as object)).rejects.toThrow(/nonsense/);
      expect(engine.stats().liveBytes).toBe(live);
      same(cache.serialize(), before, "content");
    }
  });

  it("end where the cache, or the engine, is disposed of meanwhile", async () => {
    const engine = await engineOf(1);
    const live = engine.stats().liveBytes;
    const cache = new KvCache({ ...SIZES, engine });
    const appended = cache.appendAsync(rows(500), rows(500));
    cache.dispose();
    await appended;
    expect(engine.stats().liveBytes).toBe(live);
    const other = new KvCache({ ...SIZES, pageSize: 64, engine });
    other.append(rows(100), rows(100));
    slowClock();
    const bytes = other.serialize();
    const onProgress = () => engine.dispose();
    const ended = refusal("DISPOSED", /engine/);
    const all = [other.serializeAsync(), KvCache.deserializeAsync(bytes, { engine })];
    const last = other.readAsync(0, 100, { onProgress });
    await Promise.all(all);
    await expect(last).rejects.toEqual(ended);
    const third = await engineOf(1);
    const dying = new KvCache({ ...SIZES, pageSize: 64, engine: third });
    await expect(dying.appendAsync(rows(1500), rows(1500), { onProgress: () => third.dispose() })).rejects.toEqual(
      ended,
    );
  });

  it("that make a cache of bytes leave none behind where they are stopped", async () => {
    const engine = await engineOf(1);
    const bytes = (() => {
      using cache = new KvCache({ ...SIZES, engine });
      cache.append(rows(2000), rows(2000));
      return cache.serialize();
    })();
    const live = engine.stats().liveBytes;
    slowClock();
    for (const stopAt of [1, 2, 3, 5, 8]) {
      let reports = 0;
      const onProgress = () => {
        reports += 1;
        if (reports === stopAt) throw new Error("stopped");
      };
      const outcome = KvCache.deserializeAsync(bytes, { engine, onProgress });
      await expect(outcome).rejects.toThrow("stopped");
      expect(engine.stats().liveBytes).toBe(live);
    }
  });
});
