/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Multi-head attention.
 */

import { laterMethod } from "../async/later.ts";
import type { WeightsOption } from "../attention-options.ts";
import type { AsyncOptions } from "../control.ts";
import { disposeKey } from "../dispose.ts";
import type { Engine } from "../engine.ts";
import { argumentError, optionError, SaccadeError, shapeError } from "../errors.ts";
import { instanceFor } from "../init.ts";
import { resolveApart, resolveDestination } from "../layout/destinations.ts";
import { proveFloatTensor } from "../layout/operands.ts";
import { proveWord, readOptions } from "../layout/options.ts";
import { proveApart } from "../layout/overlap.ts";
import { plainOf } from "../layout/results.ts";

import { type CapturedTensor, captureTensor, stepTensor } from "../layout/tensor-like.ts";
import { runLinear } from "../linear.ts";
import { takeWeight } from "../pooling/weight.ts";
import {
  ATTENTION_OPTIONS,
  captureProjected,
  type Heads,
  type ProjectedAttentionOptions,
  type ProjectedAttentionResult,
  type Projections,
  projectedResult,
  proveProjections,
  proveSequence,
  proveVector,
  runProjected,
} from "../projected-attention.ts";
import type { TensorInput } from "../tensor.ts";
import { inSession } from "../wasm/operator.ts";
import { sliceView, type TensorView } from "../wasm/view.ts";
import { captureAdditive, resolveAdditive, runAdditiveHeads } from "./additive-heads.ts";
import { Held, holding } from "./held.ts";
import { LayerWeights, type StateDict } from "./state-dict.ts";

/** How heads score a query and a key. */
export type HeadScore = "scaled-dot" | "additive";

/** How many heads there are, and where they live. */
export interface MultiHeadAttentionOptions {
  /** Heads of the query. */
  readonly numHeads: number;
  /** Heads of keys and values, a divisor of numHeads: fewer is grouped-query attention. Default: numHeads. */
  readonly numKvHeads?: number | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** Weights of {@link MultiHeadAttention}, each matrix `[outFeatures, inFeatures]`. */
export interface MultiHeadAttentionWeights extends Projections<TensorInput> {
  /** `[numHeads * headDim, queryDim]`. */
  readonly wq: TensorInput;
  /** `[numKvHeads * headDim, keyDim]`. */
  readonly wk: TensorInput;
  /** `[numKvHeads * valueHeadDim, valueDim]`. */
  readonly wv: TensorInput;
  /** `[outDim, numHeads * valueHeadDim]`: what brings the heads together. */
  readonly wo: TensorInput;
  readonly bo?: TensorInput | undefined;
  /**
   * `"scaled-dot"` (default): `q . k / sqrt(headDim)`; `"additive"`: `v^T tanh(q + k)` (Bahdanau, Cho and Bengio 2014), which takes
   * `mask`, `kvLengths` and `returnWeights: true` only.
   */
  readonly score?: HeadScore | undefined;
  /** `[numHeads, headDim]`, finite: the additive score's, which it needs. */
  readonly v?: TensorInput | undefined;
}

/** Options of {@link MultiHeadAttention.fromStateDict}. */
export interface MultiHeadAttentionStateOptions extends MultiHeadAttentionOptions {
  /** What the names of the layer's weights begin with: `"encoder.layers.0.self_attn."`. Default: nothing. */
  readonly prefix?: string | undefined;
}

const LAYER = "MultiHeadAttention";
const MATRICES = ["wq", "wk", "wv", "wo"] as const;
const BIASES = ["bq", "bk", "bv", "bo"] as const;
const SCORES = ["scaled-dot", "additive"] as const;
const CALL_OPTIONS = [...ATTENTION_OPTIONS, "out"] as const;

type Parts<T> = Readonly<Record<(typeof MATRICES)[number], T> & Record<(typeof BIASES)[number], T | undefined>>;

/** Only this file's functions say that weights have been read already. */
const READ = Symbol("saccade.nn.read");

/**
 * Multi-head attention (Vaswani et al. 2017): `Wo [head_1; ...; head_h] + bo`, each head scaled dot-product attention over its
 * own projections of query, key and value. Weights are held in the engine's memory; between the projections and the
 * attention kernels nothing is copied.
 *
 * Weights that are float32 Tensors of the engine are used where they lie and stay yours; all others are copied, and given back
 * by {@link MultiHeadAttention.dispose}.
 *
 * @example
 * ```ts
 * import { MultiHeadAttention } from "saccade/nn";
 *
 * const eye = { data: new Float32Array([1, 0, 0, 1]), shape: [2, 2] };
 * using layer = new MultiHeadAttention({ wq: eye, wk: eye, wv: eye, wo: eye, numHeads: 2 });
 * const x = { data: new Float32Array([1, 0, 0, 1, 1, 1]), shape: [3, 2] };
 * const { out, weights } = layer.forward(x, x, x, { causal: true, returnWeights: true });
 * console.log(out.shape, weights.shape); // [3, 2] [2, 3, 3]
 * ```
 */
export class MultiHeadAttention {
  readonly #held: Held;
  readonly #heads: Heads;
  readonly #weights: Parts<TensorView>;
  /** Of additive heads. */
  readonly #v: TensorView | undefined;

