/**
 * The scores of attention pooling. A score is made once, with its weights, and used in any number of calls, on any engine.
 */

import { rangeError, shapeError, wrongKind } from "../errors.ts";
import { proveWord, readOptions } from "../layout/options.ts";
import { proveNumber, snapshot } from "../layout/shape.ts";
import { ACTIVATIONS, type Activation } from "../linear.ts";
import type { TensorInput } from "../tensor.ts";
import { type DeepLayer, ScoreHandle, type ScoreKind, type ScoreSpec } from "./score-spec.ts";
import { takeWeight, transposed, unit, type Weight } from "./weight.ts";

export type { ScoreKind, ScoreSpec };

/** The wasm's numbers. */
const NUMBERS = {
  dot: 0,
  network: 1,
  additive: 2,
  gaussian: 3,
  boxcar: 4,
  triangular: 5,
  epanechnikov: 6,
  scaledDot: 7,
};

const PLAIN: Omit<ScoreSpec, "kind" | "number"> = Object.freeze({
  parameter: 1,
  unit: false,
  query: undefined,
  key: undefined,
  both: undefined,
  positions: undefined,
  bias: undefined,
  last: undefined,
  deep: Object.freeze([]),
  constant: undefined,
  activation: "tanh",
});

/** How well a query and a key fit: what {@link dot}, {@link additive} and the others make. Immutable. */
export class Score extends ScoreHandle {
  /** Its name. */
  readonly kind: ScoreKind;

  /** @internal */
  constructor(spec: ScoreSpec) {
    super(Object.freeze(spec));
    this.kind = spec.kind;
    Object.freeze(this);
  }
}

/** Proves that a call was given a score. */
export function proveScore(value: unknown, caller: string): ScoreSpec {
  const spec = ScoreHandle.specOf(value);
  if (spec !== undefined) return spec;
  throw wrongKind(caller, "options.score", value, "a score such as dot() or additive({ wq, wk, v })");
}

const made = (kind: ScoreKind, number: number, parts: Partial<ScoreSpec> = {}): Score =>
  new Score({ ...PLAIN, ...parts, kind, number });

/** `q . k` (Luong, Pham and Manning 2015, "dot"); query and key have the same last axis. */
export function dot(): Score {
  return made("dot", NUMBERS.dot);
}

/** `q . k / sqrt(queryDim)` (Vaswani et al. 2017). */
export function scaledDot(): Score {
  return made("scaledDot", NUMBERS.scaledDot);
}

/**
 * `scale * q . k / (|q| |k|)` (Graves, Wayne and Danihelka 2014); a vector of zeros has cosine 0 with everything.
 *
 * @param options - `scale`: any finite number, default 1
 * @throws TypeError `ERR_SACCADE_OPTION`, `ERR_SACCADE_ARGUMENT`; RangeError `ERR_SACCADE_RANGE`
 */
export function cosine(options?: { readonly scale?: number | undefined }): Score {
  const { scale } = readOptions(options, ["scale"], "cosine");
  const parameter = scale === undefined ? 1 : proveNumber(scale, "cosine", "options.scale");
  return made("cosine", NUMBERS.dot, { parameter, unit: true });
}

/**
 * `qᵀ W k` (Luong, Pham and Manning 2015, "general").
 *
 * @param options - `w`: `[queryDim, keyDim]`
 * @throws TypeError `ERR_SACCADE_OPTION`, `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`; RangeError `ERR_SACCADE_SHAPE`,
 *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE` (a weight that is not finite)
 */
export function general(options: { readonly w: TensorInput }): Score {
  const caller = "general";
  const w = required(readOptions(options, ["w"], caller), "w", [-1, -1], "[queryDim, keyDim]", caller);
  // The query is projected, by the transpose: a decoder has one query for many keys.
  return made("general", NUMBERS.dot, { query: transposed(w) });
}

