// Caches as bytes: the same content gives the same bytes, and bytes that are not a cache's are refused.
import { createEngine, init, KvCache } from "saccade";
import { describe, expect, it } from "vitest";
import { thrownBy } from "../api/refusal.ts";
import { dtypes } from "./arbitrary.ts";
import { crc32 } from "./crc32.ts";
import { attendCache, sameResults, tensor } from "./model.ts";
import { same } from "./walk.ts";

const sizes = { batch: 2, numKvHeads: 2, headDim: 12, valueHeadDim: 7, capacity: 200 };
const key = (n: number, seed = n) => tensor([2, n, 2, 12], seed);
const value = (n: number, seed = n) => tensor([2, n, 2, 7], seed + 1);

const kinds = [
  {},
  { pageSize: 64 },
  { window: { left: 60 } },
  { window: { left: 70, first: 9 }, pageSize: 128 },
  {
    rope: {
      base: 777,
      rotaryDim: 8,
      scaling: { type: "llama3", factor: 8, originalMaxPositionEmbeddings: 64, lowFreqFactor: 1, highFreqFactor: 4 },
    },
  },
  {
    rope: {
      seqLen: 300,
      scaling: {
        type: "longrope",
        shortFactor: [1, 2, 3, 4, 5, 6],
        longFactor: Float32Array.of(2, 3, 4, 5, 6, 7.1),
        originalMaxPositionEmbeddings: 64,
      },
    },
  },
] as const;

function filled(options: object): KvCache {
  const cache = new KvCache({ ...sizes, ...options });
  for (const n of [50, 33, 64, 7]) cache.append(key(n), value(n), { lengths: [n, n - 5] });
  return cache;
}

/** Bytes with a word changed and a checksum that fits again. */
function forged(bytes: Uint8Array, at: number, word: number, size = 4): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  if (size === 4) view.setUint32(at, word, true);
  else view.setUint16(at, word, true);
  view.setUint32(copy.length - 4, crc32(copy.subarray(0, -4)), true);
  return copy;
}

const corrupt = (bytes: Uint8Array): string => {
  const error = thrownBy(() => KvCache.deserialize(bytes));
  expect(error.code).toBe("ERR_SACCADE_CORRUPT");
  return error.message;
};

describe("a round trip", () => {
  it.each(kinds.flatMap((kind) => dtypes.map((dtype) => ({ ...kind, dtype }))))("%j", async (options) => {
    using cache = filled(options);
    const bytes = cache.serialize();
    using copy = KvCache.deserialize(bytes);
    using engine = await createEngine();
    using elsewhere = KvCache.deserialize(bytes, { engine });
    for (const other of [copy, elsewhere]) {
      expect(same(other.serialize(), bytes)).toBe(true);
      expect([other.length, other.lengths, other.retained, other.capacity, other.dtype, other.batch]).toEqual([
        ...[cache.length, cache.lengths, cache.retained, cache.capacity, cache.dtype, cache.batch],
      ]);
    }
    const query = tensor([2, 3, 4, 12], 9);
    for (let step = 0; step < 3; step++) {
      const expected = attendCache(cache, query);
      sameResults(attendCache(copy, query), expected, "copy");
      sameResults(attendCache(elsewhere, query), expected, "elsewhere");
      for (const each of [cache, copy, elsewhere]) each.append(key(9, step), value(9, step));
    }
  });

  it("shows nothing of what was cut off, or of who shares what", () => {
    for (const options of [{}, { pageSize: 64 }]) {
      using plain = new KvCache({ ...sizes, ...options });
      plain.append(key(70), value(70));
      using cut = new KvCache({ ...sizes, ...options });
      cut.append(key(70), value(70));
      using fork = cut.fork();
      cut.append(key(100), value(100));
      cut.truncate(70);
      fork.reorder([1, 0]);
      fork.reorder([1, 0]);
      expect(same(cut.serialize(), plain.serialize())).toBe(true);
      expect(same(fork.serialize(), plain.serialize())).toBe(true);
    }
  });

  it("of an empty cache", () => {
    using cache = new KvCache({ ...sizes, pageSize: 64 });
    using copy = KvCache.deserialize(cache.serialize());
    expect(copy.length).toBe(0);
  });
});

describe("bytes that are no cache", () => {
  it("whatever byte is another one", async () => {
    await init();
    using cache = filled({ dtype: "int8", pageSize: 64 });
    const bytes = cache.serialize();
    const { SACCADE_LONG } = process.env;
    const step = SACCADE_LONG === "1" ? 1 : 97;
    for (let at = 0; at < bytes.length; at += at < 80 ? 1 : step) {
      const other = bytes.slice();
      other[at]! ^= 1 << (at % 8);
      corrupt(other);
    }
  });

  it("cut short, too long, of another kind", () => {
    using cache = filled({});
    const bytes = cache.serialize();
    for (const length of [0, 4, 47, 48, 63, 64, bytes.length - 64, bytes.length - 4, bytes.length - 1]) {
      corrupt(bytes.subarray(0, length));
    }
    const longer = new Uint8Array(bytes.length + 64);
    longer.set(bytes);
    corrupt(longer);
    expect(corrupt(forged(bytes, 0, 0x50434153))).toMatch(/do not begin with SACK/);
    expect(corrupt(forged(bytes, 4, 1, 2))).toMatch(/version 1; this is a reader of version 2/);
    for (const given of [undefined, [], new ArrayBuffer(64), new Uint16Array(64)]) {
      expect(thrownBy(() => KvCache.deserialize(given as never)).code).toBe("ERR_SACCADE_ARGUMENT");
    }
    expect(thrownBy(() => KvCache.deserialize(bytes, { engin: 1 } as never)).code).toBe("ERR_SACCADE_OPTION");
  });

  it("forged numbers with a checksum that fits", async () => {
    // Numbers that are only large are no reason to refuse bytes: there memory is out, and nothing is left behind.
    using engine = await createEngine({ memory: { maximumMiB: 8 } });
    using cache = filled({ window: { left: 60 }, pageSize: 64 });
    const bytes = cache.serialize();
    const words = [0, 1, 2, 7, 63, 64, 65, 0xffff, 2 ** 24, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
    let refused = 0;
    for (let at = 8; at < 64; at += 4) {
      const before = new DataView(bytes.buffer).getUint32(at, true);
      for (const word of words) {
        if (word === before) continue;
        try {
          // What is left may be another cache, but a whole one.
          using other = KvCache.deserialize(forged(bytes, at, word), { engine });
          expect(other.serialize().length).toBe(bytes.length);
        } catch (error) {
          expect((error as { code?: string }).code).toMatch(/^ERR_SACCADE_(CORRUPT|OUT_OF_MEMORY)$/);
          refused += 1;
        }
      }
    }
    expect(refused).toBeGreaterThan(100);
    expect(engine.stats().liveBytes).toBe(0);
    for (const flags of [0, 1, 2, 7, 8, 0xffff]) expect(corrupt(forged(bytes, 6, flags, 2))).toMatch(/no cache/);
  });

  it("forged options of rope", () => {
    using cache = filled({ rope: { base: 12 } });
    const bytes = cache.serialize();
    const at = 48 + 16;
    expect(new TextDecoder().decode(bytes.subarray(at, at + 11))).toBe('{"base":12}');
    for (const text of ['{"base":-2}', '{"bose":12}', '{"base":12 ', '"base is 12', "[1,2,3,4,5]"]) {
      const copy = bytes.slice();
      copy.set(new TextEncoder().encode(text), at);
      corrupt(forged(copy, 0, 0x4b434153));
    }
  });
});
