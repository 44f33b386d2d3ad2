/**
 * The options of a key-value cache.
 */

import type {
  AttentionBaseOptions,
  AttentionBatchOptions,
  AttentionTarget,
  WeightsOption,
} from "./attention-options.ts";
import type { CacheDType } from "./cache/format.ts";
import type { FloatDType } from "./dtype.ts";
import type { Engine } from "./engine.ts";
import type { RopeOptions } from "./rotary.ts";

export type { CacheDType } from "./cache/format.ts";

/** Options of a `KvCache`. */
export interface KvCacheOptions {
  /** Sequences side by side, from 1 up. */
  readonly batch: number;
  /** Heads of key and value. */
  readonly numKvHeads: number;
  /** Width of a key. */
  readonly headDim: number;
  /** Width of a value. Default: `headDim`. */
  readonly valueHeadDim?: number | undefined;
  /** Positions that each batch row can keep. With `window` it is rounded up to a multiple of 64. */
  readonly capacity: number;
  /**
   * How keys and values are stored. `"float32"` (default); `"float16"` and `"bfloat16"` round to nearest even, overflow to
   * Infinity; arithmetic is float32. `"int8"` keeps `round(127 x / max |x|)` and a scale for each token and head, and takes finite
   * numbers only; queries and weights then meet it as integers of 16 bits, in exact sums: a quarter of the memory, and the
   * fastest to decode from. A query row that is not finite gives NaN.
   */
  readonly dtype?: CacheDType | undefined;
  /**
   * A sliding window: each row sees the `left` keys before its own, its own, and the `first` keys of the sequence. The cache is
   * then a ring, which keeps the last `capacity` positions and the first ones, and never fills.
   */
  readonly window?: { readonly left: number; readonly first?: number | undefined } | undefined;
  /**
   * Memory is taken in pages of so many positions, a multiple of 64, as they are needed, and a fork that writes copies one
   * page. Default: all memory of a batch row is one page, taken at once.
   */
  readonly pageSize?: number | undefined;
  /**
   * Rotary positions: `KvCache.append` turns keys and `KvCache.attend` queries by their absolute positions, as `rope`
   * does. `seqLen` must be given with the scalings that depend on it. Default: none.
   */
  readonly rope?: Pick<RopeOptions, "base" | "style" | "rotaryDim" | "scaling" | "seqLen"> | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** Options of `KvCache.append`. */
export interface KvCacheAppendOptions {
  /** How many rows each batch row adds, at most n; what lies behind them is not looked at. Default: n. */
  readonly lengths?: ArrayLike<number> | undefined;
}

/** Options of `KvCache.attend`: those of `attention` that a cache leaves open. */
export type KvCacheAttendOptions<
  Lse extends boolean = boolean,
  Weights extends WeightsOption = WeightsOption,
  Target extends AttentionTarget | undefined = undefined,
  OutDType extends FloatDType | undefined = undefined,
> = Pick<
  AttentionBaseOptions<Lse, Target, OutDType>,
  "layout" | "scale" | "softcap" | "alibiSlopes" | "sinks" | "returnLse" | "out" | "outDtype"
> &
  Pick<AttentionBatchOptions<Weights>, "mask" | "bias" | "qLengths" | "returnWeights">;

/** Their names. */
export const ATTEND_OPTIONS = [
  "layout",
  "scale",
  "softcap",
  "alibiSlopes",
  "sinks",
  "mask",
  "bias",
  "qLengths",
  "returnLse",
  "returnWeights",
  "out",
  "outDtype",
] as const;
