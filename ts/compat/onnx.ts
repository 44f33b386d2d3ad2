/**
 * ONNX: the operator Attention of opsets 23, 24 and 25.
 */

import { shapeError, wrongKind } from "../errors.ts";
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
  readSoftcap,
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
  type Layout,
  mergeHeads,
  proveAlike,
} from "./heads.ts";
import { padLastAxis } from "./mask.ts";
import { type AnyTensor, asMaskOrBias, proveRank, readIntegers, readOptional, readTensor } from "./tensor.ts";
import { readWindowSizes, type WindowOption } from "./window.ts";

const CALLER = "compat.onnx";

const ATTRIBUTES = [
  "isCausal",
  "kvNumHeads",
  "leftWindowSize",
  "qNumHeads",
  "qkMatmulOutputMode",
  "rightWindowSize",
  "scale",
  "softcap",
  "softmaxPrecision",
] as const;

const INPUTS = ["Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen"] as const;

const OUTPUTS = ["Y", "present_key", "present_value", "qk_matmul_output"] as const;

/** What each value of qk_matmul_output_mode is to `attention`; 3 is the weights. */
const TAPS = ["scaled", "capped", "biased"] as const;

/** `TensorProto.DataType`: float, float16, double, bfloat16. */
const PRECISIONS = [1, 10, 11, 16];

/** The attributes of the node, as the operator spells them or in camelCase. */
export type OnnxAttributes = Spelled<{
  /** 1: row i sees key j iff `j <= i + offset`; the offset is the length of the cache before this call, else 0. */
  readonly isCausal?: number | boolean | undefined;
  /** Needed with 3D inputs. */
  readonly qNumHeads?: number | undefined;
  /** Needed with 3D inputs. */
  readonly kvNumHeads?: number | undefined;
  /** Opset 25: keys before the row's position; -1 is open. */
  readonly leftWindowSize?: number | undefined;
  /** Opset 25: keys after the row's position; -1 is open. */
  readonly rightWindowSize?: number | undefined;
  /** What qk_matmul_output holds: 0 the scaled scores, 1 after softcap, 2 after the mask, 3 the weights. */
  readonly qkMatmulOutputMode?: number | undefined;
  /** Default `1 / sqrt(head_size)`. */
  readonly scale?: number | undefined;
  /** 0 is none. */
  readonly softcap?: number | undefined;
  /** Of no consequence here: softmax is always computed in float32 from float32 scores. */
  readonly softmaxPrecision?: number | undefined;
}>;

/** The inputs of the node, as the operator spells them. */
export interface OnnxInputs {
  /** `[batch, q_num_heads, q_len, head_size]` or `[batch, q_len, q_num_heads * head_size]`. */
  readonly Q: TensorLike | Tensor;
  /** `[batch, kv_num_heads, kv_len, head_size]` or `[batch, kv_len, kv_num_heads * head_size]`. */
  readonly K: TensorLike | Tensor;
  /** As `K`, with its own head size. */
  readonly V: TensorLike | Tensor;
  /** Boolean (true = attend) or float (added). A last axis that is too short is padded with "do not attend". */
  readonly attn_mask?: TensorLike | Tensor | undefined;
  /** `[batch, kv_num_heads, past_len, head_size]`, put before `K`. */
  readonly past_key?: TensorLike | Tensor | undefined;
  /** `[batch, kv_num_heads, past_len, v_head_size]`, put before `V`. */
  readonly past_value?: TensorLike | Tensor | undefined;
  /** Valid keys per batch row, where `K` and `V` are a whole cache. A list, or a tensor of int64 or int32. */
  readonly nonpad_kv_seqlen?:
    | ArrayLike<number | bigint>
    | { readonly data: ArrayLike<number | bigint> }
    | Tensor
    | undefined;
}

/** The name of an output. */
export type OnnxOutputName = (typeof OUTPUTS)[number];

