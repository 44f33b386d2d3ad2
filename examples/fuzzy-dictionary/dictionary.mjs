// @ts-check
import {
  attentionPooling,
  cosine,
  dot,
  gaussian,
  hardmax,
  sample,
  scaledDot,
  softmax,
  sparsemax,
  sum,
  topK,
} from "saccade";

/** @typedef {import("./words.mjs").Words} Words */
/** @typedef {import("./words.mjs").Matrix} Matrix */
/** @typedef {Parameters<typeof attentionPooling>[3]} PoolingOptions */

/**
 * The ways to ask: what makes a score of a query and a key, and what makes weights of scores.
 *
 * @param {number} temperature @param {number} seed @param {number} entries how many the dictionary has
 * @returns {{ name: string, options: PoolingOptions }[]}
 */
export function scorings(temperature, seed, entries) {
  // A normaliser without a temperature gets scores that are divided by it.
  const sharp = cosine({ scale: 1 / temperature });
  const few = Math.min(2, entries);
  return [
    { name: `cosine, softmax at ${temperature}`, options: { score: cosine(), normalize: softmax({ temperature }) } },
    { name: `dot, softmax at ${temperature}`, options: { score: dot(), normalize: softmax({ temperature }) } },
    { name: "scaled dot, softmax", options: { score: scaledDot(), normalize: softmax() } },
    {
      name: `gaussian kernel, width ${Number(Math.sqrt(temperature).toPrecision(3))}`,
      options: { score: gaussian({ width: Math.sqrt(temperature) }), normalize: sum() },
    },
    { name: `cosine, top ${few}`, options: { score: sharp, normalize: topK(few) } },
    { name: "cosine, sparsemax", options: { score: sharp, normalize: sparsemax() } },
    { name: "cosine, hard", options: { score: cosine(), normalize: hardmax() } },
    { name: `cosine, one draw (seed ${seed})`, options: { score: sharp, normalize: sample({ seed }) } },
  ];
}

/** A dictionary that is asked by attention. */
export class FuzzyDictionary {
  /** @param {Words} words @param {ReadonlyMap<string, string | number>} entries */
  constructor(words, entries) {
    const values = [...entries.values()];
    this.words = words;
    this.keys = words.rows([...entries.keys()]);
    // A value is a word or a number: a word's vector, and beside it the number and whether it is one. What is not there is 0.
    this.wordValues = words.rows(values.map((value) => (typeof value === "string" ? value : undefined)));
    this.numberValues = {
      data: Float32Array.from(values.flatMap((value) => (typeof value === "number" ? [value, 1] : [0, 0]))),
      shape: [values.length, 2],
    };
  }

  /** How near each query is to each key, as a cosine. @param {readonly string[]} queries */
  cosines(queries) {
    const options = { score: cosine(), returnScores: true };
    const { scores } = attentionPooling(this.words.rows(queries), this.keys, this.numberValues, options);
    return rowsOf(/** @type {Matrix} */ (scores));
  }

  /**
   * The answer to each query: the entries' weights, and the values under these weights.
   *
   * @param {readonly string[]} queries @param {PoolingOptions} options
   */
  ask(queries, options) {
    const asked = this.words.rows(queries);
    const { out, weights } = attentionPooling(asked, this.keys, this.wordValues, { ...options, returnWeights: true });
    const numbers = rowsOf(attentionPooling(asked, this.keys, this.numberValues, options).out);
    const words = this.words.nearest(out);
    return rowsOf(/** @type {Matrix} */ (weights)).map((row, i) => {
      const [total, share] = /** @type {[number, number]} */ (numbers[i]);
      return { weights: row, answer: inWords(words[i] ?? "", total, share) };
    });
  }
}

/**
 * Words mix into a vector, which is said as the word nearest to it; numbers mix into their weighted mean; where both have weight,
 * each is said with its share.
 *
 * @param {string} word @param {number} total @param {number} share of the numbers
 */
function inWords(word, total, share) {
  const number = () => String(Number((total / share).toPrecision(4)));
  // Less than half a percent is not said.
  if (share >= 0.995) return number();
  return share < 0.005 ? word : `${percent(1 - share)} ${word}, ${percent(share)} ${number()}`;
}

/** @param {Matrix} matrix */
function rowsOf({ data, shape }) {
  const [rows, columns] = /** @type {[number, number]} */ (shape);
  return Array.from({ length: rows }, (_, row) => Array.from(data.subarray(row * columns, (row + 1) * columns)));
}

/** @param {number} share */
function percent(share) {
  return `${Math.round(share * 100)} %`;
}
