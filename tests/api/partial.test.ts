// Shards of the keys: any split, any order, the bits of the unsplit call; and every way to get it wrong.
import fc from "fast-check";
import {
  type AttentionPart,
  type AttentionPartialOptions,
  attention,
  attentionPartial,
  BitMask,
  createEngine,
  decodePartial,
  encodePartial,
  init,
  mergePartials,
  mergeStates,
  SaccadeError,
  type TensorLike,
} from "saccade";
import { beforeAll, describe, expect, it } from "vitest";

const { SACCADE_LONG } = process.env;

beforeAll(() => init());

const bits = (data: ArrayLike<number>) => Array.from(new Uint32Array(Float32Array.from(data).buffer));

/** Numbers that look random and are the same on every run. */
function numbers(seed: number, n: number): Float32Array<ArrayBuffer> {
  let state = seed * 2654435761;
  return Float32Array.from({ length: n }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 30;
  });
}

interface Whole {
  readonly query: TensorLike;
  readonly key: TensorLike;
  readonly value: TensorLike;
  readonly kvLen: number;
  readonly layout: "bshd" | "bhsd";
}

function whole(
  kvLen: number,
  layout: "bshd" | "bhsd" = "bshd",
  [batch, qLen, heads, kvHeads, d, dv] = [2, 5, 4, 2, 6, 5],
): Whole {
  const shape = (n: number, h: number, width: number) =>
    layout === "bshd" ? [batch!, n, h, width] : [batch!, h, n, width];
  const tensor = (seed: number, dims: number[]) => ({
    data: numbers(
      seed,
      dims.reduce((a, b) => a * b, 1),
    ),
    shape: dims,
  });
  return {
    query: tensor(1, shape(qLen!, heads!, d!)),
    key: tensor(2, shape(kvLen, kvHeads!, d!)),
    value: tensor(3, shape(kvLen, kvHeads!, dv!)),
    kvLen,
    layout,
  };
}

/** Keys `from..to` of a tensor, as a strided view of the same memory. */
function slice({ data, shape }: TensorLike, layout: "bshd" | "bhsd", from: number, to: number): TensorLike {
  const sizes = Array.from(shape);
  const strides = sizes.map((_, axis) => sizes.slice(axis + 1).reduce((a, b) => a * b, 1));
  const seq = layout === "bshd" ? 1 : 2;
  sizes[seq] = to - from;
  return { data, shape: sizes, strides, offset: from === to ? 0 : from * strides[seq]! };
}

type Options = Omit<AttentionPartialOptions, "kvStart" | "kvTotal" | "layout">;

function split(w: Whole, cuts: readonly number[], options: Options = {}): AttentionPart[] {
  const bounds = [0, ...cuts, w.kvLen];
  return bounds.slice(1).map((to, i) => {
    const from = bounds[i]!;
    const place = { kvStart: from, kvTotal: w.kvLen };
    const { layout } = w;
    return attentionPartial(w.query, slice(w.key, layout, from, to), slice(w.value, layout, from, to), {
      ...options,
      ...place,
      layout,
    });
  });
}

function same(w: Whole, parts: readonly AttentionPart[], options: Options = {}): void {
  const expected = attention(w.query, w.key, w.value, { ...options, layout: w.layout, returnLse: true });
  const merged = mergePartials(parts, { returnLse: true });
  expect(merged.out.shape).toEqual(expected.out.shape);
  expect(merged.lse!.shape).toEqual(expected.lse.shape);
  expect(bits(merged.lse!.data)).toEqual(bits(expected.lse.data));
  expect(bits(merged.out.data)).toEqual(bits(expected.out.data as Float32Array));
}

