/** Takes random steps with caches and with their models, and compares whatever comes out. */
import { type Library, ok, sameBits, throws } from "../conformance/harness.ts";
import type { Sketch, Step } from "./arbitrary.ts";
import {
  type AttendOptions,
  attendCache,
  type Cache,
  type Engine,
  Model,
  type Plain,
  painted,
  sameResults,
  sameState,
  tensor,
} from "./model.ts";

interface Pair {
  cache: Cache;
  model: Model;
}

/** Most caches that live at a time. */
const MOST = 4;

export class Walk {
  readonly pairs: Pair[] = [];
  readonly #library: Library;
  readonly #sketch: Sketch;
  #seed = 1;

  constructor(library: Library, engine: Engine, sketch: Sketch) {
    this.#library = library;
    this.#sketch = sketch;
    const { options } = sketch;
    const cache = new library.KvCache({ ...options, engine });
    this.pairs.push({ cache, model: new Model(library, engine, options) });
    this.#engine = engine;
  }

  readonly #engine: Engine;

  step({ kind, at, numbers }: Step, index: number): void {
    if (this.pairs.length === 0) return;
    const chosen = at % this.pairs.length;
    const pair = this.pairs[chosen]!;
    const { cache, model } = pair;
    const what = `step ${index}, ${kind}`;
    const [a, b, c, d] = numbers as [number, number, number, number];
    const { batch } = model.options;
    const below = (n: number, of: number) => (of === 0 ? 0 : n % of);
    switch (kind) {
      case "append":
        this.#append(pair, new Array(batch).fill(below(a, 90)), false, what);
        break;
      case "ragged":
        this.#append(
          pair,
          Array.from({ length: batch }, (_, row) => below(numbers[row]!, 40)),
          true,
          what,
        );
        break;
      case "truncate":
      case "cut": {
        const each = model.lengths.map((length, row) => below(numbers[row % 4]!, length + 1));
        const one = below(a, model.length + 1);
        const lengths = kind === "cut" ? each : model.lengths.map((length) => Math.min(one, length));
        const given = kind === "cut" ? each : one;
        if (model.cuts(lengths)) {
          cache.truncate(given);
          model.truncate(lengths);
        } else throws(() => cache.truncate(given), RangeError, "ERR_SACCADE_RANGE", what);
        break;
      }
      case "fork":
        if (this.pairs.length < MOST) this.pairs.push({ cache: cache.fork(), model: model.fork() });
        break;
      case "reorder": {
        const from = Array.from({ length: batch }, (_, row) => below(numbers[row]!, batch));
        cache.reorder(from);
        model.reorder(from);
        break;
      }
      case "attend":
        this.#attend(pair, below(a, 10), { b, c, d }, what);
        break;
      case "read":
        this.#read(pair, a, b, what);
        break;
      case "bytes": {
        const bytes = cache.serialize();
        const copy = this.#library.KvCache.deserialize(bytes, { engine: this.#engine });
        const again = copy.serialize();
        ok(same(again, bytes), `${what}: other bytes`);
        cache.dispose();
        pair.cache = copy;
        break;
      }
      case "dispose":
        if (this.pairs.length === 1) break;
        cache.dispose();
        this.pairs.splice(chosen, 1);
        break;
    }
    for (const { cache, model } of this.pairs) sameState(cache, model, what);
  }

  end(): void {
    for (const { cache } of this.pairs) cache.dispose();
  }

  #tensor(...shape: number[]): Plain {
    this.#seed += 1;
    return tensor(shape, this.#seed);
  }

  #append({ cache, model }: Pair, counts: number[], ragged: boolean, what: string): void {
    const { batch, numKvHeads, headDim, dtype } = model.options;
    const n = Math.max(...counts) + (ragged ? 1 : 0);
    const key = this.#tensor(batch, n, numKvHeads, headDim);
    const value = this.#tensor(batch, n, numKvHeads, model.valueHeadDim);
    if (this.#seed % 3 === 0) {
      // Past what float16 holds, between its steps, and nothing at all.
      [70000, 65519, 2e-8, 0, -0].forEach((x, i) => {
        if (i < key.data.length) key.data[i] = x;
        if (i < value.data.length) value.data[i] = -x;
      });
    }
    // Behind the rows that count, anything goes.
    for (let b = 0; b < batch; b++) {
      for (const { data, shape } of [key, value]) {
        const row = shape[2]! * shape[3]!;
        data.fill(Number.NaN, (b * n + counts[b]!) * row, (b + 1) * n * row);
      }
    }
    if (this.#seed % 5 === 0 && dtype !== "int8" && counts[0]! > 0 && value.data.length > 0) value.data[0] = Number.NaN;
    const append = () => (ragged ? cache.append(key, value, { lengths: counts }) : cache.append(key, value));
    if (!model.takes(counts)) {
      throws(append, RangeError, "ERR_SACCADE_CACHE_FULL", what);
      return;
    }
    append();
    model.append(key, value, counts);
  }

  #attend({ cache, model }: Pair, qLen: number, choice: { b: number; c: number; d: number }, what: string): void {
    const { batch, numKvHeads, headDim } = model.options;
    const query = this.#tensor(batch, qLen, numKvHeads * this.#sketch.group, headDim);
    if (!model.serves(qLen)) {
      throws(() => cache.attend(query), RangeError, "ERR_SACCADE_RANGE", what);
      return;
    }
    const options = this.#options(model, choice);
    sameResults(attendCache(cache, query, options), model.attend(query, options), what);
  }

  #options(model: Model, { b, c, d }: { b: number; c: number; d: number }): AttendOptions {
    const heads = model.options.numKvHeads * this.#sketch.group;
    const { length } = model;
    return {
      ...(b % 4 === 0 && { softcap: 3 }),
      ...(b % 5 === 0 && { scale: 0.3 }),
      ...(c % 4 === 0 && { sinks: Array.from({ length: heads }, (_, h) => h / 2 - 1) }),
      ...(c % 5 === 0 && { alibiSlopes: Array.from({ length: heads }, (_, h) => 0.5 ** h) }),
      ...(d % 4 === 0 && { mask: Uint8Array.from({ length }, (_, j) => Number((j + d) % 3 !== 0)) }),
      ...(d % 5 === 0 && { bias: painted(length, d) }),
    };
  }

  #read({ cache, model }: Pair, a: number, b: number, what: string): void {
    const { batch, numKvHeads, headDim } = model.options;
    const first = a % (model.length + 1);
    const to = first + (b % (model.length - first + 1));
    const lost = model.rows.some(({ tokens, start }) => {
      const from = Math.max(first, model.pinned);
      return from < Math.min(to, tokens.length) && from < start;
    });
    if (lost) {
      throws(() => cache.read(first, to), RangeError, "ERR_SACCADE_RANGE", what);
      return;
    }
    const read = cache.read(first, to);
    for (const [part, width] of [["key", headDim] as const, ["value", model.valueHeadDim] as const]) {
      const expected = new Float32Array(batch * (to - first) * numKvHeads * width);
      for (let row = 0; row < batch; row++) {
        for (let i = first; i < to; i++) {
          expected.set(model.read(part, row, i), (row * (to - first) + i - first) * numKvHeads * width);
        }
      }
      ok(JSON.stringify(read[part].shape) === JSON.stringify([batch, to - first, numKvHeads, width]), `${what}: shape`);
      sameBits(read[part].data, expected, `${what}: ${part}`);
    }
  }
}

export const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((x, i) => x === b[i]);
