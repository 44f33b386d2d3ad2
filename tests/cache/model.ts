/**
 * What a cache is, without pages, tables and panels: rows of tokens, rounded as they are stored, and `attention` over all of
 * them. For int8, which no other function of the package has, the numeric contract in JavaScript stands in for `attention`.
 */
import { type Library, ok, sameBits } from "../conformance/harness.ts";
import { contractAttention } from "../reference/contract.mjs";
import { rounded, type Storage } from "../reference/half.mjs";
import { nearestInteger } from "../reference/int8.mjs";

export type Engine = Awaited<ReturnType<Library["createEngine"]>>;
export type Cache = InstanceType<Library["KvCache"]>;
export type CacheOptions = ConstructorParameters<Library["KvCache"]>[0];
export type Floats = Float32Array<ArrayBuffer>;
export interface Plain {
  data: Floats;
  shape: number[];
}

const BLOCK = 64;
const f = Math.fround;

/** Numbers that have little in common with their neighbours, the same for the same seed. */
export function painted(length: number, seed: number): Floats {
  let state = (Math.imul(seed, 2654435761) + 12345) >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length }, () => (next() + next() + next() - 1.5) * 2);
}

export function tensor(shape: number[], seed: number): Plain {
  return {
    data: painted(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
    shape,
  };
}

/** A row of int8: its elements and its scale. */
export function quantised(row: Floats): { bytes: Floats; scale: number } {
  const scale = f(row.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 127);
  const bytes = row.map((x) => (scale === 0 ? 0 : nearestInteger(Math.min(127, Math.max(-127, f(x / scale)))) || 0));
  return { bytes, scale };
}

/** One token of one head, as it is stored. */
interface Stored {
  row: Floats;
  scale: number;
}

function store(row: Floats, dtype: NonNullable<CacheOptions["dtype"]>): Stored {
  if (dtype !== "int8") return { row: rounded(row, dtype as Storage), scale: 1 };
  const { bytes, scale } = quantised(row);
  return { row: bytes, scale };
}

interface Token {
  key: Stored[];
  value: Stored[];
}

export interface AttendOptions {
  softcap?: number;
  scale?: number;
  sinks?: number[];
  alibiSlopes?: number[];
  /** `[kvLen]`, by absolute position. */
  mask?: Uint8Array<ArrayBuffer>;
  bias?: Floats;
}

export interface Results {
  out: Floats;
  lse: Floats;
  weights: Floats;
}

export class Model {
  readonly options: CacheOptions;
  readonly #library: Library;
  readonly #engine: Engine;
  rows: { tokens: Token[]; start: number }[];

  constructor(library: Library, engine: Engine, options: CacheOptions) {
    this.options = options;
    this.#library = library;
    this.#engine = engine;
    this.rows = Array.from({ length: options.batch }, () => ({ tokens: [], start: this.pinned }));
  }

  get pinned(): number {
    const { window } = this.options;
    return window === undefined ? 0 : Math.ceil((window.first ?? 0) / BLOCK) * BLOCK;
  }

  get capacity(): number {
    const { window, capacity } = this.options;
    return window === undefined ? capacity : Math.ceil(capacity / BLOCK) * BLOCK;
  }

  get lengths(): number[] {
    return this.rows.map(({ tokens }) => tokens.length);
  }

  get length(): number {
    return Math.max(...this.lengths);
  }

  get valueHeadDim(): number {
    return this.options.valueHeadDim ?? this.options.headDim;
  }

  /** Whether the cache must take so many rows. */
  takes(counts: readonly number[]): boolean {
    const { window } = this.options;
    return this.rows.every(({ tokens }, b) =>
      window === undefined ? tokens.length + counts[b]! <= this.capacity : counts[b]! <= this.capacity - window.left,
    );
  }

  append(key: Plain, value: Plain, counts: readonly number[]): void {
    const { numKvHeads, headDim, dtype = "float32" } = this.options;
    const n = key.shape[1]!;
    const heads = (data: Floats, width: number, b: number, i: number) =>
      Array.from({ length: numKvHeads }, (_, h) => {
        const at = ((b * n + i) * numKvHeads + h) * width;
        return store(data.slice(at, at + width), dtype);
      });
    this.rows.forEach((row, b) => {
      for (let i = 0; i < counts[b]!; i++) {
        row.tokens.push({ key: heads(key.data, headDim, b, i), value: heads(value.data, this.valueHeadDim, b, i) });
      }
      if (this.options.window !== undefined) row.start = Math.max(row.start, row.tokens.length - this.capacity);
    });
  }

  /** Whether a query at a position of a row finds its keys. */
  #serves(b: number, position: number): boolean {
    const { window } = this.options;
    if (window === undefined || position < this.pinned) return true;
    return Math.max(this.pinned, position - window.left) >= this.rows[b]!.start;
  }

  cuts(lengths: readonly number[]): boolean {
    return lengths.every((n, b) => n <= this.pinned || this.#serves(b, n));
  }

  truncate(lengths: readonly number[]): void {
    this.rows.forEach((row, b) => {
      row.tokens.length = lengths[b]!;
      if (row.tokens.length <= this.pinned) row.start = this.pinned;
    });
  }

  fork(): Model {
    const fork = new Model(this.#library, this.#engine, this.options);
    fork.rows = this.rows.map(({ tokens, start }) => ({ tokens: [...tokens], start }));
    return fork;
  }

  reorder(from: readonly number[]): void {
    this.rows = from.map((b) => {
      const { tokens, start } = this.rows[b]!;
      return { tokens: [...tokens], start };
    });
  }

  serves(qLen: number): boolean {
    return this.lengths.every((length, b) => length === 0 || qLen === 0 || this.#serves(b, Math.max(0, length - qLen)));
  }

  /** What {@link Cache.read} gives for a token's key or value. */
  read(part: "key" | "value", b: number, position: number): Floats {
    const token = this.rows[b]!.tokens[position];
    const width = part === "key" ? this.options.headDim : this.valueHeadDim;
    const all = new Float32Array(this.options.numKvHeads * width);
    token?.[part].forEach(({ row, scale }, h) => {
      all.set(
        row.map((x) => f(x * scale)),
        h * width,
      );
    });
    return all;
  }

  #all(part: "key" | "value", of: (stored: Stored) => ArrayLike<number>, width: number, headsFirst: boolean): Floats {
    const { numKvHeads, batch } = this.options;
    const { length } = this;
    const all = new Float32Array(batch * length * numKvHeads * width);
    this.rows.forEach(({ tokens }, b) => {
      tokens.forEach((token, i) => {
        token[part].forEach((stored, h) => {
          const at = headsFirst ? (b * numKvHeads + h) * length + i : (b * length + i) * numKvHeads + h;
          all.set(of(stored), at * width);
        });
      });
    });
    return all;
  }

  /** Attention of the query over all tokens. */
  attend(query: Plain, options: AttendOptions): Results {
    const { headDim, numKvHeads, batch, dtype, window } = this.options;
    const { length, valueHeadDim, lengths } = this;
    const [, qLen, numHeads] = query.shape as [number, number, number, number];
    const { mask, bias, ...plain } = options;
    if (dtype !== "int8") {
      const key = {
        data: this.#all("key", ({ row }) => row, headDim, false),
        shape: [batch, length, numKvHeads, headDim],
      };
      const values = this.#all("value", ({ row }) => row, valueHeadDim, false);
      const value = { data: values, shape: [batch, length, numKvHeads, valueHeadDim] };
      const { out, lse, weights } = this.#library.attention(query, key, value, {
        ...plain,
        ...(mask && { mask: { data: mask, shape: [length], dtype: "bool" } }),
        ...(bias && { bias: { data: bias, shape: [length] } }),
        ...(window && { window }),
        causal: true,
        qOffset: "bottom-right",
        kvLengths: lengths,
        returnLse: true,
        returnWeights: true,
        engine: this.#engine,
      });
      return { out: out.data as Floats, lse: lse.data, weights: weights.data };
    }
    const shape = { batch, qLen, kvLen: length, numHeads, numKvHeads, headDim, valueHeadDim };
    const scales = {
      key: this.#all("key", ({ scale }) => [scale], 1, true),
      value: this.#all("value", ({ scale }) => [scale], 1, true),
    };
    const inputs = {
      query: transposed(query.data, batch, qLen, numHeads, headDim),
      key: this.#all("key", ({ row }) => row, headDim, true),
      value: this.#all("value", ({ row }) => row, valueHeadDim, true),
    };
    const result = contractAttention(
      inputs,
      shape,
      {
        ...plain,
        ...(mask && { mask: { data: mask, shape: [length] } }),
        ...(bias && { bias: { data: bias, shape: [length] } }),
        ...(window && { window: { left: window.left, first: window.first ?? 0 } }),
        causal: true,
        qOffset: lengths.map((n) => n - qLen),
        kvLengths: lengths,
        scales,
      },
      { weights: true },
    );
    return {
      out: transposed(result.out as Floats, batch, numHeads, qLen, valueHeadDim),
      lse: result.lse as Floats,
      weights: result.weights as Floats,
    };
  }
}

