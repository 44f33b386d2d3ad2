// @ts-check
/**
 * Section 8 of the numeric contract for int8, in plain numbers: integers below 2^53 are exact in any order.
 */

const f = Math.fround;
const LARGEST = 32767;
const SEGMENT = 512;

/** @param {ArrayLike<number>} a @param {number} i */
const at = (a, i) => /** @type {number} */ (a[i]);

/** The integer nearest to x, of two the even one. @param {number} x */
export function nearestInteger(x) {
  const floor = Math.floor(x);
  const rest = x - floor;
  return floor + (rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? 1 : 0);
}

/** The factor that spreads numbers of at most `largest` over 16 bits. @param {number} largest */
const steepness = (largest) => Math.min(f(LARGEST / largest), 2 ** 127);

/**
 * Numbers as integers of 16 bits and the scale of those; a scale of NaN where one of the numbers is not finite.
 * @param {ArrayLike<number>} row
 */
export function sixteenBits(row) {
  const numbers = Array.from(row);
  const r = steepness(numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 0));
  if (!numbers.every(Number.isFinite)) return { integers: numbers.map(() => 0), scale: Number.NaN };
  return { integers: numbers.map((x) => nearestInteger(f(x * r))), scale: f(1 / r) };
}

/**
 * The raw score: segments of 512 are exact, rounded once and added in order; then the scales.
 * @param {{ integers: number[], scale: number }} query
 * @param {ArrayLike<number>} key @param {number} kAt @param {number} keyScale
 */
export function int8Score({ integers, scale }, key, kAt, keyScale) {
  let sum = 0;
  for (let start = 0; start < integers.length; start += SEGMENT) {
    let segment = 0;
    for (let d = start; d < Math.min(integers.length, start + SEGMENT); d++) {
      segment += at(integers, d) * at(key, kAt + d);
    }
    sum = f(sum + f(segment));
  }
  return f(sum * f(scale * keyScale));
}

/**
 * A block's weighted values, for the exponentials p of its keys (0 where hidden).
 * @param {number[]} p @param {number[]} valueScales @param {ArrayLike<number>} value @param {number} vAt @param {number} size
 */
export function int8Values(p, valueScales, value, vAt, size) {
  const { integers, scale } = sixteenBits(p.map((p, j) => f(p * at(valueScales, j))));
  return Float32Array.from({ length: size }, (_, d) => {
    const sum = integers.reduce(
      (sum, weight, j) => (weight === 0 ? sum : sum + weight * at(value, vAt + j * size + d)),
      0,
    );
    return f(f(sum) * scale);
  });
}

/**
 * How far the sixteen bits may put a row off, to first order: its scores, in natural units, and the weights of its keys where
 * they meet the values. A query and a weight are off by half a step at most.
 * @param {import("./attention.mjs").Inputs} inputs with the keys and values that the cache gives back
 * @param {import("./attention.mjs").Shape} shape
 * @param {import("./attention.mjs").Options} options
 * @param {import("./attention.mjs").Row} row
 */
export function int8Errors({ query, key, value }, { headDim, valueHeadDim }, options, row) {
  const { scale = 1 / Math.sqrt(headDim) } = options;
  /** @param {ArrayLike<number>} data @param {number} from @param {number} length @param {(a: number, x: number) => number} add */
  const over = (data, from, length, add) => {
    let a = 0;
    for (let d = 0; d < length; d++) a = add(a, Math.abs(at(data, from + d)));
    return a;
  };
  const sum = (/** @type {number} */ a, /** @type {number} */ x) => a + x;
  const halfStep = over(query, row.row * headDim, headDim, Math.max) / LARGEST / 2;
  const keyAt = (row.value / Math.max(1, valueHeadDim)) * headDim;
  const scores = row.keys.map((j) => Math.abs(scale) * halfStep * over(key, keyAt + j * headDim, headDim, sum));
  const valueScales = row.keys.map((j) => over(value, row.value + j * valueHeadDim, valueHeadDim, Math.max) / 127);
  const most = new Map();
  row.keys.forEach((j, n) => {
    const block = Math.floor(j / 64);
    most.set(block, Math.max(most.get(block) ?? 0, at(row.weights, n) * at(valueScales, n)));
  });
  const weights = row.keys.map((j, n) => {
    const valueScale = at(valueScales, n);
    return valueScale === 0 ? 0 : most.get(Math.floor(j / 64)) / LARGEST / 2 / valueScale;
  });
  return { scores, weights };
}
