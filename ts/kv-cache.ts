/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Keys and values that are kept between calls: what decoding token by token needs.
 */

import { type Begin, recorded } from "./async/later.ts";
import { resultsOf } from "./attention.ts";
import type { AttentionResult, AttentionTarget, OutDTypeOf, WeightsOption } from "./attention-options.ts";
import { captureBytes, countPieces, encodeCache, finish, restoreCache } from "./cache/codec.ts";
import { CACHE_DTYPES, type CacheDType } from "./cache/format.ts";
import { longestOf, retainedOf } from "./cache/geometry.ts";
import { Lease } from "./cache/lease.ts";
import { proveCut, proveKept, proveServed } from "./cache/limits.ts";
import { type CacheRope, resolveRope, turned } from "./cache/rope.ts";
import { appendTo, type CacheRows, readFrom } from "./cache/rows.ts";
import { Store } from "./cache/store.ts";
import type { AsyncOptions } from "./control.ts";
import { disposeKey } from "./dispose.ts";
import type { FloatDType } from "./dtype.ts";
import type { Engine } from "./engine.ts";
import { instanceFor } from "./init.ts";
import {
  ATTEND_OPTIONS,
  type KvCacheAppendOptions,
  type KvCacheAttendOptions,
  type KvCacheOptions,
} from "./kv-cache-options.ts";
import { resolveAttention } from "./layout/attention.ts";
import { captureOptions } from "./layout/attention-capture.ts";
import { type CacheShape, captureCache, keysFor, proveAppended, proveLengthsOf, resolveCache } from "./layout/cache.ts";
import { readOptions } from "./layout/options.ts";
import { MAXIMUM_SIZE, proveInteger, proveIntegers } from "./layout/shape.ts";
import { captureTensor } from "./layout/tensor-like.ts";
import type { TensorInput } from "./tensor.ts";
import { warmedBy, withWarmTensors } from "./warm-up.ts";
import { runAttention } from "./wasm/attention.ts";
import { inSession } from "./wasm/operator.ts";

/** What a cache is made of; only this file makes one. */
class Parts {
  readonly store: Store;
  readonly shape: CacheShape;
  readonly rope: CacheRope | undefined;

  constructor(store: Store, shape: CacheShape, rope: CacheRope | undefined) {
    this.store = store;
    this.shape = shape;
    this.rope = rope;
  }
}

/** Steps of decoding; the dtypes take turns. */
function warm(engine: Engine, round: number, thorough: boolean): void {
  const [capacity, numKvHeads, times] = thorough ? [128, 2, 10] : [1, 1, 2];
  const dtypes = Object.keys(CACHE_DTYPES) as CacheDType[];
  const shapes = [capacity, 1, 1].map((length) => [1, length, numKvHeads, 64]);
  withWarmTensors(engine, shapes, (rows, query, out) => {
    const dtype = dtypes[round % dtypes.length]!;
    const cache = new KvCache({ batch: 1, dtype, capacity, numKvHeads, headDim: 64, engine });
    cache.append(rows, rows);
    for (let i = 0; i < times; i++) cache.attend(query, { out });
    cache.dispose();
  });
}

const partsOf: typeof readParts = /* @__PURE__ */ warmedBy(readParts, warm);

function readParts(options: unknown): Parts {
  const caller = "KvCache";
  const read = captureCache(options, caller);
  const shape = resolveCache(read, caller);
  const rope = read.rope === undefined ? undefined : resolveRope(read.rope, shape.format.headDim, caller);
  const instance = instanceFor(read.engine, caller);
  return new Parts(Store.create(instance, shape.format, shape.geometry, shape.batch, caller), shape, rope);
}

