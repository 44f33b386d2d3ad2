/** Asynchronous calls that use a resident: they last until they have run. */
export interface ResidentUsers {
  /** How many there are. */
  readonly count: number;
  /** @throws SaccadeError `ERR_SACCADE_BUSY` where a use now would meet one of them */
  prove(writes: boolean, caller: string, name: string): void;
}

/**
 * Elements that live in an instance's memory until they are disposed of. A {@link Resident} is what a Tensor is to
 * the inner layers, which never see the Tensor itself.
 */

import { type DType, ELEMENT_BYTE_LENGTH } from "../dtype.ts";
import { SaccadeError } from "../errors.ts";
import type { WasmInstance } from "./instance.ts";
import { recordingOf } from "./recording.ts";
import { rowMajor, type TensorView } from "./view.ts";

export class Resident {
  readonly instance: WasmInstance;
  /** Row-major, proved when it was made, valid for as long as the resident is held. */
  readonly view: TensorView;
  #held = true;
  /** Set by the first asynchronous call that uses it. */
  users: ResidentUsers | undefined;

  /**
   * Takes memory for `elements` elements; their content is whatever lay there.
   *
   * @throws SaccadeError `ERR_SACCADE_OUT_OF_MEMORY`
   */
  constructor(instance: WasmInstance, dtype: DType, shape: readonly number[], elements: number, caller: string) {
    this.instance = instance;
    const address = instance.memory(caller).allocate(elements * ELEMENT_BYTE_LENGTH[dtype], caller);
    this.view = Object.freeze(rowMajor(dtype, shape, elements, address));
    instance.tensors += 1;
  }

  /** Bytes of all elements. */
  get byteLength(): number {
    return this.view.elements * ELEMENT_BYTE_LENGTH[this.view.dtype];
  }

  /** Whether the memory has been given back, by {@link dispose} or with the whole engine. */
  get disposed(): boolean {
    return !this.#held || this.instance.disposed;
  }

  /** @throws SaccadeError `ERR_SACCADE_DISPOSED` */
  assertHeld(caller: string, name: string): void {
    if (!this.disposed) return;
    const reason = this.#held ? "the engine it lived in has been disposed" : "it has been disposed";
    throw new SaccadeError("ERR_SACCADE_DISPOSED", `${caller}: ${name} cannot be used: ${reason}`);
  }

  /**
   * Notes a use of it: that of a call which is recorded lasts until the call has run, any other must not meet one that lasts.
   *
   * @throws SaccadeError `ERR_SACCADE_BUSY`
   */
  use(writes: boolean, caller: string, name: string): void {
    const job = recordingOf(this.instance);
    if (job !== undefined) job.use(this, writes);
    else this.users?.prove(writes, caller, name);
  }

  /**
   * Refuses what would be read before an asynchronous call has written it.
   *
   * @throws SaccadeError `ERR_SACCADE_BUSY`
   */
  assertWritten(caller: string, name: string): void {
    this.users?.prove(false, caller, name);
  }

  /** Gives the memory back, once no call uses it any more. May be called again. */
  dispose(): void {
    if (!this.#held) return;
    this.#held = false;
    if (this.instance.memoryIfAny !== undefined) this.instance.tensors -= 1;
    this.freeIfUnused();
  }

  /** Gives the memory of one that is disposed of back, once no call uses it any more. */
  freeIfUnused(): void {
    if (this.#held || this.users?.count) return;
    this.instance.memoryIfAny?.free(this.view.address, this.byteLength);
  }
}
