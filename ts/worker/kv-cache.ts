/**
 * Caches of keys and values that live in a worker.
 */

import type { KvCache } from "../kv-cache.ts";
import type { CacheDType } from "../kv-cache-options.ts";
import type { WorkerCallOptions } from "./functions.ts";
import { Handle, type HandleOwner } from "./tensor.ts";
import type { CacheState } from "./wire.ts";

/** What never changes about a cache, and how long it is. */
export interface CacheFacts extends CacheState {
  readonly batch: number;
  readonly dtype: CacheDType;
  readonly capacity: number;
}

/** The name of a method in the clothes of the method. */
const named = <Name extends keyof KvCache & string>(name: Name): KvCache[Name] => `KvCache.${name}` as never;

/**
 * A `KvCache` in a worker's memory: each method does what that of the direct cache does, and gives a promise.
 *
 * @example
 * ```ts
 * using cache = await remote.KvCache.create({ batch: 1, numKvHeads: 2, headDim: 64, capacity: 4096 });
 * await cache.append(key, value);
 * const { out } = await cache.attend(query);
 * ```
 */
export class WorkerKvCache extends Handle {
  /** Sequences side by side. */
  readonly batch: number;
  /** How keys and values are stored. */
  readonly dtype: CacheDType;
  /** Positions that a batch row can keep; with a window, rounded up to a multiple of 64. */
  readonly capacity: number;
  #state: CacheState;

  /** As `KvCache.append`. */
  readonly append = this.promised(named("append"));
  /** As `KvCache.attend`. */
  readonly attend = this.promised(named("attend"));
  /** As `KvCache.truncate`. */
  readonly truncate = this.promisedPlain(named("truncate"));
  /** As `KvCache.reorder`. */
  readonly reorder = this.promisedPlain(named("reorder"));
  /** As `KvCache.read`. */
  readonly read = this.promisedPlain(named("read"));
  /** As `KvCache.serialize`. */
  readonly serialize = this.promisedPlain(named("serialize"));

  /** @internal */
  constructor(owner: HandleOwner, id: number, { batch, dtype, capacity, ...state }: CacheFacts) {
    super(owner, id);
    this.batch = batch;
    this.dtype = dtype;
    this.capacity = capacity;
    this.#state = state;
  }

  /** The length of the longest batch row, as of the last call to this cache that has been answered. */
  get length(): number {
    return this.#state.length;
  }

  /** The length of each batch row, likewise. */
  get lengths(): number[] {
    return [...this.#state.lengths];
  }

  /** How many positions of the longest batch row are kept, likewise. */
  get retained(): number {
    return this.#state.retained;
  }

  /** As `KvCache.fork`. */
  fork(options?: WorkerCallOptions): Promise<WorkerKvCache> {
    return this.ask("KvCache.fork", [options]) as Promise<WorkerKvCache>;
  }

  /** @internal */
  note(state: CacheState): void {
    this.#state = state;
  }
}