/** What {@link onnx} needs to know beside the node's attributes and inputs. */
export interface OnnxOptions {
  /** The opset of the model. An attribute or input that it does not have is refused. Default 25. */
  readonly opset?: 23 | 24 | 25 | undefined;
  /**
   * The outputs that the node names. Default: Y; present_key and present_value where there is a past_key;
   * qk_matmul_output where the attribute qk_matmul_output_mode is given.
   */
  readonly outputs?: readonly OnnxOutputName[] | undefined;
}

/** Options of `attention`. */
export interface OnnxAttentionOptions {
  readonly layout: "bhsd" | "bshd";
  readonly scale?: number;
  readonly softcap?: number;
  readonly causal?: true;
  readonly window?: WindowOption;
  readonly qOffset?: number | "bottom-right";
  readonly kvLengths?: ArrayLike<number>;
  readonly mask?: TensorLike | Tensor;
  readonly bias?: TensorLike | Tensor;
  readonly tap?: (typeof TAPS)[number];
  readonly returnWeights?: boolean;
}

/** The outputs of the operator, as it spells them; those that were not asked for are missing. */
export interface OnnxOutputs {
  /** In the rank of `Q`. */
  readonly Y: TensorLike | Tensor;
  /** `[batch, kv_num_heads, past_len + kv_len, head_size]`. */
  readonly present_key?: TensorLike | Tensor;
  /** `[batch, kv_num_heads, past_len + kv_len, v_head_size]`. */
  readonly present_value?: TensorLike | Tensor;
  /** `[batch, q_num_heads, q_len, past_len + kv_len]`, float32 whatever the type of `Q`. */
  readonly qk_matmul_output?: TensorLike | Tensor;
}

/** What is read of a result of `attention`. */
export interface ResultOfAttention {
  readonly out: TensorLike | Tensor;
  readonly scores?: TensorLike | Tensor;
  readonly weights?: object;
}

/** A node, ready to be run. */
export interface OnnxAttention {
  readonly query: TensorLike | Tensor;
  /** The keys of the cache and the new ones. */
  readonly key: TensorLike | Tensor;
  /** The values of the cache and the new ones. */
  readonly value: TensorLike | Tensor;
  readonly options: OnnxAttentionOptions;
  /** The outputs of the operator, from what `attention` returned for query, key, value and options. */
  outputs(result: ResultOfAttention): OnnxOutputs;
}

/**
 * A node Attention of ONNX as a call of `attention`.
 *
 * The meaning is that of onnx 1.23 for all three opsets, their errata included: scale, softcap, mask, softmax; a causal
 * rule that counts the cache before this call; a row that sees no key is 0. Scores are computed in float32 whatever
 * the types, so float16 and bfloat16 results differ from a runtime that rounds in between.
 *
 * @throws TypeError `ERR_SACCADE_OPTION` (unknown or contradictory attribute or input, or not in this opset),
 *   `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`; RangeError `ERR_SACCADE_SHAPE`, `ERR_SACCADE_RANGE`
 *
 * @example
 * ```ts
 * const node = compat.onnx({ is_causal: 1 }, { Q, K, V, past_key, past_value });
 * const { Y, present_key, present_value } = node.outputs(attention(node.query, node.key, node.value, node.options));
 * ```
 */
