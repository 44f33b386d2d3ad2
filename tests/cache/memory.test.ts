// Memory of caches: what is shared, what is copied, what is given back, and growth at bad moments.
import { attention, createEngine, KvCache, Tensor } from "saccade";
import { describe, expect, it } from "vitest";
import { withEngine } from "../api/refusal.ts";
import { attendCache, painted, sameResults, tensor } from "./model.ts";

const sizes = { batch: 1, numKvHeads: 2, headDim: 16, capacity: 1024 };
const rows = (n: number, seed = n) => tensor([1, n, 2, 16], seed);
/** Bytes of a page of 64 positions: `64 (16 + 16) + 24` float32 per head. */
const PAGE = 2 * 4 * (64 * 32 + 24);

const { SACCADE_LONG } = process.env;
const LONG = SACCADE_LONG === "1";

describe("pages", () => {
  it("are taken as they are needed, shared by forks, and copied one by one", () =>
    withEngine({}, (engine) => {
      const live = () => engine.stats().liveBytes;
      const start = live();
      const cache = new KvCache({ ...sizes, pageSize: 64, engine });
      const table = live() - start;
      const pages = (others = 1) => (live() - start - others * table) / PAGE;
      cache.append(rows(130), rows(130));
      expect(pages()).toBe(3);
      const fork = cache.fork();
      expect(pages(2)).toBe(3);
      fork.append(rows(1), rows(1));
      expect(pages(2)).toBe(4);
      cache.append(rows(1), rows(1));
      expect(pages(2)).toBe(4);
      cache.truncate(64);
      expect(pages(2)).toBe(3);
      cache.dispose();
      expect(pages()).toBe(3);
      fork.truncate(0);
      expect(pages()).toBe(0);
      fork.dispose();
      expect(live()).toBe(start);
    }));

  it("of rows that come from one row are one until they write", () =>
    withEngine({}, (engine) => {
      const cache = new KvCache({ ...sizes, batch: 4, pageSize: 64, engine });
      const table = engine.stats().liveBytes;
      const four = (n: number) => tensor([4, n, 2, 16], n);
      cache.append(four(100), four(100));
      expect((engine.stats().liveBytes - table) / PAGE).toBe(8);
      cache.reorder([2, 2, 2, 2]);
      expect((engine.stats().liveBytes - table) / PAGE).toBe(2);
      cache.append(four(1), four(1));
      expect((engine.stats().liveBytes - table) / PAGE).toBe(5);
    }));

  it("of a ring never grow, however long the sequence", () =>
    withEngine({}, (engine) => {
      const cache = new KvCache({ ...sizes, capacity: 128, window: { left: 64, first: 4 }, engine });
      cache.append(rows(60), rows(60));
      const { liveBytes } = engine.stats();
      for (let i = 0; i < 500; i++) cache.append(rows(60, i), rows(60, i + 1));
      expect(cache.length).toBe(30_060);
      // The table has an entry for each block of 64 positions.
      expect(engine.stats().liveBytes - liveBytes).toBeLessThan(8192);
    }));
});