describe("attentionPartial and mergePartials", () => {
  it.each([0, 1, 10, 63, 64, 65, 100, 128, 129, 299, 300])("cut at %i", (cut) => {
    const w = whole(300);
    same(w, split(w, [cut]));
  });

  it("any split, in any order, under any options", () => {
    const options = fc.record({
      causal: fc.boolean(),
      window: fc.option(fc.record({ left: fc.nat(120), first: fc.nat(70) }), { nil: undefined }),
      softcap: fc.option(fc.constant(2), { nil: undefined }),
      sinks: fc.option(fc.constant([0.5, -1, 2, 0]), { nil: undefined }),
      alibiSlopes: fc.option(fc.constant([0.5, 0.25, 0.125, 0]), { nil: undefined }),
      qLengths: fc.option(fc.constant([5, 3]), { nil: undefined }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 420 }),
        fc.array(fc.nat(420), { maxLength: 5 }),
        fc.constantFrom("bshd" as const, "bhsd" as const),
        options,
        fc.boolean(),
        (kvLen, at, layout, chosen, reversed) => {
          const w = whole(kvLen, layout);
          const given = Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== undefined));
          const all = { ...given, qOffset: kvLen - 5, kvLengths: [kvLen, Math.floor(kvLen / 2)] };
          const cuts = at.map((cut) => Math.min(cut, kvLen)).sort((a, b) => a - b);
          const parts = split(w, cuts, all);
          if (reversed) parts.reverse();
          same(w, parts, all);
        },
      ),
      { numRuns: SACCADE_LONG === "1" ? 500 : 60, seed: 8 },
    );
  });

  it("masks and biases are those of the whole call", () => {
    const w = whole(200);
    const mask = {
      data: Uint8Array.from({ length: 1000 }, (_, i) => (i * 7919) % 3),
      shape: [5, 200],
      dtype: "bool" as const,
    };
    const bias = { data: numbers(9, 800), shape: [4, 1, 200] };
    same(w, split(w, [30, 130], { mask, bias }), { mask, bias });
    const rule = BitMask.window({ left: 40, qOffset: 150 }).or(BitMask.global({ key: [0, 1, 190] }));
    same(w, split(w, [30, 130], { mask: rule }), { mask: rule });
  });

  it("poison under a mask stays hidden, and what is visible shows", () => {
    const w = whole(150);
    (w.value.data as Float32Array).fill(Number.NaN, 100 * 10, 110 * 10);
    const hidden = { kvLengths: [100, 90] };
    same(w, split(w, [50, 103], hidden), hidden);
    same(w, split(w, [50, 103]));
  });

  it("ranks 3 and 2", () => {
    const rank3 = whole(130, "bhsd", [1, 3, 2, 2, 4, 4]);
    const flat = (t: TensorLike) => ({ data: t.data, shape: Array.from(t.shape).slice(1) });
    const expected = attention(flat(rank3.query), flat(rank3.key), flat(rank3.value), { layout: "bhsd" });
    const part = (from: number, to: number) => {
      const [key, value] = [rank3.key, rank3.value].map((t) => {
        const { data, shape, strides, offset } = slice(t, "bhsd", from, to);
        const drop = <T>(list: ArrayLike<T>) => Array.from(list).slice(1);
        return { data, shape: drop(shape), strides: drop(strides!), offset };
      });
      return attentionPartial(flat(rank3.query), key!, value!, { layout: "bhsd", kvStart: from, kvTotal: 130 });
    };
    const merged = mergePartials([part(70, 130), part(0, 70)]);
    expect(merged.out.shape).toEqual([2, 3, 4]);
    expect(bits(merged.out.data)).toEqual(bits(expected.out.data));
    const query = { data: numbers(1, 8), shape: [2, 4] };
    const key = { data: numbers(2, 40), shape: [10, 4] };
    const alone = attentionPartial(query, key, key, { kvStart: 0, kvTotal: 10 });
    expect(bits(mergePartials([alone]).out.data)).toEqual(bits(attention(query, key, key).out.data));
  });

  it("refuses gaps, overlaps, a missing last shard and parts of other calls", () => {
    const w = whole(300);
    const parts = split(w, [100, 200]);
    const [a, b, c] = parts as [AttentionPart, AttentionPart, AttentionPart];
    const refuse = (list: readonly AttentionPart[], code: string, message: RegExp) => {
      try {
        mergePartials(list);
      } catch (error) {
        expect(error).toMatchObject({ code });
        expect((error as Error).message).toMatch(message);
        same(w, parts);
        return;
      }
      expect.unreachable();
    };
    refuse([a, c], "ERR_SACCADE_RANGE", /no part holds the keys from 100 to 199/);
    refuse([a, b], "ERR_SACCADE_RANGE", /no part holds the keys from 200 to 299/);
    refuse([b, c], "ERR_SACCADE_RANGE", /no part holds the keys from 0 to 99/);
    refuse([a, a, b, c], "ERR_SACCADE_RANGE", /parts\[1\] begins with key 0, but keys up to 100 are held/);
    refuse([], "ERR_SACCADE_RANGE", /parts is empty/);
    const other = split(w, [100, 200], { scale: 2 });
    refuse([a, other[1]!, c], "ERR_SACCADE_OPTION", /parts\[1\]\.fingerprint/);
    refuse([a, { ...b, profile: "other" }, c], "ERR_SACCADE_OPTION", /parts\[1\]\.profile/);
    refuse([a, { ...b, m: b.m.slice(1) }, c], "ERR_SACCADE_SHAPE", /parts\[1\]\.[ml]/);
    refuse(
      [a, { ...b, left: undefined }, c],
      "ERR_SACCADE_SHAPE",
      /parts\[1\]\.left does not hold the 28 keys from 100/,
    );
  });

  it("another query, mask or length is another call", () => {
    const w = whole(100);
    const [first, second] = split(w, [50]) as [AttentionPart, AttentionPart];
    expect(first.fingerprint).toBe(second.fingerprint);
    const query = { ...w.query, data: (w.query.data as Float32Array).map((x, i) => (i === 7 ? x + 1 : x)) };
    const mask = (at: number) => ({ data: new Uint8Array(100).fill(1, at), shape: [100], dtype: "bool" as const });
    const prints = [
      split({ ...w, query }, [50])[0],
      split(w, [50], { mask: mask(1) })[0],
      split(w, [50], { mask: mask(2) })[0],
      split(w, [50], { kvLengths: [99, 100] })[0],
      split(w, [50], { causal: true, qOffset: 95 })[0],
      split(w, [50], { sinks: [1, 2, 3, 4] })[0],
      first,
    ].map((part) => part!.fingerprint);
    expect(new Set(prints).size).toBe(prints.length);
  });

  it("refuses a shard that reaches past all keys, and options of results", () => {
    const w = whole(100);
    expect(() => attentionPartial(w.query, w.key, w.value, { kvStart: 1, kvTotal: 100 })).toThrow(
      expect.objectContaining({ code: "ERR_SACCADE_RANGE" }),
    );
    expect(() => attentionPartial(w.query, w.key, w.value, { kvTotal: 100 } as never)).toThrow(
      expect.objectContaining({ code: "ERR_SACCADE_OPTION" }),
    );
    expect(() =>
      attentionPartial(w.query, w.key, w.value, { kvStart: 0, kvTotal: 100, returnLse: true } as never),
    ).toThrow(expect.objectContaining({ code: "ERR_SACCADE_OPTION" }));
  });

  it("parts of one build are not merged by the other", async () => {
    const w = whole(100);
    const [part] = split(w, []);
    const engine = await createEngine({ build: "fast" }).catch((error: SaccadeError) => error);
    if (engine instanceof SaccadeError) {
      expect(engine.code).toBe("ERR_SACCADE_UNSUPPORTED");
      return;
    }
    expect(() => mergePartials([part!], { engine })).toThrow(expect.objectContaining({ code: "ERR_SACCADE_OPTION" }));
    engine.dispose();
  });

  it("loses no memory", () => {
    const w = whole(300);
    same(w, split(w, [77, 140]));
    const parts = split(w, [77, 140]);
    for (let i = 0; i < 20; i++) {
      expect(() => mergePartials([parts[0]!])).toThrow();
      mergePartials(parts);
    }
    expect(() => attentionPartial(w.query, w.key, w.value, { kvStart: 200, kvTotal: 300 })).toThrow();
  });
});

