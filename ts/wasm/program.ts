/**
 * A bit mask as the wasm reads it: words of a postfix program, and the arrays that some of them point at.
 */

import type { LinearMemory } from "./memory.ts";
import { placeList } from "./place.ts";

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

  /** Copies itself into temporary memory; where it lies there. */
  place(memory: LinearMemory, caller: string): number {
    const words = this.words.slice();
    const arrays = this.arrays.map((array) => placeList(array, memory, caller));
    for (const [word, array] of this.#patches) words[word] = arrays[array]!;
    return placeList(words, memory, caller);
  }
}
