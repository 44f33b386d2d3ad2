/** Attention in few words and numbers: what a case computes, and the work that comes with it. */
import type { CacheDType } from "saccade";

/** What hides keys or changes scores; the tensors are painted for the run. */
export interface Extras {
  readonly window?: { readonly left?: number; readonly right?: number };
  /** Block-diagonal: so many documents of equal length, as a BitMask. */
  readonly documents?: number;
  /** A boolean mask `[qLen, kvLen]` that shows so many of 256 keys, at random. */
  readonly randomMask?: number;
  /** A full float32 bias `[numHeads, qLen, kvLen]`. */
  readonly bias?: true;
  readonly alibi?: true;
  readonly softcap?: number;
}

export interface AttentionSpec extends Extras {
  readonly layout: "bshd" | "bhsd";
  readonly batch: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly qLen: number;
  readonly kvLen: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
  readonly causal: boolean;
  readonly kvLengths?: readonly number[];
  /** Keys and values lie in a KvCache of this dtype. */
  readonly cache?: CacheDType;
}

/** Whether key j is shown to query row i by the random mask. */
export function isKept(c: AttentionSpec, i: number, j: number): boolean {
  if (c.randomMask === undefined) return true;
  let x = Math.imul(i * c.kvLen + j + 1, 0x9e3779b1);
  x = Math.imul(x ^ (x >>> 15), 0x85ebca6b);
  return ((x ^ (x >>> 13)) & 255) < c.randomMask;
}

/** The document of a position. */
export const documentOf = (c: AttentionSpec, i: number): number => Math.floor((i * (c.documents ?? 1)) / c.kvLen);

/** ALiBi's slopes, which fall from 1/2 on, a power of two each. */
export const slopesOf = (c: AttentionSpec): number[] =>
  Array.from({ length: c.numHeads }, (_, head) => 2 ** -(1 + head));

/** The position of query row i: the last row is that of the last key. */
export const positionOf = (c: AttentionSpec, i: number): number => i + c.kvLen - c.qLen;

/** The keys from `from` up to `to` that positions and lengths leave to query row i of batch row b. */
export function sightOf(c: AttentionSpec, b: number, i: number): [from: number, to: number] {
  const position = positionOf(c, i);
  let [from, to] = [0, c.kvLengths?.[b] ?? c.kvLen];
  if (c.causal) to = Math.min(to, position + 1);
  if (c.window?.left !== undefined) from = Math.max(from, position - c.window.left);
  if (c.window?.right !== undefined) to = Math.min(to, position + c.window.right + 1);
  if (c.documents !== undefined) {
    const size = c.kvLen / c.documents;
    const first = documentOf(c, i) * size;
    [from, to] = [Math.max(from, first), Math.min(to, first + size)];
  }
  return [from, Math.max(from, to)];
}

/** Multiplications and additions of both products: 2 (headDim + valueHeadDim) for every key that a query sees. */
export function flopsOf(c: AttentionSpec): number {
  let pairs = 0;
  for (let b = 0; b < c.batch; b++) {
    for (let i = 0; i < c.qLen; i++) {
      const [from, to] = sightOf(c, b, i);
      if (c.randomMask === undefined) pairs += to - from;
      else for (let j = from; j < to; j++) pairs += isKept(c, i, j) ? 1 : 0;
    }
  }
  return 2 * (c.headDim + c.valueHeadDim) * c.numHeads * pairs;
}

/** Bytes that every call has to read once, whatever the kernel does: keys, values and queries that count, and masks. */
export function bytesOf(c: AttentionSpec): number {
  const keys = c.kvLengths?.reduce((sum, length) => sum + length, 0) ?? c.batch * c.kvLen;
  const width = { float32: 4, float16: 2, bfloat16: 2, int8: 1 }[c.cache ?? "float32"];
  const scales = c.cache === "int8" ? 8 : 0;
  const perKey = c.numKvHeads * ((c.headDim + c.valueHeadDim) * width + scales);
  const masks = c.qLen * c.kvLen * ((c.randomMask === undefined ? 0 : 1) + (c.bias ? 4 * c.numHeads : 0));
  return keys * perKey + 4 * c.batch * c.qLen * c.numHeads * c.headDim + masks;
}
