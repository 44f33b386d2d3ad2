/**
 * The words of the attention argument block, as u32 indices from its first byte, in memory order and in the order of
 * `abi_field`. Plain numbers, one by one: minifiers put them where they are used, and no table of names travels with a
 * program.
 */

/** Numbers, of two words each. */
export const SCALE = 0;
export const SOFTCAP = 2;

/** Bits and sizes. */
export const FLAGS = 4;
export const BATCH = 5;
export const NUM_HEADS = 6;
export const NUM_KV_HEADS = 7;
export const Q_LEN = 8;
export const KV_LEN = 9;
export const KV_START = 10;
export const HEAD_DIM = 11;
export const VALUE_HEAD_DIM = 12;

/** Views, of five words each. */
export const QUERY = 13;
export const KEY = 18;
export const VALUE = 23;
export const OUT = 28;
export const LSE = 33;

/** Operands that broadcast: a view, then the size of its last axis. */
export const MASK = 38;
export const MASK_WIDTH = 43;
export const BIAS = 44;
export const BIAS_WIDTH = 49;

/** Modifiers: numbers, and addresses of lists. */
export const WINDOW_LEFT = 50;
export const WINDOW_RIGHT = 51;
export const WINDOW_FIRST = 52;
export const Q_OFFSET = 53;
export const KV_LENGTHS = 54;
export const Q_LENGTHS = 55;
export const ALIBI_SLOPES = 56;
export const SINKS = 57;
export const PROGRAM = 58;
export const PROGRAM_LENGTH = 59;

/** Results beside `out` and `lse`. */
export const WEIGHTS = 60;
export const WEIGHTS_KIND = 61;
export const WEIGHTS_COUNT = 62;
export const WEIGHTS_EXTRA = 63;
export const TAP = 64;
export const TAP_STAGE = 65;

/** Temporary memory, and what `plan` answers. */
export const SCRATCH = 66;
export const SCRATCH_BYTE_LENGTH = 67;
export const PLAN_SCRATCH_BYTE_LENGTH = 68;
export const PLAN_PASSES = 69;
export const PLAN_PACK_TILES = 70;
export const PLAN_ATTEND_TILES = 71;
export const PLAN_WORKSPACE_BYTE_LENGTH = 72;
export const PLAN_WORK = 73;

/** Address of the block of a part, of the block of a cache, and how the keys are cut. */
export const PARTIAL = 74;
export const CACHE = 75;
export const SPLIT_BLOCKS = 76;
