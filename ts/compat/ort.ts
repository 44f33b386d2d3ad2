/**
 * onnxruntime: the contrib operators MultiHeadAttention and GroupQueryAttention (com.microsoft). What is documented
 * there loosely is taken from the CPU kernels of onnxruntime 1.30.
 */

import { shapeError } from "../errors.ts";
import { optionNames, unknownOption } from "../layout/options.ts";

import type { TensorLike } from "../layout/tensor-like.ts";
import type { Tensor } from "../tensor.ts";
import {
  contradiction,
  type Read,
  readCall,
  readFlag,
  readInputs,
  readInteger,
  readNumber,
  type Spelled,
  unsupported,
} from "./call.ts";
import {
  asOperand,
  assemble,
  concatenate,
  fromHeads,
  fromHidden,
  type Heads,
  mergeHeads,
  partOfPacked,
  proveAlike,
} from "./heads.ts";
import { fromIntegers } from "./mask.ts";
import { type AnyTensor, proveRank, readIntegers, readOptional, readTensor, type Source } from "./tensor.ts";

const CALLER = "compat.ort.multiHeadAttention";

const ATTRIBUTES = ["numHeads", "unidirectional", "scale", "maskFilterValue"] as const;

const INPUTS = [
  "query",
  "key",
  "value",
  "bias",
  "key_padding_mask",
  "attention_bias",
  "past_key",
  "past_value",
  "past_sequence_length",
  "cache_indirection",
] as const;

/** Inputs that have no counterpart, and what to do instead. */
const REFUSED = {
  bias: "it is part of the projections; add it to query, key and value first",
  past_sequence_length: "it is for a buffer shared by past and present; give the valid part of the cache as past_key",
  cache_indirection: "reorder the cache first",
} as const;

/** Where a filter value hides a key as surely as -Infinity: the default of the operator. */
const HIDING_FILTER = -10000;

/** The attributes of a node MultiHeadAttention, as the operator spells them or in camelCase. */
export type MultiHeadAttentionAttributes = Spelled<{
  readonly numHeads: number;
  /** 1: row i sees key j iff `j <= i` plus the length of the past. */
  readonly unidirectional?: number | boolean | undefined;
  /** Default, and for 0: `1 / sqrt(head_size)`. */
  readonly scale?: number | undefined;
  /** What is added to the score of a masked key; at most -10000, which hides it. Default -10000. */
  readonly maskFilterValue?: number | undefined;
}>;

/** The inputs of a node MultiHeadAttention, as the operator spells them. */
export interface MultiHeadAttentionInputs {
  /** `[batch, q_len, hidden]`, or query, key and value packed as `[batch, q_len, num_heads, 3, head_size]`. */
  readonly query: TensorLike | Tensor;
  /**
   * `[batch, kv_len, hidden]`, `[batch, num_heads, kv_len, head_size]`, or with the value in it
   * `[batch, kv_len, num_heads, 2, head_size]`.
   */
  readonly key?: TensorLike | Tensor | undefined;
  /** As `key`. */
  readonly value?: TensorLike | Tensor | undefined;
  /** int32: lengths `[batch]`, or 1 = attend as `[batch, total_len]` or `[batch, q_len, total_len]`. */
  readonly key_padding_mask?: TensorLike | Tensor | undefined;
  /** Added to the scores: `[batch or 1, num_heads or 1, q_len, total_len]`. */
  readonly attention_bias?: TensorLike | Tensor | undefined;
  /** `[batch, num_heads, past_len, head_size]`. */
  readonly past_key?: TensorLike | Tensor | undefined;
  readonly past_value?: TensorLike | Tensor | undefined;
}

/** What the translators of onnxruntime's operators need to know beside attributes and inputs. */
export interface OrtOptions {
  /**
   * The outputs that the node names. Default: all three; of multiHeadAttention without a past output alone.
   */
  readonly outputs?: readonly OrtOutputName[] | undefined;
}

/** The name of an output. */
export type OrtOutputName = "output" | "present_key" | "present_value";

/** Options of `attention`. */
export interface OrtAttentionOptions {
  readonly layout: "bshd";
  readonly scale?: number;
  readonly softcap?: number;
  readonly causal?: true;
  readonly qOffset?: number | readonly number[];
  readonly window?: { readonly left: number };
  readonly kvLengths?: readonly number[];
  readonly mask?: TensorLike;
  readonly bias?: TensorLike | Tensor;
  readonly sinks?: ArrayLike<number>;
}

/** The outputs of the operator; those that were not asked for are missing. */
export interface OrtOutputs {
  /** `[batch, q_len, num_heads * head_size]`. */
  readonly output: TensorLike | Tensor;
  /** `[batch, kv_num_heads, total_len, head_size]`. */
  readonly present_key?: TensorLike | Tensor;
  readonly present_value?: TensorLike | Tensor;
}

