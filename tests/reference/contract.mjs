// @ts-check
/**
 * The numeric contract `saccade-attn-f32-v1` in JavaScript, written from its text alone and slow: an implementation
 * apart from the crate, so that both have to be wrong in the same way for a wrong bit to pass.
 * Tensors are contiguous `[batch, heads, length, dim]`, as in `attention.mjs`.
 */
import { exp2, tanh, toBits } from "./functions.mjs";
import { int8Score, int8Values, sixteenBits } from "./int8.mjs";
import { sees } from "./rules.mjs";

/** @typedef {import("./attention.mjs").Inputs} Inputs */
/** @typedef {import("./attention.mjs").Shape} Shape */
/** @typedef {{ m: number, l: number, o: Float32Array }} State a partial result; null is the empty one */
/**
 * @typedef {object} Options
 * @property {number} [scale]
 * @property {number} [softcap]
 * @property {boolean} [causal]
 * @property {number | ArrayLike<number>} [qOffset]
 * @property {{ left?: number, right?: number, first?: number }} [window]
 * @property {ArrayLike<number>} [kvLengths]
 * @property {ArrayLike<number>} [qLengths]
 * @property {{ data: ArrayLike<number>, shape: number[] }} [mask]
 * @property {import("./rules.mjs").Rule} [rule]
 * @property {{ data: ArrayLike<number>, shape: number[] }} [bias]
 * @property {ArrayLike<number>} [alibiSlopes]
 * @property {ArrayLike<number>} [sinks]
 * @property {{ key: ArrayLike<number>, value: ArrayLike<number> }} [scales] of section 8, `[batch, kvHeads, kvLen]`: key and value are
 *   integers of a byte
 */
/** @typedef {"raw" | "scaled" | "capped" | "biased"} Stage */
/**
 * @typedef {object} Result
 * @property {Float32Array} out
 * @property {Float32Array} lse
 * @property {Float32Array} [weights] `[batch, heads, qLen, kvLen]`
 * @property {Uint8Array} [seen] of the same shape: 1 where the key is visible
 * @property {Float32Array} [scores] of the same shape, at the stage asked for
 */

const f = Math.fround;
const LOG2E = Math.LOG2E;
const LN2 = Math.LN2;
const BLOCK = 64;
const LARGEST = f(3.4028234663852886e38);
const NONE = Number.NEGATIVE_INFINITY;

/** @param {ArrayLike<number>} a @param {number} i */
const at = (a, i) => /** @type {number} */ (a[i]);

/** The element of a tensor broadcast to `[batch, heads, qLen, kvLen]`. */
/** @param {{ data: ArrayLike<number>, shape: number[] }} tensor @param {number[]} index */
function broadcast(tensor, index) {
  let position = 0;
  tensor.shape.forEach((size, axis) => {
    const i = at(index, index.length - tensor.shape.length + axis);
    position = position * size + (size === 1 ? 0 : i);
  });
  return at(tensor.data, position);
}

/** Section 2.1. @param {ArrayLike<number>} q @param {number} qAt @param {ArrayLike<number>} k @param {number} kAt @param {number} length */
function dot(q, qAt, k, kAt, length) {
  let raw = 0;
  for (let start = 0; start < length; start += BLOCK) {
    let s = 0;
    const end = Math.min(length, start + BLOCK);
    for (let d = start; d < end; d++) s = f(s + f(at(q, qAt + d) * at(k, kAt + d)));
    raw = start === 0 ? s : f(raw + s);
  }
  return raw;
}

/** Section 4. @param {State | null} a @param {State | null} b @returns {State | null} */
function merge(a, b) {
  if (!a || !b) return a ?? b;
  const m = Math.max(a.m, b.m);
  const x = exp2(f(a.m - m));
  const y = exp2(f(b.m - m));
  return { m, l: f(f(a.l * x) + f(b.l * y)), o: a.o.map((oa, d) => f(oa * x) + f(at(b.o, d) * y)) };
}

/** The aligned binary tree over all blocks. @param {(State | null)[]} blocks @returns {State | null} */
function root(blocks) {
  let level = blocks;
  while (level.length > 1) {
    level = Array.from({ length: Math.ceil(level.length / 2) }, (_, n) =>
      merge(level[2 * n] ?? null, level[2 * n + 1] ?? null),
    );
  }
  return level[0] ?? null;
}

/** Section 3. @param {Float32Array} t scores of one block @param {boolean[]} seen @param {ArrayLike<number>} value @param {number} vAt @param {number} size @param {number[]} [scales] of int8 */
function blockState(t, seen, value, vAt, size, scales) {
  let m = NONE;
  t.forEach((score, j) => {
    if (seen[j] && score > m) m = score;
  });
  const l = [0, 0, 0, 0];
  const o = new Float32Array(size);
  const weights = new Array(t.length).fill(0);
  let empty = true;
  t.forEach((score, j) => {
    if (!seen[j]) return;
    empty = false;
    const p = exp2(f(score - m));
    l[j % 4] = f(at(l, j % 4) + p);
    weights[j] = p;
    for (let d = 0; d < size && !scales; d++) o[d] = at(o, d) + f(p * at(value, vAt + j * size + d));
  });
  if (scales) o.set(int8Values(weights, scales, value, vAt, size));
  return empty ? null : { m, l: f(f(at(l, 0) + at(l, 2)) + f(at(l, 1) + at(l, 3))), o };
}