  /**
   * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
   *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE`; SaccadeError as `attention`
   */
  constructor(weights: MultiHeadAttentionWeights & MultiHeadAttentionOptions);
  constructor(weights: object) {
    const { given, options, v } = isRead(weights) ? weights[READ] : readWeights(weights);
    const shapes = Object.fromEntries(
      Object.entries(given).map(([name, part]) => [name, part && { shape: part.rows?.shape ?? part.tensor.shape }]),
    ) as unknown as Parts<{ readonly shape: readonly number[] }>;
    this.#heads = proveProjections(shapes, options, LAYER);
    const { numHeads, headDim, valueHeadDim } = this.#heads;
    const { wo, bo } = shapes;
    if (wo.shape.length !== 2 || wo.shape[1] !== numHeads * valueHeadDim || wo.shape[1] === 0) {
      throw shapeError(
        LAYER,
        `wo.shape is [${wo.shape.join(", ")}]; expected [outFeatures, ${numHeads * valueHeadDim}], as many as the heads give`,
      );
    }
    proveVector("bo", bo, wo.shape[0]!, LAYER);
    const last =
      v === undefined ? undefined : takeWeight(v, [numHeads, headDim], `[${numHeads}, ${headDim}]`, LAYER, "v");
    const held = new Held(instanceFor(options.engine, LAYER), LAYER);
    this.#held = held;
    this.#v = last && holding(held, () => held.hold(stepTensor(last, "v")));
    this.#weights = holding(held, () => {
      // Parts of one tensor are held as one.
      const whole = new Map<CapturedTensor, TensorView>();
      const views = Object.entries(given).map(([name, part]) => {
        if (part === undefined) return [name, undefined];
        const view = whole.get(part.tensor) ?? held.hold(part.tensor);
        whole.set(part.tensor, view);
        const { rows } = part;
        return [name, rows === undefined ? view : sliceView(view, [rows.from, 0], rows.shape)];
      });
      return Object.fromEntries(views) as Parts<TensorView>;
    });
  }

  /**
   * A layer from the weights of PyTorch's `nn.MultiheadAttention` by their names: `in_proj_weight` (or `q_proj_weight`,
   * `k_proj_weight`, `v_proj_weight`), `in_proj_bias`, `out_proj.weight`, `out_proj.bias`.
   *
   * @param dict - tensors by name: `readSafetensors(bytes).tensors`, a Map, or a record
   * @throws as the constructor; SaccadeError `ERR_SACCADE_UNSUPPORTED` for `bias_k` and `bias_v`
   */
  static fromStateDict(dict: StateDict, options: MultiHeadAttentionStateOptions): MultiHeadAttention {
    const caller = `${LAYER}.fromStateDict`;
    const read = readOptions(options, ["numHeads", "numKvHeads", "prefix", "engine"], caller);
    const weights = new LayerWeights(dict, read.prefix, caller);
    const given = readState(weights, read, caller);
    return new MultiHeadAttention({ [READ]: { given, options: read } } as never);
  }

  /** Heads of the query. */
  get numHeads(): number {
    return this.#heads.numHeads;
  }

  /** Heads of keys and values. */
  get numKvHeads(): number {
    return this.#heads.numKvHeads;
  }

  /** Whether the weights have been given back, by {@link MultiHeadAttention.dispose} or with the whole engine. */
  get disposed(): boolean {
    return this.#held.disposed;
  }

  /**
   * Attends.
   *
   * @param query - `[qLen, queryDim]` or `[batch, qLen, queryDim]`
   * @param key - `[..., kvLen, keyDim]`. Default: the query
   * @param value - `[..., kvLen, valueDim]`. Default: the key
   * @param options - as `attention` takes them: `mask` and `bias` broadcast to `[batch, numHeads, qLen, kvLen]`
   * @returns `out` `[..., qLen, outDim]`, and `weights` where they are asked for
   * @throws as `attention`; SaccadeError `ERR_SACCADE_DISPOSED`
   */
  forward<Weights extends WeightsOption = false, const Target extends TensorInput | undefined = undefined>(
    query: TensorInput,
    key?: TensorInput,
    value?: TensorInput,
    options?: ProjectedAttentionOptions<Weights, Target>,
  ): ProjectedAttentionResult<Weights, Target> {
    const caller = `${LAYER}.forward`;
    const queryRows = captureTensor(query, caller, "query");
    const keyRows = key === undefined || key === query ? queryRows : captureTensor(key, caller, "key");
    const valueRows =
      value === undefined || value === key
        ? keyRows
        : value === query
          ? queryRows
          : captureTensor(value, caller, "value");
    const read = readOptions(options, CALL_OPTIONS, caller);
    const instance = this.#held.use(caller, options);
    const weights = this.#weights;
    const heads = this.#heads;
    proveSequence(queryRows, weights.wq, "wq", caller);
    proveSequence(keyRows, weights.wk, "wk", caller);
    proveSequence(valueRows, weights.wv, "wv", caller);
    const rows = { query: queryRows, key: keyRows, value: valueRows };
    const captured = this.#v === undefined ? captureProjected(rows, heads, read, caller) : undefined;
    const additive = this.#v === undefined ? undefined : captureAdditive(rows, read, caller);
    const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");
    const proved = new Map<CapturedTensor, TensorView>();
    const prove = (tensor: CapturedTensor): TensorView => {
      const view = proved.get(tensor) ?? proveFloatTensor(tensor, instance, caller);
      proved.set(tensor, view);
      return view;
    };
    const operands = { query: prove(queryRows), key: prove(keyRows), value: prove(valueRows), weights };
    const leading = operands.query.shape.slice(0, -1);
    const inputs = { ...operands, ...weights, weights: undefined };
    const destination = resolveApart(target, [...leading, weights.wo.shape[0]!], inputs, instance, caller);
    const call = additive && resolveAdditive(additive, heads, instance, caller);
    if (call?.mask.view !== undefined && destination.target !== undefined) {
      proveApart([{ name: "out", view: destination.target }], [{ name: "mask", view: call.mask.view }], caller);
    }
    return inSession(instance, caller, (session) => {
      const out = session.result(destination);
      const weightsOut =
        call?.weights && session.result(resolveDestination(undefined, call.weights, "float32", instance, caller));
      const joined = session.temporary([...leading, heads.numHeads * heads.valueHeadDim]);
      let found: unknown;
      if (captured !== undefined) found = runProjected(session, captured, operands, joined, destination.target);
      else if (call !== undefined) {
        runAdditiveHeads(session, heads, this.#v!, operands, call, joined, weightsOut);
        found = weightsOut && plainOf(weightsOut);
      }
      const { wo, bo } = weights;
      runLinear(session, { x: joined, weight: session.input(wo), bias: bo && session.input(bo) }, out);
      return projectedResult<Weights, Target>(out, read.out, found);
    });
  }

  /** The asynchronous twin of {@link MultiHeadAttention.forward}. */
  forwardAsync<Weights extends WeightsOption = false, const Target extends TensorInput | undefined = undefined>(
    query: TensorInput,
    key?: TensorInput,
    value?: TensorInput,
    options?: ProjectedAttentionOptions<Weights, Target> & AsyncOptions,
  ): Promise<ProjectedAttentionResult<Weights, Target>> {
    return laterMethod(this, "forward", 3, LAYER, [query, key, value, options]);
  }

  /** Gives the layer's memory back. May be called again; any other use afterwards throws `ERR_SACCADE_DISPOSED`. */
  dispose(): void {
    this.#held.dispose();
  }

  /** {@link MultiHeadAttention.dispose}, for `using`. */
  [disposeKey](): void {
    this.dispose();
  }
}

