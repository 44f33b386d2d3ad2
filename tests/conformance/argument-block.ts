// The attention argument block as this package sees it, to be held against what the wasm says of its own.
import * as fields from "../../ts/wasm/attention-fields.ts";

/** Byte offsets of all fields, ascending: the order of `abi_field`. */
export const attentionOffsets: readonly number[] = Object.values(fields)
  .map((word) => 4 * word)
  .sort((a, b) => a - b);

/** FNV-1a (32 bits) over u32 words, each taken as four little-endian bytes. */
export function fingerprint(words: Iterable<number>): number {
  let hash = 0x811c9dc5;
  for (const word of words) {
    for (let shift = 0; shift < 32; shift += 8) hash = Math.imul(hash ^ ((word >>> shift) & 0xff), 0x01000193);
  }
  return hash >>> 0;
}
