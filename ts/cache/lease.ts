/** Who may use a cache's memory, and until when: direct calls at once, asynchronous ones until they have ended. */

import { SaccadeError } from "../errors.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import { busy, type Job } from "../wasm/job.ts";
import type { Store } from "./store.ts";

export class Lease {
  readonly #store: Store;
  #disposed = false;
  /** Asynchronous calls under way that read it, or write to it. */
  #readers = 0;
  #writers = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  get instance(): WasmInstance {
    return this.#store.instance;
  }

  get disposed(): boolean {
    return this.#disposed || this.instance.disposed;
  }

  open(caller: string): Store {
    if (this.#disposed) {
      throw new SaccadeError("ERR_SACCADE_DISPOSED", `${caller}: this cache cannot be used: it has been disposed`);
    }
    // Throws where the engine has been disposed of, or has trapped.
    this.instance.memory(caller);
    return this.#store;
  }

  /** Refuses to read what an asynchronous call is changing. */
  toRead(caller: string): Store {
    const store = this.open(caller);
    if (this.#writers > 0) throw busy(caller, "this cache");
    return store;
  }

  /** Refuses to change what an asynchronous call is reading. */
  toWrite(caller: string): Store {
    const store = this.toRead(caller);
    if (this.#readers > 0) throw busy(caller, "this cache");
    return store;
  }

  /** Keeps the cache as an asynchronous call needs it, until that has ended. */
  hold(job: Job, writes: boolean): Job {
    if (writes) this.#writers += 1;
    else this.#readers += 1;
    job.hold(() => {
      if (writes) this.#writers -= 1;
      else this.#readers -= 1;
      if (this.#disposed) this.#free();
    });
    return job;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#free();
  }

  #free(): void {
    if (this.#readers + this.#writers === 0) this.#store.dispose();
  }
}
