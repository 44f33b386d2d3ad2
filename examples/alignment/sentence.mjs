// @ts-check
/**
 * The sentence and its states, written by hand so that they can be read: what a trained encoder would have to say about each source
 * word, and what a trained decoder would look for before it writes each target word.
 */

/** What the four numbers of a state mean. */
export const FEATURES = ["name", "verb", "acts", "is acted on"];

/** The encoder's states, f2 of the textbook: one for each source word. */
export const SOURCE = [
  { word: "Tom", state: [1, 0, 0.9, 0.1] },
  { word: "chases", state: [0, 1, 0.3, 0.3] },
  { word: "Jerry", state: [1, 0, 0.1, 0.9] },
];

/** The decoder's states, each before it writes its word. */
export const TARGET = [
  { word: "汤姆", state: [1, 0, 2, 0] },
  { word: "追逐", state: [0, 2, 0.5, 0.5] },
  { word: "杰瑞", state: [1, 0.5, 0.5, 2] },
];

/** The states as a tensor `[words, features]`. @param {readonly { state: readonly number[] }[]} words */
export function states(words) {
  return { data: Float32Array.from(words.flatMap(({ state }) => state)), shape: [words.length, FEATURES.length] };
}