describe("encodePartial and decodePartial", () => {
  const options = { sinks: [1, 0, -1, 2], qLengths: [4, 5] };
  const w = whole(300, "bhsd");

  it("keeps every bit", () => {
    const parts = split(w, [37, 70], options);
    const back = parts.map((part) => decodePartial(encodePartial(part)));
    expect(back).toEqual(parts);
    same(w, back, options);
  });

  it("survives structured cloning", () => {
    same(
      w,
      split(w, [37, 70], options).map((part) => structuredClone(part)),
      options,
    );
  });

  it("refuses every damaged byte", () => {
    const bytes = encodePartial(split(w, [37, 70], options)[1]!);
    for (let at = 0; at < bytes.length; at += 1 + Math.floor(at / 64)) {
      const damaged = bytes.slice();
      damaged[at]! ^= 1 << (at % 8);
      expect(() => decodePartial(damaged), `byte ${at}`).toThrow(
        expect.objectContaining({ code: "ERR_SACCADE_CORRUPT", name: "SaccadeError" }),
      );
    }
    for (const length of [0, 3, 4, 64, bytes.length - 4, bytes.length - 1]) {
      expect(() => decodePartial(bytes.slice(0, length))).toThrow(
        expect.objectContaining({ code: "ERR_SACCADE_CORRUPT" }),
      );
    }
    expect(() => decodePartial([] as never)).toThrow(expect.objectContaining({ code: "ERR_SACCADE_ARGUMENT" }));
  });
});

