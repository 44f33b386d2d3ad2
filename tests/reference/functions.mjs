// @ts-check
// exp2 and tanh of the numeric contract (sections 5 and 6) in JavaScript: every float32 step is one Math.fround.
const f = Math.fround;
const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** @param {number} word */
export function fromBits(word) {
  bits[0] = word;
  return /** @type {number} */ (float[0]);
}

/** @param {number} x NaN has the bits 7fc00000. */
export function toBits(x) {
  if (Number.isNaN(x)) return 0x7fc00000;
  float[0] = x;
  return /** @type {number} */ (bits[0]);
}

const exp2Terms = [0x392385a5, 0x3aafb93b, 0x3c1d9387, 0x3d635739, 0x3e75fdf1, 0x3f317219, 0x3f800000].map(fromBits);
const tanhTerms = [0xbbbaf0bd, 0x3ca91343, 0xbd5c1e2b, 0x3e088393, 0xbeaaaa99].map(fromBits);
const tanhScale = fromBits(0xc038aa3b);

/** @param {number[]} terms @param {number} x */
function horner(terms, x) {
  let p = /** @type {number} */ (terms[0]);
  for (let n = 1; n < terms.length; n++) p = f(f(p * x) + /** @type {number} */ (terms[n]));
  return p;
}

/** 2^t for t <= 0. @param {number} t */
export function exp2(t) {
  if (Number.isNaN(t)) return t;
  if (t < -126) return 0;
  const z = f(t + 12582912);
  const n = f(z - 12582912);
  const p = horner(exp2Terms, f(t - n));
  return fromBits((toBits(p) + (toBits(z) << 23)) >>> 0);
}

/** @param {number} x */
export function tanh(x) {
  if (Number.isNaN(x)) return x;
  const a = Math.abs(x);
  let r;
  if (a < 0.625) {
    const z = f(x * x);
    r = f(a + f(f(z * horner(tanhTerms, z)) * a));
  } else {
    const e = exp2(f(a * tanhScale));
    r = f(f(1 - e) / f(1 + e));
  }
  return x < 0 || Object.is(x, -0) ? -r : r;
}
