/**
 * Pages: pieces of wasm memory of one size, each shared by as many rows of as many caches as refer to it. Who writes to a
 * page must be its only owner.
 */

import type { WasmInstance } from "../wasm/instance.ts";

/** A page. */
export interface Page {
  readonly address: number;
  /** Rows that refer to it. */
  references: number;
}

/** Gives and takes pages of one size. */
export class Pages {
  readonly instance: WasmInstance;
  readonly byteLength: number;

  constructor(instance: WasmInstance, byteLength: number) {
    this.instance = instance;
    this.byteLength = byteLength;
  }

  /** A page of zeros, so that no value of a position that was never written is NaN by chance. */
  take(caller: string): Page {
    const memory = this.instance.memory(caller);
    const address = memory.allocate(this.byteLength, caller);
    memory.views().u8.fill(0, address, address + this.byteLength);
    return { address, references: 1 };
  }

  /** A page of one's own with the content of a shared one, which loses a reference. */
  own(shared: Page, caller: string): Page {
    const memory = this.instance.memory(caller);
    const address = memory.allocate(this.byteLength, caller);
    memory.views().u8.copyWithin(address, shared.address, shared.address + this.byteLength);
    shared.references -= 1;
    return { address, references: 1 };
  }

  /** Gives up a reference; the last one gives the memory back. */
  release(page: Page): void {
    page.references -= 1;
    if (page.references === 0) this.instance.memoryIfAny?.free(page.address, this.byteLength);
  }
}