describe("mergeStates", () => {
  it("merges ordinary results within float32 rounding", () => {
    for (const layout of ["bshd", "bhsd"] as const) {
      const w = whole(200, layout);
      const expected = attention(w.query, w.key, w.value, { layout, returnLse: true });
      const states = [0, 80].map((from) => {
        const to = from === 0 ? 80 : 200;
        const [key, value] = [w.key, w.value].map((t) => slice(t, layout, from, to));
        return attention(w.query, key!, value!, { layout, returnLse: true });
      });
      const merged = mergeStates(states, { layout, returnLse: true });
      expect(merged.out.shape).toEqual(expected.out.shape);
      merged.out.data.forEach((x, i) => {
        expect(Math.abs(x - (expected.out.data[i] as number))).toBeLessThan(2e-6);
      });
      merged.lse!.data.forEach((x, i) => {
        expect(Math.abs(x - expected.lse.data[i]!)).toBeLessThan(2e-6);
      });
    }
  });

  it("leaves out what saw no key, and refuses shapes that differ", () => {
    const w = whole(10);
    const full = attention(w.query, w.key, w.value, { returnLse: true });
    const none = attention(w.query, w.key, w.value, { returnLse: true, kvLengths: [0, 0] });
    // log2 of the lse is rounded once on the way in and back: the weights stay the same, the lse may move by an ulp.
    const merged = mergeStates([none, full, none]);
    merged.out.data.forEach((x, i) => {
      expect(Math.abs(x - (full.out.data[i] as number))).toBeLessThan(1e-6);
    });
    const empty = mergeStates([none], { returnLse: true });
    expect(empty.out.data.every((x) => x === 0)).toBe(true);
    expect(empty.lse!.data.every((x) => x === Number.NEGATIVE_INFINITY)).toBe(true);
    const wrong = { out: full.out, lse: { data: new Float32Array(3), shape: [3] } };
    expect(() => mergeStates([full, wrong])).toThrow(expect.objectContaining({ code: "ERR_SACCADE_SHAPE" }));
    expect(() => mergeStates([])).toThrow(expect.objectContaining({ code: "ERR_SACCADE_RANGE" }));
  });
});
