/** What every engine must show of caches: random walks beside a plain model, and the laws by name. */
import * as fc from "fast-check";
import { runs } from "../conformance/arbitrary.ts";
import { type Case, type Context, close, ok, sameBits } from "../conformance/harness.ts";
import { dtypes, sketches, steps } from "./arbitrary.ts";
import { int8Cases } from "./int8.ts";
import {
  attendCache,
  type Cache,
  type CacheOptions,
  type Floats,
  Model,
  type Plain,
  sameResults,
  tensor,
} from "./model.ts";
import { Walk } from "./walk.ts";

/** Rows `from` up to `to` of `[batch, n, heads, width]`. */
function sliced({ data, shape }: Plain, from: number, to: number): Plain {
  const [batch, n, heads, width] = shape as [number, number, number, number];
  const row = heads * width;
  const part = new Float32Array(batch * (to - from) * row);
  for (let b = 0; b < batch; b++) {
    part.set(data.subarray((b * n + from) * row, (b * n + to) * row), b * (to - from) * row);
  }
  return { data: part, shape: [batch, to - from, heads, width] };
}

const layouts: { name: string; options: Pick<CacheOptions, "window" | "pageSize"> }[] = [
  { name: "linear", options: {} },
  { name: "paged", options: { pageSize: 64 } },
  { name: "ring", options: { window: { left: 100, first: 3 } } },
  { name: "ring of pages", options: { window: { left: 100, first: 70 }, pageSize: 128 } },
];

const walkCase: Case = {
  name: "cache strict: any sequence of calls is what a plain model says",
  async run(context) {
    const engine = await context.engine("strict");
    fc.assert(
      fc.property(sketches, steps(18), (sketch, taken) => {
        const before = engine.stats().liveBytes;
        const walk = new Walk(context.library, engine, sketch);
        try {
          taken.forEach((step, index) => {
            walk.step(step, index);
          });
        } finally {
          walk.end();
        }
        ok(engine.stats().liveBytes === before, "memory is left behind");
      }),
      runs(context.long, 60),
    );
  },
};

/** Runs what makes caches, and disposes of them; browsers do not all know `using`. */
function keeping(body: (keep: (cache: Cache) => Cache) => void): void {
  const kept: Cache[] = [];
  try {
    body((cache) => {
      kept.push(cache);
      return cache;
    });
  } finally {
    for (const cache of kept) cache.dispose();
  }
}

/** The whole prompt at once, in chunks, and token by token. */
function chunkCase(dtype: (typeof dtypes)[number], { name, options }: (typeof layouts)[number]): Case {
  return {
    name: `cache strict: prefill at once = in chunks = token by token, ${dtype}, ${name}`,
    async run({ library, engine: engineOf }: Context) {
      const engine = await engineOf("strict");
      keeping((keep) => {
        const sizes = { batch: 2, numKvHeads: 2, headDim: 40, valueHeadDim: 24 };
        const n = 190;
        const key = tensor([2, n, 2, 40], 1);
        const value = tensor([2, n, 2, 24], 2);
        const query = tensor([2, n, 6, 40], 3);
        const all = { out: new Float32Array(0) };
        for (const chunk of [n, 64, 33, 1]) {
          const cache = keep(new library.KvCache({ ...sizes, ...options, capacity: 320, dtype, engine }));
          const parts: Float32Array[] = [];
          for (let from = 0; from < n; from += chunk) {
            const to = Math.min(n, from + chunk);
            cache.append(sliced(key, from, to), sliced(value, from, to));
            parts.push(cache.attend(sliced(query, from, to)).out.data as Floats);
          }
          const out = joined(parts, 2);
          if (chunk === n) all.out = out;
          else sameBits(out, all.out, `chunks of ${chunk}`);
        }
      });
    },
  };
}

/** Results of consecutive chunks, as if at once. */
function joined(parts: Float32Array[], batch: number): Floats {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (let b = 0; b < batch; b++) {
    for (const part of parts) {
      const own = part.subarray((b * part.length) / batch, ((b + 1) * part.length) / batch);
      whole.set(own, at);
      at += own.length;
    }
  }
  return whole;
}

const ringCase: Case = {
  name: "cache strict: a ring gives the bits of the full cache with the same window, far beyond its capacity",
  async run({ library, engine: engineOf }) {
    const engine = await engineOf("strict");
    keeping((keep) => {
      const window = { left: 60, first: 5 };
      const ring = keep(new library.KvCache({ batch: 1, numKvHeads: 1, headDim: 16, capacity: 128, window, engine }));
      const n = 1000;
      const [key, value, query] = [1, 2, 3].map((seed) => tensor([1, n, 1, 16], seed)) as [Plain, Plain, Plain];
      const { out } = library.attention(query, key, value, { causal: true, window, engine });
      for (let from = 0; from < n; from += 17) {
        const to = Math.min(n, from + 17);
        ring.append(sliced(key, from, to), sliced(value, from, to));
        const got = ring.attend(sliced(query, from, to)).out.data as Floats;
        sameBits(got, (out.data as Floats).slice(from * 16, to * 16), `positions from ${from}`);
      }
      ok(ring.length === n && ring.retained === 64 + 128, `${ring.retained} positions are kept`);
    });
  },
};

