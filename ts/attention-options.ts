/**
 * The options of attention, and the type of what comes back for them.
 */

import type { BitMask } from "./bit-mask.ts";
import type { DType, FloatDType } from "./dtype.ts";
import type { Engine } from "./engine.ts";
import type { DTypeOf, PlainTensor, TensorInput } from "./tensor.ts";

/** What `returnWeights` can be. */
export type WeightsOption =
  | boolean
  | "head-mean"
  | { readonly rows: ArrayLike<number>; readonly topK?: undefined }
  | { readonly topK: number; readonly rows?: undefined };

/** A stage of the scores, each in natural units (not base 2). */
export type TapStage = "raw" | "scaled" | "capped" | "biased";

/** Keys around a row's position that it may attend. */
export interface AttentionWindow {
  /** Keys at most this far before the position. Default: no limit. */
  readonly left?: number | undefined;
  /** Keys at most this far after the position. Default: no limit. */
  readonly right?: number | undefined;
  /** The first keys, which stay visible in spite of the window (but not of `causal`). Default 0. */
  readonly first?: number | undefined;
}

/** The largest weights of each row, descending; of equal ones the lower index comes first. */
export interface TopWeights {
  /** `[batch, numHeads, qLen, k]`; 0 where a row sees fewer than k keys. */
  readonly values: PlainTensor<"float32">;
  /** Positions of their keys, of the same shape; -1 where a row sees fewer than k keys. */
  readonly indices: PlainTensor<"int32">;
}

/** Where the largest weights are written. */
export interface TopWeightsTarget {
  readonly values: TensorInput;
  readonly indices: TensorInput;
}

/** Where results are written, one by one. */
export interface AttentionTargets {
  /** For `out`. */
  readonly out: TensorInput;
  /** For `lse`; needs `returnLse: true`. */
  readonly lse?: TensorInput | undefined;
  /** For `weights`; needs `returnWeights`. For `{ topK }` one target for the values and one for the indices. */
  readonly weights?: TensorInput | TopWeightsTarget | undefined;
  /** For `scores`; needs `tap`. */
  readonly scores?: TensorInput | undefined;
}

/** What can be given as `out`. */
export type AttentionTarget = TensorInput | AttentionTargets;

/** Options that every call of {@link attention} takes. */
export interface AttentionBaseOptions<
  Lse extends boolean = boolean,
  Target extends AttentionTarget | undefined = AttentionTarget | undefined,
  OutDType extends FloatDType | undefined = FloatDType | undefined,
