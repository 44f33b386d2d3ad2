/**
 * FlashAttention 2: `flash_attn_func`, `flash_attn_varlen_func` and `flash_attn_with_kvcache`.
 */

import { wrongKind } from "../errors.ts";
import {
  contradiction,
  type Read,
  readBoolean,
  readCall,
  readInteger,
  readNumber,
  readSoftcap,
  refuseDropout,
  type Spelled,
  unsupported,
} from "./call.ts";
import { countOf, readWindowSizes, type WindowOption } from "./window.ts";

const CALLER = "compat.flash";

/** Arguments of FlashAttention 2 that have no counterpart, and what to do instead. */
const REFUSED = {
  k: "append the new keys to the cache first",
  v: "append the new values to the cache first",
  rotaryCos: "rotate query and key first",
  rotarySin: "rotate query and key first",
  cacheBatchIdx: "give the cache's batch rows in the order of the query's",
  cacheLeftpad: "give a view of the cache that begins at the first valid key, or a mask",
  blockTable: "give the pages as one tensor",
} as const;

const NAMES = [
  "causal",
  "windowSize",
  "softcap",
  "alibiSlopes",
  "scale",
  "softmaxScale",
  "dropoutP",
  "deterministic",
  "returnAttnProbs",
  "returnSoftmaxLse",
  "cuSeqlensQ",
  "cuSeqlensK",
  "maxSeqlenQ",
  "maxSeqlenK",
  "cacheSeqlens",
  "rotaryInterleaved",
  "numSplits",
  ...(Object.keys(REFUSED) as (keyof typeof REFUSED)[]),
] as const;

/** The arguments of FlashAttention 2's functions beside the tensors. */
export interface FlashCall {
  /** The last row sees the last key (the bottom right corner). */
  readonly causal?: boolean | null | undefined;
  /** `[left, right]` keys around the row's position, inclusive; -1 is open. */
  readonly windowSize?: readonly [number, number] | null | undefined;
  /** 0 is none. */
  readonly softcap?: number | null | undefined;
  /** One slope per query head. One list per batch row cannot be expressed. */
  readonly alibiSlopes?: ArrayLike<number> | null | undefined;
  /** Default `1 / sqrt(headDim)`. */
  readonly softmaxScale?: number | null | undefined;
  /** The same as `softmaxScale`. */
  readonly scale?: number | null | undefined;
  /** Only 0. */
  readonly dropoutP?: number | null | undefined;
  /** Of no consequence here: results are always deterministic. */
  readonly deterministic?: boolean | null | undefined;
  /** Gives `returnLse` and `returnWeights`. */
  readonly returnAttnProbs?: boolean | null | undefined;
  /** Gives `returnLse`. */
  readonly returnSoftmaxLse?: boolean | null | undefined;
  /** Packed sequences: prefix sums of the query lengths, from 0. */
  readonly cuSeqlensQ?: ArrayLike<number> | null | undefined;
  /** Packed sequences: prefix sums of the key lengths, from 0. */
  readonly cuSeqlensK?: ArrayLike<number> | null | undefined;
  /** Follows from `cuSeqlensQ` here. */
  readonly maxSeqlenQ?: number | null | undefined;
  /** Follows from `cuSeqlensK` here. */
  readonly maxSeqlenK?: number | null | undefined;
  /** Valid keys of the cache, one per batch row. */
  readonly cacheSeqlens?: ArrayLike<number> | null | undefined;
  /** Of no consequence without rotary embeddings. */
  readonly rotaryInterleaved?: boolean | null | undefined;
  /** Of no consequence here: splitting never changes a bit. */
  readonly numSplits?: number | null | undefined;
}

interface FlashBaseOptions {
  readonly layout: "bshd";
  readonly scale?: number;
  readonly softcap?: number;
  readonly causal?: true;
  readonly window?: WindowOption;
  readonly alibiSlopes?: ArrayLike<number>;
  readonly qOffset?: "bottom-right";
  readonly returnLse?: boolean;
}

/** What {@link flash} gives. */
export type FlashOptions =
  | (FlashBaseOptions & { readonly kvLengths?: ArrayLike<number>; readonly returnWeights?: boolean })
  | (FlashBaseOptions & { readonly cuQLens: ArrayLike<number>; readonly cuKvLens: ArrayLike<number> });

/**
 * The options of `attention` that do what FlashAttention 2 does with these arguments. Tensors are
 * `[batch, length, heads, headDim]` there (packed: `[total, heads, headDim]`), so the layout is `"bshd"`.
 *
 * The causal rule, the window and the ALiBi distance are all aligned to the bottom right corner: row i stands at
 * `i + kvLen - qLen`. With `causal`, the right side of the window is 0, whatever it says. A row that sees no key is 0.
 *
 * @throws TypeError `ERR_SACCADE_OPTION` (unknown or contradictory argument), `ERR_SACCADE_ARGUMENT`; RangeError
 *   `ERR_SACCADE_RANGE`; SaccadeError `ERR_SACCADE_UNSUPPORTED` (dropout, slopes per batch row, paged caches, rotary
 *   embeddings, appending to the cache)
 *
 * @example
 * ```ts
 * const { out } = attention(query, key, value, compat.flash({ causal: true, windowSize: [255, 0], softcap: 30 }));
 * ```
 */