/** A weight, or some rows of one. */
interface Part {
  readonly tensor: CapturedTensor;
  readonly rows: { readonly from: number; readonly shape: readonly number[] } | undefined;
}

interface ReadOptions {
  readonly numHeads?: unknown;
  readonly numKvHeads?: unknown;
  readonly engine?: unknown;
}

interface ReadWeights {
  readonly given: Parts<Part>;
  /** Of additive heads. */
  readonly v?: TensorInput | undefined;
  readonly options: ReadOptions & { readonly numHeads: unknown; readonly numKvHeads: unknown };
}

interface FromState {
  readonly [READ]: ReadWeights;
}

function isRead(weights: unknown): weights is FromState {
  return typeof weights === "object" && weights !== null && READ in weights;
}

function readWeights(weights: unknown): ReadWeights {
  const read = readOptions(weights, [...MATRICES, ...BIASES, "v", "score", "numHeads", "numKvHeads", "engine"], LAYER);
  const score = read.score === undefined ? "scaled-dot" : proveWord(read.score, SCORES, LAYER, "score");
  if ((score === "additive") !== (read.v !== undefined)) {
    throw optionError(
      LAYER,
      `${read.v === undefined ? 'score "additive" needs v' : 'v goes with score "additive" only'}`,
    );
  }
  const required = (name: (typeof MATRICES)[number]): Part => ({
    tensor: captureTensor(read[name], LAYER, name),
    rows: undefined,
  });
  const optional = (name: (typeof BIASES)[number]): Part | undefined =>
    read[name] === undefined ? undefined : { tensor: captureTensor(read[name], LAYER, name), rows: undefined };
  const given = {
    wq: required("wq"),
    wk: required("wk"),
    wv: required("wv"),
    wo: required("wo"),
    bq: optional("bq"),
    bk: optional("bk"),
    bv: optional("bv"),
    bo: optional("bo"),
  };
  return { given, v: read.v as TensorInput | undefined, options: counted(read, LAYER) };
}

