/** What every engine must show of int8 caches: recorded bits, edges of blocks and pairs, and numbers at the ends of their ranges. */
import { type Case, type Context, equal, ok } from "../conformance/harness.ts";
import { margins } from "../reference/bound.mjs";
import { hashOf } from "../vectors/hash.ts";
import { type Paint, paint } from "../vectors/paint.ts";
import { attendCache, type Cache, type Floats, Model, type Plain, type Results, sameResults, tensor } from "./model.ts";

/** A painted call over a full cache, and the hashes of out and lse: `tests/data/cache/int8.json`. */
interface Recorded {
  id: string;
  shape: Record<"batch" | "qLen" | "kvLen" | "numHeads" | "numKvHeads" | "headDim" | "valueHeadDim", number>;
  paint: Record<"query" | "key" | "value", Paint>;
  sha256: [out: string, lse: string];
}

/** Query, keys and values of heads, made of the numbers that a function gives for each place. */
type Numbers = (place: "query" | "key" | "value", row: number, lane: number) => number;

function filled(place: "query" | "key" | "value", rows: number, heads: number, width: number, numbers: Numbers): Plain {
  const data = Float32Array.from({ length: rows * heads * width }, (_, i) =>
    numbers(place, Math.floor(i / (heads * width)), i % width),
  );
  return { data, shape: [1, rows, heads, width] };
}

/** The results over a cache of one kv head, after they were found to be the model's. */
async function attended(
  { library, engine: engineOf }: Context,
  [qLen, kvLen, headDim, valueHeadDim]: [number, number, number, number],
  numbers: Numbers | number,
  heads = 2,
): Promise<Results> {
  const engine = await engineOf("strict");
  const options = { batch: 1, numKvHeads: 1, headDim, valueHeadDim, capacity: 256, dtype: "int8", engine } as const;
  const cache: Cache = new library.KvCache(options);
  try {
    const model = new Model(library, engine, options);
    const make = (place: "query" | "key" | "value", rows: number, heads: number, width: number) =>
      typeof numbers === "number"
        ? tensor([1, rows, heads, width], numbers + width + place.length)
        : filled(place, rows, heads, width, numbers);
    const [key, value] = [make("key", kvLen, 1, headDim), make("value", kvLen, 1, valueHeadDim)];
    const query = make("query", qLen, heads, headDim);
    cache.append(key, value);
    model.append(key, value, [kvLen]);
    const got = attendCache(cache, query);
    sameResults(got, model.attend(query, {}), `${kvLen} keys, ${headDim} and ${valueHeadDim} wide`);
    return got;
  } finally {
    cache.dispose();
  }
}

const KEYS = [1, 3, 4, 5, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 129];
const WIDTHS = [
  ...[
    [1, 1],
    [2, 3],
    [7, 9],
    [31, 33],
    [64, 64],
    [65, 8],
    [80, 80],
  ],
  ...[
    [96, 40],
    [127, 16],
    [256, 31],
    [511, 2],
    [512, 5],
    [513, 1],
    [600, 24],
  ],
] as [number, number][];

const edgeCase: Case = {
  name: "cache int8: the bits of the contract at the edges of blocks, pairs and segments",
  async run(context) {
    for (const [index, [headDim, valueHeadDim]] of WIDTHS.entries()) {
      for (const kvLen of KEYS)
        await attended(context, [1 + ((index + kvLen) % 5), kvLen, headDim, valueHeadDim], kvLen);
    }
  },
};

const extremeCase: Case = {
  name: "cache int8: no sum overflows where all integers are as large as they get",
  async run(context) {
    for (const headDim of [64, 511, 512, 513, 1024]) {
      for (const sign of [1, -1]) {
        const numbers: Numbers = (place) => (place === "query" ? sign : 1);
        const { out, lse } = await attended(context, [2, 129, headDim, 40], numbers);
        // All scores are equal, so the result is every value's.
        const most = out.reduce((most, x) => Math.max(most, Math.abs(x - 1)), 0);
        ok(most < 1e-6, `${headDim} wide: out is off by ${most}`);
        // The last row sees 129 keys; its score is sqrt(headDim).
        const expected = sign * Math.sqrt(headDim) + Math.log(129);
        ok(Math.abs(lse[1]! - expected) < 1e-4, `${headDim} wide: lse is ${lse[1]}, not ${expected}`);
      }
    }
  },
};

const zeroCase: Case = {
  name: "cache int8: rows of zeros",
  async run(context) {
    const none: Numbers = () => 0;
    const { out } = await attended(context, [2, 70, 9, 5], none);
    ok(
      out.every((x) => Object.is(x, 0)),
      "zeros do not give zeros",
    );
    for (const zero of ["query", "key", "value"]) {
      await attended(context, [2, 70, 9, 5], (place, row, lane) =>
        place === zero && row % 3 !== 1 ? 0 : Math.sin(row * 7 + lane),
      );
    }
  },
};

/** Magnitudes that the rows go through in turn. */
const MAGNITUDES = [1, 1e-38, 1e-45, 3e38, 1e30, 1e-30, 1e-20, 1e20, 2 ** -112, 2 ** -113, 2 ** -105];

