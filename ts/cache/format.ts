/**
 * How a cache's blocks lie in memory: the sizes that the crate's `attention/cache.rs` describes. The wasm refuses a block
 * whose size has been counted otherwise.
 */

/** Positions of a block. */
export const BLOCK = 64;

/** Columns of a panel of keys, lanes of a panel of values. */
const PANEL = 32;

/** Elements behind a head's values, read and of no use. */
const SLACK = 24;

/** How a cache can store elements, with the wasm's numbers for it and the bytes of one. */
export const CACHE_DTYPES = {
  float32: { code: 0, byteLength: 4 },
  float16: { code: 1, byteLength: 2 },
  bfloat16: { code: 2, byteLength: 2 },
  int8: { code: 5, byteLength: 1 },
} as const;

/** How a cache stores elements. */
export type CacheDType = keyof typeof CACHE_DTYPES;

/** Sizes of a cache's blocks. */
export interface BlockFormat {
  readonly dtype: CacheDType;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
}

/** Lanes of a stored value: its width rounded up to 8. */
const valueWidth = ({ valueHeadDim }: BlockFormat): number => Math.ceil(valueHeadDim / 8) * 8;

/** Bytes of a position's scales, of key or value, where there are any. */
const SCALE_BYTE_LENGTH = 4;

/** Bytes of a head of a block: keys, values, scales. */
export function headByteLength(format: BlockFormat): number {
  const elements = BLOCK * (format.headDim + valueWidth(format)) + SLACK;
  const scales = format.dtype === "int8" ? 2 * BLOCK * SCALE_BYTE_LENGTH : 0;
  return Math.ceil((elements * CACHE_DTYPES[format.dtype].byteLength) / 16) * 16 + scales;
}

/** Bytes of a block, its heads side by side: 64 positions of all heads. */
export function blockByteLength(format: BlockFormat): number {
  return format.numKvHeads * headByteLength(format);
}

/** Sets everything of a block to 0 but the positions from `from` up to `to`. */
export function clearOutside(block: Uint8Array, format: BlockFormat, from: number, to: number): void {
  const size = CACHE_DTYPES[format.dtype].byteLength;
  const head = headByteLength(format);
  const width = valueWidth(format);
  const { headDim } = format;
  for (let at = 0; at < block.length; at += head) {
    const values = at + BLOCK * headDim * size;
    const scales = at + head - 2 * BLOCK * SCALE_BYTE_LENGTH;
    for (let position = 0; position < BLOCK; position++) {
      if (position >= from && position < to) continue;
      const column = Math.floor(position / PANEL) * PANEL * headDim + (position % PANEL);
      for (let d = 0; d < headDim; d++) {
        const first = at + (column + d * PANEL) * size;
        block.fill(0, first, first + size);
      }
      for (let panel = 0; panel < width; panel += PANEL) {
        const lanes = Math.min(PANEL, width - panel);
        const first = values + (panel * BLOCK + position * lanes) * size;
        block.fill(0, first, first + lanes * size);
      }
      if (format.dtype !== "int8") continue;
      for (const part of [0, BLOCK]) {
        const first = scales + (part + position) * SCALE_BYTE_LENGTH;
        block.fill(0, first, first + SCALE_BYTE_LENGTH);
      }
    }
  }
}
