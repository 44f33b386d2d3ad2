/**
 * onnxruntime: the contrib operator GroupQueryAttention (com.microsoft).
 */

import { dtypeError, shapeError } from "../errors.ts";

import type { TensorLike } from "../layout/tensor-like.ts";
import { typedArrayKind } from "../layout/typed-array.ts";
import type { Tensor } from "../tensor.ts";
import {
  contradiction,
  type Read,
  readCall,
  readFlag,
  readInputs,
  readInteger,
  readSoftcap,
  type Spelled,
  unsupported,
} from "./call.ts";
import { asOperand, assemble, fromHeads, fromHidden, type Heads, partOfHidden, proveAlike } from "./heads.ts";
import { type OrtAttention, type OrtOptions, outputsOf, readCount, readOutputs, readPast, readScale } from "./ort.ts";
import { listIn, proveRank, readIntegers, readOptional, readTensor } from "./tensor.ts";

const CALLER = "compat.ort.groupQueryAttention";

const ATTRIBUTES = [
  "numHeads",
  "kvNumHeads",
  "causal",
  "scale",
  "softcap",
  "localWindowSize",
  "smoothSoftmax",
  "doRotary",
  "rotaryInterleaved",
  "qkOutput",
  "slidingWindowCache",
  "kvCacheBitWidth",
  "kQuantType",
  "vQuantType",
  "qkNormEpsilon",
] as const;

const INPUTS = [
  "query",
  "key",
  "value",
  "past_key",
  "past_value",
  "seqlens_k",
  "total_sequence_length",
  "cos_cache",
  "sin_cache",
  "position_ids",
  "attention_bias",
  "head_sink",
  "k_scale",
  "v_scale",
  "q_norm_weight",
  "k_norm_weight",
] as const;

/** Attributes that can only say no, and what to do instead. */
const REFUSED_ATTRIBUTES = [
  ["doRotary", "do_rotary", "rotate query and key first"],
  ["qkOutput", "qk_output", "ask attention for returnWeights or a tap"],
  ["slidingWindowCache", "sliding_window_cache", "give a cache that holds the whole sequence"],
] as const;

/** Inputs that have no counterpart, and what to do instead. */
const REFUSED_INPUTS = {
  cos_cache: "rotate query and key first",
  sin_cache: "rotate query and key first",
  position_ids: "rotate query and key first",
  k_scale: "convert the cache to a float type first",
  v_scale: "convert the cache to a float type first",
  q_norm_weight: "normalise the query first",
  k_norm_weight: "normalise the key first",
} as const;

/** The attributes of a node GroupQueryAttention, as the operator spells them or in camelCase. */
export type GroupQueryAttentionAttributes = Spelled<{
  readonly numHeads: number;
  readonly kvNumHeads: number;
  /** Default 1. */
  readonly causal?: number | boolean | undefined;
  /** Default, and for 0: `1 / sqrt(head_size)`. */
  readonly scale?: number | undefined;
  /** 0 is none. */
  readonly softcap?: number | undefined;
  /** How many keys a row sees, its own among them; -1 is open. */
  readonly localWindowSize?: number | undefined;
  /** 1: a sink of 0 for every head. */
  readonly smoothSoftmax?: number | boolean | undefined;
  /** Only 0. */
  readonly doRotary?: number | boolean | undefined;
  /** Of no consequence without rotary embeddings. */
  readonly rotaryInterleaved?: number | boolean | undefined;
  /** Only 0. */
  readonly qkOutput?: number | undefined;
  /** Only 0. */
  readonly slidingWindowCache?: number | boolean | undefined;
  /** Only 0: no quantised cache. */
  readonly kvCacheBitWidth?: number | undefined;
  readonly kQuantType?: "NONE" | undefined;
  readonly vQuantType?: "NONE" | undefined;
  /** Of no consequence without q_norm_weight. */
  readonly qkNormEpsilon?: number | undefined;
}>;