const scaleCase: Case = {
  name: "cache int8: scales from the smallest to the largest, side by side and alone",
  async run(context) {
    const wave = (row: number, lane: number) => Math.cos(row * 5 + lane * 3);
    for (const one of ["query", "key", "value"] as const) {
      for (const magnitude of MAGNITUDES) {
        await attended(context, [2, 70, 9, 12], (place, row, lane) =>
          place === one ? wave(row, lane) * magnitude : wave(row, lane),
        );
      }
      await attended(context, [5, 130, 9, 12], (place, row, lane) =>
        place === one ? wave(row, lane) * MAGNITUDES[row % MAGNITUDES.length]! : wave(row, lane),
      );
    }
    // Values of 1e-30 are kept, and come out as they are.
    const { out } = await attended(context, [1, 70, 8, 8], (place) => (place === "value" ? 1e-30 : 1));
    ok(
      out.every((x) => Math.abs(x / 1e-30 - 1) < 1e-3),
      `1e-30 became ${out[0]}`,
    );
  },
};

const poisonCase: Case = {
  name: "cache int8: a query row that is not finite is NaN, and no other row shows it",
  async run(context) {
    for (const poison of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const plain: Numbers = (_, row, lane) => Math.sin(row * 3 + lane);
      const poisoned: Numbers = (place, row, lane) =>
        place === "query" && row === 1 && lane === 8 ? poison : plain(place, row, lane);
      const sizes: [number, number, number, number] = [3, 70, 9, 5];
      const [clean, other] = [await attended(context, sizes, plain, 1), await attended(context, sizes, poisoned, 1)];
      const row = (floats: Floats, i: number, width: number) => floats.subarray(i * width, (i + 1) * width);
      for (const [name, width] of [["out", 5] as const, ["lse", 1] as const, ["weights", 70] as const]) {
        ok(row(other[name], 1, width).every(Number.isNaN), `${name} of the poisoned row`);
        for (const i of [0, 2]) {
          equal(`${row(other[name], i, width)}`, `${row(clean[name], i, width)}`, `${name} of row ${i}`);
        }
      }
    }
  },
};

const boundCase: Case = {
  name: "cache int8: within the error bound over the rows that it gives back",
  async run({ library, engine: engineOf, relaxedSimd, record }) {
    for (const build of relaxedSimd ? (["strict", "fast"] as const) : (["strict"] as const)) {
      const engine = await engineOf(build);
      for (const [index, [headDim, valueHeadDim]] of WIDTHS.entries()) {
        for (const kvLen of [1, 9, 64, 200]) {
          const options = {
            batch: 1,
            numKvHeads: 1,
            headDim,
            valueHeadDim,
            capacity: 256,
            dtype: "int8",
            engine,
          } as const;
          const cache = new library.KvCache(options);
          const seed = index * 7 + kvLen;
          cache.append(tensor([1, kvLen, 1, headDim], seed), tensor([1, kvLen, 1, valueHeadDim], seed + 1));
          const query = tensor([1, 3, 1, headDim], seed + 2);
          const got = attendCache(cache, query);
          const { key, value } = cache.read(0, kvLen);
          cache.dispose();
          const inputs = { query: query.data, key: key.data as Floats, value: value.data as Floats };
          const shape = { ...options, qLen: 3, kvLen, numHeads: 1 };
          const margin = margins(got, inputs, shape, { causal: true, qOffset: kvLen - 3, int8: true });
          for (const [name, share] of Object.entries(margin)) {
            record(`int8 ${name} margin`, share);
            ok(share <= 1, `${build}, ${kvLen} keys of ${headDim}: ${name} is off by ${share} of its bound`);
          }
        }
      }
    }
  },
};

const recordedCase: Case = {
  name: "cache int8: the recorded bits, which the native build has too",
  async run({ library, engine: engineOf, load }) {
    const engine = await engineOf("strict");
    const { cases } = (await load("cache/int8.json")) as { cases: Recorded[] };
    ok(cases.length > 0, "nothing is recorded");
    for (const { id, shape, paint: paints, sha256 } of cases) {
      equal(`${await int8Hashes(library, engine, shape, paints)}`, `${sha256}`, id);
    }
  },
};

/** The hashes of a painted call's out and lse. */
export async function int8Hashes(
  library: Context["library"],
  engine: Awaited<ReturnType<Context["engine"]>>,
  { batch, qLen, kvLen, numHeads, numKvHeads, headDim, valueHeadDim }: Recorded["shape"],
  paints: Recorded["paint"],
): Promise<[string, string]> {
  const painted = (place: keyof Recorded["paint"], ...shape: number[]) => ({
    data: paint(
      paints[place],
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
  });
  const cache = new library.KvCache({
    ...{ batch, numKvHeads, headDim, valueHeadDim, capacity: Math.max(1, kvLen), dtype: "int8", engine },
  });
  try {
    cache.append(
      painted("key", batch, kvLen, numKvHeads, headDim),
      painted("value", batch, kvLen, numKvHeads, valueHeadDim),
    );
    const { out, lse } = cache.attend(painted("query", batch, qLen, numHeads, headDim), { returnLse: true });
    return [await hashOf(out.data as Floats), await hashOf(lse.data)];
  } finally {
    cache.dispose();
  }
}

export const int8Cases: Case[] = [edgeCase, extremeCase, zeroCase, scaleCase, poisonCase, boundCase, recordedCase];
