/**
 * The agreement between this package and its wasm: the exports, and the block of arguments in linear memory. The
 * block's fields are listed once, here; offsets follow from the kinds, and a fingerprint of all offsets is compared
 * with the one that the wasm computes from its own struct, so the two can never disagree in silence.
 */

import { OPERATOR_OFFSETS } from "./operator-block.ts";

/** The functions that the wasm exports. Pointers are u32: read them with `>>> 0`. */
export interface KernelExports {
  /** First byte that the module itself does not use. */
  heap_base(): number;
  /** {@link fingerprint} of the wasm's own argument blocks. */
  abi_fingerprint(): number;
  /** Offset of a field; the block's size for the index after the last one; 0xffffffff beyond. */
  abi_field(index: number): number;
  /** Validates the block at `args`, writes its `plan_*` fields, returns a status. */
  plan(kind: number, args: number): number;
  /** Runs the tiles `[from, to)` of a phase in a pass on a thread (0: the one that calls), returns a status. */
  run(kind: number, phase: number, args: number, pass: number, from: number, to: number, thread: number): number;
  /** How many finished states per row a part of keys `[start, end)` of `total` ships. */
  shard_nodes(start: number, end: number, total: number): number;
  /** The first block of its state `index`. */
  shard_node(start: number, end: number, total: number, index: number): number;
  /** How many keys of a block that others share it has on its left (side 0) or right (side 1). */
  shard_edge(start: number, end: number, total: number, side: number): number;
  /** Bytes of scratch memory that merging `count` items takes; 0xffffffff where they cannot be addressed. */
  merge_scratch(count: number, valueHeadDim: number): number;
}

/** Names of {@link KernelExports}, for the check at load time. */
export const EXPORT_NAMES = [
  "heap_base",
  "abi_fingerprint",
  "abi_field",
  "plan",
  "run",
  "shard_nodes",
  "shard_node",
  "shard_edge",
  "merge_scratch",
] as const;

/** What the second module exports, which runs {@link KIND_OPERATOR} and nothing else. */
export type OperatorExports = Pick<KernelExports, "heap_base" | "abi_fingerprint" | "plan" | "run">;

/** Names of {@link OperatorExports}. */
export const OPERATOR_EXPORT_NAMES = ["heap_base", "abi_fingerprint", "plan", "run"] as const;

/** What the wasm can be asked to do. */
export const KIND_ATTENTION = 1;
export const KIND_MERGE = 3;
export const KIND_OPERATOR = 4;
export const KIND_CACHE = 5;

/** Bits of the `flags` field. */
export const FLAG_SCALE = 1;
export const FLAG_CAUSAL = 2;
export const FLAG_WINDOW = 4;
export const FLAG_SOFTCAP = 8;

/** An open side of a window. */
export const WINDOW_OPEN = 0xffffffff;

/** dtype codes inside a view; int32 is no operand. */
export const VIEW_DTYPES = { float32: 0, float16: 1, bfloat16: 2, uint8: 3, bool: 3, int32: 0xff } as const;

/** Values of the `weights_kind` field. */
export const WEIGHTS_FULL = 0;
export const WEIGHTS_HEAD_MEAN = 1;
export const WEIGHTS_ROWS = 2;
export const WEIGHTS_TOP_K = 3;

/** Values of the `tap_stage` field. */
export const TAP_STAGES = ["raw", "scaled", "capped", "biased"] as const;

/** Words of a view, as u32 indices from its first byte. Strides count elements. */
export const VIEW_POINTER = 0;
export const VIEW_DTYPE = 1;
export const VIEW_STRIDE_BATCH = 2;
export const VIEW_STRIDE_SEQ = 3;
export const VIEW_STRIDE_HEAD = 4;

const KINDS = {
  f64: { size: 8, alignment: 8 },
  u32: { size: 4, alignment: 4 },
  view: { size: 20, alignment: 4 },
} as const;

