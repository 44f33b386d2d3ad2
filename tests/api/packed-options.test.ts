// Packed sequences with masks, biases, lengths, weights and scores: each is a call of its own.
import fc from "fast-check";
import { type AttentionOptions, attention, BitMask, createEngine, init, Tensor } from "saccade";
import { beforeAll, describe, expect, it } from "vitest";
import { bitsOf } from "./oracle.ts";
import { counted, thrownBy } from "./refusal.ts";

type Floats = { data: Float32Array<ArrayBuffer>; shape: number[] };
interface Bag {
  bias?: unknown;
  weights?: unknown;
  scores?: unknown;
  [name: string]: unknown;
}
type Result = Record<"out" | "lse" | "weights" | "scores", Floats> & { weights: { values: Floats; indices: Floats } };

const run = (x: Floats, y: Floats, z: Floats, options: Bag): Result =>
  attention(x, y, z, options as AttentionOptions) as unknown as Result;

/** Numbers that look random and are the same on every run. */
const noise = (seed: number, shape: number[]): Floats => {
  let state = Math.imul(seed + 1, 0x9e3779b1);
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 30;
  });
  return { data, shape };
};

/** `[from, from + size)` of every axis, written out. */
const block = (
  { data, shape }: { data: ArrayLike<number>; shape: number[] },
  from: number[],
  size: number[],
): Floats => {
  const result = new Float32Array(size.reduce((a, b) => a * b, 1));
  for (let at = 0; at < result.length; at++) {
    let rest = at;
    let index = 0;
    let stride = 1;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index += (shape[axis] === 1 ? 0 : from[axis]! + (rest % size[axis]!)) * stride;
      rest = Math.floor(rest / size[axis]!);
      stride *= shape[axis]!;
    }
    result[at] = data[index]!;
  }
  return { data: result, shape: size };
};

const HEADS = 4;
const along = (layout: string, rows: number, heads: number, width: number): number[] =>
  layout === "bshd" ? [rows, heads, width] : [heads, rows, width];

/** A shape that broadcasts to all scores: the last `rank` axes, those of the bits of `ones` single. */
const broadcast = (full: number[], rank: number, ones: number): number[] =>
  full.slice(4 - rank).map((size, axis) => ((ones >> axis) & 1 ? 1 : size));

const arbitrary = fc.record({
  lengths: fc.array(fc.tuple(fc.oneof(fc.nat(4), fc.nat(70)), fc.oneof(fc.nat(4), fc.nat(140))), {
    minLength: 1,
    maxLength: 4,
  }),
  layout: fc.constantFrom("bshd", "bhsd"),
  resident: fc.boolean(),
  target: fc.constantFrom("none", "plain", "resident"),
  causal: fc.boolean(),
  offset: fc.constantFrom<("bottom-right" | "top-left" | number | "each")[]>("bottom-right", "top-left", 2, "each"),
  mask: fc.constantFrom("none", "none", "tensor", "bits", "causal", "prefix", "documents", "global", "window"),
  maskRank: fc.integer({ min: 1, max: 4 }),
  maskOnes: fc.nat(15),
  shared: fc.boolean(),
  bias: fc.boolean(),
  biasRank: fc.integer({ min: 1, max: 4 }),
  biasOnes: fc.nat(15),
  kvLengths: fc.boolean(),
  qLengths: fc.boolean(),
  weights: fc.constantFrom("none", "full", "head-mean", "rows", "topK"),
  tap: fc.constantFrom(undefined, "raw", "scaled", "capped", "biased"),
  more: fc.constantFrom({}, { softcap: 4, sinks: [1, 0, -1, 2] }, { alibiSlopes: "auto" }, { window: { left: 3 } }),
  seed: fc.nat(1000),
});
type Case = typeof arbitrary extends fc.Arbitrary<infer C> ? C : never;

