/**
 * Caches as bytes, little-endian throughout:
 *
 * | bytes | what |
 * |---|---|
 * | 4 | `SACK` |
 * | 2, 2 | version (2); flags: 1 window, 2 pageSize, 4 rope |
 * | 4 x 10 | dtype (0 float32, 1 float16, 2 bfloat16, 5 int8), batch, numKvHeads, headDim, valueHeadDim, capacity, left, first, pageSize, length of rope |
 * | 4 x 2 batch | lengths, then the first position behind the pinned ones that each batch row keeps |
 * | n, padded to 4 | rope: its options as JSON |
 * | … | the blocks of each batch row, ascending, head by head as they lie in memory; what holds no kept position is 0 |
 * | 4 | CRC-32 (IEEE 802.3) of all bytes before |
 *
 * Pages that rows share are written for each of them.
 */

import { crc32 } from "../checksum.ts";
import { SaccadeError, wrongKind } from "../errors.ts";
import { type CacheShape, resolveCache } from "../layout/cache.ts";
import { arrayFacts, typedArrayKind } from "../layout/typed-array.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import { outOfMemory } from "../wasm/memory.ts";
import { BLOCK, blockByteLength, CACHE_DTYPES, type CacheDType, clearOutside } from "./format.ts";
import { countHeld, type Extent, heldBlocks, isServed, pinnedEnd } from "./geometry.ts";
import { type CacheRope, resolveRope } from "./rope.ts";
import { Store } from "./store.ts";

const MAGIC = 0x4b434153;
const VERSION = 2;
const FLAG_WINDOW = 1;
const FLAG_PAGES = 2;
const FLAG_ROPE = 4;
const NUMBERS_AT = 8;
const NUMBERS = 10;
const LISTS_AT = NUMBERS_AT + 4 * NUMBERS;
const LONGEST_ROPE = 1 << 20;

/** Bytes of a piece: what is read or written between two looks at the clock. */
const PIECE = 1 << 18;

/** Work that is done a piece at a time; each piece yields. */
type Pieces<R> = Generator<undefined, R, undefined>;

/** How many pieces there are of so many bytes, each of which is gone through twice. */
export function countPieces(byteLength: number): number {
  return 2 * Math.ceil(byteLength / PIECE);
}

/** Does work of pieces at once. */
export function finish<R>(pieces: Pieces<R>): R {
  for (;;) {
    const { done, value } = pieces.next();
    if (done) return value;
  }
}

function* checksumOf(bytes: Uint8Array): Pieces<number> {
  let crc = 0;
  for (let at = 0; at < bytes.length; at += PIECE) {
    crc = crc32(bytes.subarray(at, at + PIECE), crc);
    yield;
  }
  return crc;
}

/** Room for a cache, and what writes it. */
export function encodeCache(
  store: Store,
  shape: CacheShape,
  rope: string,
  caller: string,
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly write: () => Pieces<void> } {
  const { format, geometry, extents, batch } = store;
  const size = blockByteLength(format);
  const ropeBytes = new TextEncoder().encode(rope);
  const blocksAt = LISTS_AT + 8 * batch + Math.ceil(ropeBytes.length / 4) * 4;
  const end = blocksAt + size * extents.reduce((sum, extent) => sum + countHeld(geometry, extent), 0);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(end + 4);
  } catch (cause) {
    const memory = store.instance.memory(caller);
    throw outOfMemory(caller, end + 4, memory, cause);
  }
  return { bytes, write: () => write(bytes, ropeBytes, store, shape, caller) };
}