/**
 * Keys and values of sequences that grow: what a decoder needs to compute each token's attention from that token alone.
 *
 * {@link KvCache.append} adds tokens, {@link KvCache.attend} lets queries look at all of them, causally: the last query row
 * of each batch row stands at its last position. Prefill at once, in chunks or token by token gives the same bits; with float32,
 * float16 and bfloat16 they are those of `attention` over all (rounded) keys.
 *
 * Memory lies in the engine until {@link KvCache.dispose} (or the end of a `using` block) gives it back. A refused call
 * changes nothing. Every method but `dispose` throws `ERR_SACCADE_DISPOSED` afterwards.
 *
 * @example
 * ```ts
 * import { init, KvCache } from "saccade";
 *
 * await init();
 * using cache = new KvCache({ batch: 1, numKvHeads: 2, headDim: 64, capacity: 4096 });
 * const prompt = { data: new Float32Array(5 * 2 * 64).fill(0.5), shape: [1, 5, 2, 64] };
 * cache.append(prompt, prompt);
 * const query = { data: new Float32Array(8 * 64).fill(0.5), shape: [1, 1, 8, 64] };
 * console.log(cache.length, cache.attend(query).out.shape); // 5 [1, 1, 8, 64]
 * ```
 */
export class KvCache {
  readonly #lease: Lease;
  readonly #shape: CacheShape;
  readonly #rope: CacheRope | undefined;

  /**
   * An empty cache.
   *
   * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_RANGE`,
   *   `ERR_SACCADE_SHAPE`; SaccadeError `ERR_SACCADE_OUT_OF_MEMORY` and as `attention`
   */
  constructor(options: KvCacheOptions) {
    const given: unknown = options;
    const { store, shape, rope } = given instanceof Parts ? given : partsOf(given);
    this.#lease = new Lease(store);
    this.#shape = shape;
    this.#rope = rope;
  }

  /**
   * The cache that {@link KvCache.serialize} made into bytes.
   *
   * @throws SaccadeError `ERR_SACCADE_CORRUPT` (another format or version, cut short, a checksum that does not fit, numbers
   *   that disagree), `ERR_SACCADE_OUT_OF_MEMORY`; TypeError `ERR_SACCADE_ARGUMENT` (no Uint8Array), `ERR_SACCADE_OPTION`
   */
  static deserialize(bytes: Uint8Array, options?: { readonly engine?: Engine | undefined }): KvCache {
    const caller = "KvCache.deserialize";
    const { engine } = readOptions(options, ["engine"] as const, caller);
    const instance = () => instanceFor(engine, caller);
    return made(finish(restoreCache(captureBytes(bytes, caller), instance, caller)));
  }

  /** The asynchronous twin of {@link KvCache.deserialize}: bytes are copied at once, checked and put in place in slices. */
  static async deserializeAsync(
    bytes: Uint8Array,
    options?: { readonly engine?: Engine | undefined } & AsyncOptions,
  ): Promise<KvCache> {
    const caller = "KvCache.deserialize";
    let cache: KvCache | undefined;
    try {
      await recorded(options, caller, (rest, begin) => {
        const { engine } = readOptions(rest as { readonly engine?: Engine }, ["engine"] as const, caller);
        const copy = captureBytes(bytes, caller);
        const job = begin(instanceFor(engine, caller));
        job.pieces(copy.length * WORK_PER_BYTE, countPieces(copy.length), function* () {
          cache = made(yield* restoreCache(copy, () => job.instance, caller));
        });
      });
    } catch (error) {
      cache?.dispose();
      throw error;
    }
    return cache!;
  }

  /** Sequences side by side. */
  get batch(): number {
    return this.#shape.batch;
  }

  /** How keys and values are stored. */
  get dtype(): CacheDType {
    return this.#shape.format.dtype;
  }

  /** Positions that a batch row can keep; with a window, rounded up to a multiple of 64. */
  get capacity(): number {
    return this.#shape.geometry.capacity;
  }