> {
  /** Order of the axes: `"bshd"` (default) is `[batch, seq, heads, headDim]`, `"bhsd"` `[batch, heads, seq, headDim]`. */
  readonly layout?: "bshd" | "bhsd" | undefined;
  /** Factor of the scores: any finite number. Default `1 / sqrt(headDim)`. */
  readonly scale?: number | undefined;
  /** Bounds the scaled scores, before bias and mask: `softcap * tanh(score / softcap)`. Finite, more than 0. */
  readonly softcap?: number | undefined;
  /** `true`: query row i sees key j iff `j <= i + qOffset`. Default `false`. */
  readonly causal?: boolean | undefined;
  /**
   * Query row i sees key j iff `i + qOffset - left <= j <= i + qOffset + right`, both inclusive, or j is one of the
   * `first` keys.
   */
  readonly window?: AttentionWindow | undefined;
  /**
   * Position of query row 0 among the keys: an integer, one per batch row (or packed sequence), `"bottom-right"`
   * (kvLen, or kvLengths[b], minus qLen, or qLengths[b]; it may be negative) or `"top-left"` (0). Needed as soon as
   * `causal`, `window`, `alibiSlopes` or a BitMask without an offset of its own meet qLen != kvLen: systems disagree on
   * the default, so there is none. With qLen == kvLen it is 0.
   */
  readonly qOffset?: number | ArrayLike<number> | "bottom-right" | "top-left" | undefined;
  /**
   * ALiBi: one slope per query head, finite once rounded to float32, adds `-slope * |i + qOffset - j|` to the score.
   * `"auto"` takes the slopes of the paper (Press et al., 2022): `2^(-8 (h + 1) / numHeads)` for a power of two, else its
   * interleaved rule.
   */
  readonly alibiSlopes?: ArrayLike<number> | "auto" | undefined;
  /**
   * One logit per query head, neither scaled nor capped, that takes its share of each row's weight and gives no value.
   * -Infinity is no sink; NaN and +Infinity make the head's rows NaN.
   */
  readonly sinks?: ArrayLike<number> | undefined;
  /** Whether the natural logarithm of each row's sum of exponentials is returned too. Default `false`. */
  readonly returnLse?: Lse | undefined;
  /**
   * Where results are written instead of into new arrays: in the shape and dtype of the result, with strides and offset
   * where wanted. It must not overlap an input or another output. With resident Tensors nothing is copied.
   */
  readonly out?: Target | undefined;
  /** dtype of `out`: arithmetic is float32, the result is rounded once. Default: the query's. */
  readonly outDtype?: OutDType | undefined;
  /**
   * What a row does that has neither key nor sink: `"zero"` (default) leaves it 0 (lse: -Infinity), `"throw"` throws
   * `ERR_SACCADE_EMPTY_ROW` after the run, when `out` has been written. Rows past `qLengths` are not looked at.
   */
  readonly onEmptyRow?: "zero" | "throw" | undefined;
  /** The engine that runs the call, and in whose memory its Tensors live. Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** Options of a call whose batch rows have the same sizes. */
export interface AttentionBatchOptions<
  Weights extends WeightsOption = WeightsOption,
  Tap extends TapStage | undefined = TapStage | undefined,
> {
  /**
   * Which keys a row may attend: bool (a Uint8Array, not 0 = **may attend**), broadcast by numpy's rules to
   * `[batch, numHeads, qLen, kvLen]` from rank 1 to 4 without ever being written out, or a {@link BitMask}.
   */
  readonly mask?: TensorInput | BitMask | undefined;
  /** Added to the scores: float32, float16 or bfloat16, broadcast as `mask` is. -Infinity hides the key. */
  readonly bias?: TensorInput | undefined;
  /** Valid keys per batch row, each at most kvLen; keys behind them are never seen, whatever they hold. Default: all. */
  readonly kvLengths?: ArrayLike<number> | undefined;
  /** Valid query rows per batch row, each at most qLen; rows behind them are 0, their lse -Infinity. Default: all. */
  readonly qLengths?: ArrayLike<number> | undefined;
  /**
   * Whether attention weights are returned too: `true` for all of them (memory of qLen x kvLen per head), `"head-mean"`
   * for their mean over the heads, `{ rows }` for those of some query rows, `{ topK }` for the k largest of each row
   * (memory of qLen x k). Default `false`.
   */
  readonly returnWeights?: Weights | undefined;
  /**
   * The scores at a stage, as `scores`: `"raw"` dot products, `"scaled"`, `"capped"` (after softcap), `"biased"` (after
   * bias and ALiBi, -Infinity where the key is hidden). Memory of qLen x kvLen per head.
   */
  readonly tap?: Tap | undefined;
  readonly cuQLens?: undefined;
  readonly cuKvLens?: undefined;
}

/**
 * Options of a call whose sequences lie packed one behind the other, in tensors of rank 3. Results are those of a batch
 * with a row per sequence, each padded to the longest query (maxQ rows) and the most keys (maxKv); no padding is ever
 * computed or stored, but in the columns of weights and scores. What is said per batch row is said per sequence:
 *
 * - `mask` and `bias` broadcast to `[sequences, numHeads, maxQ, maxKv]`; a sequence uses its top-left corner.
 * - A {@link BitMask} is seen from each sequence, positions counted inside it. Its lists per batch row are one per sequence
 *   or one for all, and may be longer than a sequence; indices and stored bits are those of maxQ x maxKv.
 * - `kvLengths` and `qLengths` have an entry per sequence, at most its length; rows behind are 0, their lse -Infinity.
 * - `weights` are `[numHeads, totalQ, maxKv]`, 0 past a sequence's keys; `"head-mean"` `[totalQ, maxKv]`; `{ rows }` counts
 *   rows in the packed query: `[numHeads, rows.length, maxKv]`; `{ topK }` `[numHeads, totalQ, k]`, its indices inside the
 *   sequence.
 * - `scores` are `[numHeads, totalQ, maxKv]`, past a sequence's keys 0, or -Infinity for `"biased"`.
 */
export interface AttentionPackedOptions<
  Weights extends WeightsOption = WeightsOption,
  Tap extends TapStage | undefined = TapStage | undefined,
> extends Omit<AttentionBatchOptions<Weights, Tap>, "cuQLens" | "cuKvLens"> {
  /**
   * Where the sequences begin and end in the query `[totalQ, numHeads, headDim]`: sequence s has the rows from
   * `cuQLens[s]` up to `cuQLens[s + 1]`. From 0 to totalQ, one entry more than there are sequences. `causal` and the like
   * hold in each sequence for itself.
   */
  readonly cuQLens: ArrayLike<number>;
  /** The same for key and value `[totalKv, numKvHeads, headDim]`. */
  readonly cuKvLens: ArrayLike<number>;
}

/**
 * Options of {@link attention}.
 *
 * @typeParam Lse - whether `lse` is in the result: the type of `returnLse`
 * @typeParam Weights - whether `weights` are in the result, and which: the type of `returnWeights`
 * @typeParam Target - the type of `out`; say it where options with `out` are kept in a variable
 * @typeParam Tap - whether `scores` are in the result: the type of `tap`
 * @typeParam OutDType - the type of `outDtype`; say it where options with `outDtype` are kept in a variable
 */
export type AttentionOptions<
  Lse extends boolean = boolean,
  Weights extends WeightsOption = WeightsOption,
  Target extends AttentionTarget | undefined = undefined,
  Tap extends TapStage | undefined = TapStage | undefined,
  OutDType extends FloatDType | undefined = undefined,
> = AttentionBaseOptions<Lse, Target, OutDType> &
  (AttentionBatchOptions<Weights, Tap> | AttentionPackedOptions<Weights, Tap>);

/** The target that was given for a result. */
type TargetOf<Target, Name extends keyof AttentionTargets> = Target extends { readonly out: unknown }
  ? Target extends { readonly [name in Name]: infer Given }
    ? Exclude<Given, undefined>
    : never
  : Name extends "out"
    ? Target extends TensorInput
      ? Target
      : never
    : never;

/** A new result, or the target that was given for it. */
type Written<Target, Name extends keyof AttentionTargets, Fresh> = [TargetOf<Target, Name>] extends [never]
  ? Fresh
  : TargetOf<Target, Name>;

/** `{ [name]: type }` where it was asked for, `{ [name]?: type }` where that is not known, else nothing. */
export type Asked<Flag, Name extends string, Type> = [Flag] extends [false | undefined]
  ? unknown
  : Extract<Flag, false | undefined> extends never
    ? { readonly [name in Name]: Type }
    : { readonly [name in Name]?: Type };

type FreshWeights<Weights> = Weights extends { readonly topK: number }
  ? TopWeights
  : Weights extends false
    ? never
    : PlainTensor<"float32">;

/** The dtype of a new `out`. */
export type OutDTypeOf<Query, OutDType> = [OutDType] extends [FloatDType]
  ? OutDType
  : [OutDType] extends [undefined]
    ? Extract<DTypeOf<Query> & DType, FloatDType>
    : FloatDType;

/** What {@link attention} returns. Where a target was given for a result, the result is that very object. */
export type AttentionResult<
  Lse extends boolean = boolean,
  Weights extends WeightsOption = WeightsOption,
  Target extends AttentionTarget | undefined = undefined,
  Tap extends TapStage | undefined = TapStage | undefined,
  Dtype extends FloatDType = FloatDType,
> = {
  /** `[batch, qLen, numHeads, valueHeadDim]`, in the layout and rank of the query. */
  readonly out: Written<Target, "out", PlainTensor<Dtype>>;
} & Asked<Lse, "lse", Written<Target, "lse", PlainTensor<"float32">>> &
  Asked<Weights, "weights", Written<Target, "weights", FreshWeights<Weights>>> &
  // Of any stage, or none: where options are kept in a variable, the compiler forgets the "none".
  Asked<[TapStage] extends [Tap] ? Tap | undefined : Tap, "scores", Written<Target, "scores", PlainTensor<"float32">>>;
