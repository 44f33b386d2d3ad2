/** Masks, lengths and biases as other libraries take them: one array that is added to the scores. */
import type { Numbers } from "../peers/task.ts";
import { type AttentionSpec, isKept, positionOf, sightOf, slopesOf } from "./spec.ts";

/** `[batch or 1, numHeads or 1, qLen, kvLen]`; null where nothing is hidden and nothing is added. */
export function denseBias(c: AttentionSpec, given: Float32Array | undefined): Numbers | null {
  const hides = c.causal && c.qLen > 1;
  if (!hides && !c.window && !c.documents && !c.randomMask && !c.kvLengths && !given && !c.alibi) return null;
  const batch = c.kvLengths ? c.batch : 1;
  const heads = given || c.alibi ? c.numHeads : 1;
  const slopes = slopesOf(c);
  const data = new Float32Array(batch * heads * c.qLen * c.kvLen).fill(Number.NEGATIVE_INFINITY);
  for (let b = 0, at = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < c.qLen; i++, at += c.kvLen) {
        const [from, to] = sightOf(c, b, i);
        for (let j = from; j < to; j++) {
          if (!isKept(c, i, j)) continue;
          const distance = c.alibi ? -slopes[h]! * Math.abs(positionOf(c, i) - j) : 0;
          data[at + j] = distance + (given?.[(h * c.qLen + i) * c.kvLen + j] ?? 0);
        }
      }
    }
  }
  return { data, shape: [batch, heads, c.qLen, c.kvLen] };
}
