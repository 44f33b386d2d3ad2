/**
 * One attention call, fully resolved: what the layers above prove and the layer below runs.
 */

import type { DType } from "../dtype.ts";
import type { TAP_STAGES } from "./abi.ts";
import type { MaskProgram } from "./program.ts";
import type { TensorView } from "./view.ts";

/** Which axis of a tensor is which; -1 where the rank leaves it out. */
export interface AxisOrder {
  readonly batch: number;
  readonly seq: number;
  readonly head: number;
}

/** Where a result goes: the caller's view, or a new array where it is undefined. */
export interface Destination {
  readonly shape: readonly number[];
  readonly elements: number;
  readonly dtype: DType;
  readonly target: TensorView | undefined;
}

/** Which weights are asked for. */
export type WeightsKind =
  | { readonly kind: "full" | "head-mean" }
  | { readonly kind: "rows"; readonly rows: readonly number[] }
  | { readonly kind: "top-k"; readonly k: number };

/** A stage at which scores are asked for. */
export type TapStage = (typeof TAP_STAGES)[number];

/** What a call can give, by its place in {@link Results}. */
export const RESULT_OUT = 0;
export const RESULT_LSE = 1;
/** Weights, or those of the largest that are asked for; their positions come next. */
export const RESULT_WEIGHTS = 2;
export const RESULT_INDICES = 3;
export const RESULT_SCORES = 4;

/** A value for each result, undefined where it was not asked for. */
export type Results<T> = readonly (T | undefined)[];

/** Keys around a row's position that stay visible; an undefined side is open. */
export interface Window {
  readonly left: number | undefined;
  readonly right: number | undefined;
  readonly first: number;
}

/** What changes scores and sight beyond scale, causal and valid keys; all that is undefined is absent. */
export interface Modifiers {
  readonly softcap: number | undefined;
  readonly window: Window | undefined;
  /** Valid query rows per batch row, or per sequence. */
  readonly qLengths: readonly number[] | undefined;
  /** Bytes that broadcast to `[batch, numHeads, qLen, kvLen]` (`[sequences, numHeads, maxQ, maxKv]`); not 0 = may attend. */
  readonly mask: TensorView | undefined;
  readonly program: MaskProgram | undefined;
  /** The programs of packed sequences, in place of one. */
  readonly programs?: readonly MaskProgram[] | undefined;
  /** Floats that broadcast as the mask does. */
  readonly bias: TensorView | undefined;
  /** One per query head. */
  readonly alibiSlopes: Float32Array | undefined;
  /** One per query head. */
  readonly sinks: Float32Array | undefined;
}

/** Packed sequences: sequence s has the query rows `[query[s], query[s + 1])` and the keys `[key[s], key[s + 1])`. */
export interface Sequences {
  readonly query: readonly number[];
  readonly key: readonly number[];
  /** How many of each it has. */
  readonly qLens: readonly number[];
  readonly kvLens: readonly number[];
  /** Query rows of the longest sequence. */
  readonly maxQ: number;
  /** The most keys that a sequence has. */
  readonly maxKv: number;
}

/** Keys from one position to another. */
export interface KeyRange {
  readonly kvStart: number;
  readonly kvEnd: number;
}

/** Sizes of a call, and where each is found. */
export interface AttentionSizes {
  readonly axes: AxisOrder;
  readonly batch: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly qLen: number;
  /** All keys of the call, those of other shards included. */
  readonly kvLen: number;
  /** The keys that are here, where they are not all. */
  readonly shard: KeyRange | undefined;
  readonly headDim: number;
  readonly valueHeadDim: number;
}

/** Attention with every default filled in and every length proved. */
export interface AttentionCall extends AttentionSizes {
  readonly caller: string;
  readonly query: TensorView;
  readonly key: TensorView;
  readonly value: TensorView;
  /** Address of the block of the cache that holds the keys and values; `key` and `value` are then views of nothing. */
  readonly cache: number | undefined;
  readonly results: Results<Destination>;
  /** Set together with the results of these names. */
  readonly weights: WeightsKind | undefined;
  readonly tap: TapStage | undefined;
  /** Undefined: `1 / sqrt(headDim)`, computed in the wasm. */
  readonly scale: number | undefined;
  readonly causal: boolean;
  /** Position of query row 0, of all batch rows (or sequences) or of each; undefined: 0. */
  readonly qOffset: readonly number[] | number | undefined;
  /** Valid keys per batch row, or per sequence; undefined: all. */
  readonly kvLengths: readonly number[] | undefined;
  /** Undefined: none of them. */
  readonly modifiers: Modifiers | undefined;
  /** Undefined: every batch row is a sequence. Else batch is 1. */
  readonly sequences: Sequences | undefined;
  /** Whether a row that sees no key is looked for afterwards. */
  readonly findEmptyRow: boolean;
}
