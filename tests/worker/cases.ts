/**
 * At least one call of every function that a worker answers, with each kind of thing that an argument can hold. Knows no
 * test runner and no platform: Node and browsers run the same.
 */

type Library = typeof import("saccade");

/** The functions of the main entry that use an engine. */
export type FunctionName = {
  [Name in Exclude<keyof Library, `${string}Async`>]: Library[Name] extends (...args: never[]) => unknown
    ? [OptionsOf<Parameters<Library[Name]>>] extends [never]
      ? never
      : "engine" extends keyof NonNullable<OptionsOf<Parameters<Library[Name]>>>
        ? Name
        : never
    : never;
}[Exclude<keyof Library, `${string}Async`>];

type OptionsOf<Args extends readonly unknown[]> =
  Required<Args> extends readonly [...unknown[], infer Options] ? Options : never;

export interface WorkerCase {
  readonly name: FunctionName;
  /** Arguments made anew for each call. */
  readonly args: (library: Library) => readonly unknown[];
}

/** A tensor of small distinct numbers. */
export function counted(...shape: number[]): { data: Float32Array<ArrayBuffer>; shape: number[] } {
  const elements = shape.reduce((product, size) => product * size, 1);
  return { data: Float32Array.from({ length: elements }, (_, i) => Math.fround(((i * 7) % 11) / 8 - 0.5)), shape };
}

/** Another library's tensor: getters on a class, and much that is nobody's business. */
export class Foreign {
  readonly #inner = counted(1, 5, 2, 8);
  readonly self: Foreign = this;
  get data(): Float32Array {
    return this.#inner.data;
  }
  get shape(): number[] {
    return this.#inner.shape;
  }
}

/** One buffer viewed three times. */
function packed(): readonly unknown[] {
  const { data } = counted(7 * 3 * 2 * 8);
  return [0, 1, 2].map((part) => ({ data, shape: [7, 2, 8], strides: [48, 8, 1], offset: part * 16 }));
}

const q = () => counted(1, 5, 2, 8);
const kv = () => counted(1, 5, 1, 8);
const attend = (options: (library: Library) => object): WorkerCase => ({
  name: "attention",
  args: (library) => [q(), kv(), kv(), options(library)],
});