/** A node, ready to be run. */
export interface OrtAttention {
  readonly query: TensorLike | Tensor;
  readonly key: TensorLike | Tensor;
  readonly value: TensorLike | Tensor;
  readonly options: OrtAttentionOptions;
  /** The outputs of the operator, from what `attention` returned for query, key, value and options. */
  outputs(result: { readonly out: TensorLike | Tensor }): OrtOutputs;
}

/**
 * A node MultiHeadAttention of onnxruntime as a call of `attention`.
 *
 * A masked key is hidden. onnxruntime adds mask_filter_value to its score instead, which differs in one place: where a
 * row's keys are all masked, it attends to them as if none were, and here the row is 0. With `unidirectional`, query
 * and key must be equally long: onnxruntime lets the last row of any other shape see every key.
 *
 * @throws TypeError `ERR_SACCADE_OPTION`, `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`; RangeError `ERR_SACCADE_SHAPE`,
 *   `ERR_SACCADE_RANGE`; SaccadeError `ERR_SACCADE_UNSUPPORTED` (bias of the projections, shared buffers, beams, a
 *   mask_filter_value above -10000, unidirectional with other lengths)
 *
 * @example
 * ```ts
 * const node = compat.ort.multiHeadAttention({ num_heads: 8, unidirectional: 1 }, { query, key, value });
 * const { output } = node.outputs(attention(node.query, node.key, node.value, node.options));
 * ```
 */
export function multiHeadAttention(
  attributes: MultiHeadAttentionAttributes,
  inputs: MultiHeadAttentionInputs,
  options: OrtOptions = {},
): OrtAttention {
  const read = readCall(attributes, ATTRIBUTES, CALLER);
  const given = readInputs(inputs, INPUTS, CALLER);
  for (const [name, advice] of Object.entries(REFUSED)) {
    if (given[name as keyof typeof REFUSED] !== undefined) throw unsupported(CALLER, name, advice);
  }
  const { query, key, value } = readProjections(given, readCount(read.numHeads, "num_heads", CALLER));
  const past = readPast(given, key, value, CALLER);
  const asked = readOutputs(options, past !== undefined, CALLER);
  const total = (past?.key.length ?? 0) + key.length;
  const presentKey = past === undefined ? key : joined(past.key, key, "present_key");
  const presentValue = past === undefined ? value : joined(past.value, value, "present_value");
  const mask = readOptional(given.key_padding_mask, CALLER, "key_padding_mask");
  const bias = readOptional(given.attention_bias, CALLER, "attention_bias");
  // One row is let see everything, whatever the attribute says.
  const causal = readFlag(read.unidirectional, false, CALLER, "unidirectional") && query.length > 1;
  if (causal && key.length !== query.length) {
    throw unsupported(
      CALLER,
      `unidirectional with ${query.length} query rows and ${key.length} keys`,
      "onnxruntime lets the last row see every key then; give the rule as attention_bias",
    );
  }
  return {
    query: asOperand(query, "bshd"),
    key: asOperand(presentKey, "bshd"),
    value: asOperand(presentValue, "bshd"),
    options: {
      layout: "bshd",
      ...readScale(read.scale, CALLER),
      ...(causal ? { causal, qOffset: past?.key.length ?? 0 } : {}),
      ...(mask === undefined ? {} : readPaddingMask(mask, read.maskFilterValue, [query.batch, query.length, total])),
      ...(bias === undefined ? {} : { bias: bias.given }),
    },
    outputs: (result) => outputsOf(result.out, asked, { key: presentKey, value: presentValue }, CALLER),
  };
}

function readProjections(
  inputs: Read<(typeof INPUTS)[number]>,
  heads: number,
): Record<"query" | "key" | "value", Heads> {
  const query = readTensor(inputs.query, CALLER, "query");
  const packed = query.shape.length === 5 ? query : undefined;
  if (packed !== undefined) {
    if (inputs.key !== undefined || inputs.value !== undefined) {
      throw contradiction(CALLER, "query has 5 axes, so it holds key and value too; give no others");
    }
    const parts = partsOf(packed, heads, 3);
    return { query: parts[0]!, key: parts[1]!, value: parts[2]! };
  }
  const rows = fromHidden(query, heads, "num_heads", CALLER);
  const source = readTensor(inputs.key, CALLER, "key");
  proveRank(source, [3, 4, 5], CALLER);
  if (source.shape.length === 5) {
    if (inputs.value !== undefined)
      throw contradiction(CALLER, "key has 5 axes, so it holds the value too; give no other");
    const parts = partsOf(source, heads, 2);
    return { query: rows, key: parts[0]!, value: parts[1]! };
  }
  const operand = (each: Source): Heads =>
    each.shape.length === 4 ? fromHeads(each, CALLER) : fromHidden(each, heads, "num_heads", CALLER);
  const key = operand(source);
  const value = operand(readTensor(inputs.value, CALLER, "value"));
  proveAlike(key, rows, ["batch", "heads", "dim"], CALLER);
  proveAlike(value, key, ["batch", "heads", "length"], CALLER);
  return { query: rows, key, value };
}

