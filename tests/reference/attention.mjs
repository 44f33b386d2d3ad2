// @ts-check
/**
 * Attention in float64, three loops, no block and no trick: what the fast code is measured against.
 * Tensors are contiguous: query `[batch, numHeads, qLen, headDim]`, key and value `[batch, numKvHeads, kvLen, …]`.
 */
import { elementAt, sees } from "./rules.mjs";

/**
 * @typedef {object} Shape
 * @property {number} batch
 * @property {number} qLen
 * @property {number} kvLen
 * @property {number} numHeads
 * @property {number} numKvHeads
 * @property {number} headDim
 * @property {number} valueHeadDim
 */

/**
 * @typedef {object} Inputs
 * @property {ArrayLike<number>} query
 * @property {ArrayLike<number>} key
 * @property {ArrayLike<number>} value
 */

/**
 * A tensor that numpy's rules broadcast to `[batch, numHeads, qLen, kvLen]`.
 * @typedef {{ data: ArrayLike<number>, shape: number[] }} Broadcast
 */

/**
 * @typedef {object} Options
 * @property {number} [scale] default 1 / sqrt(headDim)
 * @property {number} [softcap] scores become `softcap * tanh(score / softcap)`
 * @property {boolean} [causal] row i sees key j when j <= i + qOffset
 * @property {number | ArrayLike<number>} [qOffset] default 0
 * @property {{ left?: number, right?: number, first?: number }} [window] around i + qOffset; `first` keys stay visible
 * @property {ArrayLike<number>} [kvLengths] default kvLen for every batch row
 * @property {ArrayLike<number>} [qLengths] default qLen for every batch row
 * @property {Broadcast} [mask] not 0: may attend
 * @property {import("./rules.mjs").Rule} [rule] a mask as a rule
 * @property {Broadcast} [bias] added to the score; -Infinity hides
 * @property {ArrayLike<number>} [alibiSlopes] one per query head: adds `-slope * |i + qOffset - j|`
 * @property {ArrayLike<number>} [sinks] one logit per query head, takes weight and gives no value
 */

/**
 * One query row of one head: its visible keys with their scores (natural units) and softmax weights.
 * @typedef {object} Row
 * @property {number} head
 * @property {number} row index into an array of shape `[batch, numHeads, qLen]`
 * @property {number} value offset of this head's first value vector
 * @property {number[]} keys
 * @property {Float64Array} scores
 * @property {Float64Array} sizes per key the sum of the magnitudes of all that was added up to its score
 * @property {Float64Array} weights
 * @property {number} sinkWeight
 * @property {number} lse
 */

/** @param {number | ArrayLike<number> | undefined} offset @param {number} b */
const offsetOf = (offset, b) => (typeof offset === "number" ? offset : (offset?.[b] ?? 0));

/**
 * Whether query row i of head h of batch row b may attend to key j.
 * @param {Shape} shape
 * @param {Options} options
 * @param {number} b
 * @param {number} h
 * @param {number} i
 * @param {number} j
 */
export function isVisible(shape, options, b, h, i, j) {
  const { causal = false, window, kvLengths, qLengths, mask, rule, bias } = options;
  if (i >= (qLengths?.[b] ?? shape.qLen) || j >= (kvLengths?.[b] ?? shape.kvLen)) return false;
  const position = i + offsetOf(options.qOffset, b);
  if (causal && j > position) return false;
  if (window && j >= (window.first ?? 0)) {
    if (window.left !== undefined && j < position - window.left) return false;
    if (window.right !== undefined && j > position + window.right) return false;
  }
  if (mask && elementAt(mask, [b, h, i, j]) === 0) return false;
  if (rule && !sees(rule, b, h, i, j)) return false;
  return !bias || elementAt(bias, [b, h, i, j]) !== Number.NEGATIVE_INFINITY;
}

/**
 * Calls `visit` for every query row, in the order of the output.
 * @param {Inputs} inputs
 * @param {Shape} shape
 * @param {Options} options
 * @param {(row: Row) => void} visit
 */
export function forEachRow({ query, key }, shape, options, visit) {
  const { batch, qLen, kvLen, numHeads, numKvHeads, headDim, valueHeadDim } = shape;
  const { scale = 1 / Math.sqrt(headDim), softcap, bias, alibiSlopes, sinks } = options;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < numHeads; h++) {
      const kvHead = b * numKvHeads + Math.floor(h / (numHeads / numKvHeads));
      const slope = Number(alibiSlopes?.[h] ?? 0);
      for (let i = 0; i < qLen; i++) {
        const row = (b * numHeads + h) * qLen + i;
        const q = row * headDim;
        const k = kvHead * kvLen * headDim;
        const keys = [];
        const scores = [];
        const sizes = [];
        for (let j = 0; j < kvLen; j++) {
          if (!isVisible(shape, options, b, h, i, j)) continue;
          let dot = 0;
          let size = 0;
          for (let d = 0; d < headDim; d++) {
            const product = Number(query[q + d]) * Number(key[k + j * headDim + d]);
            dot += product;
            size += Math.abs(product);
          }
          const scaled = scale * dot;
          const capped = softcap === undefined ? scaled : softcap * Math.tanh(scaled / softcap);
          const added = bias ? elementAt(bias, [b, h, i, j]) : 0;
          const distance = slope * Math.abs(i + offsetOf(options.qOffset, b) - j);
          keys.push(j);
          scores.push(capped + added - distance);
          sizes.push(Math.abs(scale) * size + Math.abs(added) + Math.abs(distance));
        }
        const sink = i < (options.qLengths?.[b] ?? qLen) ? Number(sinks?.[h] ?? Number.NEGATIVE_INFINITY) : -Infinity;
        const max = scores.reduce((a, s) => Math.max(a, s), sink);
        const some = max > Number.NEGATIVE_INFINITY;
        const powers = Float64Array.from(scores, (s) => Math.exp(s - max));
        const sinkPower = some ? Math.exp(sink - max) : 0;
        const sum = powers.reduce((a, p) => a + p, sinkPower);
        visit({
          head: h,
          row,
          value: kvHead * kvLen * valueHeadDim,
          keys,
          scores: Float64Array.from(scores),
          sizes: Float64Array.from(sizes),
          weights: powers.map((p) => p / sum),
          sinkWeight: some ? sinkPower / sum : 0,
          lse: some ? max + Math.log(sum) : Number.NEGATIVE_INFINITY,
        });
      }
    }
  }
}

/**
 * @param {Inputs} inputs
 * @param {Shape} shape
 * @param {Options} [options]
 * @returns {{ out: Float64Array, lse: Float64Array, weights: Float64Array }}
 */
export function attentionReference(inputs, shape, options = {}) {
  const { kvLen, valueHeadDim } = shape;
  const rows = shape.batch * shape.numHeads * shape.qLen;
  const out = new Float64Array(rows * valueHeadDim);
  const lse = new Float64Array(rows);
  const weights = new Float64Array(rows * kvLen);
  forEachRow(inputs, shape, options, (row) => {
    lse[row.row] = row.lse;
    row.keys.forEach((j, n) => {
      const w = /** @type {number} */ (row.weights[n]);
      weights[row.row * kvLen + j] = w;
      for (let d = 0; d < valueHeadDim; d++) {
        const at = row.row * valueHeadDim + d;
        out[at] = Number(out[at]) + w * Number(inputs.value[row.value + j * valueHeadDim + d]);
      }
    });
  });
  return { out, lse, weights };
}
