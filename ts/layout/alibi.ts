/**
 * The slopes of ALiBi (Press, Smith, Lewis, "Train Short, Test Long", 2022). For n heads, n a power of two, head h has
 * `2^(-8 (h + 1) / n)`. Else the slopes are those of the largest power of two p below n, then every other one, from the
 * first, of those of 2p.
 *
 * Powers of two with fractional exponents are taken in integers: neither Math.pow nor Math.sqrt is promised exact, and
 * slopes must have the same bits everywhere.
 */

/** Bits behind the binary point. */
const PRECISION = 96n;

/** The largest integer whose square is at most `n`: Newton's method from above. */
function integerRoot(n: bigint): bigint {
  let root = 1n << BigInt(Math.ceil(n.toString(2).length / 2));
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/** `2^-(k / 2^bits)` for `0 <= k < 2^bits`, rounded to float32: a product of roots of roots of 1/2. */
function powerOfHalf(k: number, bits: number): number {
  const one = 1n << PRECISION;
  let product = one;
  let root = one >> 1n;
  for (let bit = bits - 1; bit >= 0; bit--) {
    root = integerRoot(root << PRECISION);
    if ((k >>> bit) & 1) product = (product * root) >> PRECISION;
  }
  if (product === one) return 1;
  // In (1/2, 1): 24 bits from the first one on, rounded to nearest; no such power lies half-way.
  const drop = PRECISION - 24n;
  return Number((product + (1n << (drop - 1n))) >> drop) / 0x1000000;
}

/** `2^(-8 step / heads)`, `heads` a power of two. */
function slope(step: number, heads: number): number {
  const bits = Math.max(0, 31 - Math.clz32(heads) - 3);
  // The exponent in units of 1 / 2^bits, an integer: with up to 8 heads it is a whole number of ones.
  const units = heads >= 8 ? step : step * (8 / heads);
  let power = powerOfHalf(units & ((1 << bits) - 1), bits);
  for (let whole = units >> bits; whole > 0; whole--) power /= 2;
  return power;
}

const cache = new Map<number, Float32Array<ArrayBuffer>>();

/** The paper's slopes for a number of heads. */
export function paperSlopes(numHeads: number): Float32Array<ArrayBuffer> {
  const known = cache.get(numHeads);
  if (known !== undefined) return known;
  const closest = 2 ** (31 - Math.clz32(Math.max(1, numHeads)));
  const slopes = Float32Array.from({ length: numHeads }, (_, head) =>
    head < closest ? slope(head + 1, closest) : slope(2 * (head - closest) + 1, 2 * closest),
  );
  if (cache.size < 16) cache.set(numHeads, slopes);
  return slopes;
}
