/**
 * Parts as bytes, little-endian throughout:
 *
 * | bytes | what |
 * |---|---|
 * | 4 | `SACP` |
 * | 2, 2 | version (1); flags: 1 bhsd, 2 sinks, 4 qLengths, 8 left, 16 right |
 * | 8 | fingerprint |
 * | 4 x 10 | kvStart, kvEnd, kvTotal, rank, batch, numHeads, numKvHeads, qLen, valueHeadDim, length of the profile |
 * | n, padded to 4 | profile, ASCII |
 * | 4 + … | number of m; m, l, o |
 * | … | sinks, qLengths; left, right: kvStart, kvEnd, scores, values |
 * | 4 | CRC-32 (IEEE 802.3) of all bytes before |
 */

import { crc32 } from "./checksum.ts";
import { argumentError, describe, SaccadeError, wrongKind } from "./errors.ts";
import { provePart, rowsOf } from "./layout/part.ts";
import { arrayFacts, typedArrayKind } from "./layout/typed-array.ts";
import type { AttentionPart, AttentionPartEdge } from "./part.ts";

const MAGIC = 0x50434153;
const VERSION = 1;
const FLAG_BHSD = 1;
const FLAG_SINKS = 2;
const FLAG_Q_LENGTHS = 4;
const FLAG_LEFT = 8;
const FLAG_RIGHT = 16;
const LONGEST_PROFILE = 64;

/**
 * A part as bytes, to be sent or stored; {@link decodePartial} gives it back with the same bits.
 *
 * @throws TypeError `ERR_SACCADE_ARGUMENT` (no part), RangeError `ERR_SACCADE_SHAPE`, `ERR_SACCADE_RANGE`
 */
export function encodePartial(part: AttentionPart): Uint8Array<ArrayBuffer> {
  const caller = "encodePartial";
  const proved = provePart(part, caller, "part");
  const profile = new TextEncoder().encode(proved.profile);
  if (profile.length > LONGEST_PROFILE || profile.some((byte) => byte > 0x7e || byte < 0x20)) {
    throw argumentError(caller, `part.profile is ${describe(proved.profile)}`);
  }
  const edges = [proved.left, proved.right].filter((edge) => edge !== undefined);
  const arrays: (Float32Array | Uint32Array)[] = [proved.m, proved.l, proved.o];
  if (proved.sinks !== undefined) arrays.push(proved.sinks);
  if (proved.qLengths !== undefined) arrays.push(proved.qLengths);
  for (const edge of edges) {
    arrays.push(Uint32Array.of(edge.kvStart, edge.kvEnd), edge.scores, edge.values);
  }
  const padded = Math.ceil(profile.length / 4) * 4;
  const header = 16 + 40 + padded + 4;
  const byteLength = arrays.reduce((sum, array) => sum + array.byteLength, header) + 4;
  const bytes = new Uint8Array(byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, VERSION, true);
  view.setUint16(6, flagsOf(proved), true);
  view.setUint32(8, Number.parseInt(proved.fingerprint.slice(8), 16), true);
  view.setUint32(12, Number.parseInt(proved.fingerprint.slice(0, 8), 16), true);
  numbersOf(proved, profile.length).forEach((number, i) => {
    view.setUint32(16 + 4 * i, number, true);
  });
  bytes.set(profile, 56);
  view.setUint32(56 + padded, proved.m.length, true);
  let at = header;
  for (const array of arrays) {
    const bits = new Uint32Array(array.buffer, array.byteOffset, array.length);
    for (let i = 0; i < bits.length; i++, at += 4) view.setUint32(at, bits[i]!, true);
  }
  view.setUint32(at, crc32(bytes.subarray(0, at)), true);
  return bytes;
}

function flagsOf(part: AttentionPart): number {
  return (
    (part.layout === "bhsd" ? FLAG_BHSD : 0) |
    (part.sinks === undefined ? 0 : FLAG_SINKS) |
    (part.qLengths === undefined ? 0 : FLAG_Q_LENGTHS) |
    (part.left === undefined ? 0 : FLAG_LEFT) |
    (part.right === undefined ? 0 : FLAG_RIGHT)
  );
}

function numbersOf(part: AttentionPart, profileLength: number): readonly number[] {
  const { kvStart, kvEnd, kvTotal, rank, batch, numHeads, numKvHeads, qLen, valueHeadDim } = part;
  return [kvStart, kvEnd, kvTotal, rank, batch, numHeads, numKvHeads, qLen, valueHeadDim, profileLength];
}

