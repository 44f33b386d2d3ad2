/** Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011) as its definition, for the cases that draw. */

const low = (x: bigint): bigint => x & 0xffffffffn;

function fourWords([k0, k1]: readonly [bigint, bigint], counter: readonly bigint[]): bigint[] {
  let [a, b, c, d] = counter as [bigint, bigint, bigint, bigint];
  for (let round = 0n; round < 10n; round++) {
    const [p, q] = [0xd2511f53n * a, 0xcd9e8d57n * c];
    const [x, y] = [low(k0 + round * 0x9e3779b9n), low(k1 + round * 0xbb67ae85n)];
    [a, b, c, d] = [(q >> 32n) ^ b ^ x, low(q), (p >> 32n) ^ d ^ y, low(p)];
  }
  return [a, b, c, d];
}

/** The first numbers of a row, each inside 0 to 1; purpose 0 is for draws, 1 for noise. */
export function openUniforms(seed: number, row: number, purpose: 0 | 1, count: number): number[] {
  const key = [low(BigInt(seed)), BigInt(seed) >> 32n] as const;
  const words: bigint[] = [];
  for (let block = 0n; words.length < count; block++)
    words.push(...fourWords(key, [block, BigInt(row), 0n, BigInt(purpose)]));
  return words.slice(0, count).map((word) => (Number(word) + 0.5) / 2 ** 32);
}
