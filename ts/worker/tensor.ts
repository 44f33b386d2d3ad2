/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Tensors that live in a worker.
 */

import { disposeKey } from "../dispose.ts";
import type { DType } from "../dtype.ts";
import { SaccadeError } from "../errors.ts";
import type { PlainTensor } from "../tensor.ts";
import type { CallName, Promised, PromisedPlain, WorkerCallOptions } from "./functions.ts";

/** What a handle needs of the engine it belongs to. */
export interface HandleOwner {
  readonly disposed: boolean;
  call(name: CallName, args: readonly unknown[], handle: Handle): Promise<unknown>;
  release(id: number): void;
}

/** Something that lives in a worker, by its number there. */
export class Handle {
  readonly #owner: HandleOwner;
  readonly #id: number;
  #released = false;

  /** @internal Makes a method of a name. */
  protected readonly promised: Promised;
  /** @internal */
  protected readonly promisedPlain: PromisedPlain;

  /** @internal */
  constructor(owner: HandleOwner, id: number) {
    this.#owner = owner;
    this.#id = id;
    const method =
      (name: unknown) =>
      (...args: unknown[]) =>
        this.ask(name as CallName, args);
    this.promised = method as unknown as Promised;
    this.promisedPlain = method as unknown as PromisedPlain;
  }

  /** @internal Owner and number of a handle that can be used; undefined for what is none. */
  static of(
    value: object,
  ): { readonly owner: HandleOwner; readonly id: number; readonly disposed: boolean } | undefined {
    return #id in value ? { owner: value.#owner, id: value.#id, disposed: value.#released } : undefined;
  }

  /** Whether its memory has been given back, by `dispose` or with the whole engine. */
  get disposed(): boolean {
    return this.#released || this.#owner.disposed;
  }

  /** Gives its memory back once the calls before this one have run. May be called again. */
  dispose(): void {
    if (this.#released) return;
    this.#released = true;
    if (!this.#owner.disposed) this.#owner.release(this.#id);
  }

  /** `dispose`, for `using`. */
  [disposeKey](): void {
    this.dispose();
  }

  /** @internal */
  protected ask(name: CallName, args: readonly unknown[]): Promise<unknown> {
    return this.#owner.call(name, args, this);
  }
}

/**
 * A tensor in a worker's memory. Pass it to the functions of that worker's engine wherever they take a tensor: nothing is
 * copied and nothing is sent.
 *
 * @example
 * ```ts
 * using key = await remote.Tensor.from({ data: keyData, shape: [1, 1024, 8, 64] });
 * using value = await remote.Tensor.from({ data: valueData, shape: [1, 1024, 8, 64] });
 * for (const query of queries) console.log((await remote.attention(query, key, value)).out.data);
 * ```
 */
export class WorkerTensor<D extends DType = DType> extends Handle {
  /** Sizes of the axes. */
  readonly shape: readonly number[];
  /** Type of the elements. */
  readonly dtype: D;

  /** @internal */
  constructor(owner: HandleOwner, id: number, shape: readonly number[], dtype: D) {
    super(owner, id);
    this.shape = shape;
    this.dtype = dtype;
  }

  /** A tensor of a worker has no elements here: reading them throws. It makes the type a tensor's. */
  get data(): never {
    throw elsewhere();
  }

  /** Throws likewise: what `Tensor.view` gives lies in memory that this thread does not see. */
  view(): never {
    throw elsewhere();
  }

  /**
   * A copy as a plain object.
   *
   * @throws SaccadeError `ERR_SACCADE_DISPOSED`, `ERR_SACCADE_OUT_OF_MEMORY`, `ERR_SACCADE_WORKER`
   */
  toPlain(options?: WorkerCallOptions): Promise<PlainTensor<D>> {
    return this.ask("Tensor.toPlain", [options]) as Promise<PlainTensor<D>>;
  }
}

function elsewhere(): SaccadeError {
  return new SaccadeError(
    "ERR_SACCADE_FOREIGN",
    "WorkerTensor: this tensor lives in a worker; pass it to the functions of that worker, or await its toPlain()",
  );
}