function* write(
  bytes: Uint8Array<ArrayBuffer>,
  ropeBytes: Uint8Array,
  store: Store,
  shape: CacheShape,
  caller: string,
): Pieces<void> {
  const { format, geometry, extents, batch } = store;
  const size = blockByteLength(format);
  const end = bytes.length - 4;
  const view = new DataView(bytes.buffer);
  const { capacity, window, pageSize } = shape;
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, VERSION, true);
  const flags = (window ? FLAG_WINDOW : 0) | (pageSize ? FLAG_PAGES : 0) | (ropeBytes.length > 0 ? FLAG_ROPE : 0);
  view.setUint16(6, flags, true);
  const { dtype, numKvHeads, headDim, valueHeadDim } = format;
  [
    ...[CACHE_DTYPES[dtype].code, batch, numKvHeads, headDim, valueHeadDim],
    ...[capacity, window?.left ?? 0, window?.first ?? 0, pageSize ?? 0, ropeBytes.length],
    ...extents.map(({ length }) => length),
    ...extents.map(({ start }) => start),
  ].forEach((number, index) => {
    view.setUint32(NUMBERS_AT + 4 * index, number, true);
  });
  bytes.set(ropeBytes, LISTS_AT + 8 * batch);
  let at = LISTS_AT + 8 * batch + Math.ceil(ropeBytes.length / 4) * 4;
  let rested = at;
  for (const [row, extent] of extents.entries()) {
    for (const block of heldBlocks(geometry, extent)) {
      const to = bytes.subarray(at, at + size);
      store.headsOf(row, block, caller).forEach((bytes, head) => {
        to.set(bytes, head * bytes.length);
      });
      clearOutside(to, format, ...columnsOf(extent, pinnedEnd(geometry), block));
      at += size;
      if (at - rested < PIECE) continue;
      rested = at;
      yield;
    }
  }
  view.setUint32(end, yield* checksumOf(bytes.subarray(0, end)), true);
}

/** The positions of a block that are kept, counted from its first one. */
function columnsOf({ length, start }: Extent, pinned: number, block: number): [from: number, to: number] {
  const first = block * BLOCK;
  return [first < pinned ? 0 : Math.max(0, start - first), Math.min(BLOCK, length - first)];
}

/** A cache that has been read and found whole. */
interface DecodedCache {
  readonly shape: CacheShape;
  readonly extents: readonly Extent[];
  readonly rope: CacheRope | undefined;
  /** Puts the blocks into an empty store of that shape. */
  restore(store: Store, caller: string): Pieces<void>;
}

/** The bytes of a cache, copied: shared ones could change between the checksum and the reading. */
export function captureBytes(given: unknown, caller: string): Uint8Array<ArrayBuffer> {
  if (typedArrayKind(given) !== "Uint8Array") {
    throw wrongKind(caller, "bytes", given, "a Uint8Array");
  }
  const facts = arrayFacts(given, caller, "bytes");
  return new Uint8Array(facts.buffer, facts.byteOffset, facts.length).slice();
}

