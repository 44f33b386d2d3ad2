/**
 * Weights that a layer holds in an engine's memory, as float32. Tensors of the engine that are float32 already are used where
 * they lie, and stay their owner's; all others are copied once, and given back by {@link Held.dispose}.
 */

import { beginRecord } from "../async/bag.ts";
import { SaccadeError } from "../errors.ts";
import { proveFinite } from "../layout/finite.ts";
import { proveFloatTensor } from "../layout/operands.ts";
import type { CapturedTensor } from "../layout/tensor-like.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import { inSession, type Session, type Slot } from "../wasm/operator.ts";
import { Resident } from "../wasm/resident.ts";
import type { TensorView } from "../wasm/view.ts";

export class Held {
  readonly instance: WasmInstance;
  /** How messages call the layer. */
  readonly #layer: string;
  readonly #owned: Resident[] = [];
  readonly #lent: CapturedTensor[] = [];
  #disposed = false;

  constructor(instance: WasmInstance, layer: string) {
    this.instance = instance;
    this.#layer = layer;
  }

  /** Whether the memory has been given back, by {@link dispose} or with the whole engine. */
  get disposed(): boolean {
    return this.#disposed || this.instance.disposed;
  }

  /** Holds a weight as float32; it must be finite. */
  hold(captured: CapturedTensor): TensorView {
    const view = proveFloatTensor(captured, this.instance, this.#layer);
    proveFinite(view, this.instance, this.#layer, captured.name);
    if (captured.resident !== undefined && view.dtype === "float32") {
      this.#lent.push(captured);
      return view;
    }
    return this.make(view.shape, view.elements, (session, target) => session.copy(view, target));
  }

  /** Memory of the layer's own, filled by operators of a session. */
  make(shape: readonly number[], elements: number, fill: (session: Session, target: Slot) => void): TensorView {
    const resident = new Resident(this.instance, "float32", shape, elements, this.#layer);
    this.#owned.push(resident);
    resident.use(false, this.#layer, "what it makes");
    const destination = { shape, elements, dtype: "float32" as const, target: resident.view };
    inSession(this.instance, this.#layer, (session) => fill(session, session.result(destination)));
    return resident.view;
  }

  /** Gives back what {@link make} made, and not what is lent. */
  free(view: TensorView): void {
    const at = this.#owned.findIndex((resident) => resident.view === view);
    if (at >= 0) this.#owned.splice(at, 1)[0]!.dispose();
  }

  /**
   * The instance, for a call that has read all its arguments. One that is recorded keeps what is held until it has run.
   *
   * @param bag - the call's options as they were given
   * @throws SaccadeError `ERR_SACCADE_DISPOSED`; `ERR_SACCADE_BUSY` where an asynchronous call writes a weight that is lent
   */
  use(caller: string, bag: unknown): WasmInstance {
    this.#assertHeld(caller);
    beginRecord(bag, this.instance);
    for (const resident of this.#owned) resident.use(false, caller, "a weight");
    for (const { resident, name } of this.#lent) resident!.use(false, caller, name);
    return this.instance;
  }

  #assertHeld(caller: string): void {
    if (this.disposed) {
      const reason = this.#disposed ? "it has been disposed" : "the engine it lived in has been disposed";
      throw new SaccadeError("ERR_SACCADE_DISPOSED", `${caller}: this ${this.#layer} cannot be used: ${reason}`);
    }
    for (const { resident, name } of this.#lent) resident!.assertHeld(caller, name);
  }

  /** Gives the memory back. May be called again. */
  dispose(): void {
    this.#disposed = true;
    for (const resident of this.#owned.splice(0)) resident.dispose();
    this.#lent.length = 0;
  }
}

/** Makes what a layer holds; if that fails, nothing is held. */
export function holding<T>(held: Held, make: () => T): T {
  try {
    return make();
  } catch (error) {
    held.dispose();
    throw error;
  }
}