/** The BitMask of the whole call, and of sequence s alone. */
function ruleOf({ mask, shared, seed }: Case, qs: number[], ks: number[]): [BitMask, (s: number) => BitMask] {
  const n = qs.length;
  const [maxQ, maxKv] = [Math.max(...qs), Math.max(...ks)];
  const ids = (length: number, by: number) =>
    Array.from({ length: shared ? 1 : n }, (_, s) => Array.from({ length: length + 3 }, (_, i) => (i * by + s) % 3));
  const one = <T>(lists: T[], s: number): T => lists[shared ? 0 : s]!;
  if (mask === "prefix") {
    const lengths = (shared ? [seed] : qs).map((_, s) => (seed + s * 5) % 9);
    const make = (list: number[]) =>
      BitMask.prefixLm({ lengths: list, qOffset: "bottom-right" })
        .not()
        .or(BitMask.dilated({ step: 3 }));
    return [make(lengths), (s) => make([one(lengths, s)])];
  }
  if (mask === "documents") {
    const [query, key] = [ids(maxQ, 1), ids(maxKv, 2)];
    const whole = shared ? { query: query[0]!, key: key[0]! } : { query, key };
    return [
      BitMask.document(whole),
      (s) => BitMask.document({ query: one(query, s).slice(0, qs[s]), key: one(key, s).slice(0, ks[s]) }),
    ];
  }
  if (mask === "global") {
    const query = maxQ > 1 ? [0, maxQ - 1] : [];
    const key = maxKv > 2 ? [1, maxKv - 1] : [];
    const below = (list: number[], most: number) => list.filter((i) => i < most);
    return [
      BitMask.global({ query, key }).or(BitMask.window({ left: 2, right: 1 })),
      (s) =>
        BitMask.global({ query: below(query, qs[s]!), key: below(key, ks[s]!) }).or(
          BitMask.window({ left: 2, right: 1 }),
        ),
    ];
  }
  const rule = mask === "causal" ? BitMask.causal() : BitMask.window({ left: 9, qOffset: "bottom-right" });
  return [rule, () => rule];
}

