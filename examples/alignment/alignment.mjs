// @ts-check
import { attentionPooling, cosine, dot, gaussian, location, scaledDot, softmax, sum } from "saccade";
import { SOURCE, states, TARGET } from "./sentence.mjs";

/** @typedef {import("./arguments.mjs").ScoreName} ScoreName */
/** @typedef {{ data: Float32Array, shape: readonly number[] }} Matrix */

const source = states(SOURCE);

/**
 * The context under given weights, `C = g(w_1 f2(x_1), w_2 f2(x_2), ...)` with g the sum: pooling whose scores are the weights
 * themselves, `s = W q` (Luong's location score) with the identity as W, divided by their sum.
 *
 * @param {readonly number[]} weights one for each source word
 */
export function contextOf(weights) {
  const count = SOURCE.length;
  const identity = Float32Array.from({ length: count * count }, (_, i) => (i % (count + 1) === 0 ? 1 : 0));
  const score = location({ w: { data: identity, shape: [count, count] } });
  const query = { data: Float32Array.from(weights), shape: [1, count] };
  return rowsOf(attentionPooling(query, source, source, { score, normalize: sum() }).out)[0] ?? [];
}

/**
 * The contexts of a decoder with attention: one for each target word, by how well each source word fits the decoder's state.
 *
 * @param {ScoreName} name @param {number} temperature
 */
export function align(name, temperature) {
  const scores = { dot, "scaled-dot": scaledDot, cosine, gaussian: () => gaussian({ width: 1 }) };
  const { out, weights } = attentionPooling(states(TARGET), source, source, {
    score: scores[name](),
    normalize: softmax({ temperature }),
    returnWeights: true,
  });
  const wanted = /** @type {Matrix} */ (weights);
  return { contexts: rowsOf(out), weights: wanted, rows: rowsOf(wanted) };
}

/** @param {Matrix} matrix */
function rowsOf({ data, shape }) {
  const [rows, columns] = /** @type {[number, number]} */ (shape);
  return Array.from({ length: rows }, (_, row) => Array.from(data.subarray(row * columns, (row + 1) * columns)));
}
