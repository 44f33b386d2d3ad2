/**
 * A short name for everything that the parts of one call share: sizes, options, query, mask, bias. Not for security: it
 * keeps parts of different calls from being merged by mistake.
 */

import { ELEMENT_BYTE_LENGTH } from "../dtype.ts";
import type { AttentionCall } from "./call.ts";
import type { MemoryViews } from "./memory.ts";
import type { RawArray, TensorView } from "./view.ts";

/** Two multiplicative hashes of 32 bits over the same words. */
class Hash {
  #a = 0x811c9dc5;
  #b = 0x9e3779b9;

  word(word: number): void {
    this.#a = Math.imul(this.#a ^ word, 0x01000193);
    this.#b = Math.imul((this.#b << 5) ^ (this.#b >>> 27) ^ word, 0x85ebca6b);
  }

  /** A list with its length, so that two lists do not run into each other; undefined is no list. */
  words(words: ArrayLike<number> | undefined): void {
    this.word(words === undefined ? -1 : words.length);
    for (let i = 0; i < (words?.length ?? 0); i++) this.word(words![i]!);
  }

  /** A number by its bits. */
  number(x: number | undefined): void {
    this.words(x === undefined ? undefined : new Uint32Array(Float64Array.of(x).buffer));
  }

  floats(x: Float32Array | undefined): void {
    this.words(x === undefined ? undefined : new Uint32Array(x.buffer, x.byteOffset, x.length));
  }

  tensor(view: TensorView | undefined, views: MemoryViews): void {
    this.words(view?.shape);
    if (view === undefined || view.elements === 0) return;
    const size = ELEMENT_BYTE_LENGTH[view.dtype];
    this.word(size);
    const memory: RawArray = view.outside ?? (size === 4 ? views.i32 : size === 2 ? views.u16 : views.u8);
    const first = view.outside === undefined ? view.address / size : 0;
    const last = view.shape.length - 1;
    const walk = (axis: number, at: number): void => {
      if (axis === last) {
        for (let i = 0; i < view.shape[last]!; i++) this.word(memory[at + i]!);
        return;
      }
      for (let i = 0; i < view.shape[axis]!; i++) walk(axis + 1, at + i * view.strides[axis]!);
    };
    walk(0, first);
  }

  toString(): string {
    return [this.#a, this.#b].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
  }
}

/** 16 hex digits over all of a call but its keys and values. */
export function fingerprintOf(call: AttentionCall, views: MemoryViews): string {
  const hash = new Hash();
  const { batch, numHeads, numKvHeads, qLen, kvLen, headDim, valueHeadDim, qOffset, modifiers } = call;
  hash.words([batch, numHeads, numKvHeads, qLen, kvLen, headDim, valueHeadDim]);
  hash.number(call.scale);
  hash.word(call.causal ? 1 : 0);
  hash.words(typeof qOffset === "number" ? new Array<number>(batch).fill(qOffset) : qOffset);
  hash.words(call.kvLengths);
  hash.tensor(call.query, views);
  hash.number(modifiers?.softcap);
  const window = modifiers?.window;
  hash.words(window && [window.left ?? -1, window.right ?? -1, window.first]);
  hash.words(modifiers?.qLengths);
  hash.floats(modifiers?.alibiSlopes);
  hash.floats(modifiers?.sinks);
  hash.tensor(modifiers?.mask, views);
  hash.tensor(modifiers?.bias, views);
  hash.words(modifiers?.program?.words);
  return hash.toString();
}
