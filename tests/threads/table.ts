/**
 * Every function of the main entry that computes, on just more than is worth sharing (`SHARED_WORK` of `dispatch.ts`).
 */
import type { AttentionPart } from "saccade";
import { about, both, call, paint, type ThreadCase } from "./case.ts";

const main = (...rest: Parameters<typeof call> extends [unknown, ...infer Rest] ? Rest : never) =>
  call("saccade", ...rest);

const heads = (seed: number, length: number, width = 40) => paint(seed, 1, length, 4, width);
const attend = (what: string, qLen: number, kvLen: number, options: Parameters<typeof main>[2]) =>
  about(
    what,
    main("attention", () => [heads(1, qLen), heads(2, kvLen), heads(3, kvLen, 24)], options),
  );

/** A long context; what is not a number in it makes its mark on some keys alone. */
const long = (seed: number) => {
  const tensor = paint(seed, 1, 20_001, 1, 64);
  const data = tensor.data.slice();
  data[17 * 64] = Number.NaN;
  data[8000 * 64 + 3] = Number.POSITIVE_INFINITY;
  return { ...tensor, data };
};
const few = (what: string, qLen: number, options: object) =>
  about(
    what,
    main(
      "attention",
      () => [paint(1, 1, qLen, 2, 64), paint(2, 1, 20_001, 1, 64), long(3)],
      () => ({ qOffset: "bottom-right", returnLse: true, ...options }),
    ),
  );

/** Any bits are halves, but for the largest exponent. */
const halves = (seed: number, ...shape: number[]) => {
  const { data } = paint(seed, ...shape);
  const bits = new Uint16Array(data.length);
  for (let i = 0; i < bits.length; i++) bits[i] = (data[i]! * 32_768) & 0xbfff;
  return { data: bits, shape, dtype: "float16" };
};

let parts: AttentionPart[] | undefined;

const attentions: readonly ThreadCase[] = [
  attend("causal, lse and weights", 330, 330, () => ({ causal: true, returnLse: true, returnWeights: true })),
  attend("top weights, sinks, bias, slopes", 300, 301, () => ({
    ...{ returnWeights: { topK: 3 }, sinks: [0.5, -1, 2, 0], bias: paint(4, 300, 301), alibiSlopes: "auto" },
    ...{ qOffset: "top-left", softcap: 20, outDtype: "float16" },
  })),
  attend("a rule, and scores of a stage", 340, 340, ({ saccade: { BitMask } }) => ({
    mask: BitMask.window({ left: 200, right: 100 }).or(BitMask.global({ key: [0] })),
    ...{ tap: "biased", kvLengths: [322] },
  })),
  attend("the heads' mean weights", 540, 540, () => ({ causal: true, returnWeights: "head-mean" })),
  about(
    "halves, groups of heads, a window",
    main(
      "attention",
      () => [halves(1, 1, 300, 4, 64), halves(2, 1, 300, 2, 64), halves(3, 1, 300, 2, 64)],
      () => ({ causal: true, window: { left: 100, first: 4 } }),
    ),
  ),
  about(
    "packed sequences",
    main(
      "attention",
      () => [paint(1, 500, 4, 40), paint(2, 520, 4, 40), paint(3, 520, 4, 40)],
      () => ({ cuQLens: [0, 310, 311, 500], cuKvLens: [0, 320, 400, 520], returnLse: true }),
    ),
  ),
  few("one row over many keys", 1, { sinks: [0.5, -1] }),
  few("few rows, a window and the first keys", 65, { causal: true, window: { left: 3000, first: 100 } }),
  about("resident tensors and a target", {
    ...main("attention", () => []),
    async *run({ saccade: { attention, attentionAsync, Tensor } }, engine) {
      const x = Tensor.from(heads(1, 330), { engine });
      const out = Tensor.empty([1, 330, 4, 40], "float32", { engine });
      attention(x, x, x, { causal: true, out, engine });
      yield out.toPlain();
      yield (await attentionAsync(x, x, x, { causal: true, engine })).out;
      for (const tensor of [x, out]) tensor.dispose();
    },
  }),
  main(
    "attentionPartial",
    () => [heads(1, 300), heads(2, 310), heads(3, 310)],
    () => ({ kvStart: 40, kvTotal: 400, causal: true, qOffset: 60 }),
  ),
  {
    ...main("mergePartials", () => []),
    async *run({ saccade: { attentionPartial, mergePartials, mergePartialsAsync } }, engine) {
      // Parts of the same bits on any engine.
      parts ??= Array.from({ length: 9 }, (_, i) =>
        attentionPartial(paint(1, 1, 512, 8, 8), paint(i, 1, 64, 8, 8), paint(3, 1, 64, 8, 64), {
          ...{ kvStart: 64 * (8 - i), kvTotal: 576, engine },
        }),
      );
      yield* both({ mergePartials, mergePartialsAsync }, "mergePartials", [parts, { returnLse: true, engine }]);
    },
  },
  main("mergeStates", () => {
    const state = (seed: number) => ({ out: paint(seed, 1, 512, 8, 64), lse: paint(seed, 1, 8, 512) });
    return [Array.from({ length: 9 }, (_, seed) => state(seed))];
  }),
  main(
    "selfAttention",
    () => [paint(1, 450, 96)],
    () => ({ wq: paint(2, 64, 96), wk: paint(3, 64, 96), wv: paint(4, 64, 96), numHeads: 2 }),
  ),
];