export function onnx(attributes: OnnxAttributes, inputs: OnnxInputs, options: OnnxOptions = {}): OnnxAttention {
  const read = readCall(attributes, ATTRIBUTES, CALLER);
  const given = readInputs(inputs, INPUTS, CALLER);
  const { outputs: asked } = readOptions(options, read, given);
  const layout: Layout = rankOf(given) === 3 ? "bshd" : "bhsd";
  const { query, key, value, pastKey, pastValue } = readOperands(given, read, layout);
  const past = pastKey?.length ?? 0;
  const nonpad = given.nonpad_kv_seqlen;
  if (nonpad !== undefined && pastKey !== undefined) {
    throw contradiction(CALLER, "nonpad_kv_seqlen and past_key are given together, which the operator forbids");
  }
  const scale = readNumber(read.scale, CALLER, "scale");
  const softcap = readSoftcap(read.softcap, CALLER);
  const causal = readFlag(read.isCausal, false, CALLER, "is_causal");
  const names = ["left_window_size", "right_window_size"] as const;
  const window = readWindowSizes(read.leftWindowSize, read.rightWindowSize, names, CALLER);
  if (read.softmaxPrecision !== undefined) readPrecision(read.softmaxPrecision);
  const mode = readInteger(read.qkMatmulOutputMode ?? 0, 0, 3, CALLER, "qk_matmul_output_mode");
  const scores = asked.has("qk_matmul_output");
  const presentKey = pastKey === undefined ? undefined : present(concatenate(pastKey, key, CALLER), "present_key");
  const presentValue =
    pastValue === undefined ? undefined : present(concatenate(pastValue, value, CALLER), "present_value");
  return {
    query: asOperand(query, layout),
    key: asOperand(presentKey ?? key, layout),
    value: asOperand(presentValue ?? value, layout),
    options: {
      layout,
      ...(scale === undefined ? {} : { scale }),
      ...(softcap === undefined ? {} : { softcap }),
      ...(causal ? { causal } : {}),
      ...(window === undefined ? {} : { window }),
      ...(causal || window !== undefined ? { qOffset: nonpad === undefined ? past : ("bottom-right" as const) } : {}),
      ...(nonpad === undefined ? {} : { kvLengths: readIntegers(nonpad, query.batch, CALLER, "nonpad_kv_seqlen") }),
      ...readMask(given.attn_mask, past + key.length),
      ...(!scores ? {} : mode === 3 ? { returnWeights: true } : { tap: TAPS[mode]! }),
    },
    outputs(result) {
      const qk = mode === 3 ? result.weights : result.scores;
      if (scores && qk === undefined) {
        const missing = mode === 3 ? "weights" : "scores";
        throw contradiction(`${CALLER}: outputs`, `the result has no ${missing}; run the options as they are`);
      }
      return {
        Y: layout === "bshd" ? mergeHeads(result.out, `${CALLER}: outputs`) : result.out,
        ...(asked.has("present_key") ? { present_key: asBhsd(presentKey ?? key) } : {}),
        ...(asked.has("present_value") ? { present_value: asBhsd(presentValue ?? value) } : {}),
        ...(scores ? { qk_matmul_output: qk as AnyTensor } : {}),
      };
    },
  };
}

function rankOf({ Q }: Read<(typeof INPUTS)[number]>): number {
  const query = readTensor(Q, CALLER, "Q");
  proveRank(query, [3, 4], CALLER);
  return query.shape.length;
}

interface Operands {
  readonly query: Heads;
  readonly key: Heads;
  readonly value: Heads;
  readonly pastKey: Heads | undefined;
  readonly pastValue: Heads | undefined;
}

function readOperands(
  inputs: Read<(typeof INPUTS)[number]>,
  attributes: Read<(typeof ATTRIBUTES)[number]>,
  layout: Layout,
): Operands {
  const numHeads = readHeads(attributes.qNumHeads, "q_num_heads", layout);
  const numKvHeads = readHeads(attributes.kvNumHeads, "kv_num_heads", layout);
  const operand = (name: "Q" | "K" | "V", heads: number | undefined, attribute: string): Heads => {
    const source = readTensor(inputs[name], CALLER, name);
    if (layout === "bshd") return fromHidden(source, heads!, attribute, CALLER);
    const read = fromHeads(source, CALLER);
    if (heads === undefined || heads === read.heads) return read;
    throw shapeError(CALLER, `${name}.shape[1] is ${read.heads}, ${attribute} is ${heads}`);
  };
  const past = (name: "past_key" | "past_value"): Heads | undefined => {
    const source = readOptional(inputs[name], CALLER, name);
    return source === undefined ? undefined : fromHeads(source, CALLER);
  };
  const query = operand("Q", numHeads, "q_num_heads");
  const key = operand("K", numKvHeads, "kv_num_heads");
  const value = operand("V", numKvHeads, "kv_num_heads");
  const pastKey = past("past_key");
  const pastValue = past("past_value");
  if ((pastKey === undefined) !== (pastValue === undefined)) {
    throw contradiction(CALLER, "past_key and past_value belong together; give both or neither");
  }
  proveAlike(key, query, ["batch", "dim"], CALLER);
  proveAlike(value, key, ["batch", "heads", "length"], CALLER);
  if (pastKey !== undefined) proveAlike(pastValue!, pastKey, ["length"], CALLER);
  return { query, key, value, pastKey, pastValue };
}

