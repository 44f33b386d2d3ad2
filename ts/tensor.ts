/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Tensors that live in an engine's memory, so that calls need not copy them.
 */

import { disposeKey } from "./dispose.ts";
import { type DataOf, DTYPE_LIST, type DType, isDType, type TensorData } from "./dtype.ts";
import type { Engine } from "./engine.ts";
import { argumentError, dtypeError, found } from "./errors.ts";
import { instanceFor } from "./init.ts";
import { readOptions } from "./layout/options.ts";
import { countElements, MAXIMUM_RANK, proveShape, RANK_EXPECTED, snapshot } from "./layout/shape.ts";
import { captureTensor, dtypeOf, proveTensor, ResidentHandle, type TensorLike } from "./layout/tensor-like.ts";
import { dataArray, rawArray } from "./layout/typed-array.ts";
import { outOfMemory } from "./wasm/memory.ts";
import { Resident } from "./wasm/resident.ts";
import { copyElements } from "./wasm/view.ts";

/** A result: its elements in row-major order, in memory of its own. Nothing has to be freed. */
export interface PlainTensor<D extends DType = DType> {
  /** The elements, in row-major order. */
  readonly data: DataOf[D];
  /** Sizes of the axes. */
  readonly shape: number[];
  /** Type of the elements. */
  readonly dtype: D;
}

/** Options of the functions that make tensors. */
export interface TensorOptions {
  /** Whose memory it lives in. Default: the default engine. */
  engine?: Engine | undefined;
}

/** The dtype of a {@link TensorLike}, as far as its type tells. */
export type DTypeOf<T> = T extends { readonly dtype: infer D extends DType }
  ? D
  : T extends { readonly data: infer A }
    ? A extends Float32Array
      ? "float32"
      : A extends Int32Array
        ? "int32"
        : DType
    : DType;

/** Only the functions of this file make tensors. */
const KEY = Symbol("saccade.tensor");

/**
 * A tensor in an engine's memory, row-major. Pass it wherever a {@link TensorLike} can be passed: nothing is copied.
 * Its memory is given back by {@link Tensor.dispose} (or at the end of a `using` block), not by garbage collection.
 *
 * @example
 * ```ts
 * using key = Tensor.from({ data: keyData, shape: [1, 1024, 8, 64] });
 * using value = Tensor.from({ data: valueData, shape: [1, 1024, 8, 64] });
 * for (const query of queries) console.log(attention(query, key, value).out.data);
 * ```
 */
export class Tensor<D extends DType = DType> extends ResidentHandle {
  readonly #resident: Resident;

  /** @internal Use {@link Tensor.from}, {@link Tensor.zeros} or {@link Tensor.empty}. */
  constructor(key: symbol, resident: Resident) {
    if (key !== KEY) {
      throw argumentError("Tensor", "a tensor is not made with new; use Tensor.from, Tensor.zeros or Tensor.empty");
    }
    super(resident);
    this.#resident = resident;
  }

  /**
   * Copies a tensor (strided ones and those of another engine too) into an engine's memory.
   *
   * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`; RangeError `ERR_SACCADE_SHAPE`,
   *   `ERR_SACCADE_STRIDE`; SaccadeError `ERR_SACCADE_DETACHED`, `ERR_SACCADE_DISPOSED`, `ERR_SACCADE_OUT_OF_MEMORY`
   *
   * @example
   * ```ts
   * const mask = Tensor.from({ data: new Uint8Array([1, 0, 1]), shape: [3], dtype: "bool" });
   * ```
   */
  static from<const T extends TensorLike | Tensor>(source: T, options?: TensorOptions): Tensor<DTypeOf<T>> {
    const caller = "Tensor.from";
    const captured = captureTensor(source, caller, "source");
    const instance = instanceFor(readEngine(options, caller), caller);
    // A Tensor may come from any engine: it is read where it lives.
    const home = captured.resident?.instance ?? instance;
    const view = proveTensor(captured, home, caller);
    const dtype = dtypeOf(captured, caller);
    const resident = new Resident(instance, dtype, captured.shape, view.elements, caller);
    const target = rawArray(dtype, instance.memory(caller).views().buffer, resident.view.address, view.elements);
    const from = view.outside ?? rawArray(dtype, home.memory(caller).views().buffer, view.address, view.span);
    copyElements(view.shape, from, 0, view.strides, target, 0, resident.view.strides);
    return new Tensor(KEY, resident);
  }

