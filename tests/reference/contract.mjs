// @ts-check
/**
 * The numeric contract `saccade-attn-f32-v1` in JavaScript, written from its text alone and slow: an implementation
 * apart from the crate, so that both have to be wrong in the same way for a wrong bit to pass.
 * Tensors are contiguous `[batch, heads, length, dim]`, as in `attention.mjs`.
 */
import { exp2, tanh, toBits } from "./functions.mjs";

/** @typedef {import("./attention.mjs").Inputs} Inputs */
/** @typedef {import("./attention.mjs").Shape} Shape */
/** @typedef {{ m: number, l: number, o: Float32Array }} State a partial result; null is the empty one */
/**
 * @typedef {object} Options
 * @property {number} [scale]
 * @property {number} [softcap]
 * @property {boolean} [causal]
 * @property {number | ArrayLike<number>} [qOffset]
 * @property {{ left?: number, right?: number }} [window]
 * @property {ArrayLike<number>} [kvLengths]
 * @property {{ data: ArrayLike<number>, shape: number[] }} [mask]
 * @property {{ data: ArrayLike<number>, shape: number[] }} [bias]
 * @property {ArrayLike<number>} [alibiSlopes]
 * @property {ArrayLike<number>} [sinks]
 */

const f = Math.fround;
const LOG2E = Math.LOG2E;
const LN2 = Math.LN2;
const BLOCK = 64;
const LARGEST = f(3.4028234663852886e38);

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

/** Section 3. @param {Float32Array} t scores of one block @param {boolean[]} seen @param {ArrayLike<number>} value @param {number} vAt @param {number} size */
function blockState(t, seen, value, vAt, size) {
  let m = Number.NEGATIVE_INFINITY;
  t.forEach((score, j) => {
    if (seen[j] && score > m) m = score;
  });
  const l = [0, 0, 0, 0];
  const o = new Float32Array(size);
  let empty = true;
  t.forEach((score, j) => {
    if (!seen[j]) return;
    empty = false;
    const p = exp2(f(score - m));
    l[j % 4] = f(at(l, j % 4) + p);
    for (let d = 0; d < size; d++) o[d] = at(o, d) + f(p * at(value, vAt + j * size + d));
  });
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

/**
 * @param {Inputs} inputs
 * @param {Shape} shape
 * @param {Options} [options]
 * @returns {{ out: Float32Array, lse: Float32Array }}
 */
export function contractAttention({ query, key, value }, shape, options = {}) {
  const { batch, qLen, kvLen, numHeads, numKvHeads, headDim, valueHeadDim } = shape;
  const { scale = 1 / Math.sqrt(headDim), softcap, causal, qOffset = 0, window, kvLengths } = options;
  const c = f(scale * LOG2E);
  const c1 = softcap === undefined ? 0 : f(scale / softcap);
  const c2 = softcap === undefined ? 0 : f(softcap * LOG2E);
  const log2e = f(LOG2E);
  const out = new Float32Array(batch * numHeads * qLen * valueHeadDim);
  const lse = new Float32Array(batch * numHeads * qLen).fill(Number.NEGATIVE_INFINITY);

  for (let row = 0; row < lse.length; row++) {
    const i = row % qLen;
    const h = Math.floor(row / qLen) % numHeads;
    const b = Math.floor(row / (qLen * numHeads));
    const kvHead = b * numKvHeads + Math.floor(h / (numHeads / numKvHeads));
    const position = i + (typeof qOffset === "number" ? qOffset : at(qOffset, b));
    const length = kvLengths ? at(kvLengths, b) : kvLen;
    let bad = false;

    const blocks = [];
    for (let start = 0; start < kvLen; start += BLOCK) {
      const count = Math.min(BLOCK, kvLen - start);
      const t = new Float32Array(count);
      const seen = new Array(count).fill(false);
      for (let n = 0; n < count; n++) {
        const j = start + n;
        if (j >= length || (causal && j > position)) continue;
        if (window?.left !== undefined && j < position - window.left) continue;
        if (window?.right !== undefined && j > position + window.right) continue;
        if (options.mask && !broadcast(options.mask, [b, h, i, j])) continue;
        const bias = options.bias ? broadcast(options.bias, [b, h, i, j]) : undefined;
        if (bias === Number.NEGATIVE_INFINITY) continue;
        const raw = dot(query, row * headDim, key, (kvHead * kvLen + j) * headDim, headDim);
        let score = softcap === undefined ? f(raw * c) : f(c2 * tanh(f(raw * c1)));
        if (bias !== undefined) {
          const product = f(bias * log2e);
          const lost = Number.isFinite(bias) && !Number.isFinite(product);
          score = f(score + (lost ? Math.sign(bias) * LARGEST : product));
        }
        if (options.alibiSlopes) {
          const slope = f(at(options.alibiSlopes, h) * LOG2E);
          score = f(score + f(slope * f(-Math.abs(position - j))));
        }
        if (score === Number.NEGATIVE_INFINITY) continue;
        if (Number.isNaN(score) || score === Number.POSITIVE_INFINITY) bad = true;
        t[n] = score;
        seen[n] = true;
      }
      blocks.push(blockState(t, seen, value, (kvHead * kvLen + start) * valueHeadDim, valueHeadDim));
    }

    let state = root(blocks);
    if (options.sinks) {
      const sink = at(options.sinks, h);
      const m = f(sink * LOG2E);
      if (sink !== Number.NEGATIVE_INFINITY) {
        if (!Number.isFinite(m)) bad = true;
        state = merge(state, { m, l: 1, o: new Float32Array(valueHeadDim) });
      }
    }
    if (bad) {
      out.fill(Number.NaN, row * valueHeadDim, (row + 1) * valueHeadDim);
      lse[row] = Number.NaN;
    } else if (state) {
      for (let d = 0; d < valueHeadDim; d++) out[row * valueHeadDim + d] = at(state.o, d) / state.l;
      lse[row] = logSumExp(state.m, state.l);
    }
  }
  return { out, lse };
}