function readHeads(value: unknown, attribute: string, layout: Layout): number | undefined {
  if (value !== undefined) return readInteger(value, 1, 2 ** 31 - 1, CALLER, attribute);
  if (layout === "bhsd") return undefined;
  throw contradiction(CALLER, `${attribute} is missing; inputs of 3 axes need it`);
}

/** A cache of this call as an operand. */
function present(cache: AnyTensor, name: string): Heads {
  return fromHeads(readTensor(cache, CALLER, name), CALLER);
}

/** Keys or values as the operator puts them out; without a cache they are the input's own. */
function asBhsd(operand: Heads): AnyTensor {
  if (operand.source.shape.length === 4) return operand.source.given;
  const rows = () => operand.length;
  return assemble(operand.length, [{ operand, rows, at: () => 0 }], CALLER);
}

function readMask(value: unknown, kvLen: number): { [role in "mask" | "bias"]?: AnyTensor } {
  const mask = readOptional(value, CALLER, "attn_mask");
  return mask === undefined ? {} : { [asMaskOrBias(mask, CALLER)]: padLastAxis(mask, kvLen, CALLER) };
}

/** Which outputs are wanted, and that everything given belongs to the opset. */
function readOptions(
  options: unknown,
  attributes: Read<(typeof ATTRIBUTES)[number]>,
  inputs: Read<(typeof INPUTS)[number]>,
): { outputs: ReadonlySet<OnnxOutputName> } {
  let opset = 25;
  let outputs: OnnxOutputName[] = ["Y"];
  if (inputs.past_key !== undefined) outputs.push("present_key", "present_value");
  if (attributes.qkMatmulOutputMode !== undefined) outputs.push("qk_matmul_output");
  for (const name of optionNames(options, CALLER)) {
    const value = (options as Record<string, unknown>)[name];
    if (name !== "opset" && name !== "outputs") throw unknownOption(name, ["opset", "outputs"], CALLER);
    if (value === undefined) continue;
    if (name === "opset") opset = readInteger(value, 23, 25, CALLER, "opset");
    else outputs = readOutputs(value);
  }
  const later = [
    ["left_window_size", attributes.leftWindowSize, 25],
    ["right_window_size", attributes.rightWindowSize, 25],
    ["nonpad_kv_seqlen", inputs.nonpad_kv_seqlen, 24],
  ] as const;
  for (const [name, value, since] of later) {
    if (value !== undefined && opset < since)
      throw contradiction(CALLER, `${name} came with opset ${since}; the model's is ${opset}`);
  }
  return { outputs: new Set(outputs) };
}

function readOutputs(value: unknown): OnnxOutputName[] {
  if (!Array.isArray(value)) {
    throw wrongKind(CALLER, "outputs", value, "a list of names");
  }
  for (const name of value) {
    if (!OUTPUTS.includes(name)) throw unknownOption(String(name), OUTPUTS, `${CALLER}: outputs`);
  }
  return value as OnnxOutputName[];
}

function readPrecision(value: unknown): void {
  const precision = readInteger(value, 0, 2 ** 31 - 1, CALLER, "softmax_precision");
  if (PRECISIONS.includes(precision)) return;
  throw unsupported(
    CALLER,
    `softmax_precision ${precision}`,
    "the operator has 1 (float), 10 (float16), 11 (double) and 16 (bfloat16)",
  );
}