function check(c: Case): void {
  const qs = c.lengths.map(([length]) => length);
  const ks = c.lengths.map(([, length]) => length);
  const n = qs.length;
  const sums = (list: number[]) => {
    const all = [0];
    for (const length of list) all.push(all.at(-1)! + length);
    return all;
  };
  const [cuQ, cuKv] = [sums(qs), sums(ks)];
  const [total, totalKv] = [cuQ[n]!, cuKv[n]!];
  const [maxQ, maxKv] = [Math.max(...qs), Math.max(...ks)];
  const [x, y, z] = [
    noise(c.seed, along(c.layout, total, HEADS, 5)),
    noise(c.seed + 1, along(c.layout, totalKv, 2, 5)),
    noise(c.seed + 2, along(c.layout, totalKv, 2, 3)),
  ];
  const own: Bag[] = qs.map(() => ({}));
  const all: Bag = {};
  const set = (name: string, value: unknown, of: (s: number) => unknown): void => {
    all[name] = value;
    for (let s = 0; s < n; s++) own[s]![name] = of(s);
  };
  set("layout", c.layout, () => c.layout);
  set("returnLse", true, () => true);
  set("causal", c.causal, () => c.causal);
  const offsets = qs.map((_, s) => s * 3 - 1);
  set("qOffset", c.offset === "each" ? offsets : c.offset, (s) => (c.offset === "each" ? offsets[s] : c.offset));
  if (c.tap !== undefined) set("tap", c.tap, () => c.tap);
  for (const [name, value] of Object.entries(c.more)) set(name, value, () => value);
  const full = [n, HEADS, maxQ, maxKv];
  const corner = (tensor: Floats, s: number) => {
    const shape = [...new Array(4 - tensor.shape.length).fill(1), ...tensor.shape];
    return block({ data: tensor.data, shape }, [s, 0, 0, 0], [1, HEADS, qs[s]!, ks[s]!]);
  };
  const bytes = ({ data, shape }: Floats) => ({
    data: Uint8Array.from(data, (value) => (value > -0.8 ? 1 : 0)),
    shape,
  });
  if (c.mask === "tensor" || c.mask === "bits") {
    const isBits = c.mask === "bits";
    const shape = broadcast(full, isBits ? Math.max(c.maskRank, 2) : c.maskRank, c.maskOnes);
    if (isBits) shape[shape.length - 1] = maxKv;
    const mask = noise(c.seed + 3, shape);
    set("mask", isBits ? BitMask.fromTensor(bytes(mask)) : bytes(mask), (s) => bytes(corner(mask, s)));
  } else if (c.mask !== "none") set("mask", ...ruleOf(c, qs, ks));
  if (c.bias) {
    const bias = noise(c.seed + 4, broadcast(full, c.biasRank, c.biasOnes));
    set("bias", bias, (s) => corner(bias, s));
  }
  const some = (lengths: number[]) => lengths.map((length, s) => Math.min(length, (c.seed * (s + 3)) % (length + 1)));
  if (c.kvLengths) set("kvLengths", some(ks), (s) => [some(ks)[s]]);
  if (c.qLengths) set("qLengths", some(qs), (s) => [some(qs)[s]]);
  const rows = Array.from({ length: total }, (_, i) => total - 1 - i).filter((i) => (i * 7 + c.seed) % 3 === 0);
  if (c.seed % 2 === 0) rows.reverse();
  const mine = (s: number) => rows.filter((row) => row >= cuQ[s]! && row < cuQ[s + 1]!);
  if (c.weights === "rows") {
    set("returnWeights", { rows }, (s) => ({ rows: mine(s).map((row) => row - cuQ[s]!) }));
  } else if (c.weights === "topK") set("returnWeights", { topK: 3 }, () => ({ topK: 3 }));
  else if (c.weights !== "none") {
    const value = c.weights === "full" ? true : c.weights;
    set("returnWeights", value, () => value);
  }

  const held: Tensor[] = [];
  const hold = (tensor: Floats): Floats => {
    if (!c.resident) return tensor;
    const kept = Tensor.from(tensor);
    held.push(kept);
    return kept as unknown as Floats;
  };
  if (c.resident && c.bias) all.bias = hold(all.bias as Floats);
  const targets = c.target === "none" ? undefined : targetsOf(c, total, maxKv, rows.length, held);
  const result = run(hold(x), hold(y), hold(z), { ...all, cuQLens: cuQ, cuKvLens: cuKv, out: targets });
  const copies = new Map<unknown, Floats>();
  const read = (tensor: Floats | Tensor): Floats => {
    if (!(tensor instanceof Tensor)) return tensor;
    const copy = copies.get(tensor) ?? (tensor.toPlain() as unknown as Floats);
    copies.set(tensor, copy);
    return copy;
  };

  const same = (actual: Floats | Tensor, from: number[], expected: Floats, what: string): void => {
    const part = block(read(actual), from, expected.shape);
    const [one, other] = [bitsOf(part.data), bitsOf(Float32Array.from(expected.data))];
    // The matcher is slow, and its difference long.
    const wrong = one.findIndex((bits, at) => bits !== other[at]);
    expect(wrong, `${what}: first other element`).toBe(-1);
  };
  const past = (actual: Floats | Tensor, s: number, axis: number, value: number): void => {
    const { data, shape } = read(actual);
    if (maxKv === ks[s]) return;
    const from = shape.map((_, a) => (a === axis ? cuQ[s]! : a === shape.length - 1 ? ks[s]! : 0));
    const size = shape.map((length, a) => (a === axis ? qs[s]! : a === shape.length - 1 ? maxKv - ks[s]! : length));
    expect(
      block({ data, shape }, from, size).data.every((found) => found === value),
      "past the keys",
    ).toBe(true);
  };
  for (let s = 0; s < n; s++) {
    const take = (tensor: Floats, from: number, length: number) => {
      const axis = c.layout === "bshd" ? 0 : 1;
      const size = tensor.shape.slice();
      size[axis] = length;
      return block(
        tensor,
        size.map((_, a) => (a === axis ? from : 0)),
        size,
      );
    };
    const q = qs[s]!;
    const from = cuQ[s]!;
    const alone = run(take(x, from, q), take(y, cuKv[s]!, ks[s]!), take(z, cuKv[s]!, ks[s]!), own[s]!);
    if (q === 0) continue;
    same(result.out, along(c.layout, from, 0, 0), alone.out, "out");
    same(result.lse, [0, from], alone.lse, "lse");
    if (c.tap !== undefined) {
      same(result.scores, [0, from, 0], alone.scores, "scores");
      past(result.scores, s, 1, c.tap === "biased" ? Number.NEGATIVE_INFINITY : 0);
    }
    if (c.weights === "topK") {
      same(result.weights.values, [0, from, 0], alone.weights.values, "top-k values");
      same(result.weights.indices, [0, from, 0], alone.weights.indices, "top-k indices");
    } else if (c.weights === "rows") {
      mine(s).forEach((row, at) => {
        const expected = block(alone.weights, [0, at, 0], [HEADS, 1, ks[s]!]);
        same(result.weights, [0, rows.indexOf(row), 0], expected, "rows");
      });
    } else if (c.weights !== "none") {
      const isMean = c.weights === "head-mean";
      same(result.weights, isMean ? [from, 0] : [0, from, 0], alone.weights, "weights");
      past(result.weights, s, isMean ? 0 : 1, 0);
    }
  }
  for (const tensor of held) tensor.dispose();
}