const cache = (what: string, method: "attend" | "append" | "read", options: object): ThreadCase => ({
  ...{ from: "saccade", name: `KvCache.${method}`, what },
  async *run({ saccade: { KvCache } }, engine) {
    const sizes = { batch: 2, numKvHeads: 2, headDim: 64, capacity: 5000 };
    const made = new KvCache({ ...sizes, ...options, engine });
    const rows = [paint(2, 2, 4700, 2, 64), paint(3, 2, 4700, 2, 64), { lengths: [4700, 4100] }] as const;
    made.append(...rows);
    if (method === "append") {
      yield made.serialize();
      const other = new KvCache({ ...sizes, ...options, engine });
      await other.appendAsync(...rows);
      yield await other.serializeAsync();
      other.dispose();
    } else if (method === "read") yield* both(made, "read", [64, 4000]);
    else for (const qLen of [1, 5]) yield* both(made, "attend", [paint(1, 2, qLen, 4, 64), { returnLse: true }]);
    made.dispose();
  },
});

const caches: readonly ThreadCase[] = [
  ...["float32", "float16", "bfloat16", "int8"].flatMap((dtype) => [
    cache(dtype, "attend", { dtype }),
    cache(dtype, "append", { dtype }),
    cache(dtype, "read", { dtype }),
  ]),
  cache("a rotary ring", "attend", { rope: {}, window: { left: 4600, first: 4 }, capacity: 9400 }),
];

const pool = (what: string, keys: number, score: (library: typeof import("saccade")) => object) =>
  about(
    what,
    main(
      "attentionPooling",
      () => [paint(1, 160, 32), paint(2, keys, 32), paint(3, keys, 24)],
      ({ saccade }) => ({
        ...{ returnWeights: true, ...score(saccade) },
      }),
    ),
  );