/** The inputs of a node GroupQueryAttention, as the operator spells them. */
export interface GroupQueryAttentionInputs {
  /** `[batch, q_len, num_heads * head_size]`; with key and value in it, of num_heads + 2 * kv_num_heads heads. */
  readonly query: TensorLike | Tensor;
  /** `[batch, q_len, kv_num_heads * head_size]`. */
  readonly key?: TensorLike | Tensor | undefined;
  /** As `key`. */
  readonly value?: TensorLike | Tensor | undefined;
  /** `[batch, kv_num_heads, past_len or capacity, head_size]`. */
  readonly past_key?: TensorLike | Tensor | undefined;
  readonly past_value?: TensorLike | Tensor | undefined;
  /** Valid keys per batch row, those of this call among them, minus 1. */
  readonly seqlens_k: ArrayLike<number> | { readonly data: ArrayLike<number> } | Tensor;
  /** The longest of them, without the minus 1. Equal to q_len, it says that nothing came before. */
  readonly total_sequence_length: number | ArrayLike<number> | { readonly data: ArrayLike<number> } | Tensor;
  /** Added to the scores: `[batch or 1, num_heads or 1, q_len, total_sequence_length]`. */
  readonly attention_bias?: TensorLike | Tensor | undefined;
  /** One logit per query head. */
  readonly head_sink?: ArrayLike<number> | { readonly data: ArrayLike<number> } | Tensor | undefined;
}

/**
 * A node GroupQueryAttention of onnxruntime as a call of `attention`.
 *
 * The new keys go behind the valid part of each batch row's past, into a new present_key of the same capacity; the
 * causal rule and the window count from there. `local_window_size` is the number of keys a row sees (versions from
 * before September 2025 counted the row's own key extra). Rows behind a prompt's length, for which onnxruntime leaves
 * whatever comes out, see the valid keys here.
 *
 * @throws TypeError `ERR_SACCADE_OPTION`, `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`; RangeError `ERR_SACCADE_SHAPE`,
 *   `ERR_SACCADE_RANGE`; SaccadeError `ERR_SACCADE_UNSUPPORTED` (rotary embeddings, quantised or windowed caches,
 *   normalised query and key, qk_output)
 *
 * @example
 * ```ts
 * const inputs = { query, key, value, past_key, past_value, seqlens_k: [41, 17], total_sequence_length: 42 };
 * const node = compat.ort.groupQueryAttention({ num_heads: 8, kv_num_heads: 2 }, inputs);
 * const { output, present_key } = node.outputs(attention(node.query, node.key, node.value, node.options));
 * ```
 */
export function groupQueryAttention(
  attributes: GroupQueryAttentionAttributes,
  inputs: GroupQueryAttentionInputs,
  options: OrtOptions = {},
): OrtAttention {
  const read = readCall(attributes, ATTRIBUTES, CALLER);
  const given = readInputs(inputs, INPUTS, CALLER);
  refuse(read, given);
  const numHeads = readCount(read.numHeads, "num_heads", CALLER);
  const { query, key, value } = readProjections(given, numHeads, readCount(read.kvNumHeads, "kv_num_heads", CALLER));
  const past = readPast(given, key, value, CALLER);
  const asked = readOutputs(options, true, CALLER);
  const { lengths, before, total } = readLengths(given, query, past?.key.length ?? 0);
  const capacity = Math.max(total, past?.key.length ?? 0);
  const present = (old: Heads | undefined, fresh: Heads, name: string): Heads => {
    if (old === undefined) return fresh;
    const pieces = [
      { operand: old, rows: (batch: number) => before[batch]!, at: () => 0 },
      { operand: fresh, rows: () => fresh.length, at: (batch: number) => before[batch]! },
    ];
    return fromHeads(readTensor(assemble(capacity, pieces, CALLER), CALLER, name), CALLER);
  };
  const cache = { key: present(past?.key, key, "present_key"), value: present(past?.value, value, "present_value") };
  const softcap = readSoftcap(read.softcap, CALLER);
  const causal = readFlag(read.causal, true, CALLER, "causal");
  const window = readWindow(read.localWindowSize, causal);
  const bias = readOptional(given.attention_bias, CALLER, "attention_bias");
  return {
    query: asOperand(query, "bshd"),
    key: asOperand(cache.key, "bshd", total),
    value: asOperand(cache.value, "bshd", total),
    options: {
      layout: "bshd",
      ...readScale(read.scale, CALLER),
      ...(softcap === undefined ? {} : { softcap }),
      ...(causal ? { causal, qOffset: before } : {}),
      ...(window === undefined ? {} : { window }),
      kvLengths: lengths,
      ...(bias === undefined ? {} : { bias: bias.given }),
      ...readSinks(given.head_sink, read.smoothSoftmax, numHeads),
    },
    outputs: (result) => outputsOf(result.out, asked, cache, CALLER),
  };
}