/** Targets full of other numbers, with gaps where they are plain. */
function targetsOf(c: Case, total: number, maxKv: number, rows: number, held: Tensor[]): Bag {
  const make = (shape: number[], dtype: "float32" | "int32" = "float32") => {
    const filler = new (dtype === "int32" ? Int32Array : Float32Array)(shape.reduce((a, b) => a * b, 1)).fill(7);
    if (c.target === "plain") return { data: filler, shape };
    const tensor = Tensor.from({ data: filler, shape, dtype } as never) as Tensor;
    held.push(tensor);
    return tensor;
  };
  const targets: Bag = { out: make(along(c.layout, total, HEADS, 3)), lse: make([HEADS, total]) };
  if (c.tap !== undefined) targets.scores = make([HEADS, total, maxKv]);
  if (c.weights === "full") targets.weights = make([HEADS, total, maxKv]);
  if (c.weights === "head-mean") targets.weights = make([total, maxKv]);
  if (c.weights === "rows") targets.weights = make([HEADS, rows, maxKv]);
  if (c.weights === "topK") {
    targets.weights = { values: make([HEADS, total, 3]), indices: make([HEADS, total, 3], "int32") };
  }
  return targets;
}

describe("packed sequences with masks, lengths, weights and scores", () => {
  beforeAll(() => init());

  const plain: Case = {
    lengths: [
      [3, 4],
      [0, 2],
      [70, 0],
      [1, 134],
      [66, 70],
    ],
    layout: "bshd",
    resident: false,
    target: "none",
    causal: false,
    offset: "bottom-right",
    mask: "none",
    maskRank: 4,
    maskOnes: 0,
    shared: false,
    bias: false,
    biasRank: 4,
    biasOnes: 0,
    kvLengths: false,
    qLengths: false,
    weights: "none",
    tap: undefined,
    more: {},
    seed: 5,
  };
  const each: [string, Partial<Case>][] = [
    ...(["tensor", "bits", "causal", "prefix", "documents", "global", "window"] as const).map(
      (mask): [string, Partial<Case>] => [`mask: ${mask}`, { mask }],
    ),
    ["bias", { bias: true }],
    ["kvLengths", { kvLengths: true }],
    ["qLengths", { qLengths: true }],
    ...(["full", "head-mean", "rows", "topK"] as const).map((weights): [string, Partial<Case>] => [
      `weights: ${weights}`,
      { weights },
    ]),
    ...(["raw", "scaled", "capped", "biased"] as const).map((tap): [string, Partial<Case>] => [`tap: ${tap}`, { tap }]),
  ];
  it.each(each)("%s: the bits of a call per sequence, in both layouts", (_, options) => {
    for (const layout of ["bshd", "bhsd"] as const) check({ ...plain, ...options, layout });
  });

  it("any of them together, resident or not, with targets or without", async () => {
    const engine = await init();
    const before = engine.stats().liveBytes;
    fc.assert(fc.property(arbitrary, check), { numRuns: 150 });
    expect(engine.stats().liveBytes).toBe(before);
  });

  const [H, DV] = [4, 6];
  const cuQLens = [0, 3, 3, 73, 74];
  const cuKvLens = [0, 4, 6, 6, 140];
  const [q, k, v] = [counted(74, H, 8), counted(140, 2, 8), counted(140, 2, DV)];

  it("strided targets keep what lies between; onEmptyRow names the sequence; no sequence is a call too", () => {
    const options = { cuQLens, cuKvLens, returnWeights: "head-mean" } as const;
    const weights = { data: new Float32Array(74 * 150).fill(9), shape: [74, 134], strides: [150, 1], offset: 2 };
    const out = { data: new Float32Array(74 * H * DV), shape: [74, H, DV] };
    attention(q, k, v, { ...options, out: { out, weights } });
    const expected = attention(q, k, v, options);
    expect(bitsOf(out.data)).toEqual(bitsOf(expected.out.data));
    expect([...weights.data.slice(136, 152)]).toEqual(new Array(16).fill(9));
    expect(bitsOf(weights.data.slice(10 * 150 + 2, 10 * 150 + 136))).toEqual(
      bitsOf(expected.weights.data.slice(10 * 134, 11 * 134)),
    );
    const mask = new Uint8Array(70).fill(1);
    mask[69] = 0;
    const hidden = { cuQLens: [0, 4, 74], cuKvLens: [0, 1, 140], mask: { data: mask, shape: [70, 1] } };
    expect(thrownBy(() => attention(q, k, v, { ...hidden, onEmptyRow: "throw" })).message).toBe(
      'attention: sequence 1, head 0, query row 69 sees no key, and options.onEmptyRow is "throw"',
    );
    const none = { data: new Float32Array(0), shape: [0, 2, 4] };
    expect(attention(none, none, none, { cuQLens: [0], cuKvLens: [0], tap: "raw" }).scores.shape).toEqual([2, 0, 0]);
  });

  it("out of memory halfway: nothing has been written", async () => {
    const engine = await createEngine({ memory: { maximumMiB: 4 } });
    const wide = 3000;
    const x = counted(2, 1, 4);
    const y = counted(1 + wide, 1, 4);
    const z = counted(1 + wide, 1, 100);
    using out = Tensor.zeros([2, 1, 100], "float32", { engine });
    const call = { cuQLens: [0, 1, 2], cuKvLens: [0, 1, 1 + wide], kvLengths: [1, wide], out, engine };
    const before = engine.stats().liveBytes;
    const tight: Tensor[] = [];
    for (let bytes = 2 ** 20; bytes >= 2 ** 18; ) {
      try {
        tight.push(Tensor.zeros([bytes / 4], "float32", { engine }));
      } catch {
        bytes /= 2;
      }
    }
    const error = thrownBy(() => attention(x, y, z, call));
    expect(error.code).toBe("ERR_SACCADE_OUT_OF_MEMORY");
    expect([...out.toPlain().data]).toEqual(new Array(200).fill(0));
    for (const tensor of tight) tensor.dispose();
    expect(engine.stats().liveBytes).toBe(before);
    attention(x, y, z, call);
    expect(out.toPlain().data.some((value) => value !== 0)).toBe(true);
    engine.dispose();
  });
});