export function flash(call: Spelled<FlashCall> = {}): FlashOptions {
  const read: Read<(typeof NAMES)[number]> = readCall(call, NAMES, CALLER);
  for (const [name, advice] of Object.entries(REFUSED)) {
    if (read[name as keyof typeof REFUSED] !== undefined) throw unsupported(CALLER, name, advice);
  }
  refuseDropout(read.dropoutP, CALLER, "dropoutP");
  if (read.scale !== undefined && read.softmaxScale !== undefined) {
    throw contradiction(CALLER, "scale and softmaxScale are the same; give one of them");
  }
  const scale = readNumber(read.scale ?? read.softmaxScale, CALLER, "softmaxScale");
  const softcap = readSoftcap(read.softcap, CALLER);
  const causal = readBoolean(read.causal, CALLER, "causal");
  const window = readWindow(read.windowSize, causal);
  const alibiSlopes = readSlopes(read.alibiSlopes);
  const positions = causal || window !== undefined || alibiSlopes !== undefined;
  const probabilities = readBoolean(read.returnAttnProbs, CALLER, "returnAttnProbs");
  const lse = readBoolean(read.returnSoftmaxLse, CALLER, "returnSoftmaxLse") || probabilities;
  const options: FlashBaseOptions = {
    layout: "bshd",
    ...(scale === undefined ? {} : { scale }),
    ...(softcap === undefined ? {} : { softcap }),
    ...(causal ? { causal } : {}),
    ...(window === undefined ? {} : { window }),
    ...(alibiSlopes === undefined ? {} : { alibiSlopes }),
    ...(positions ? { qOffset: "bottom-right" as const } : {}),
    ...(lse ? { returnLse: lse } : {}),
  };
  const packed = readPacked(read);
  if (packed === undefined) {
    return {
      ...options,
      ...readCacheLengths(read.cacheSeqlens),
      ...(probabilities ? { returnWeights: probabilities } : {}),
    };
  }
  if (probabilities) {
    throw unsupported(
      CALLER,
      "returnAttnProbs of packed sequences",
      "give the sequences one by one, or as a padded batch",
    );
  }
  if (read.cacheSeqlens !== undefined) throw contradiction(CALLER, "cacheSeqlens does not go with packed sequences");
  return { ...options, ...packed };
}

function readWindow(value: unknown, causal: boolean): WindowOption | undefined {
  if (value === undefined) return undefined;
  if (countOf(value, CALLER, "windowSize") !== 2) {
    throw wrongKind(CALLER, "windowSize", value, "[left, right]");
  }
  const [left, right] = value as readonly unknown[];
  return readWindowSizes(left, causal ? -1 : right, ["windowSize[0]", "windowSize[1]"], CALLER);
}

function readSlopes(value: unknown): ArrayLike<number> | undefined {
  if (value === undefined) return undefined;
  const count = countOf(value, CALLER, "alibiSlopes");
  const list = value as ArrayLike<number>;
  if (count > 0 && typeof list[0] === "object") {
    throw unsupported(
      CALLER,
      "alibiSlopes of [batch, heads]",
      "one slope per query head can be given, for all batch rows",
    );
  }
  return list;
}

function readPacked(
  read: Read<(typeof NAMES)[number]>,
): { readonly cuQLens: ArrayLike<number>; readonly cuKvLens: ArrayLike<number> } | undefined {
  const { cuSeqlensQ, cuSeqlensK } = read;
  for (const name of ["maxSeqlenQ", "maxSeqlenK", "numSplits"] as const) {
    if (read[name] !== undefined) readInteger(read[name], 0, 2 ** 31 - 1, CALLER, name);
  }
  for (const name of ["deterministic", "rotaryInterleaved"] as const) readBoolean(read[name], CALLER, name);
  if ((cuSeqlensQ === undefined) !== (cuSeqlensK === undefined)) {
    throw contradiction(CALLER, "cuSeqlensQ and cuSeqlensK belong together; give both or neither");
  }
  if (cuSeqlensQ === undefined) {
    if (read.maxSeqlenQ === undefined && read.maxSeqlenK === undefined) return undefined;
    throw contradiction(CALLER, "maxSeqlenQ and maxSeqlenK need cuSeqlensQ and cuSeqlensK");
  }
  countOf(cuSeqlensQ, CALLER, "cuSeqlensQ");
  countOf(cuSeqlensK, CALLER, "cuSeqlensK");
  return { cuQLens: cuSeqlensQ as ArrayLike<number>, cuKvLens: cuSeqlensK as ArrayLike<number> };
}

function readCacheLengths(value: unknown): { readonly kvLengths?: ArrayLike<number> } {
  if (value === undefined) return {};
  if (typeof value === "number") {
    throw unsupported(CALLER, "cacheSeqlens as one number", "give one length per batch row");
  }
  countOf(value, CALLER, "cacheSeqlens");
  return { kvLengths: value as ArrayLike<number> };
}