const forkCase: Case = {
  name: "cache strict: forks, truncated and reordered caches never see another's tokens",
  async run({ library, engine: engineOf }) {
    const engine = await engineOf("strict");
    keeping((keep) => {
      for (const { name, options } of layouts) {
        for (const dtype of dtypes) {
          const make = () =>
            new library.KvCache({ batch: 2, numKvHeads: 1, headDim: 24, capacity: 320, dtype, engine, ...options });
          const rows = (seed: number, n: number) => tensor([2, n, 1, 24], seed);
          const add = (cache: Cache, seed: number, n: number) => cache.append(rows(seed, n), rows(seed + 1, n));
          const query = rows(9, 2);
          const plain = keep(make());
          add(plain, 1, 100);
          add(plain, 5, 30);
          const base = keep(make());
          add(base, 1, 100);
          const left = keep(base.fork());
          const right = keep(base.fork());
          add(left, 3, 20);
          left.truncate(100);
          add(left, 5, 30);
          add(right, 7, 30);
          sameResults(attendCache(left, query), attendCache(plain, query), `${name} ${dtype}: truncate, then append`);
          base.reorder([1, 0]);
          base.reorder([1, 0]);
          add(base, 5, 30);
          sameResults(attendCache(base, query), attendCache(plain, query), `${name} ${dtype}: base after its forks`);
        }
      }
    });
  },
};

const lateBlockCase: Case = {
  name: "cache strict: weights of a block that only the last of many rows see",
  async run({ library, engine: engineOf }) {
    const engine = await engineOf("strict");
    keeping((keep) => {
      for (const dtype of dtypes) {
        const options = { batch: 1, numKvHeads: 1, headDim: 8, capacity: 128, dtype, engine };
        const cache = keep(new library.KvCache(options));
        const model = new Model(library, engine, options);
        const [key, value, query] = [65, 65, 5].map((n, i) => tensor([1, n, 1, 8], i)) as [Plain, Plain, Plain];
        cache.append(key, value);
        model.append(key, value, [65]);
        sameResults(attendCache(cache, query), model.attend(query, {}), dtype);
      }
    });
  },
};

const ropeCase: Case = {
  name: "cache strict: rope at append and attend is rope before attention",
  async run({ library, engine: engineOf }) {
    const engine = await engineOf("strict");
    keeping((keep) => {
      const yarn = { type: "yarn", factor: 4, originalMaxPositionEmbeddings: 64 } as const;
      for (const rope of [{}, { style: "interleaved", base: 500, rotaryDim: 8 }, { scaling: yarn }] as const) {
        const n = 150;
        const [key, value, query] = [1, 2, 3].map((seed) => tensor([2, n, 2, 16], seed)) as [Plain, Plain, Plain];
        const lengths = [n, 90];
        const cache = keep(new library.KvCache({ batch: 2, numKvHeads: 2, headDim: 16, capacity: 256, rope, engine }));
        cache.append(sliced(key, 0, 80), sliced(value, 0, 80));
        cache.append(sliced(key, 80, n), sliced(value, 80, n), { lengths: [70, 10] });
        const last = sliced(query, 0, 7);
        const positions = {
          data: Int32Array.from({ length: 14 }, (_, i) => lengths[Math.floor(i / 7)]! - 7 + (i % 7)),
          shape: [2, 7],
        };
        const turned = library.rope(last, { ...rope, positions, engine });
        const options = { causal: true, qOffset: "bottom-right", kvLengths: lengths, engine } as const;
        const { out } = library.attention(turned, library.rope(key, { ...rope, engine }), value, options);
        sameBits(cache.attend(last).out.data as Floats, out.data as Floats, JSON.stringify(rope));
        const copy = keep(library.KvCache.deserialize(cache.serialize(), { engine }));
        sameBits(copy.attend(last).out.data as Floats, out.data as Floats, `${JSON.stringify(rope)}, restored`);
      }
    });
  },
};

const fastCase: Case = {
  name: "cache fast: near attention over all keys",
  needs: "relaxedSimd",
  async run({ library, engine: engineOf }) {
    const engine = await engineOf("fast");
    keeping((keep) => {
      const cache = keep(new library.KvCache({ batch: 1, numKvHeads: 2, headDim: 64, capacity: 300, engine }));
      const key = tensor([1, 300, 2, 64], 1);
      const value = tensor([1, 300, 2, 64], 2);
      const query = tensor([1, 5, 4, 64], 3);
      cache.append(key, value);
      const { out } = library.attention(query, key, value, { causal: true, qOffset: "bottom-right", engine });
      const got = cache.attend(query).out.data as Floats;
      close(got, out.data as Floats, () => 1e-5, "out");
    });
  },
};

export const cacheCases: Case[] = [
  walkCase,
  ...dtypes.flatMap((dtype) => layouts.map((layout) => chunkCase(dtype, layout))),
  ringCase,
  forkCase,
  lateBlockCase,
  ropeCase,
  fastCase,
  ...int8Cases,
];
