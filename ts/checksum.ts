/**
 * CRC-32 (IEEE 802.3), by which stored bytes are told from damaged ones: eight bytes at a time (Kounavis and Berry 2008), since
 * a cache can be large.
 */

/** Bytes of a step. */
const STEP = 8;
/** What a byte does to the checksum, with 0 to 7 bytes of zeros behind it: 256 entries for each. */
const TABLE = new Uint32Array(256 * STEP);
for (let n = 0; n < 256; n++) {
  let crc = n;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  TABLE[n] = crc;
}
for (let at = 256; at < TABLE.length; at++) {
  const before = TABLE[at - 256]!;
  TABLE[at] = TABLE[before & 0xff]! ^ (before >>> 8);
}

/** The checksum of some bytes, behind others whose checksum is `before`. */
export function crc32(bytes: Uint8Array, before = 0): number {
  const { buffer, byteOffset, length } = bytes;
  // Up to where words begin.
  const head = length < 2 * STEP ? length : -byteOffset & 3;
  const steps = Math.floor((length - head) / STEP);
  const words = steps === 0 ? new Int32Array(0) : new Int32Array(buffer, byteOffset + head, steps * (STEP / 4));
  let crc = byByte(~before, bytes, 0, head);
  for (let i = 0; i < words.length; i += 2) {
    const first = crc ^ words[i]!;
    const second = words[i + 1]!;
    crc =
      TABLE[1792 + (first & 0xff)]! ^
      TABLE[1536 + ((first >>> 8) & 0xff)]! ^
      TABLE[1280 + ((first >>> 16) & 0xff)]! ^
      TABLE[1024 + (first >>> 24)]! ^
      TABLE[768 + (second & 0xff)]! ^
      TABLE[512 + ((second >>> 8) & 0xff)]! ^
      TABLE[256 + ((second >>> 16) & 0xff)]! ^
      TABLE[second >>> 24]!;
  }
  return ~byByte(crc, bytes, head + 4 * words.length, length) >>> 0;
}

function byByte(before: number, bytes: Uint8Array, from: number, to: number): number {
  let crc = before;
  for (let i = from; i < to; i++) crc = TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return crc;
}