function refuse(attributes: Read<(typeof ATTRIBUTES)[number]>, inputs: Read<(typeof INPUTS)[number]>): void {
  for (const [name, attribute, advice] of REFUSED_ATTRIBUTES) {
    const value = attributes[name];
    if (value !== undefined && value !== 0 && value !== false) throw unsupported(CALLER, attribute, advice);
  }
  const { kvCacheBitWidth = 0, kQuantType = "NONE", vQuantType = "NONE" } = attributes;
  if (kvCacheBitWidth !== 0 || kQuantType !== "NONE" || vQuantType !== "NONE") {
    throw unsupported(CALLER, "a quantised cache", "convert the cache to a float type first");
  }
  for (const [name, advice] of Object.entries(REFUSED_INPUTS)) {
    if (inputs[name as keyof typeof REFUSED_INPUTS] !== undefined) throw unsupported(CALLER, name, advice);
  }
}

function readProjections(
  inputs: Read<(typeof INPUTS)[number]>,
  numHeads: number,
  numKvHeads: number,
): Record<"query" | "key" | "value", Heads> {
  const source = readTensor(inputs.query, CALLER, "query");
  if ((inputs.key === undefined) !== (inputs.value === undefined)) {
    throw contradiction(CALLER, "key and value belong together; give both, or neither with a packed query");
  }
  if (inputs.key !== undefined) {
    const query = fromHidden(source, numHeads, "num_heads", CALLER);
    const key = fromHidden(readTensor(inputs.key, CALLER, "key"), numKvHeads, "kv_num_heads", CALLER);
    const value = fromHidden(readTensor(inputs.value, CALLER, "value"), numKvHeads, "kv_num_heads", CALLER);
    proveAlike(key, query, ["batch", "length", "dim"], CALLER);
    proveAlike(value, key, ["batch", "length"], CALLER);
    return { query, key, value };
  }
  proveRank(source, [3], CALLER);
  const heads = numHeads + 2 * numKvHeads;
  const hidden = source.shape[2]!;
  if (hidden % heads !== 0) {
    throw shapeError(
      CALLER,
      `query.shape[2] is ${hidden}; packed, it is a multiple of num_heads + 2 * kv_num_heads, ${heads}`,
    );
  }
  const part = (first: number, count: number) => partOfHidden(source, first, count, hidden / heads);
  return { query: part(0, numHeads), key: part(numHeads, numKvHeads), value: part(numHeads + numKvHeads, numKvHeads) };
}

function readLengths(
  inputs: Read<(typeof INPUTS)[number]>,
  query: Heads,
  pastLength: number,
): { lengths: number[]; before: number[]; total: number } {
  for (const name of ["seqlens_k", "total_sequence_length"] as const) {
    if (inputs[name] === undefined) throw contradiction(CALLER, `${name} is missing; the operator needs it`);
  }
  const given = inputs.total_sequence_length;
  const list = typeof given === "number" ? [given] : given;
  const total = readIntegers(list, 1, CALLER, "total_sequence_length")[0]!;
  const lengths = readIntegers(inputs.seqlens_k, query.batch, CALLER, "seqlens_k").map((length) => length + 1);
  const isPrompt = query.length === total;
  const before = lengths.map((length) => (isPrompt ? 0 : length - query.length));
  before.forEach((rows, batch) => {
    const highest = isPrompt ? 0 : Math.min(pastLength, total - query.length);
    if (rows < 0 || rows > highest || lengths[batch]! < 0) {
      throw shapeError(
        CALLER,
        `seqlens_k[${batch}] is ${lengths[batch]! - 1}, so ${rows} keys came before the ` +
          `${query.length} of this call; there can be 0 to ${highest}`,
      );
    }
  });
  return { lengths, before, total };
}

function readWindow(value: unknown, causal: boolean): { readonly left: number } | undefined {
  const size = readInteger(value ?? -1, -1, 2 ** 31 - 1, CALLER, "local_window_size");
  if (size < 0) return undefined;
  if (!causal) throw contradiction(CALLER, "local_window_size needs causal, as in onnxruntime");
  if (size === 0) throw unsupported(CALLER, "local_window_size 0", "-1 is open, and a row sees at least its own key");
  return { left: size - 1 };
}

function readSinks(sink: unknown, smooth: unknown, numHeads: number): { readonly sinks?: ArrayLike<number> } {
  const zero = readFlag(smooth, false, CALLER, "smooth_softmax");
  if (sink === undefined) return zero ? { sinks: new Float32Array(numHeads) } : {};
  if (zero) throw contradiction(CALLER, "head_sink and smooth_softmax are given together; give one of them");
  const list = listIn(sink);
  if (typedArrayKind(list) === "Uint16Array") {
    throw dtypeError(CALLER, "head_sink is a Uint16Array; give it as float32");
  }
  return { sinks: list as ArrayLike<number> };
}