/** The fields of the attention block, in memory order and in the order of `abi_field`. */
export const ATTENTION_FIELDS = [
  ["scale", "f64"],
  ["softcap", "f64"],
  ["flags", "u32"],
  ["batch", "u32"],
  ["num_heads", "u32"],
  ["num_kv_heads", "u32"],
  ["q_len", "u32"],
  ["kv_len", "u32"],
  ["kv_start", "u32"],
  ["head_dim", "u32"],
  ["value_head_dim", "u32"],
  ["query", "view"],
  ["key", "view"],
  ["value", "view"],
  ["out", "view"],
  ["lse", "view"],
  ["mask", "view"],
  ["mask_width", "u32"],
  ["bias", "view"],
  ["bias_width", "u32"],
  ["window_left", "u32"],
  ["window_right", "u32"],
  ["window_first", "u32"],
  ["q_offset", "u32"],
  ["kv_lengths", "u32"],
  ["q_lengths", "u32"],
  ["alibi_slopes", "u32"],
  ["sinks", "u32"],
  ["program", "u32"],
  ["program_length", "u32"],
  ["weights", "u32"],
  ["weights_kind", "u32"],
  ["weights_count", "u32"],
  ["weights_extra", "u32"],
  ["tap", "u32"],
  ["tap_stage", "u32"],
  ["scratch", "u32"],
  ["scratch_byte_length", "u32"],
  ["plan_scratch_byte_length", "u32"],
  ["plan_passes", "u32"],
  ["plan_pack_tiles", "u32"],
  ["plan_attend_tiles", "u32"],
  ["plan_workspace_byte_length", "u32"],
  ["plan_work", "u32"],
  ["partial", "u32"],
  ["cache", "u32"],
  ["split_blocks", "u32"],
] as const satisfies readonly (readonly [string, keyof typeof KINDS])[];

/** A field's name. */
export type AttentionField = (typeof ATTENTION_FIELDS)[number][0];

const BLOCK_ALIGNMENT = 16;

function layOut(): { readonly offsets: Readonly<Record<AttentionField, number>>; readonly byteLength: number } {
  const offsets = {} as Record<AttentionField, number>;
  let end = 0;
  for (const [name, kind] of ATTENTION_FIELDS) {
    const { size, alignment } = KINDS[kind];
    end = Math.ceil(end / alignment) * alignment;
    offsets[name] = end;
    end += size;
  }
  return { offsets: Object.freeze(offsets), byteLength: Math.ceil(end / BLOCK_ALIGNMENT) * BLOCK_ALIGNMENT };
}

const laidOut = layOut();

/** Byte offset of each field from the block's first byte. */
export const ATTENTION_OFFSETS: Readonly<Record<AttentionField, number>> = laidOut.offsets;

/** Size of the attention block in bytes. */
export const ATTENTION_BYTE_LENGTH: number = laidOut.byteLength;

/** FNV-1a (32 bits) over u32 words, each taken as four little-endian bytes. */
export function fingerprint(words: Iterable<number>): number {
  let hash = 0x811c9dc5;
  for (const word of words) {
    for (let shift = 0; shift < 32; shift += 8) hash = Math.imul(hash ^ ((word >>> shift) & 0xff), 0x01000193);
  }
  return hash >>> 0;
}

/** What `abi_fingerprint()` must answer: the hash of all offsets in order, then of the size, for each block. */
export const ABI_FINGERPRINT: number = fingerprint([
  ...ATTENTION_FIELDS.map(([name]) => ATTENTION_OFFSETS[name]),
  ATTENTION_BYTE_LENGTH,
  ...OPERATOR_OFFSETS,
]);

/** The operands and sizes a status can be about. */
const STATUS_ABOUT = [
  "call",
  "scale",
  "batch",
  "num_heads",
  "num_kv_heads",
  "q_len",
  "kv_len",
  "head_dim",
  "value_head_dim",
  "query",
  "key",
  "value",
  "out",
  "lse",
  "weights",
  "q_offset",
  "kv_lengths",
  "scratch",
  "softcap",
  "window",
  "q_lengths",
  "mask",
  "bias",
  "alibi_slopes",
  "sinks",
  "tap",
  "partial",
  "input",
];

/** What the low byte of a status that is not 0 means; the bits above it say which operand or size it is about. */
const STATUS_NAMES = ["OK", "BOUNDS", "ALIGNMENT", "OVERLAP", "SIZE", "VALUE", "KIND"];
export const STATUS_SIZE = 4;
const STATUS_VALUE = 5;

/** What a status is about where it says that a value cannot be used; undefined for any other. */
export function refusedValue(status: number): string | undefined {
  return (status & 0xff) === STATUS_VALUE ? STATUS_ABOUT[status >>> 8] : undefined;
}

/** A status in words. Arguments are checked before the wasm is entered, so only a defect of this package shows one. */
export function describeStatus(status: number): string {
  const index = status >>> 8;
  const about = STATUS_ABOUT[index] ?? `operand ${index}`;
  return `${STATUS_NAMES[status & 0xff] ?? `code ${status & 0xff}`} (${about})`;
}