/** Reads a cache. @throws SaccadeError `ERR_SACCADE_CORRUPT` */
function* decodeCache(bytes: Uint8Array<ArrayBuffer>, caller: string): Pieces<DecodedCache> {
  const corrupt = (reason: string, cause?: unknown): SaccadeError =>
    new SaccadeError("ERR_SACCADE_CORRUPT", `${caller}: bytes are no cache: ${reason}`, { cause });
  const view = new DataView(bytes.buffer);
  const end = bytes.length - 4;
  if (end < LISTS_AT || bytes.length % 4 !== 0) throw corrupt(`${bytes.length} bytes`);
  if (view.getUint32(0, true) !== MAGIC) throw corrupt("they do not begin with SACK");
  const version = view.getUint16(4, true);
  if (version !== VERSION) throw corrupt(`version ${version}; this is a reader of version ${VERSION}`);
  if (view.getUint32(end, true) !== (yield* checksumOf(bytes.subarray(0, end))))
    throw corrupt("the checksum does not fit");
  const flags = view.getUint16(6, true);
  if (flags >= 8) throw corrupt(`unknown flags ${flags}`);
  const number = (index: number): number => view.getUint32(NUMBERS_AT + 4 * index, true);
  const shape = readShape(number, flags, caller, corrupt);
  const { batch, format, geometry } = shape;
  const ropeLength = number(9);
  if (ropeLength > LONGEST_ROPE || ropeLength > 0 !== (flags & FLAG_ROPE) > 0) {
    throw corrupt(`rope of ${ropeLength} bytes`);
  }
  const blocksAt = LISTS_AT + 8 * batch + Math.ceil(ropeLength / 4) * 4;
  // Counts come from the bytes: compared before anything is made.
  if (blocksAt > end) throw corrupt("they are cut short");
  const extents = Array.from({ length: batch }, (_, row) => {
    const extent = { length: number(NUMBERS + row), start: number(NUMBERS + batch + row) };
    const { length, start } = extent;
    const pinned = pinnedEnd(geometry);
    const fits =
      geometry.ringBlocks === 0
        ? length <= geometry.capacity && start === 0
        : length < 2 ** 31 &&
          (start === pinned || (start > pinned && start <= length && isServed(geometry, extent, length))) &&
          length - start <= geometry.capacity;
    if (!fits) throw corrupt(`batch row ${row} cannot have ${length} positions from ${start} on`);
    return extent;
  });
  const size = blockByteLength(format);
  const blocks = extents.reduce((sum, extent) => sum + countHeld(geometry, extent), 0);
  if (blocksAt + blocks * size !== end) throw corrupt(`${end - blocksAt} bytes for ${blocks} blocks of ${size}`);
  const ropeAt = LISTS_AT + 8 * batch;
  let rope: CacheRope | undefined;
  try {
    const text = new TextDecoder().decode(bytes.subarray(ropeAt, ropeAt + ropeLength));
    if (text !== "") rope = resolveRope(JSON.parse(text), format.headDim, caller);
  } catch (cause) {
    throw corrupt(cause instanceof Error ? cause.message : String(cause), cause);
  }
  return {
    shape,
    extents,
    rope,
    *restore(store, caller) {
      let at = blocksAt;
      let rested = at;
      for (const [row, extent] of extents.entries()) {
        store.restore(row, extent, caller);
        for (const block of heldBlocks(geometry, extent)) {
          // The block that takes turns with another one holds positions of both.
          const [from, until] = columnsOf(extent, pinnedEnd(geometry), block);
          const isWhole = from === 0 && until === BLOCK;
          for (const to of store.headsOf(row, block, caller)) {
            const source = bytes.subarray(at, at + to.length);
            if (isWhole) to.set(source);
            else for (let i = 0; i < to.length; i++) to[i]! |= source[i]!;
            at += to.length;
          }
          if (at - rested < PIECE) continue;
          rested = at;
          yield;
        }
      }
    },
  };
}

/** Puts the cache that bytes hold into a new store; the instance is asked for once they are found whole. */
export function* restoreCache(
  bytes: Uint8Array<ArrayBuffer>,
  instance: () => WasmInstance,
  caller: string,
): Pieces<{ readonly store: Store; readonly shape: CacheShape; readonly rope: CacheRope | undefined }> {
  const { shape, rope, restore } = yield* decodeCache(bytes, caller);
  const store = Store.create(instance(), shape.format, shape.geometry, shape.batch, caller);
  let isWhole = false;
  try {
    yield* restore(store, caller);
    isWhole = true;
  } finally {
    if (!isWhole) store.dispose();
  }
  return { store, shape, rope };
}

function readShape(
  number: (index: number) => number,
  flags: number,
  caller: string,
  corrupt: (reason: string, cause?: unknown) => SaccadeError,
): CacheShape {
  const dtype = (Object.keys(CACHE_DTYPES) as CacheDType[]).find((name) => CACHE_DTYPES[name].code === number(0));
  const [left, first, pageSize] = [number(6), number(7), number(8)];
  if (!(flags & FLAG_WINDOW) && (left !== 0 || first !== 0)) throw corrupt("a window that is not there");
  if (!(flags & FLAG_PAGES) && pageSize !== 0) throw corrupt("pages that are not there");
  try {
    return resolveCache(
      {
        // A number that names no dtype is refused by what proves names.
        dtype: dtype ?? number(0),
        batch: number(1),
        numKvHeads: number(2),
        headDim: number(3),
        valueHeadDim: number(4),
        capacity: number(5),
        window: flags & FLAG_WINDOW ? { left, first } : undefined,
        pageSize: flags & FLAG_PAGES ? pageSize : undefined,
      },
      caller,
    );
  } catch (cause) {
    throw corrupt(cause instanceof Error ? cause.message : String(cause), cause);
  }
}