function corrupt(reason: string, cause?: unknown): SaccadeError {
  return new SaccadeError("ERR_SACCADE_CORRUPT", `decodePartial: bytes are no part: ${reason}`, { cause });
}

/**
 * The part that {@link encodePartial} made into bytes.
 *
 * @throws SaccadeError `ERR_SACCADE_CORRUPT` (another format or version, cut short, a checksum that does not fit, numbers
 *   that disagree), TypeError `ERR_SACCADE_ARGUMENT` (no Uint8Array)
 */
export function decodePartial(bytes: Uint8Array): AttentionPart {
  if (typedArrayKind(bytes) !== "Uint8Array") {
    throw wrongKind("decodePartial", "bytes", bytes, "a Uint8Array");
  }
  const facts = arrayFacts(bytes, "decodePartial", "bytes");
  // A copy: shared bytes could change between the checksum and the reading.
  const own = new Uint8Array(facts.buffer, facts.byteOffset, facts.length).slice();
  const view = new DataView(own.buffer);
  if (own.length < 64 || own.length % 4 !== 0) throw corrupt(`${own.length} bytes`);
  if (view.getUint32(0, true) !== MAGIC) throw corrupt("they do not begin with SACP");
  const version = view.getUint16(4, true);
  if (version !== VERSION) throw corrupt(`version ${version}; this is a reader of version ${VERSION}`);
  const end = own.length - 4;
  if (view.getUint32(end, true) !== crc32(own.subarray(0, end))) throw corrupt("the checksum does not fit");
  try {
    return read(own, view, end);
  } catch (cause) {
    throw cause instanceof SaccadeError && cause.code === "ERR_SACCADE_CORRUPT"
      ? cause
      : corrupt(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function read(bytes: Uint8Array<ArrayBuffer>, view: DataView, end: number): AttentionPart {
  const flags = view.getUint16(6, true);
  if (flags >= 32) throw corrupt(`unknown flags ${flags}`);
  const hex = (at: number): string => view.getUint32(at, true).toString(16).padStart(8, "0");
  const number = (i: number): number => view.getUint32(16 + 4 * i, true);
  const [batch, numHeads, numKvHeads, qLen, valueHeadDim] = [number(4), number(5), number(6), number(7), number(8)];
  const profileLength = number(9);
  if (profileLength > LONGEST_PROFILE) throw corrupt(`a profile of ${profileLength} characters`);
  let at = 56 + Math.ceil(profileLength / 4) * 4;
  const words = (count: number): Uint32Array<ArrayBuffer> => {
    // Counts are products of numbers from the bytes: compared before anything is made.
    if (!(count <= (end - at) / 4)) throw corrupt("they are cut short");
    const array = new Uint32Array(count);
    for (let i = 0; i < count; i++, at += 4) array[i] = view.getUint32(at, true);
    return array;
  };
  const floats = (count: number): Float32Array<ArrayBuffer> => new Float32Array(words(count).buffer);
  const rows = rowsOf({ batch, numHeads, numKvHeads, qLen, valueHeadDim });
  const states = words(1)[0]!;
  const m = floats(states);
  const l = floats(states);
  const o = floats(states * valueHeadDim);
  const sinks = flags & FLAG_SINKS ? floats(numHeads) : undefined;
  const qLengths = flags & FLAG_Q_LENGTHS ? words(batch) : undefined;
  const edge = (): AttentionPartEdge => {
    const [kvStart, kvEnd] = words(2) as unknown as [number, number];
    if (kvEnd < kvStart) throw corrupt("an edge that ends before it begins");
    const count = kvEnd - kvStart;
    return {
      kvStart,
      kvEnd,
      scores: floats(rows * count),
      values: floats(batch * numKvHeads * count * valueHeadDim),
    };
  };
  const left = flags & FLAG_LEFT ? edge() : undefined;
  const right = flags & FLAG_RIGHT ? edge() : undefined;
  if (at !== end) throw corrupt(`${end - at} bytes too many`);
  const part: AttentionPart = {
    profile: new TextDecoder().decode(bytes.subarray(56, 56 + profileLength)),
    fingerprint: hex(12) + hex(8),
    kvStart: number(0),
    kvEnd: number(1),
    kvTotal: number(2),
    layout: flags & FLAG_BHSD ? "bhsd" : "bshd",
    rank: number(3),
    batch,
    numHeads,
    numKvHeads,
    qLen,
    valueHeadDim,
    sinks,
    qLengths,
    m,
    l,
    o,
    left,
    right,
  };
  return provePart(part, "decodePartial", "part");
}