function partsOf(source: Source, heads: number, parts: number): Heads[] {
  if (source.shape[2] !== heads || source.shape[3] !== parts) {
    throw shapeError(
      CALLER,
      `${source.name}.shape is [${source.shape.join(", ")}]; expected [batch, length, ${heads}, ${parts}, head_size]`,
    );
  }
  return Array.from({ length: parts }, (_, part) => partOfPacked(source, part));
}

function readPaddingMask(
  mask: Source,
  filter: unknown,
  [batch, qLen, total]: readonly [number, number, number],
): Pick<OrtAttentionOptions, "kvLengths" | "mask"> {
  const value = readNumber(filter, CALLER, "mask_filter_value") ?? HIDING_FILTER;
  if (!(value <= HIDING_FILTER)) {
    throw unsupported(
      CALLER,
      `mask_filter_value ${value}`,
      `a masked key is hidden; only ${HIDING_FILTER} or less can be given`,
    );
  }
  const { shape } = mask;
  const is = (...sizes: number[]) => sizes.length === shape.length && sizes.every((size, axis) => size === shape[axis]);
  if (is(batch)) return { kvLengths: readIntegers(mask.data(), batch, CALLER, "key_padding_mask") };
  if (is(batch, total)) return { mask: fromIntegers(mask, [batch, 1, 1, total], CALLER) };
  if (is(batch, qLen, total)) return { mask: fromIntegers(mask, [batch, 1, qLen, total], CALLER) };
  if (is(3 * batch + 2)) {
    throw unsupported(CALLER, `a key_padding_mask of [${shape.join(", ")}]`, "give the key lengths alone, as [batch]");
  }
  throw shapeError(
    CALLER,
    `key_padding_mask.shape is [${shape.join(", ")}]; expected [${batch}], [${batch}, ${total}] or ` +
      `[${batch}, ${qLen}, ${total}]`,
  );
}

function joined(past: Heads, fresh: Heads, name: string): Heads {
  return fromHeads(readTensor(concatenate(past, fresh, CALLER), CALLER, name), CALLER);
}

/** A number of heads. */
export function readCount(value: unknown, attribute: string, caller: string): number {
  if (value === undefined) throw contradiction(caller, `${attribute} is missing; the operator needs it`);
  return readInteger(value, 1, 2 ** 31 - 1, caller, attribute);
}

/** `scale` as onnxruntime has it: 0 is the default. */
export function readScale(value: unknown, caller: string): { readonly scale?: number } {
  const scale = readNumber(value, caller, "scale") ?? 0;
  return scale === 0 ? {} : { scale };
}

/** The cache before this call. */
export function readPast(
  inputs: Read<"past_key" | "past_value">,
  key: Heads,
  value: Heads,
  caller: string,
): { readonly key: Heads; readonly value: Heads } | undefined {
  const pastKey = readOptional(inputs.past_key, caller, "past_key");
  const pastValue = readOptional(inputs.past_value, caller, "past_value");
  if ((pastKey === undefined) !== (pastValue === undefined)) {
    throw contradiction(caller, "past_key and past_value belong together; give both or neither");
  }
  if (pastKey === undefined || pastValue === undefined) return undefined;
  const past = { key: fromHeads(pastKey, caller), value: fromHeads(pastValue, caller) };
  proveAlike(past.key, key, ["batch", "heads", "dim"], caller);
  proveAlike(past.value, value, ["batch", "heads", "dim"], caller);
  proveAlike(past.value, past.key, ["length"], caller);
  return past;
}

/** Which outputs are wanted. */
export function readOutputs(options: unknown, cached: boolean, caller: string): ReadonlySet<OrtOutputName> {
  const names = ["output", "present_key", "present_value"] as const;
  let outputs: readonly OrtOutputName[] = cached ? names : ["output"];
  for (const name of optionNames(options, caller)) {
    if (name !== "outputs") throw unknownOption(name, ["outputs"], caller);
    outputs = (options as OrtOptions).outputs ?? outputs;
  }
  for (const name of outputs) {
    if (!names.includes(name)) throw unsupported(caller, `the output ${String(name)}`, `there are ${names.join(", ")}`);
  }
  return new Set(outputs);
}

/** The outputs of both operators. */
export function outputsOf(
  out: AnyTensor,
  asked: ReadonlySet<OrtOutputName>,
  present: { readonly key: Heads; readonly value: Heads },
  caller: string,
): OrtOutputs {
  const cache = (operand: Heads): AnyTensor => {
    if (operand.source.shape.length === 4) return operand.source.given;
    return assemble(operand.length, [{ operand, rows: () => operand.length, at: () => 0 }], caller);
  };
  return {
    output: mergeHeads(out, `${caller}: outputs`),
    ...(asked.has("present_key") ? { present_key: cache(present.key) } : {}),
    ...(asked.has("present_value") ? { present_value: cache(present.value) } : {}),
  };
}