  /**
   * A tensor of zeros.
   *
   * @param shape - sizes of the axes, from 0 up
   * @param dtype - default `"float32"`
   * @throws as {@link Tensor.empty}
   */
  static zeros<D extends DType = "float32">(
    shape: ArrayLike<number>,
    dtype?: D | undefined,
    options?: TensorOptions,
  ): Tensor<D> {
    const tensor = make<D>("Tensor.zeros", shape, dtype, options);
    const { view, instance } = tensor.#resident;
    const { u8 } = instance.memory("Tensor.zeros").views();
    u8.fill(0, view.address, view.address + tensor.#resident.byteLength);
    return tensor;
  }

  /**
   * A tensor whose elements are whatever lay in memory: for a result that is written at once.
   *
   * @param shape - sizes of the axes, from 0 up
   * @param dtype - default `"float32"`
   * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`; RangeError `ERR_SACCADE_SHAPE`; SaccadeError
   *   `ERR_SACCADE_OUT_OF_MEMORY`
   */
  static empty<D extends DType = "float32">(
    shape: ArrayLike<number>,
    dtype?: D | undefined,
    options?: TensorOptions,
  ): Tensor<D> {
    return make<D>("Tensor.empty", shape, dtype, options);
  }

  /** Sizes of the axes. */
  get shape(): readonly number[] {
    return this.#resident.view.shape;
  }

  /** Type of the elements. */
  get dtype(): D {
    return this.#resident.view.dtype as D;
  }

  /** Whether the memory has been given back, by {@link Tensor.dispose} or with the whole engine. */
  get disposed(): boolean {
    return this.#resident.disposed;
  }

  /**
   * A typed array over the elements where they lie: reading and writing it reads and writes the tensor. It detaches
   * when the engine's memory grows, which any call can cause, and means nothing once the tensor is disposed of; so
   * take a fresh one each time. On an engine with threads it lies over a `SharedArrayBuffer`, which does not detach but
   * keeps its old length, and which `TextDecoder`, `crypto` and some other interfaces refuse: those need {@link Tensor.toPlain}.
   *
   * @throws SaccadeError `ERR_SACCADE_DISPOSED`
   */
  view(): DataOf[D] {
    const { buffer } = this.#memory("Tensor.view").views();
    const { address, elements } = this.#resident.view;
    return dataArray(this.dtype, buffer, address, elements);
  }

  /**
   * A copy as a plain object, in memory of its own.
   *
   * @throws SaccadeError `ERR_SACCADE_DISPOSED`, `ERR_SACCADE_OUT_OF_MEMORY`, `ERR_SACCADE_BUSY` (an asynchronous call has
   *   still to write it)
   */
  toPlain(): PlainTensor<D> {
    const memory = this.#memory("Tensor.toPlain");
    this.#resident.assertWritten("Tensor.toPlain", "this tensor");
    const { address, elements, shape } = this.#resident.view;
    const { byteLength } = this.#resident;
    let copy: ArrayBuffer;
    try {
      // Not by slicing the buffer: of a shared one that gives a shared one.
      copy = memory.views().u8.slice(address, address + byteLength).buffer;
    } catch (cause) {
      throw outOfMemory("Tensor.toPlain", byteLength, memory, cause);
    }
    return { data: dataArray(this.dtype, copy, 0, elements), shape: [...shape], dtype: this.dtype };
  }

  /** Gives the memory back. May be called again; any other use afterwards throws `ERR_SACCADE_DISPOSED`. */
  dispose(): void {
    this.#resident.dispose();
  }

  /** {@link Tensor.dispose}, for `using`. */
  [disposeKey](): void {
    this.dispose();
  }

  #memory(caller: string): ReturnType<Resident["instance"]["memory"]> {
    this.#resident.assertHeld(caller, "this tensor");
    return this.#resident.instance.memory(caller);
  }
}

function make<D extends DType>(caller: string, shape: unknown, dtype: unknown, options: unknown): Tensor<D> {
  const proved = proveShape(snapshot(shape, MAXIMUM_RANK, caller, "shape", RANK_EXPECTED), caller, "shape");
  const resolved = dtype ?? "float32";
  if (!isDType(resolved)) throw dtypeError(caller, found("dtype", dtype, `one of ${DTYPE_LIST}`));
  const elements = countElements(proved, caller, "shape");
  const instance = instanceFor(readEngine(options, caller), caller);
  return new Tensor<D>(KEY, new Resident(instance, resolved, proved, elements, caller));
}

function readEngine(options: unknown, caller: string): unknown {
  return readOptions(options, ["engine"], caller).engine;
}

/** Anything that a function takes as a tensor. */
export type TensorInput = TensorLike | Tensor;

export type { DType, TensorData, TensorLike };