/** The number of heads cannot be told from the weights. */
function counted(read: ReadOptions, caller: string): ReadWeights["options"] {
  if (read.numHeads === undefined) {
    throw argumentError(caller, "options.numHeads is missing; expected an integer");
  }
  return { numHeads: read.numHeads, numKvHeads: read.numKvHeads, engine: read.engine };
}

function readState(weights: LayerWeights, options: ReadOptions, caller: string): Parts<Part> {
  counted(options, caller);
  for (const name of ["bias_k", "bias_v"]) {
    if (weights.has(name)) {
      throw new SaccadeError(
        "ERR_SACCADE_UNSUPPORTED",
        `${caller}: ${weights.nameOf(name)} (add_bias_kv) is not supported`,
      );
    }
  }
  const capture = (name: string): CapturedTensor => captureTensor(weights.required(name), caller, weights.nameOf(name));
  const whole = (name: string): Part => ({ tensor: capture(name), rows: undefined });
  const maybe = (name: string): Part | undefined => (weights.has(name) ? whole(name) : undefined);
  const bias = weights.has("in_proj_bias") ? thirds(capture("in_proj_bias"), 1, caller) : undefined;
  const [bq, bk, bv] = bias ?? [undefined, undefined, undefined];
  const [wq, wk, wv] = weights.has("in_proj_weight")
    ? thirds(capture("in_proj_weight"), 2, caller)
    : ([whole("q_proj_weight"), whole("k_proj_weight"), whole("v_proj_weight")] as const);
  return { wq, wk, wv, wo: whole("out_proj.weight"), bq, bk, bv, bo: maybe("out_proj.bias") };
}

/** The three parts that PyTorch stacks: of the query, the key and the value. */
function thirds(tensor: CapturedTensor, rank: number, caller: string): readonly [Part, Part, Part] {
  const { name, shape } = tensor;
  if (shape.length !== rank || shape[0]! % 3 !== 0) {
    const expected = rank === 1 ? "[3 * embedDim]" : "[3 * embedDim, embedDim]";
    throw shapeError(caller, `${name}.shape is [${shape.join(", ")}]; expected ${expected}`);
  }
  const third = shape[0]! / 3;
  const part = (index: number): Part => ({ tensor, rows: { from: index * third, shape: [third, ...shape.slice(1)] } });
  return [part(0), part(1), part(2)];
}
