// @ts-check
/**
 * Attention in float64, three loops, no block and no trick: what the fast code is measured against.
 * Tensors are contiguous: query `[batch, numHeads, qLen, headDim]`, key and value `[batch, numKvHeads, kvLen, …]`.
 */

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
 * @typedef {object} Options
 * @property {number} [scale] default 1 / sqrt(headDim)
 * @property {boolean} [causal] row i sees key j when j <= i + qOffset
 * @property {number | ArrayLike<number>} [qOffset] default 0
 * @property {ArrayLike<number>} [kvLengths] default kvLen for every batch row
 */

/**
 * One query row of one head: its visible keys with their scores (natural units) and softmax weights.
 * @typedef {object} Row
 * @property {number} batch
 * @property {number} head
 * @property {number} index
 * @property {number} row index into an array of shape `[batch, numHeads, qLen]`
 * @property {number} query offset of the query vector
 * @property {number} key offset of this head's first key vector
 * @property {number} value offset of this head's first value vector
 * @property {number} scale
 * @property {number[]} keys
 * @property {Float64Array} scores
 * @property {Float64Array} weights
 * @property {number} lse
 */

/**
 * Whether query row `i` of batch row `b` may attend to key `j`.
 * @param {Shape} shape
 * @param {Options} options
 * @param {number} b
 * @param {number} i
 * @param {number} j
 */
function isVisible(shape, options, b, i, j) {
  const { causal = false, qOffset = 0, kvLengths } = options;
  if (j >= (kvLengths?.[b] ?? shape.kvLen)) return false;
  const position = i + (typeof qOffset === "number" ? qOffset : /** @type {number} */ (qOffset[b]));
  return !causal || j <= position;
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
  const scale = options.scale ?? 1 / Math.sqrt(headDim);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < numHeads; h++) {
      const kvHead = b * numKvHeads + Math.floor(h / (numHeads / numKvHeads));
      for (let i = 0; i < qLen; i++) {
        const row = (b * numHeads + h) * qLen + i;
        const q = row * headDim;
        const k = kvHead * kvLen * headDim;
        const keys = [];
        const scores = [];
        for (let j = 0; j < kvLen; j++) {
          if (!isVisible(shape, options, b, i, j)) continue;
          let dot = 0;
          for (let d = 0; d < headDim; d++) dot += Number(query[q + d]) * Number(key[k + j * headDim + d]);
          keys.push(j);
          scores.push(scale * dot);
        }
        const max = scores.reduce((a, s) => Math.max(a, s), Number.NEGATIVE_INFINITY);
        const powers = Float64Array.from(scores, (s) => Math.exp(s - max));
        const sum = powers.reduce((a, p) => a + p, 0);
        visit({
          batch: b,
          head: h,
          index: i,
          row,
          query: q,
          key: k,
          value: kvHead * kvLen * valueHeadDim,
          scale,
          keys,
          scores: Float64Array.from(scores),
          weights: powers.map((p) => p / sum),
          lse: keys.length > 0 ? max + Math.log(sum) : Number.NEGATIVE_INFINITY,
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