/** Section 7. @param {number} m @param {number} l */
function logSumExp(m, l) {
  const word = toBits(l);
  let e = (word >>> 23) - 127;
  let g = l / 2 ** e;
  if (toBits(g) >= 0x3fb504f3) {
    g = g / 2;
    e = e + 1;
  }
  const s = (g - 1) / (g + 1);
  const z = s * s;
  let P = 1 / 17;
  for (let k = 7; k >= 0; k--) P = P * z + 1 / (2 * k + 1);
  return f(m * LN2 + (e * LN2 + 2 * s * P));
}

/** The constants of section 1. @param {Shape} shape @param {Options} options */
function constantsOf({ headDim }, { scale = 1 / Math.sqrt(headDim), softcap }) {
  return {
    scale: f(scale),
    softcap: softcap === undefined ? undefined : f(softcap),
    c: f(scale * LOG2E),
    c1: softcap === undefined ? 0 : f(scale / softcap),
    c2: softcap === undefined ? 0 : f(softcap * LOG2E),
    log2e: f(LOG2E),
  };
}

/** Section 2 without the scores: what positions, lengths and masks leave visible. */
/** @param {Shape} shape @param {Options} options @param {number} b @param {number} h @param {number} i @param {number} j */
function mayAttend(shape, options, b, h, i, j) {
  const { window } = options;
  const position = positionOf(options, b, i);
  if (options.qLengths && i >= at(options.qLengths, b)) return false;
  if (j >= (options.kvLengths ? at(options.kvLengths, b) : shape.kvLen)) return false;
  if (options.causal && !(j <= position)) return false;
  const pinned = j < (window?.first ?? 0);
  if (!pinned && window?.left !== undefined && j < position - window.left) return false;
  if (!pinned && window?.right !== undefined && j > position + window.right) return false;
  if (options.mask && !broadcast(options.mask, [b, h, i, j])) return false;
  return !options.rule || sees(options.rule, b, h, i, j);
}

/** @param {Options} options @param {number} b @param {number} i */
const positionOf = ({ qOffset = 0 }, b, i) => i + (typeof qOffset === "number" ? qOffset : at(qOffset, b));

/** A tap of section 7. @param {Stage} stage @param {number} raw @param {ReturnType<typeof constantsOf>} constants */
function tapped(stage, raw, { scale, softcap, c1 }) {
  if (stage === "raw") return raw;
  return softcap === undefined || stage === "scaled" ? f(raw * scale) : f(softcap * tanh(f(raw * c1)));
}

/**
 * @param {Inputs} inputs
 * @param {Shape} shape
 * @param {Options} [options]
 * @param {{ weights?: boolean, tap?: Stage }} [ask]
 * @returns {Result}
 */
