// @ts-check
/**
 * The error that float32 attention may have against float64, per element, to first order (numeric contract, section 9):
 * `u (sum_j w_j |v_j| (h_j + 64 + 2L) + |o| sum_j w_j (h_j + 18 + 2L) + 2 |o|)`, where u = 2^-24, w are the weights,
 * n the number of blocks of 64 keys, L = ceil(log2 n) + 1, T_j the base-2 score and
 * `h_j = ln2 ((min(D, 64) + D / 64 + 3) S_j + |T_j - T_max| + 2 |T_j|) + 3.6 (1 + L)`, `S_j = |c| sum_d |q_d k_jd| +
 * |b_j| log2e`, to which ALiBi adds as a bias does. A tanh that is off by 1.93 ulp adds 4 |T_j| to the bracket. A sink is
 * one more key, whose value is 0, in a block of its own.
 * Over an int8 cache half a step of the query's sixteen bits adds to u h_j, half a step of a weight times |v_j| to the whole.
 * A weight below 2^-126 of the largest counts as zero; with the same room to spare that adds `2^-123 sum_j |v_j|`.
 */
import { attentionReference, forEachRow } from "./attention.mjs";
import { int8Errors } from "./int8.mjs";

/** @typedef {import("./attention.mjs").Inputs} Inputs */
/** @typedef {import("./attention.mjs").Shape} Shape */
/** @typedef {import("./attention.mjs").Options & { int8?: boolean }} Options int8: over the keys and values that such a cache gives back */

/** @param {number} i @returns {(a: ArrayLike<number>) => number} */
const at = (i) => (a) => /** @type {number} */ (a[i]);

/**
 * Bounds for `out`, `lse` and `weights`. The last two are the parts of the first that belong to the denominator and to
 * one weight, with the rounding of the result itself.
 * @param {Inputs} inputs
 * @param {Shape} shape
 * @param {Options} [options]
 * @returns {{ out: Float64Array, lse: Float64Array, weights: Float64Array }}
 */
export function errorBound(inputs, shape, options = {}) {
  const { kvLen, headDim: D, valueHeadDim } = shape;
  const rows = shape.batch * shape.numHeads * shape.qLen;
  const out = new Float64Array(rows * valueHeadDim);
  const lse = new Float64Array(rows);
  const weights = new Float64Array(rows * kvLen);
  const u = 2 ** -24;
  const tiny = 2 ** -123;
  const blocks = Math.ceil(kvLen / 64) + (options.sinks ? 1 : 0);
  const L = Math.ceil(Math.log2(Math.max(1, blocks))) + 1;
  const dotSteps = Math.min(D, 64) + D / 64 + 3;

  const capped = options.softcap === undefined ? 0 : 4;

  forEachRow(inputs, shape, options, (row) => {
    const sink = Number(options.sinks?.[row.head] ?? 0) * Math.LOG2E;
    const seesSink = row.sinkWeight > 0;
    if (row.keys.length === 0 && !seesSink) return;
    const t = row.scores.map((s) => s * Math.LOG2E);
    const tMax = t.reduce((a, b) => Math.max(a, b), seesSink ? sink : Number.NEGATIVE_INFINITY);
    const height = (/** @type {number} */ score, /** @type {number} */ size) =>
      Math.LN2 * (dotSteps * size + Math.abs(score - tMax) + (2 + capped) * Math.abs(score)) + 3.6 * (1 + L);
    const steps = options.int8 ? int8Errors(inputs, shape, options, row) : undefined;
    const h = t.map((tj, n) => height(tj, at(n)(row.sizes) * Math.LOG2E) + (steps ? at(n)(steps.scores) / u : 0));
    // What has no weight adds nothing, however far away it is.
    const share = (/** @type {number} */ w, /** @type {number} */ hj) => (w === 0 ? 0 : w * (hj + 18 + 2 * L));
    const ofSink = seesSink ? share(row.sinkWeight, height(sink, 0)) : 0;
    const denominator = h.reduce((a, hj, n) => a + share(at(n)(row.weights), hj), ofSink);
    lse[row.row] = u * (denominator + Math.abs(row.lse));
    row.keys.forEach((j, n) => {
      const w = at(n)(row.weights);
      weights[row.row * kvLen + j] = u * (share(w, at(n)(h)) + w * (denominator + 2)) + tiny;
    });
    for (let d = 0; d < valueHeadDim; d++) {
      let o = 0;
      let sum = 0;
      let lost = 0;
      let rounded = 0;
      row.keys.forEach((j, n) => {
        const w = at(n)(row.weights);
        const v = at(row.value + j * valueHeadDim + d)(inputs.value);
        o += w * v;
        if (w > 0) sum += w * Math.abs(v) * (at(n)(h) + 64 + 2 * L);
        lost += Math.abs(v);
        if (steps) rounded += at(n)(steps.weights) * Math.abs(v);
      });
      out[row.row * valueHeadDim + d] = u * (sum + Math.abs(o) * denominator + 2 * Math.abs(o)) + tiny * lost + rounded;
    }
  });
  return { out, lse, weights };
}

/**
 * The largest |actual - expected| / bound; Infinity where a difference meets no bound or only one side is finite.
 * @param {ArrayLike<number>} actual
 * @param {ArrayLike<number>} expected
 * @param {ArrayLike<number>} bound
 */
export function largestMargin(actual, expected, bound) {
  if (actual.length !== expected.length || actual.length !== bound.length) throw new RangeError("lengths differ");
  let largest = 0;
  for (let i = 0; i < actual.length; i++) {
    const a = at(i)(actual);
    const e = at(i)(expected);
    if (Object.is(a, e) || (a === 0 && e === 0)) continue;
    const margin = Math.abs(a - e) / at(i)(bound);
    if (!(margin <= largest)) largest = Number.isNaN(margin) ? Number.POSITIVE_INFINITY : margin;
  }
  return largest;
}

/**
 * Margins of a result against the float64 reference; that of out should stay under 0.2, and all must stay under 1.
 * @param {{ out: ArrayLike<number>, lse?: ArrayLike<number>, weights?: ArrayLike<number> }} result
 * @param {Inputs} inputs
 * @param {Shape} shape
 * @param {Options} [options]
 */
export function margins(result, inputs, shape, options = {}) {
  const expected = attentionReference(inputs, shape, options);
  const bound = errorBound(inputs, shape, options);
  return {
    out: largestMargin(result.out, expected.out, bound.out),
    lse: result.lse ? largestMargin(result.lse, expected.lse, bound.lse) : 0,
    weights: result.weights ? largestMargin(result.weights, expected.weights, bound.weights) : 0,
  };
}

/**
 * The margins that results are expected to keep; 1 is where the bound itself ends. 0.2 is the numeric contract's own word
 * about out; where a sink far above all scores decides a row, one rounding of it is most of the bound. The bounds of lse
 * and weights are parts of that of out, in which the rounding of the result weighs more.
 * @param {Options} options
 */
export const expectedMargin = ({ sinks }) => ({ out: sinks ? 0.5 : 0.2, lse: 0.5, weights: 0.5 });
