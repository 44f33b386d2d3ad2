/** What the translators refuse, and how they say it. */
import { compat, SaccadeError } from "saccade";
import { describe, expect, it } from "vitest";

type Code = "OPTION" | "ARGUMENT" | "DTYPE" | "SHAPE" | "RANGE" | "UNSUPPORTED";

const CLASSES = {
  OPTION: TypeError,
  ARGUMENT: TypeError,
  DTYPE: TypeError,
  SHAPE: RangeError,
  RANGE: RangeError,
  UNSUPPORTED: SaccadeError,
} as const;

const zeros = (...shape: number[]) => ({ data: new Float32Array(shape.reduce((a, b) => a * b, 1)), shape });
const integers = (...list: number[]) => ({ data: Int32Array.from(list), shape: [list.length] });
const bool = { data: new Uint8Array(4), shape: [2, 2], dtype: "bool" } as const;

const { multiHeadAttention: mha, groupQueryAttention: gqa } = compat.ort;
const loose = <F>(call: F) => call as unknown as (...args: unknown[]) => unknown;
const [torch, jax, flash, onnx] = [compat.torch, compat.jax, compat.flash, compat.onnx].map((call) => loose(call)) as [
  (call?: unknown) => unknown,
  (call?: unknown) => unknown,
  (call?: unknown) => unknown,
  (attributes: unknown, inputs?: unknown, options?: unknown) => unknown,
];

const qkv = { Q: zeros(1, 2, 3, 4), K: zeros(1, 2, 5, 4), V: zeros(1, 2, 5, 4) };
const hidden = { Q: zeros(1, 3, 8), K: zeros(1, 5, 8), V: zeros(1, 5, 8) };
const past = { past_key: zeros(1, 2, 2, 4), past_value: zeros(1, 2, 2, 4) };
const rows = { query: zeros(1, 3, 8), key: zeros(1, 3, 8), value: zeros(1, 3, 8) };
const grouped = { ...rows, key: zeros(1, 3, 4), value: zeros(1, 3, 4), seqlens_k: [2], total_sequence_length: 3 };
const heads = { num_heads: 2 };
const groups = { num_heads: 2, kv_num_heads: 1 };