export function contractAttention({ query, key, value }, shape, options = {}, ask = {}) {
  const { batch, qLen, kvLen, numHeads, numKvHeads, headDim, valueHeadDim } = shape;
  const constants = constantsOf(shape, options);
  const { c, c1, c2, log2e } = constants;
  const rows = batch * numHeads * qLen;
  const out = new Float32Array(rows * valueHeadDim);
  const lse = new Float32Array(rows).fill(NONE);
  const weights = new Float32Array(ask.weights ? rows * kvLen : 0);
  const visible = new Uint8Array(ask.weights ? rows * kvLen : 0);
  const scores = new Float32Array(ask.tap ? rows * kvLen : 0);

  for (let row = 0; row < rows; row++) {
    const i = row % qLen;
    const h = Math.floor(row / qLen) % numHeads;
    const b = Math.floor(row / (qLen * numHeads));
    const kvHead = b * numKvHeads + Math.floor(h / (numHeads / numKvHeads));
    const position = positionOf(options, b, i);
    let bad = false;
    const integers =
      options.scales && sixteenBits(Array.from({ length: headDim }, (_, d) => at(query, row * headDim + d)));

    /** @type {Float32Array[]} */
    const scored = [];
    const blocks = [];
    for (let start = 0; start < kvLen; start += BLOCK) {
      const count = Math.min(BLOCK, kvLen - start);
      const t = new Float32Array(count).fill(NONE);
      const seen = new Array(count).fill(false);
      for (let n = 0; n < count; n++) {
        const j = start + n;
        const bias = options.bias ? broadcast(options.bias, [b, h, i, j]) : undefined;
        const hidden = !mayAttend(shape, options, b, h, i, j) || bias === NONE;
        if (hidden && !ask.tap) continue;
        const kAt = (kvHead * kvLen + j) * headDim;
        const raw =
          integers && options.scales
            ? int8Score(integers, key, kAt, at(options.scales.key, kvHead * kvLen + j))
            : dot(query, row * headDim, key, kAt, headDim);
        const distance = f(-Math.abs(position - j));
        if (ask.tap) {
          let natural = tapped(ask.tap, raw, constants);
          if (ask.tap === "biased") {
            if (bias !== undefined) natural = f(natural + bias);
            if (options.alibiSlopes) natural = f(natural + f(at(options.alibiSlopes, h) * distance));
            if (hidden) natural = NONE;
          }
          scores[row * kvLen + j] = natural;
        }
        if (hidden) continue;
        let score = options.softcap === undefined ? f(raw * c) : f(c2 * tanh(f(raw * c1)));
        if (bias !== undefined) {
          const product = f(bias * log2e);
          const lost = Number.isFinite(bias) && !Number.isFinite(product);
          score = f(score + (lost ? Math.sign(bias) * LARGEST : product));
        }
        if (options.alibiSlopes) score = f(score + f(f(at(options.alibiSlopes, h) * LOG2E) * distance));
        if (score === NONE) continue;
        if (Number.isNaN(score) || score === Number.POSITIVE_INFINITY) bad = true;
        t[n] = score;
        seen[n] = true;
        if (ask.weights) visible[row * kvLen + j] = 1;
      }
      scored.push(t);
      const first = kvHead * kvLen + start;
      const stored = options.scales?.value;
      const scales = stored && Array.from({ length: count }, (_, n) => at(stored, first + n));
      blocks.push(blockState(t, seen, value, first * valueHeadDim, valueHeadDim, scales));
    }

    let state = root(blocks);
    if (options.sinks && !(options.qLengths && i >= at(options.qLengths, b))) {
      const sink = at(options.sinks, h);
      const m = f(sink * LOG2E);
      if (sink !== NONE) {
        if (!Number.isFinite(m)) bad = true;
        state = merge(state, { m, l: 1, o: new Float32Array(valueHeadDim) });
      }
    }
    if (bad) {
      out.fill(Number.NaN, row * valueHeadDim, (row + 1) * valueHeadDim);
      lse[row] = Number.NaN;
      if (ask.weights) weights.fill(Number.NaN, row * kvLen, (row + 1) * kvLen);
    } else if (state) {
      const { m, l, o } = state;
      for (let d = 0; d < valueHeadDim; d++) out[row * valueHeadDim + d] = at(o, d) / l;
      lse[row] = logSumExp(m, l);
      if (!ask.weights) continue;
      for (let j = 0; j < kvLen; j++) {
        const t = at(/** @type {Float32Array} */ (scored[Math.floor(j / BLOCK)]), j % BLOCK);
        weights[row * kvLen + j] = f(exp2(f(t - m)) / l);
      }
    }
  }
  return { out, lse, ...(ask.weights && { weights, seen: visible }), ...(ask.tap && { scores }) };
}

/** The mean over the heads, summed ascending, then divided. @param {Float32Array} weights @param {Shape} shape */
export function headMean(weights, { batch, numHeads, qLen, kvLen }) {
  const mean = new Float32Array(batch * qLen * kvLen);
  const size = qLen * kvLen;
  mean.forEach((_, n) => {
    const b = Math.floor(n / size);
    let sum = 0;
    for (let h = 0; h < numHeads; h++) sum = f(sum + at(weights, (b * numHeads + h) * size + (n % size)));
    mean[n] = numHeads === 0 ? 0 : sum / numHeads;
  });
  return mean;
}

/** The weights of chosen query rows. @param {Float32Array} weights @param {Shape} shape @param {number[]} rows */
export function chosenRows(weights, { batch, numHeads, qLen, kvLen }, rows) {
  const chosen = new Float32Array(batch * numHeads * rows.length * kvLen);
  for (let head = 0; head < batch * numHeads; head++) {
    rows.forEach((row, n) => {
      const from = (head * qLen + row) * kvLen;
      chosen.set(weights.subarray(from, from + kvLen), (head * rows.length + n) * kvLen);
    });
  }
  return chosen;
}

/**
 * The k largest weights of visible keys per row, ties to the lower index; 0 and -1 where there are fewer. A NaN row, as
 * its lse says, has NaN for all values.
 * @param {{ weights: Float32Array, seen: Uint8Array, lse: Float32Array }} full
 * @param {Shape} shape
 * @param {number} k
 */
export function topK({ weights, seen, lse }, { batch, numHeads, qLen, kvLen }, k) {
  const rows = batch * numHeads * qLen;
  const values = new Float32Array(rows * k);
  const indices = new Int32Array(rows * k).fill(-1);
  for (let row = 0; row < rows; row++) {
    const own = weights.subarray(row * kvLen, (row + 1) * kvLen);
    if (Number.isNaN(lse[row])) {
      values.fill(Number.NaN, row * k, (row + 1) * k);
      continue;
    }
    const keys = Array.from(own.keys()).filter((j) => seen[row * kvLen + j]);
    keys.sort((a, b) => at(own, b) - at(own, a) || a - b);
    keys.slice(0, k).forEach((j, n) => {
      values[row * k + n] = at(own, j);
      indices[row * k + n] = j;
    });
  }
  return { values, indices };
}
