/**
 * What a worker answers: every function of the package that uses an engine, and every method of what lives there. Their types are those of the
 * direct functions, with a promise of the result and the options that steer a call.
 */

import type { AsyncOptions } from "../control.ts";

type Direct = typeof import("../index.ts");
type Vision = typeof import("../vision/index.ts");

/** Options of every call to a worker, beside those of the function itself. */
export interface WorkerCallOptions extends AsyncOptions {
  /**
   * Moves the buffers of the call's typed arrays to the worker instead of copying what they hold: they are detached here at
   * once, whatever becomes of the call. Those that cannot be moved (shared ones, wasm memory) are copied. Default false.
   */
  readonly transfer?: boolean | undefined;
}

/** What an engine is asked by name, and how many arguments come before the options. */
export const CALLS = {
  attention: 3,
  attentionPartial: 3,
  mergePartials: 1,
  mergeStates: 1,
  planAttention: 1,
  attentionPooling: 3,
  selfAttention: 1,
  nadarayaWatson: 3,
  fitWidth: 2,
  linear: 2,
  layerNorm: 1,
  rmsNorm: 1,
  maskedSoftmax: 1,
  logSumExp: 1,
  sinusoidalPositions: 2,
  addSinusoidalPositions: 1,
  embedding: 2,
  t5RelativeBias: 1,
  shawRelative: 3,
  transformerXlAttention: 3,
  rope: 1,
  temporalAttention: 1,
  temporalSelfAttention: 1,
  "vision.channelAttention": 1,
  "vision.squeezeExcite": 1,
  "vision.spatialAttention": 1,
  "vision.cbam": 1,
  "vision.eca": 1,
  "vision.elementwiseAttention": 1,
  "vision.spatialSoftmaxAttention": 1,
  "vision.channelSoftmaxAttention": 1,
  "Tensor.from": 1,
  "Tensor.zeros": 2,
  "Tensor.empty": 2,
  "Tensor.toPlain": 0,
  KvCache: 0,
  "KvCache.deserialize": 1,
  "KvCache.append": 2,
  "KvCache.attend": 1,
  "KvCache.truncate": 1,
  "KvCache.fork": 0,
  "KvCache.reorder": 1,
  "KvCache.read": 2,
  "KvCache.serialize": 0,
  "nn.Linear": 1,
  "nn.LayerNorm": 1,
  "nn.GRU": 1,
  "nn.MultiHeadAttention": 0,
  "nn.MultiHeadAttention.fromStateDict": 1,
  "nn.BahdanauDecoder": 0,
  "Linear.forward": 1,
  "LayerNorm.forward": 1,
  "GRU.forward": 1,
  "MultiHeadAttention.forward": 3,
  "BahdanauDecoder.encode": 1,
  "BahdanauDecoder.step": 2,
  stats: 0,
  selfTest: 0,
} as const;

/** A name of {@link CALLS}. */
export type CallName = keyof typeof CALLS;

/** Names that are answered by a constructor. */
export const CONSTRUCTORS: ReadonlySet<CallName> = new Set<CallName>([
  "KvCache",
  "nn.Linear",
  "nn.LayerNorm",
  "nn.GRU",
  "nn.MultiHeadAttention",
  "nn.BahdanauDecoder",
]);

/** Names that are answered by a method of a tensor, a cache, a layer or the engine, and whether it has options of its own. */
export const METHODS: Readonly<Partial<Record<CallName, { readonly hasOptions: boolean }>>> = {
  "Tensor.toPlain": { hasOptions: false },
  "KvCache.append": { hasOptions: true },
  "KvCache.attend": { hasOptions: true },
  "KvCache.truncate": { hasOptions: false },
  "KvCache.fork": { hasOptions: false },
  "KvCache.reorder": { hasOptions: false },
  "KvCache.read": { hasOptions: false },
  "KvCache.serialize": { hasOptions: false },
  "Linear.forward": { hasOptions: true },
  "LayerNorm.forward": { hasOptions: true },
  "GRU.forward": { hasOptions: true },
  "MultiHeadAttention.forward": { hasOptions: true },
  "BahdanauDecoder.encode": { hasOptions: true },
  "BahdanauDecoder.step": { hasOptions: false },
  stats: { hasOptions: false },
  selfTest: { hasOptions: false },
};

/** Makes a function of the worker of a direct one; the options stay optional, or not. */
export interface Promised {
  <Rest extends readonly unknown[], Options, Result>(
    direct: (...args: [...Rest, options?: Options]) => Result,
  ): (...args: [...Rest, options?: Options & WorkerCallOptions]) => Promise<Result>;
  <Rest extends readonly unknown[], Options, Result>(
    direct: (...args: [...Rest, options: Options]) => Result,
  ): (...args: [...Rest, options: Options & WorkerCallOptions]) => Promise<Result>;
}

/** The same for a function without options. */
export type PromisedPlain = <Args extends readonly unknown[], Result>(
  direct: (...args: Args) => Result,
) => (...args: [...Args, options?: WorkerCallOptions]) => Promise<Result>;

/** How messages call what is called: a function of another entry by its own name. */
export function callerOf(name: CallName): string {
  return name.replace(/^(?:vision|nn)\./, "");
}

/** A name in the clothes of the function that it names, whose type is all that a {@link Promised} takes of it. */
export const named = <Name extends CallName & keyof Direct>(name: Name): Direct[Name] =>
  name as unknown as Direct[Name];

/** The same for a function of `saccade/vision`. */
export const seen = <Name extends keyof Vision & string>(name: Name): Vision[Name] =>
  `vision.${name}` as unknown as Vision[Name];