describe("growth of the memory is harmless", () => {
  it("at every append and attend", () =>
    withEngine({ memory: { initialMiB: 1 } }, (engine) => {
      using cache = new KvCache({ ...sizes, pageSize: 64, engine });
      const [k, v] = [rows(300, 1), rows(300, 2)];
      const query = tensor([1, 1, 4, 16], 3);
      const held: Tensor[] = [];
      for (let i = 0; i < 300; i++) {
        const one = (data: Float32Array) => ({ data: data.slice(i * 32, i * 32 + 32), shape: [1, 1, 2, 16] });
        cache.append(one(k.data), one(v.data));
        if (i % 50 === 0) {
          const before = engine.stats().memoryBytes;
          while (engine.stats().memoryBytes === before) held.push(Tensor.empty([2 ** 18], "float32", { engine }));
        }
        if (i % 37 !== 0) continue;
        const part = (data: Float32Array) => ({ data: data.slice(0, (i + 1) * 32), shape: [1, i + 1, 2, 16] });
        const options = { causal: true, qOffset: "bottom-right", returnLse: true, returnWeights: true } as const;
        const { out, lse, weights } = attention(query, part(k.data), part(v.data), options);
        const expected = { out: out.data, lse: lse.data, weights: weights.data };
        sameResults(attendCache(cache, query), expected as Parameters<typeof sameResults>[1], `${i}`);
      }
    }));

  it("by the call's own operands and results", () =>
    withEngine({ memory: { initialMiB: 1 } }, (engine) => {
      using cache = new KvCache({ ...sizes, capacity: 5000, engine });
      const { memoryBytes } = engine.stats();
      cache.append(rows(5000), rows(5000));
      const { weights } = cache.attend(tensor([1, 64, 2, 16], 1), { returnWeights: true });
      expect(engine.stats().memoryBytes).toBeGreaterThan(memoryBytes);
      expect(weights.data.subarray(0, 5000).reduce((sum, w) => sum + w, 0)).toBeCloseTo(1, 4);
    }));

  it("with resident tensors nothing but the results is new", () =>
    withEngine({}, (engine) => {
      using cache = new KvCache({ ...sizes, engine });
      using key = Tensor.from(rows(1), { engine });
      using query = Tensor.from(tensor([1, 1, 2, 16], 1), { engine });
      using out = Tensor.zeros([1, 1, 2, 16], "float32", { engine });
      cache.append(key, key);
      expect(cache.attend(query, { out }).out).toBe(out);
      expect([...out.view()]).toEqual([...key.view()]);
    }));
});

describe("many steps", () => {
  it(`${LONG ? "a million" : "20,000"} end where they began, and never hold more than their tokens need`, async () => {
    const engine = await createEngine();
    const start = engine.stats().liveBytes;
    const random = painted(1 << 16, 5);
    const options = { batch: 2, numKvHeads: 1, headDim: 8, capacity: 1000, pageSize: 64, engine };
    const page = Math.ceil((4 * (64 * 16 + 24)) / 64) * 64;
    const [key, value] = [tensor([2, 8, 1, 8], 1), tensor([2, 8, 1, 8], 2)];
    using residentKey = Tensor.from(key, { engine });
    using residentValue = Tensor.from(value, { engine });
    const base = engine.stats().liveBytes;
    const caches = [new KvCache(options)];
    let most = 0;
    for (let step = 0; step < (LONG ? 1_000_000 : 20_000); step++) {
      const x = Math.abs(random[step % random.length]!) * 1000 + step;
      const cache = caches[Math.floor(x) % caches.length]!;
      const choice = Math.floor(x / 7) % 16;
      if (choice < 9) {
        if (cache.length <= 992) cache.append(residentKey, residentValue);
      } else if (choice < 11) cache.truncate(Math.floor(x * 31) % (cache.length + 1));
      else if (choice < 13 && caches.length < 6) caches.push(cache.fork());
      else if (choice < 14) cache.reorder([1, 0]);
      else if (caches.length > 1) {
        cache.dispose();
        caches.splice(caches.indexOf(cache), 1);
      }
      if (step % 100 !== 0) continue;
      // No more than each cache would hold by itself: its pages, and a table of at most 16 entries a row.
      const bound = caches.reduce((sum, { lengths }) => {
        const pages = lengths.reduce((count, length) => count + Math.ceil(length / 64), 0);
        return sum + pages * page + 192;
      }, base);
      const { liveBytes } = engine.stats();
      expect(liveBytes).toBeLessThanOrEqual(bound);
      most = Math.max(most, liveBytes - base);
    }
    expect(most).toBeGreaterThan(page);
    for (const cache of caches) cache.dispose();
    residentKey.dispose();
    residentValue.dispose();
    expect(engine.stats().liveBytes).toBe(start);
    engine.dispose();
  }, 600_000);
});