/**
 * Additive attention, `vᵀ tanh(Wq q + Wk k + bias)` (Bahdanau, Cho and Bengio 2014).
 *
 * Without `wq` the query is taken to be projected already, without `wk` the keys are: a decoder projects its keys once (`linear`) and
 * reuses them at every step.
 *
 * @param options - `wq`: `[hidden, queryDim]`; `wk`: `[hidden, keyDim]`; `v` and `bias`: `[hidden]`
 * @throws as {@link general}
 */
export function additive(options: {
  readonly wq?: TensorInput | undefined;
  readonly wk?: TensorInput | undefined;
  readonly v: TensorInput;
  readonly bias?: TensorInput | undefined;
}): Score {
  const caller = "additive";
  const read = readOptions(options, ["wq", "wk", "v", "bias"], caller);
  const last = required(read, "v", [-1], "[hidden]", caller);
  const hidden = last.elements;
  const query = optional(read, "wq", [hidden, -1], `[${hidden}, queryDim], as v is [${hidden}]`, caller);
  const key = optional(read, "wk", [hidden, -1], `[${hidden}, keyDim], as v is [${hidden}]`, caller);
  const bias = optional(read, "bias", [hidden], `[${hidden}], as v is`, caller);
  return made("additive", NUMBERS.additive, { query, key, bias, last });
}

/**
 * `vᵀ tanh(W [q; k] + bias)` (Luong, Pham and Manning 2015, "concat"), the query first: {@link additive} with both
 * projections in one matrix.
 *
 * @param options - `w`: `[hidden, queryDim + keyDim]`; `v` and `bias`: `[hidden]`
 * @throws as {@link general}
 */
export function concat(options: {
  readonly w: TensorInput;
  readonly v: TensorInput;
  readonly bias?: TensorInput | undefined;
}): Score {
  const caller = "concat";
  const read = readOptions(options, ["w", "v", "bias"], caller);
  const last = required(read, "v", [-1], "[hidden]", caller);
  const hidden = last.elements;
  const both = required(read, "w", [hidden, -1], `[${hidden}, queryDim + keyDim], as v is [${hidden}]`, caller);
  const bias = optional(read, "bias", [hidden], `[${hidden}], as v is`, caller);
  return made("concat", NUMBERS.additive, { both, bias, last });
}

/** A layer of {@link mlp}. */
export interface MlpLayer {
  /** `[out, in]`; the first layer's `in` is queryDim + keyDim, the last one's `out` is 1. */
  readonly w: TensorInput;
  /** `[out]`. */
  readonly bias?: TensorInput | undefined;
}

/** The most layers of a network. */
const MOST_LAYERS = 4;

/**
 * A network of the pair, `s = W_n act(... act(W_1 [q; k] + b_1) ...) + b_n`, the query first: the alignment model of Bahdanau, Cho and
 * Bengio (2015) with any layers and activation.
 *
 * @param options - `layers`: 1 to 4 of them; `activation`: default `"relu"`
 * @throws as {@link general}
 */
export function mlp(options: {
  readonly layers: readonly MlpLayer[];
  readonly activation?: Activation | undefined;
}): Score {
  const caller = "mlp";
  const read = readOptions(options, ["layers", "activation"], caller);
  const expected = `1 to ${MOST_LAYERS} layers { w, bias? }`;
  const layers = snapshot(read.layers, MOST_LAYERS, caller, "options.layers", expected);
  if (layers.length === 0) {
    throw shapeError(caller, `options.layers is empty; expected ${expected}`);
  }
  const activation =
    read.activation === undefined ? "relu" : proveWord(read.activation, ACTIVATIONS, caller, "activation");
  let inner = -1;
  const proved = layers.map((layer, index): DeepLayer => {
    const name = `layers[${index}]`;
    const parts = readOptions(layer, ["w", "bias"], `${caller}: ${name}`);
    const end = index === layers.length - 1;
    const shape = `[${end ? 1 : "out"}, ${index === 0 ? "queryDim + keyDim" : inner}]`;
    const w = required(parts, "w", [end ? 1 : -1, inner], shape, caller, name);
    inner = w.shape[0]!;
    return { w, bias: optional(parts, "bias", [inner], `[${inner}]`, caller, name) };
  });
  const [first, ...rest] = proved as [DeepLayer, ...DeepLayer[]];
  const final = rest.pop();
  if (final === undefined) {
    // One layer: its two parts, added.
    return made("mlp", NUMBERS.network, { both: first.w, bias: first.bias, last: unit(), activation: "identity" });
  }
  const last: Weight = { ...final.w, shape: [final.w.elements], strides: [1] };
  const parts = { both: first.w, bias: first.bias, deep: rest, last, constant: final.bias, activation };
  return made("mlp", NUMBERS.network, parts);
}