export const workerCases: readonly WorkerCase[] = [
  { name: "attention", args: () => [q(), kv(), kv()] },
  { name: "attention", args: packed },
  { name: "attention", args: () => [new Foreign(), kv(), kv()] },
  {
    name: "attention",
    args: () =>
      ["float16", "bfloat16", "float16"].map((dtype) => ({
        data: new Uint16Array(6).fill(15360),
        shape: [3, 2],
        dtype,
      })),
  },
  attend(() => ({ causal: true, returnLse: true, returnWeights: true, tap: "biased", softcap: 3, sinks: [0.5, -1] })),
  attend(() => ({ returnWeights: { topK: 2 }, alibiSlopes: "auto", kvLengths: new Uint8Array([4]) })),
  attend(() => ({ mask: { data: new Uint8Array([1, 0, 1, 1, 0]), shape: [5], dtype: "bool" }, bias: counted(5, 5) })),
  attend(({ BitMask }) => ({
    mask: BitMask.window({ left: 1, right: 0 })
      .or(BitMask.global({ key: [0] }))
      .and(
        BitMask.document({ query: [0, 0, 0, 1, 1], key: [0, 0, 0, 1, 1] })
          .not()
          .not(),
      )
      .or(BitMask.prefixLm({ lengths: [2] })),
  })),
  attend(({ BitMask }) => ({
    mask: BitMask.fromTensor({ data: new Uint8Array(25).fill(1), shape: [5, 5], dtype: "bool" }),
  })),
  {
    name: "attention",
    args: () => [counted(5, 2, 8), counted(5, 1, 8), counted(5, 1, 8), { cuQLens: [0, 2, 5], cuKvLens: [0, 4, 5] }],
  },
  { name: "attentionPartial", args: () => [q(), kv(), kv(), { kvStart: 0, kvTotal: 70 }] },
  {
    name: "mergePartials",
    args: ({ attentionPartial }) => {
      const part = (kvStart: number, kvLen: number) =>
        attentionPartial(q(), counted(1, kvLen, 1, 8), counted(1, kvLen, 1, 8), { kvStart, kvTotal: 70 });
      return [[part(30, 40), part(0, 30)], { returnLse: true }];
    },
  },
  {
    name: "mergeStates",
    args: ({ attention }) => {
      const result = attention(q(), kv(), kv(), { returnLse: true });
      return [[result, result]];
    },
  },
  { name: "planAttention", args: () => [{ query: [1, 128, 2, 8], key: [1, 128, 2, 8] }, { causal: true }] },
  ...(["dot", "scaledDot", "cosine"] as const).map(
    (score): WorkerCase => ({
      name: "attentionPooling",
      args: (library) => [
        counted(3, 4),
        counted(5, 4),
        counted(5, 2),
        { score: library[score](), returnWeights: true },
      ],
    }),
  ),
  {
    name: "attentionPooling",
    args: ({ additive, sparsemax }) => [
      counted(2, 3, 4),
      counted(2, 5, 6),
      counted(2, 5, 2),
      {
        score: additive({ wq: counted(7, 4), wk: counted(7, 6), v: counted(7) }),
        normalize: sparsemax(),
        kvLengths: [3, 5],
        returnScores: true,
      },
    ],
  },
  {
    name: "attentionPooling",
    args: ({ mlp, gumbel }) => [
      counted(3, 4),
      counted(5, 4),
      counted(5, 2),
      {
        score: mlp({ layers: [{ w: counted(6, 8), bias: counted(6) }, { w: counted(1, 6) }], activation: "relu" }),
        normalize: gumbel({ seed: 3 }),
      },
    ],
  },
  {
    name: "selfAttention",
    args: () => [counted(5, 4), { wq: counted(6, 4), wk: counted(6, 4), wv: counted(4, 4), numHeads: 2 }],
  },
  { name: "nadarayaWatson", args: () => [counted(4), counted(6), counted(6), { width: 0.5, returnWeights: true }] },
  { name: "fitWidth", args: () => [counted(6), counted(6), { epochs: 3 }] },
  { name: "linear", args: () => [counted(2, 3, 4), counted(5, 4), { bias: counted(5), activation: "tanh" }] },
  { name: "layerNorm", args: () => [counted(2, 3, 4), { weight: counted(4), bias: counted(4) }] },
  { name: "rmsNorm", args: () => [counted(2, 3, 4), { weight: counted(4) }] },
  { name: "maskedSoftmax", args: () => [counted(2, 3), { lengths: [[2], [1]].flat(), axis: -1 }] },
  { name: "logSumExp", args: () => [counted(2, 3), { keepDims: true }] },
  { name: "sinusoidalPositions", args: () => [5, 6] },
  { name: "addSinusoidalPositions", args: () => [counted(2, 5, 6)] },
  { name: "embedding", args: () => [{ data: new Int32Array([2, 0, 1]), shape: [3] }, counted(3, 4)] },
  { name: "t5RelativeBias", args: () => [counted(32, 2), { qLen: 3, kvLen: 4 }] },
  { name: "shawRelative", args: () => [q(), kv(), kv(), { relativeKey: counted(5, 8), returnWeights: true }] },
  {
    name: "transformerXlAttention",
    args: () => [q(), kv(), kv(), { r: counted(5, 8), u: counted(2, 8), v: counted(2, 8) }],
  },
  { name: "rope", args: () => [counted(1, 5, 2, 8), { offset: 3 }] },
  { name: "temporalAttention", args: () => [counted(1, 3, 2), { query: counted(2) }] },
  { name: "temporalSelfAttention", args: () => [counted(1, 3, 2), { causal: true, returnWeights: true }] },
  // Refused, each in its own way.
  { name: "attention", args: () => [() => 1, kv(), kv()] },
  { name: "attention", args: () => [Symbol("query"), kv(), kv()] },
  { name: "attention", args: () => [null, kv(), kv()] },
  { name: "attention", args: () => [q(), counted(1, 5, 1, 7), kv()] },
  { name: "attention", args: () => [q(), [1, 2, 3], kv()] },
  { name: "attention", args: () => [q(), kv(), kv(), 5] },
  { name: "attention", args: () => [q(), kv(), kv(), [1]] },
  { name: "attention", args: () => [{ data: new Float64Array(4), shape: [2, 2] }, kv(), kv()] },
  { name: "attention", args: () => [{ data: detached(), shape: [2, 2] }, kv(), kv()] },
  attend(() => ({ causl: true })),
  attend(() => ({ scale: "big" })),
  attend(() => ({ scale: () => 1 })),
  attend(() => ({ kvLengths: [9] })),
  attend(() => ({ mask: new Map() })),
  { name: "attention", args: () => [q(), counted(1, 9, 1, 8), counted(1, 9, 1, 8), { causal: true }] },
  attend(() => ({ kvLengths: [0], onEmptyRow: "throw" })),
  { name: "attentionPooling", args: () => [counted(3, 4), counted(5, 4), counted(5, 2), { score: "dot" }] },
  { name: "linear", args: () => [counted(2, 3), counted(5, 4)] },
  { name: "linear", args: () => [] },
];

function detached(): Float32Array {
  const array = new Float32Array(4);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}