const REFUSALS: [string, () => unknown, Code, RegExp][] = [
  // Names.
  [
    "torch: a typo",
    () => torch({ isCasual: true }),
    "OPTION",
    /there is no option "isCasual"; did you mean "isCausal"\?/,
  ],
  [
    "torch: both spellings",
    () => torch({ isCausal: true, is_causal: true }),
    "OPTION",
    /isCausal and is_causal are the same/,
  ],
  ["torch: no object", () => torch(3), "ARGUMENT", /options is 3/],
  ["jax: another system's name", () => jax({ attn_mask: bool }), "OPTION", /there is no option "attn_mask"/],
  ["flash: a typo", () => flash({ windowsSize: [1, 1] }), "OPTION", /did you mean "windowSize"\?/],
  ["onnx: an attribute", () => onnx({ causal: 1 }, qkv), "OPTION", /compat\.onnx: there is no option "causal"/],
  ["onnx: an input", () => onnx({}, { ...qkv, mask: bool }), "OPTION", /there is no option "mask"/],
  ["onnx: an option", () => onnx({}, qkv, { version: 23 }), "OPTION", /there is no option "version"/],
  ["onnx: an output", () => onnx({}, qkv, { outputs: ["Z"] }), "OPTION", /there is no option "Z"/],
  ["mha: an attribute", () => loose(mha)({ ...heads, softcap: 1 }, rows), "OPTION", /there is no option "softcap"/],
  ["gqa: an input", () => loose(gqa)(groups, { ...grouped, bias: zeros(8) }), "OPTION", /there is no option "bias"/],

  // torch.
  ["torch: dropout", () => torch({ dropoutP: 0.1 }), "UNSUPPORTED", /compat\.torch: dropoutP 0\.1 cannot be expressed/],
  ["torch: mask and causal", () => torch({ attnMask: bool, isCausal: true }), "OPTION", /which PyTorch refuses/],
  ["torch: a mask of integers", () => torch({ attnMask: integers(1) }), "DTYPE", /attnMask is "int32"; expected bool/],
  ["torch: scale", () => torch({ scale: "1" }), "ARGUMENT", /scale is "1"; expected a number/],
  ["torch: a flag", () => torch({ isCausal: 1 }), "ARGUMENT", /isCausal is 1; expected true or false/],
  ["torch: no tensor", () => torch({ attnMask: [true] }), "ARGUMENT", /attnMask is a plain array/],

  // jax.
  ["jax: a float mask", () => jax({ mask: zeros(2, 2) }), "DTYPE", /mask is float32; expected a boolean tensor/],
  ["jax: a boolean bias", () => jax({ bias: bool }), "DTYPE", /bias is bool; expected a float tensor/],
  ["jax: implementation", () => jax({ implementation: "triton" }), "OPTION", /implementation is "triton"/],
  ["jax: a window of three", () => jax({ localWindowSize: [1, 2, 3] }), "ARGUMENT", /localWindowSize is an array/],
  ["jax: a negative window", () => jax({ localWindowSize: -1 }), "RANGE", /localWindowSize\[0\] is -1/],
  ["jax: lengths", () => jax({ querySeqLengths: 3 }), "ARGUMENT", /querySeqLengths is 3; expected a list/],

  // flash.
  ["flash: dropout", () => flash({ dropout_p: 0.5 }), "UNSUPPORTED", /dropoutP 0\.5/],
  ["flash: scale twice", () => flash({ scale: 1, softmax_scale: 1 }), "OPTION", /scale and softmaxScale are the same/],
  [
    "flash: slopes per batch row",
    () => flash({ alibiSlopes: [[1], [2]] }),
    "UNSUPPORTED",
    /alibiSlopes of \[batch, heads\]/,
  ],
  [
    "flash: pages",
    () => flash({ block_table: integers(0) }),
    "UNSUPPORTED",
    /blockTable .* give the pages as one tensor/,
  ],
  ["flash: rotary", () => flash({ rotaryCos: zeros(2, 2) }), "UNSUPPORTED", /rotaryCos .* rotate query and key first/],
  ["flash: appending", () => flash({ k: zeros(1, 1, 1, 4) }), "UNSUPPORTED", /append the new keys/],
  ["flash: left padding", () => flash({ cacheLeftpad: [1] }), "UNSUPPORTED", /cacheLeftpad/],
  ["flash: batch rows", () => flash({ cacheBatchIdx: [1, 0] }), "UNSUPPORTED", /cacheBatchIdx/],
  ["flash: one prefix sum", () => flash({ cuSeqlensQ: [0, 1] }), "OPTION", /cuSeqlensQ and cuSeqlensK belong together/],
  ["flash: maxima alone", () => flash({ maxSeqlenQ: 4 }), "OPTION", /need cuSeqlensQ/],
  ["flash: a packed cache", () => flash({ cuSeqlensQ: [0], cuSeqlensK: [0], cacheSeqlens: [1] }), "OPTION", /packed/],
  ["flash: one length", () => flash({ cacheSeqlens: 4 }), "UNSUPPORTED", /one length per batch row/],
  [
    "flash: packed weights",
    () => flash({ cuSeqlensQ: [0], cuSeqlensK: [0], returnAttnProbs: true }),
    "UNSUPPORTED",
    /returnAttnProbs/,
  ],
  [
    "flash: a window of one",
    () => flash({ windowSize: [1] }),
    "ARGUMENT",
    /windowSize is an array; expected \[left, right\]/,
  ],
  ["flash: a window of -2", () => flash({ windowSize: [-2, 1] }), "RANGE", /windowSize\[0\] is -2/],

  // onnx.
  ["onnx: no inputs", () => onnx({}), "ARGUMENT", /inputs is missing/],
  ["onnx: no value", () => onnx({}, { Q: qkv.Q, K: qkv.K }), "ARGUMENT", /V is undefined/],
  ["onnx: two axes", () => onnx({}, { ...qkv, Q: zeros(3, 4) }), "SHAPE", /Q\.shape has 2 axes; expected 3 or 4/],
  ["onnx: mixed axes", () => onnx({}, { ...qkv, K: hidden.K }), "SHAPE", /K\.shape has 3 axes; expected 4/],
  ["onnx: heads missing", () => onnx({ q_num_heads: 2 }, hidden), "OPTION", /kv_num_heads is missing/],
  [
    "onnx: heads do not divide",
    () => onnx({ q_num_heads: 3, kv_num_heads: 2 }, hidden),
    "SHAPE",
    /Q\.shape\[2\] is 8; expected a multiple of q_num_heads, which is 3/,
  ],
  ["onnx: heads of 4D", () => onnx({ q_num_heads: 3 }, qkv), "SHAPE", /Q\.shape\[1\] is 2, q_num_heads is 3/],
  [
    "onnx: half a past",
    () => onnx({}, { ...qkv, past_key: past.past_key }),
    "OPTION",
    /past_key and past_value belong together/,
  ],
  [
    "onnx: two caches",
    () => onnx({}, { ...qkv, ...past, nonpad_kv_seqlen: [1] }),
    "OPTION",
    /which the operator forbids/,
  ],
  [
    "onnx: another past",
    () => onnx({}, { ...qkv, ...past, past_key: zeros(1, 2, 2, 3) }),
    "SHAPE",
    /past_key has dim 3, K has 4/,
  ],
  [
    "onnx: types of a past",
    () => onnx({}, { ...qkv, ...past, past_key: { data: new Uint16Array(16), shape: [1, 2, 2, 4], dtype: "float16" } }),
    "DTYPE",
    /K is float32, past_key is float16/,
  ],
  ["onnx: a mask of integers", () => onnx({}, { ...qkv, attn_mask: integers(1, 1) }), "DTYPE", /attn_mask is "int32"/],
  ["onnx: mode", () => onnx({ qk_matmul_output_mode: 4 }, qkv), "RANGE", /qk_matmul_output_mode is 4/],
  ["onnx: precision", () => onnx({ softmax_precision: 7 }, qkv), "UNSUPPORTED", /softmax_precision 7/],
  ["onnx: a window of -2", () => onnx({ left_window_size: -2 }, qkv), "RANGE", /left_window_size is -2/],
  [
    "onnx: a window before 25",
    () => onnx({ left_window_size: 1 }, qkv, { opset: 24 }),
    "OPTION",
    /left_window_size came with opset 25/,
  ],
  [
    "onnx: lengths before 24",
    () => onnx({}, { ...qkv, nonpad_kv_seqlen: [1] }, { opset: 23 }),
    "OPTION",
    /nonpad_kv_seqlen came with opset 24/,
  ],
  ["onnx: lengths of two", () => onnx({}, { ...qkv, nonpad_kv_seqlen: [1n, 2n] }), "SHAPE", /nonpad_kv_seqlen/],
  ["onnx: opset 22", () => onnx({}, qkv, { opset: 22 }), "RANGE", /opset is 22/],
  ["onnx: is_causal 2", () => onnx({ is_causal: 2 }, qkv), "RANGE", /is_causal is 2/],
  [
    "onnx: a short array",
    () => onnx({}, { ...qkv, Q: { data: new Float32Array(3), shape: [1, 2, 3, 4] } }),
    "SHAPE",
    /Q\.data holds 3 elements/,
  ],

  // onnxruntime.
  ["mha: no heads", () => loose(mha)({}, rows), "OPTION", /num_heads is missing/],
  [
    "mha: bias",
    () => loose(mha)(heads, { ...rows, bias: zeros(24) }),
    "UNSUPPORTED",
    /bias .* add it to query, key and value first/,
  ],
  [
    "mha: a shared buffer",
    () => loose(mha)(heads, { ...rows, past_sequence_length: integers(1) }),
    "UNSUPPORTED",
    /past_sequence_length/,
  ],
  [
    "mha: beams",
    () => loose(mha)(heads, { ...rows, cache_indirection: integers(1) }),
    "UNSUPPORTED",
    /cache_indirection/,
  ],
  [
    "mha: a soft filter",
    () => loose(mha)({ ...heads, mask_filter_value: -1 }, { ...rows, key_padding_mask: integers(3) }),
    "UNSUPPORTED",
    /mask_filter_value -1/,
  ],
  [
    "mha: unidirectional",
    () => loose(mha)({ ...heads, unidirectional: 1 }, { ...rows, key: zeros(1, 5, 8), value: zeros(1, 5, 8) }),
    "UNSUPPORTED",
    /unidirectional with 3 query rows and 5 keys/,
  ],
  [
    "mha: a mask of another shape",
    () => loose(mha)(heads, { ...rows, key_padding_mask: integers(1, 1) }),
    "SHAPE",
    /key_padding_mask\.shape is \[2\]/,
  ],
  [
    "mha: a mask of starts",
    () => loose(mha)(heads, { ...rows, key_padding_mask: integers(3, 0, 3, 0, 3) }),
    "UNSUPPORTED",
    /key lengths alone/,
  ],
  [
    "mha: packed and more",
    () => loose(mha)(heads, { ...rows, query: zeros(1, 3, 2, 3, 4) }),
    "OPTION",
    /it holds key and value too/,
  ],
  [
    "mha: packed otherwise",
    () => loose(mha)(heads, { query: zeros(1, 3, 2, 2, 4) }),
    "SHAPE",
    /expected \[batch, length, 2, 3, head_size\]/,
  ],
  ["mha: qk", () => loose(mha)(heads, rows, { outputs: ["qk"] }), "UNSUPPORTED", /the output qk/],
  [
    "gqa: rotary",
    () => loose(gqa)({ ...groups, do_rotary: 1 }, grouped),
    "UNSUPPORTED",
    /do_rotary .* rotate query and key first/,
  ],
  ["gqa: rotary tables", () => loose(gqa)(groups, { ...grouped, cos_cache: zeros(3, 2) }), "UNSUPPORTED", /cos_cache/],
  [
    "gqa: a quantised cache",
    () => loose(gqa)({ ...groups, kv_cache_bit_width: 8 }, grouped),
    "UNSUPPORTED",
    /a quantised cache/,
  ],
  [
    "gqa: a windowed cache",
    () => loose(gqa)({ ...groups, sliding_window_cache: 1 }, grouped),
    "UNSUPPORTED",
    /sliding_window_cache/,
  ],
  ["gqa: scores", () => loose(gqa)({ ...groups, qk_output: 1 }, grouped), "UNSUPPORTED", /qk_output/],
  [
    "gqa: norms",
    () => loose(gqa)(groups, { ...grouped, q_norm_weight: zeros(4) }),
    "UNSUPPORTED",
    /normalise the query first/,
  ],
  [
    "gqa: two sinks",
    () => loose(gqa)({ ...groups, smooth_softmax: 1 }, { ...grouped, head_sink: [0, 0] }),
    "OPTION",
    /head_sink and smooth_softmax/,
  ],
  [
    "gqa: a window of 0",
    () => loose(gqa)({ ...groups, local_window_size: 0 }, grouped),
    "UNSUPPORTED",
    /local_window_size 0/,
  ],
  [
    "gqa: a window without causal",
    () => loose(gqa)({ ...groups, causal: 0, local_window_size: 2 }, grouped),
    "OPTION",
    /local_window_size needs causal/,
  ],
  ["gqa: no lengths", () => loose(gqa)(groups, { ...grouped, seqlens_k: undefined }), "OPTION", /seqlens_k is missing/],
  [
    "gqa: lengths beyond the past",
    () => loose(gqa)(groups, { ...grouped, seqlens_k: [5], total_sequence_length: 6 }),
    "SHAPE",
    /3 keys came before the 3 of this call; there can be 0 to 0/,
  ],
  [
    "gqa: key without value",
    () => loose(gqa)(groups, { ...grouped, value: undefined }),
    "OPTION",
    /key and value belong together/,
  ],
];

describe("the translators refuse", () => {
  for (const [name, call, code, message] of REFUSALS) {
    it(name, () => {
      let error: unknown;
      try {
        call();
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(CLASSES[code]);
      expect((error as { code: string }).code).toBe(`ERR_SACCADE_${code}`);
      expect((error as Error).message).toMatch(message);
      expect((error as Error).message).toMatch(
        /^compat\.(torch|jax|flash|onnx|ort\.(multiHead|groupQuery)Attention): /,
      );
    });
  }
});