const poolings: readonly ThreadCase[] = [
  pool("dot products", 700, ({ scaledDot }) => ({ score: scaledDot() })),
  about(
    "cosines",
    main(
      "attentionPooling",
      () => [paint(1, 4, 128), paint(2, 8300, 128), paint(3, 8300, 2)],
      ({ saccade: { cosine, topK } }) => ({ score: cosine(), normalize: topK(5) }),
    ),
  ),
  pool("an additive score, sparsemax", 160, ({ additive, sparsemax }) => ({
    score: additive({ wq: paint(4, 24, 32), wk: paint(5, 24, 32), v: paint(6, 24) }),
    normalize: sparsemax(),
  })),
  pool("a network", 160, ({ mlp }) => ({
    score: mlp({ layers: [{ w: paint(4, 16, 64), bias: paint(5, 16) }, { w: paint(6, 1, 16) }], activation: "relu" }),
  })),
  pool("a kernel of the distance, drawn", 700, ({ gaussian, gumbel }) => ({
    score: gaussian({ width: 2 }),
    normalize: gumbel({ seed: 3 }),
  })),
  main(
    "nadarayaWatson",
    () => [paint(1, 600, 3), paint(2, 500, 3), paint(3, 500, 2)],
    () => ({ kernel: "epanechnikov", width: 3, returnWeights: true }),
  ),
  main(
    "fitWidth",
    () => [paint(1, 193, 2), paint(2, 193)],
    () => ({ epochs: 4 }),
  ),
  main(
    "temporalAttention",
    () => [paint(1, 8, 70, 4096)],
    () => ({ query: paint(2, 4096), returnDeviation: true, lengths: [70, 3, 70, 69, 0, 70, 70, 50] }),
  ),
  about(
    "learned",
    main(
      "temporalAttention",
      () => [paint(1, 8, 70, 64)],
      () => ({ w: paint(2, 300, 64), b: paint(3, 300), v: paint(4, 300) }),
    ),
  ),
  main(
    "temporalSelfAttention",
    () => [paint(1, 2, 500, 48)],
    () => ({ causal: true }),
  ),
];

const operators: readonly ThreadCase[] = [
  main(
    "linear",
    () => [paint(1, 3, 99, 160), paint(2, 210, 160)],
    () => ({ bias: paint(3, 210), activation: "tanh" }),
  ),
  about(
    "halves",
    main("linear", () => [halves(1, 17, 300), halves(2, 7200, 300)]),
  ),
  main(
    "layerNorm",
    () => [paint(1, 2100, 512)],
    () => ({ weight: paint(2, 512), bias: paint(3, 512) }),
  ),
  about(
    "along the first axis",
    main(
      "layerNorm",
      () => [paint(1, 512, 2100)],
      () => ({ axis: 0 }),
    ),
  ),
  main(
    "rmsNorm",
    () => [paint(1, 2100, 512)],
    () => ({ weight: paint(2, 512) }),
  ),
  main(
    "maskedSoftmax",
    () => [paint(1, 700, 801)],
    () => ({ lengths: Array.from({ length: 700 }, (_, row) => (row * 7) % 802) }),
  ),
  about(
    "along the first axis",
    main(
      "maskedSoftmax",
      () => [paint(1, 700, 801)],
      () => ({ axis: 0 }),
    ),
  ),
  main("logSumExp", () => [paint(1, 700, 801)]),
  main("sinusoidalPositions", () => [1030, 130]),
  main("addSinusoidalPositions", () => [paint(1, 8, 700, 200)]),
  main("embedding", () => [
    { data: Int32Array.from({ length: 2100 }, (_, t) => (t * 7919) % 1000), shape: [2100] },
    paint(1, 1000, 256),
  ]),
  main(
    "t5RelativeBias",
    () => [paint(1, 32, 4)],
    () => ({ qLen: 730, kvLen: 740 }),
  ),
  main(
    "shawRelative",
    () => [1, 2, 3].map((seed) => paint(seed, 1, 520, 8, 16)),
    () => ({ relativeKey: paint(4, 33, 16), relativeValue: paint(5, 17, 16), causal: true }),
  ),
  main(
    "transformerXlAttention",
    () => [paint(1, 1, 500, 8, 16), paint(2, 1, 530, 8, 16), paint(3, 1, 530, 8, 16)],
    () => ({ r: paint(4, 530, 16), u: paint(5, 8, 16), v: paint(6, 8, 16) }),
  ),
  main(
    "rope",
    () => [paint(1, 1, 1400, 8, 64)],
    () => ({ offset: 3 }),
  ),
];

/** The cases of the main entry. */
export const mainCases: readonly ThreadCase[] = [...attentions, ...caches, ...poolings, ...operators];