  /** The length of the longest batch row: every token counts, those that a ring has forgotten too. */
  get length(): number {
    return longestOf(this.#lease.open("KvCache.length").extents);
  }

  /** The length of each batch row. */
  get lengths(): number[] {
    return this.#lease.open("KvCache.lengths").extents.map(({ length }) => length);
  }

  /** How many positions of the longest batch row are kept: all of them, or those that a ring holds. */
  get retained(): number {
    const { extents, geometry } = this.#lease.open("KvCache.retained");
    const most = longestOf(extents);
    return retainedOf(geometry, extents.find(({ length }) => length === most)!);
  }

  /** Whether the memory has been given back, by {@link KvCache.dispose} or with the whole engine. */
  get disposed(): boolean {
    return this.#lease.disposed;
  }

  /**
   * Adds tokens behind those that are there.
   *
   * @param key - `[batch, n, numKvHeads, headDim]`, float32, float16 or bfloat16; rank 3 leaves out batch, rank 2 batch and heads
   * @param value - `[batch, n, numKvHeads, valueHeadDim]`, of the same rank
   * @throws RangeError `ERR_SACCADE_CACHE_FULL` where a batch row would be longer than `capacity` (with a window: where it adds
   *   more than `capacity - left` rows, of which the first could not see their keys), `ERR_SACCADE_SHAPE`, `ERR_SACCADE_STRIDE`,
   *   `ERR_SACCADE_RANGE` (lengths; numbers that are not finite in an int8 cache); TypeError `ERR_SACCADE_ARGUMENT`,
   *   `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; SaccadeError `ERR_SACCADE_DISPOSED`, `ERR_SACCADE_FOREIGN`,
   *   `ERR_SACCADE_OUT_OF_MEMORY`
   */
  append(key: TensorInput, value: TensorInput, options?: KvCacheAppendOptions): void {
    this.#append(key, value, options);
  }

  /**
   * The asynchronous twin of {@link KvCache.append}: rows are read at once and added when its turn comes, all of them or, where it
   * is stopped, none. Until it has ended, calls that use the cache throw `ERR_SACCADE_BUSY`, and its memory is given back after that.
   */
  appendAsync(key: TensorInput, value: TensorInput, options?: KvCacheAppendOptions & AsyncOptions): Promise<void> {
    return recorded(options, "KvCache.append", (rest, begin) => this.#append(key, value, rest, begin)) as Promise<void>;
  }

  #append(key: unknown, value: unknown, options: unknown, begin?: Begin): void {
    const caller = "KvCache.append";
    const capturedKey = captureTensor(key, caller, "key");
    const capturedValue = captureTensor(value, caller, "value");
    const read = readOptions(options as KvCacheAppendOptions, ["lengths"] as const, caller);
    const { batch, format } = this.#shape;
    const { axes, n } = proveAppended(capturedKey, capturedValue, batch, format, caller);
    const counts =
      read.lengths === undefined
        ? new Array<number>(batch).fill(n)
        : proveIntegers(read.lengths, batch, 0, n, caller, "options.lengths", "one per batch row");
    const store = this.#lease.toWrite(caller);
    const job = begin && this.#lease.hold(begin(store.instance), true);
    const rows = { key: capturedKey, value: capturedValue, axes, n, counts };
    appendTo(store, this.#shape.geometry, this.#rope, rows, job, caller);
  }

  /**
   * Attention of query rows over all keys of the cache: causal, the last row of each batch row at its last position, within the
   * cache's window. The bits are those of `attention` with `causal: true`, `qOffset: "bottom-right"`, `kvLengths` and the window;
   * an int8 cache has its own, near those over the rows that {@link KvCache.read} gives back.
   *
   * @param query - `[batch, qLen, numHeads, headDim]` in the default layout; `numHeads` is a multiple of `numKvHeads`
   * @param options - as those of `attention`; columns of `mask`, `bias` and weights are absolute positions, as many as
   *   {@link KvCache.length}; `qLengths` says how many query rows of each batch row count
   * @throws as `attention`; also RangeError `ERR_SACCADE_RANGE` where query rows stand so far back that a ring has forgotten their
   *   keys, SaccadeError `ERR_SACCADE_DISPOSED`
   */
  attend<
    const Query extends TensorInput,
    Lse extends boolean = false,
    Weights extends WeightsOption = false,
    Target extends AttentionTarget | undefined = undefined,
    OutDType extends FloatDType | undefined = undefined,
  >(
    query: Query,
    options?: KvCacheAttendOptions<Lse, Weights, Target, OutDType>,
  ): AttentionResult<Lse, Weights, Target, undefined, OutDTypeOf<Query, OutDType>> {
    return this.#attend(query, options) as AttentionResult<
      Lse,
      Weights,
      Target,
      undefined,
      OutDTypeOf<Query, OutDType>
    >;
  }

  /**
   * The asynchronous twin of {@link KvCache.attend}, as `attentionAsync` is that of `attention`. Until it has ended the cache
   * stays as it is: calls that would change it throw `ERR_SACCADE_BUSY`, and its memory is given back after that.
   */
  attendAsync<
    const Query extends TensorInput,
    Lse extends boolean = false,
    Weights extends WeightsOption = false,
    Target extends AttentionTarget | undefined = undefined,
    OutDType extends FloatDType | undefined = undefined,
  >(
    query: Query,
    options?: KvCacheAttendOptions<Lse, Weights, Target, OutDType> & AsyncOptions,
  ): Promise<AttentionResult<Lse, Weights, Target, undefined, OutDTypeOf<Query, OutDType>>> {
    return recorded(options, "KvCache.attend", (rest, begin) => this.#attend(query, rest, begin)) as Promise<never>;
  }

  /** @param begin - told the instance once nothing of the caller's is left to be read */
  #attend(query: unknown, options: unknown, begin?: Begin): unknown {
    const caller = "KvCache.attend";
    const { batch, format, geometry, window } = this.#shape;
    const capturedQuery = captureTensor(query, caller, "query");
    // What the options say about keys is proved below; their code may run until here.
    const captured = captureOptions(capturedQuery, capturedQuery, capturedQuery, options, caller, ATTEND_OPTIONS);
    const store = this.#lease.toRead(caller);
    const { extents, instance } = store;
    if (begin) this.#lease.hold(begin(instance), false);
    const { key, value } = keysFor(capturedQuery, captured.layout, batch, longestOf(extents), format, caller);
    captured.key = key;
    captured.value = value;
    captured.causal = true;
    captured.qOffset = "bottom-right";
    captured.kvLengths = extents.map(({ length }) => length);
    if (window !== undefined) captured.window = { left: window.left, right: undefined, first: geometry.first };
    const call = resolveAttention(captured, instance, undefined, store.address);
    const qLengths = captured.qLengths ?? extents.map(() => call.qLen);
    proveServed(geometry, extents, qLengths, caller);
    const { targets, layout } = captured;
    const rope = this.#rope;
    const outcome =
      rope === undefined
        ? runAttention(instance, call)
        : inSession(instance, caller, (session) => {
            const starts = extents.map(({ length }, row) => length - qLengths[row]!);
            const turnedQuery = turned(session, rope, call.query, call.axes, layout, starts);
            return runAttention(instance, { ...call, query: turnedQuery });
          });
    return resultsOf(call, outcome, targets);
  }

  /**
   * Cuts batch rows to their first n tokens: the same as never having appended the others.
   *
   * @param n - a length for all batch rows (those that are shorter stay as they are), or one for each
   * @throws RangeError `ERR_SACCADE_RANGE` (longer than the row; with a window: so short that the next token's keys have been
   *   forgotten), `ERR_SACCADE_SHAPE`; TypeError `ERR_SACCADE_ARGUMENT`; SaccadeError `ERR_SACCADE_DISPOSED`
   */
  truncate(n: number | ArrayLike<number>): void {
    const caller = "KvCache.truncate";
    const given = proveLengthsOf(n, this.#shape.batch, 0, MAXIMUM_SIZE, caller, "n");
    const store = this.#lease.toWrite(caller);
    const lengths = proveCut(store.geometry, store.extents, given, caller);
    store.truncate(lengths, caller);
  }

  /**
   * Another cache with the same content: from here on neither sees the other's tokens. Pages are shared until one of the two
   * writes to them.
   *
   * @throws SaccadeError `ERR_SACCADE_DISPOSED`, `ERR_SACCADE_OUT_OF_MEMORY`
   */
  fork(): KvCache {
    const caller = "KvCache.fork";
    return made({ store: this.#lease.toRead(caller).fork(caller), shape: this.#shape, rope: this.#rope });
  }

  /**
   * Batch row b becomes what row `batchIndices[b]` was: a step of beam search. Rows that come from one row share its pages
   * until they write.
   *
   * @throws RangeError `ERR_SACCADE_SHAPE` (not one per batch row), `ERR_SACCADE_RANGE`; TypeError `ERR_SACCADE_ARGUMENT`;
   *   SaccadeError `ERR_SACCADE_DISPOSED`
   */
  reorder(batchIndices: ArrayLike<number>): void {
    const caller = "KvCache.reorder";
    const { batch } = this.#shape;
    const each = "one per batch row";
    const from = proveIntegers(batchIndices, batch, 0, batch - 1, caller, "batchIndices", each);
    this.#lease.toWrite(caller).reorder(from, caller);
  }

  /**
   * The keys and values of positions `from` up to `to` (not included) as they are stored, converted to float32. Positions
   * behind the end of a shorter batch row are 0.
   *
   * @throws RangeError `ERR_SACCADE_RANGE` (past {@link KvCache.length}, or forgotten by a ring); TypeError
   *   `ERR_SACCADE_ARGUMENT`; SaccadeError `ERR_SACCADE_DISPOSED`, `ERR_SACCADE_OUT_OF_MEMORY`
   */
  read(from: number, to: number): CacheRows {
    return this.#read(from, to);
  }

  /** The asynchronous twin of {@link KvCache.read}; until it has ended, calls that would change the cache throw `ERR_SACCADE_BUSY`. */
  readAsync(from: number, to: number, options?: AsyncOptions): Promise<CacheRows> {
    const caller = "KvCache.read";
    return recorded(options, caller, (rest, begin) => {
      readOptions(rest as object | undefined, [] as const, caller);
      return this.#read(from, to, begin);
    }) as Promise<CacheRows>;
  }

  #read(from: number, to: number, begin?: Begin): CacheRows {
    const caller = "KvCache.read";
    proveInteger(from, 0, MAXIMUM_SIZE, caller, "from");
    proveInteger(to, 0, MAXIMUM_SIZE, caller, "to");
    const store = this.#lease.toRead(caller);
    const { extents, geometry, instance } = store;
    proveKept(geometry, extents, from, to, caller);
    if (begin) this.#lease.hold(begin(instance), false);
    return readFrom(store, this.#shape.batch, from, to, caller);
  }

  /**
   * The cache as bytes, to be stored or sent: the tokens that are kept and everything that was said when it was made, but the
   * engine. The same content gives the same bytes.
   *
   * @throws SaccadeError `ERR_SACCADE_DISPOSED`, `ERR_SACCADE_OUT_OF_MEMORY`
   */
  serialize(): Uint8Array<ArrayBuffer> {
    const { bytes, write } = this.#encode();
    finish(write());
    return bytes;
  }

  /** The asynchronous twin of {@link KvCache.serialize}; until it has ended, calls that would change the cache throw `ERR_SACCADE_BUSY`. */
  serializeAsync(options?: AsyncOptions): Promise<Uint8Array<ArrayBuffer>> {
    const caller = "KvCache.serialize";
    return recorded(options, caller, (rest, begin) => {
      readOptions(rest as object | undefined, [] as const, caller);
      const { bytes, write } = this.#encode();
      const job = this.#lease.hold(begin(this.#lease.instance), false);
      job.pieces(bytes.length * WORK_PER_BYTE, countPieces(bytes.length), write);
      return bytes;
    }) as Promise<Uint8Array<ArrayBuffer>>;
  }

  #encode(): ReturnType<typeof encodeCache> {
    const caller = "KvCache.serialize";
    return encodeCache(this.#lease.toRead(caller), this.#shape, this.#rope?.text ?? "", caller);
  }

  /** Gives the memory back, but for pages that a fork still uses. May be called again. */
  dispose(): void {
    this.#lease.dispose();
  }

  /** {@link KvCache.dispose}, for `using`. */
  [disposeKey](): void {
    this.dispose();
  }
}

/** What a byte costs to copy and to check, in multiply-adds of the micro-kernel, of which there are 1,024 in a unit of work. */
const WORK_PER_BYTE = 24 / 1024;

function made({ store, shape, rope }: Parts): KvCache {
  return new KvCache(new Parts(store, shape, rope) as unknown as KvCacheOptions);
}
