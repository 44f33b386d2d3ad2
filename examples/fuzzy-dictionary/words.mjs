// @ts-check
import { readFile } from "node:fs/promises";
import { attentionPooling, cosine, hardmax } from "saccade";
import { readSafetensors } from "saccade/interop";
import { UsageError } from "../usage.mjs";

const DATA = new URL("data/", import.meta.url);

/** @typedef {{ data: Uint16Array<ArrayBuffer>, shape: [number, number], dtype: "float16" }} WordVectors rows of float16 */
/** @typedef {{ data: Float32Array<ArrayBuffer>, shape: readonly number[] }} Matrix */

/** The recorded words and their vectors. */
export class Words {
  /** @param {readonly string[]} words @param {WordVectors} vectors */
  constructor(words, vectors) {
    this.words = words;
    this.vectors = vectors;
    this.dim = vectors.shape[1];
  }

  static async load() {
    const file = readSafetensors(await readFile(new URL("word-embeddings.safetensors", DATA)));
    const words = /** @type {string} */ (file.metadata.get("words")).split(" ");
    return new Words(words, /** @type {WordVectors} */ (file.tensors.get("word_embeddings")));
  }

  /**
   * One row for each word; zeros where there is none.
   *
   * @param {readonly (string | undefined)[]} words
   * @returns {WordVectors}
   */
  rows(words) {
    const { dim, vectors } = this;
    const data = new Uint16Array(words.length * dim);
    for (const [row, word] of words.entries()) {
      if (word === undefined) continue;
      const index = this.words.indexOf(word);
      if (index < 0) throw new UsageError(`"${word}" is not among the ${this.words.length} words (--words lists them)`);
      data.set(vectors.data.subarray(index * dim, (index + 1) * dim), row * dim);
    }
    return { data, shape: [words.length, dim], dtype: "float16" };
  }

  /**
   * The word nearest to each vector by cosine: hard attention over all words, whose values are their own numbers.
   *
   * @param {Matrix} vectors
   */
  nearest(vectors) {
    const value = { data: Float32Array.from(this.words, (_, i) => i), shape: [this.words.length, 1] };
    const { out } = attentionPooling(vectors, this.vectors, value, { score: cosine(), normalize: hardmax() });
    return Array.from(out.data, (index) => this.words[index] ?? "");
  }
}

/** The words by subject, as lines of text. */
export async function listWords() {
  const subjects = JSON.parse(await readFile(new URL("words.json", DATA), "utf8"));
  return Object.entries(subjects).map(([subject, words]) => `${subject}: ${words}`);
}