/**
 * The Gaussian kernel, `exp(-(|q - k| / width)^2 / 2)`: the score is its logarithm, the default normaliser divides by the sum
 * (Nadaraya 1964; Watson 1964).
 *
 * @param options - `width`: from 1e-18 to 1e18, default 1
 * @throws TypeError `ERR_SACCADE_OPTION`, `ERR_SACCADE_ARGUMENT`; RangeError `ERR_SACCADE_RANGE`
 */
export function gaussian(options?: { readonly width?: number | undefined }): Score {
  return kernel("gaussian", options ?? {}, 1);
}

/**
 * The uniform kernel: 1 where `|q - k| < width`, else 0 (Rosenblatt 1956).
 *
 * @throws as {@link gaussian}
 */
export function boxcar(options: { readonly width: number }): Score {
  return kernel("boxcar", options);
}

/**
 * The triangular kernel, `1 - |q - k| / width` where that is above 0, else 0 (Parzen 1962).
 *
 * @throws as {@link gaussian}
 */
export function triangular(options: { readonly width: number }): Score {
  return kernel("triangular", options);
}

/**
 * The parabolic kernel, `1 - (|q - k| / width)^2` where that is above 0, else 0 (Epanechnikov 1969); its factor 3/4 cancels.
 *
 * @throws as {@link gaussian}
 */
export function epanechnikov(options: { readonly width: number }): Score {
  return kernel("epanechnikov", options);
}

/**
 * `W q`: scores of positions that do not look at the keys (Luong, Pham and Manning 2015, "location"). Of more positions than there are
 * keys the first count.
 *
 * @param options - `w`: `[positions, queryDim]`, at least as many positions as keys
 * @throws as {@link general}
 */
export function location(options: { readonly w: TensorInput }): Score {
  const caller = "location";
  const w = required(readOptions(options, ["w"], caller), "w", [-1, -1], "[positions, queryDim]", caller);
  return made("location", NUMBERS.dot, { positions: w });
}

const NARROWEST = 1e-18;
const WIDEST = 1e18;

/** Proves the width of a kernel. */
export function proveWidth(value: unknown, caller: string, name: string): number {
  const width = proveNumber(value, caller, name);
  if (width >= NARROWEST && width <= WIDEST) return width;
  throw rangeError(caller, `${name} is ${width}; expected a number above 0, from 1e-18 to 1e18`);
}

function kernel(
  kind: "gaussian" | "boxcar" | "triangular" | "epanechnikov",
  options: unknown,
  fallback?: number,
): Score {
  const { width = fallback } = readOptions(options, ["width"], kind);
  return made(kind, NUMBERS[kind], { parameter: proveWidth(width, kind, "options.width") });
}

function optional<K extends string>(
  read: Partial<Record<K, unknown>>,
  name: K,
  sizes: readonly number[],
  expected: string,
  caller: string,
  holder = "options",
): Weight | undefined {
  return read[name] === undefined ? undefined : required(read, name, sizes, expected, caller, holder);
}

function required<K extends string>(
  read: Partial<Record<K, unknown>>,
  name: K,
  sizes: readonly number[],
  expected: string,
  caller: string,
  holder = "options",
): Weight {
  return takeWeight(read[name] as TensorInput, sizes, expected, caller, `${holder}.${name}`);
}
