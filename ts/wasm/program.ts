/**
 * A bit mask as the wasm reads it: words of a postfix program, and the arrays that some of them point at.
 */

import type { LinearMemory, MemoryViews } from "./memory.ts";

/** Where a program and its arrays lie. */
export interface PlacedProgram {
  readonly address: number;
  readonly arrays: readonly number[];
}

/** A compiled bit mask. It places itself: what has no masks knows it by its type only. */
export class MaskProgram {
  readonly words: readonly number[];
  readonly arrays: readonly (Int32Array | Uint32Array)[];
  readonly #patches: readonly (readonly [word: number, array: number])[];

  /** @param patches - index of a word, index of the array whose address belongs there */
  constructor(
    words: readonly number[],
    arrays: readonly (Int32Array | Uint32Array)[],
    patches: readonly (readonly [word: number, array: number])[],
  ) {
    this.words = words;
    this.arrays = arrays;
    this.#patches = patches;
  }

  /** Takes temporary memory. */
  place(memory: LinearMemory, caller: string): PlacedProgram {
    return {
      address: memory.scratch.allocate(this.words.length * 4, caller),
      arrays: this.arrays.map((array) => memory.scratch.allocate(array.length * 4, caller)),
    };
  }

  /** Writes itself into its place. */
  fill(place: PlacedProgram, { u32, i32 }: MemoryViews): void {
    this.arrays.forEach((array, index) => {
      i32.set(array, place.arrays[index]! >>> 2);
    });
    const at = place.address >>> 2;
    u32.set(this.words, at);
    for (const [word, array] of this.#patches) u32[at + word] = place.arrays[array]!;
  }
}
