/**
 * How a cache's blocks lie in memory: the sizes that the crate's `attention/cache.rs` describes. The wasm refuses a block
 * whose size has been counted otherwise.
 */

/** Positions of a block. */
export const BLOCK = 64;

/** Columns of a panel of keys, lanes of a panel of values. */
const PANEL = 32;

/** Columns behind a head's values, read and of no use. */
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

/** Elements that lie together along the inner axis of a product: the pairs of int8. */
const togetherOf = ({ dtype }: BlockFormat): number => (dtype === "int8" ? 2 : 1);

/** Elements of a stored key. */
function keyWidth(format: BlockFormat): number {
  const together = togetherOf(format);
  return Math.ceil(format.headDim / together) * together;
}

/** Bytes of a scale. */
const SCALE = 4;

/** Bytes of the scales in front of a head's keys, and of those in front of its values. */
const scalesByteLength = ({ dtype }: BlockFormat): number => (dtype === "int8" ? BLOCK * SCALE : 0);

/** Bytes of a head of a block: keys and values, each behind its scales. */
export function headByteLength(format: BlockFormat): number {
  const elements = BLOCK * (keyWidth(format) + valueWidth(format)) + SLACK * togetherOf(format);
  return Math.ceil((elements * CACHE_DTYPES[format.dtype].byteLength) / 16) * 16 + 2 * scalesByteLength(format);
}

/** Bytes of a block, its heads side by side: 64 positions of all heads. */
export function blockByteLength(format: BlockFormat): number {
  return format.numKvHeads * headByteLength(format);
}

/** Sets everything of a block to 0 but the positions from `from` up to `to`. */
export function clearOutside(block: Uint8Array, format: BlockFormat, from: number, to: number): void {
  const size = CACHE_DTYPES[format.dtype].byteLength;
  const head = headByteLength(format);
  const [keys, values] = [keyWidth(format), valueWidth(format)];
  const together = togetherOf(format);
  /** Clears `count` runs of elements, `stride` apart. */
  const clear = (first: number, count: number, run: number, stride: number) => {
    for (let i = 0; i < count; i++) block.fill(0, first + i * stride * size, first + (i * stride + run) * size);
  };
  for (let at = 0; at < block.length; at += head) {
    const keysAt = at + scalesByteLength(format);
    const valueScalesAt = keysAt + BLOCK * keys * size;
    const valuesAt = valueScalesAt + scalesByteLength(format);
    for (let position = 0; position < BLOCK; position++) {
      if (position >= from && position < to) continue;
      const panelAt = keysAt + Math.floor(position / PANEL) * PANEL * keys * size;
      if (together === 1) clear(panelAt + (position % PANEL) * size, keys, 1, PANEL);
      else {
        // Eight columns of a pair lie as [4][2][2]: the first four in the even places.
        const column = position % PANEL;
        const first = Math.floor(column / 8) * 16 + (column % 4) * 4 + (Math.floor(column / 4) % 2);
        for (const which of [0, 2]) clear(panelAt + first + which, keys / 2, 1, 2 * PANEL);
      }
      for (let panel = 0; panel < values; panel += PANEL) {
        const lanes = Math.min(PANEL, values - panel);
        const first = valuesAt + panel * BLOCK * size;
        if (together === 1) clear(first + position * lanes * size, 1, lanes, lanes);
        else clear(first + Math.floor(position / 2) * 2 * lanes + (position % 2) * 2, lanes / 2, 2, 4);
      }
      if (format.dtype !== "int8") continue;
      for (const scales of [at, valueScalesAt]) {
        block.fill(0, scales + position * SCALE, scales + (position + 1) * SCALE);
      }
    }
  }
}
