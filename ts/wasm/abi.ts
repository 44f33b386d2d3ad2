/**
 * The agreement between this package and its wasm: the exports, the codes, and the blocks of arguments in linear memory
 * (`attention-fields.ts`, `operator-block.ts`). A fingerprint of all offsets is compared with the one that the wasm computes
 * from its own structs, so the two can never disagree in silence.
 */

/** The functions that the wasm exports. Pointers are u32: read them with `>>> 0`. */
export interface KernelExports {
  /** First byte that the module itself does not use. */
  heap_base(): number;
  /** {@link ABI_FINGERPRINT} of the wasm's own argument blocks. */
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

/** What the second module exports, which runs {@link KIND_OPERATOR} and nothing else. */
export type OperatorExports = Pick<KernelExports, "heap_base" | "abi_fingerprint" | "plan" | "run">;

/** Names of {@link OperatorExports}, for the check at load time. */
export const OPERATOR_EXPORT_NAMES = ["heap_base", "abi_fingerprint", "plan", "run"] as const;

/** Names of {@link KernelExports}. */
export const EXPORT_NAMES = [
  ...OPERATOR_EXPORT_NAMES,
  "abi_field",
  "shard_nodes",
  "shard_node",
  "shard_edge",
  "merge_scratch",
] as const;

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

/** Tensors begin here: behind the stack, and behind the place of both modules' constants. */
export const HEAP_START = 98304;

/** Size of the attention block in bytes: a multiple of 16. */
export const ATTENTION_BYTE_LENGTH = 320;

/**
 * What `abi_fingerprint()` must answer: FNV-1a (32 bits) over the offsets in order, then the size, of each block, in bytes.
 * A number, so that no program carries the table it follows from; the tests compute it from the fields, and compare them one
 * by one with the wasm's own.
 */
export const ABI_FINGERPRINT = 0xdcffc9b9;

/**
 * Low bytes of a status that is not 0, as the crate's `error.rs` numbers them; the bits above say which operand or size it is
 * about.
 */
export const STATUS_SIZE = 4;
const STATUS_VALUE = 5;
/** BOUNDS of operand 17: the scratch memory is too small. */
export const STATUS_SCRATCH = 1 | (17 << 8);

/** Operands that a cache may refuse, by their numbers in the crate's `error.rs`. */
const REFUSABLE: Readonly<Record<number, "key" | "value">> = { 10: "key", 11: "value" };

/** Which operand holds a value that cannot be used; undefined where a status says something else. */
export function refusedValue(status: number): "key" | "value" | undefined {
  return (status & 0xff) === STATUS_VALUE ? REFUSABLE[status >>> 8] : undefined;
}