/** `[batch, a, b, width]` to `[batch, b, a, width]`. */
function transposed(data: Floats, batch: number, a: number, b: number, width: number): Floats {
  const to = new Float32Array(data.length);
  for (let n = 0; n < batch; n++) {
    for (let i = 0; i < a; i++) {
      for (let j = 0; j < b; j++) {
        const from = ((n * a + i) * b + j) * width;
        to.set(data.subarray(from, from + width), ((n * b + j) * a + i) * width);
      }
    }
  }
  return to;
}

/** The results of a cache, as the model has them. */
export function attendCache(cache: Cache, query: Plain, { mask, bias, ...plain }: AttendOptions = {}): Results {
  const { out, lse, weights } = cache.attend(query, {
    ...plain,
    ...(mask && { mask: { data: mask, shape: [cache.length], dtype: "bool" as const } }),
    ...(bias && { bias: { data: bias, shape: [cache.length] } }),
    returnLse: true,
    returnWeights: true,
  });
  return { out: out.data as Floats, lse: lse.data, weights: weights.data };
}

export function sameResults(actual: Results, expected: Results, what: string): void {
  for (const name of ["out", "lse", "weights"] as const) sameBits(actual[name], expected[name], `${what}: ${name}`);
}

/** Whether a cache says of itself what the model says. */
export function sameState(cache: Cache, model: Model, what: string): void {
  const { lengths } = model;
  ok(
    JSON.stringify(cache.lengths) === JSON.stringify(lengths),
    `${what}: lengths are ${cache.lengths}, not ${lengths}`,
  );
  ok(cache.length === model.length, `${what}: length`);
  const longest = model.rows[lengths.indexOf(model.length)]!;
  const kept = Math.min(model.length, model.pinned) + Math.max(0, model.length - longest.start);
  ok(cache.retained === kept, `${what}: retained is ${cache.retained}, not ${kept}`);
}
