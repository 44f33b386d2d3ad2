/**
 * A bit mask as the wasm reads it: words of a postfix program, and the arrays that some of them point at.
 */

import type { LinearMemory, MemoryViews } from "./memory.ts";

/** A compiled bit mask. Where a word points at an array, `patches` says which. */
export interface MaskProgram {
  readonly words: readonly number[];
  readonly arrays: readonly (Int32Array | Uint32Array)[];
  /** Index of a word, index of the array whose address belongs there. */
  readonly patches: readonly (readonly [word: number, array: number])[];
}

/** Where a program and its arrays lie. */
export interface PlacedProgram {
  readonly address: number;
  readonly arrays: readonly number[];
}

/** Takes temporary memory for a program. */
export function placeProgram(program: MaskProgram, memory: LinearMemory, caller: string): PlacedProgram {
  return {
    address: memory.scratch.allocate(program.words.length * 4, caller),
    arrays: program.arrays.map((array) => memory.scratch.allocate(array.length * 4, caller)),
  };
}

/** Writes a program into its place. */
export function fillProgram(program: MaskProgram, place: PlacedProgram, { u32, i32 }: MemoryViews): void {
  program.arrays.forEach((array, index) => {
    i32.set(array, place.arrays[index]! >>> 2);
  });
  const at = place.address >>> 2;
  u32.set(program.words, at);
  for (const [word, array] of program.patches) u32[at + word] = place.arrays[array]!;
}
