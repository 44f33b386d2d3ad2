/**
 * The slopes of ALiBi (Press, Smith, Lewis, "Train Short, Test Long", 2022). For n heads, n a power of two, head h has
 * `2^(-8 (h + 1) / n)`. Else the slopes are those of the largest power of two p below n, then every other one, from the
 * first, of those of 2p.
 *
 * Powers of two with fractional exponents are products of roots of roots of 1/2, not Math.pow, whose bits differ between
 * engines. That Math.sqrt is rounded rightly need not be relied on: up to 2^16 heads no slope lies within 2^-39 of itself of
 * the middle of two float32 numbers, and an ulp of float64 lost at every step moves it by 2^-47 at most.
 */

/** `2^(-8 step / heads)` for a power of two `heads`, before it is rounded to float32. */
function slope(step: number, heads: number): number {
  let power = 1;
  let root = 0.5;
  for (let exponent = (8 * step) / heads; exponent > 0; exponent = 2 * (exponent % 1)) {
    for (let whole = Math.floor(exponent); whole > 0; whole--) power *= root;
    root = Math.sqrt(root);
  }
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
