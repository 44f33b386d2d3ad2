/**
 * Attention as a definition, in f64, for small cases: every option is a function of batch row, head, query row and key.
 */
import { expect } from "vitest";

export interface Floats {
  data: ArrayLike<number>;
  shape: readonly number[];
}

/** Rules of a call; all that is left out changes nothing. */
export interface Rules {
  scale?: number;
  softcap?: number;
  sees?: (b: number, h: number, i: number, j: number) => boolean;
  bias?: (b: number, h: number, i: number, j: number) => number;
  sink?: (h: number) => number;
}

export interface Expected {
  out: number[];
  lse: number[];
  /** `[batch, heads, qLen, kvLen]`. */
  weights: number[];
}

/** Query, key and value are `[batch, seq, heads, dim]`. */
export function oracle(query: Floats, key: Floats, value: Floats, rules: Rules): Expected {
  const [batch, qLen, heads, dim] = query.shape as [number, number, number, number];
  const [, kvLen, kvHeads] = key.shape as [number, number, number];
  const width = value.shape[3]!;
  const { scale = 1 / Math.sqrt(dim), softcap, sees = () => true, bias = () => 0, sink } = rules;
  const expected: Expected = { out: new Array(batch * qLen * heads * width).fill(0), lse: [], weights: [] };
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const g = Math.floor(h / (heads / kvHeads));
      for (let i = 0; i < qLen; i++) {
        const scores = Array.from({ length: kvLen }, (_, j) => {
          if (!sees(b, h, i, j)) return Number.NEGATIVE_INFINITY;
          let dot = 0;
          for (let d = 0; d < dim; d++) {
            dot +=
              query.data[((b * qLen + i) * heads + h) * dim + d]! *
              key.data[((b * kvLen + j) * kvHeads + g) * dim + d]!;
          }
          const scaled = dot * scale;
          return (softcap === undefined ? scaled : softcap * Math.tanh(scaled / softcap)) + bias(b, h, i, j);
        });
        const all = sink === undefined ? scores : [...scores, sink(h)];
        const most = Math.max(...all);
        const sum = all.reduce(
          (total, score) => total + (score === Number.NEGATIVE_INFINITY ? 0 : Math.exp(score - most)),
          0,
        );
        expected.lse.push(sum === 0 ? Number.NEGATIVE_INFINITY : most + Math.log(sum));
        scores.forEach((score, j) => {
          const weight = score === Number.NEGATIVE_INFINITY ? 0 : Math.exp(score - most) / sum;
          expected.weights.push(weight);
          for (let d = 0; d < width; d++) {
            const at = ((b * qLen + i) * heads + h) * width + d;
            expected.out[at]! += weight * (weight === 0 ? 0 : value.data[((b * kvLen + j) * kvHeads + g) * width + d]!);
          }
        });
      }
    }
  }
  return expected;
}

/** Element by element, -Infinity equal to itself. */
export function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 2e-6): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < actual.length; i++) {
    const [a, e] = [actual[i]!, expected[i]!];
    if (a === e) continue;
    if (!(Math.abs(a - e) <= tolerance * Math.max(1, Math.abs(e)))) expect(a, `element ${i}`).toBe(e);
  }
}

/** The bits of a result, whatever its kind. */
export function bitsOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
}
