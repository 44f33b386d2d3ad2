/** What is measured. Every case says in words what it is; its name is what `--filter` looks at. */

import { CACHE_CASES } from "./cache-cases.ts";
import type { Case } from "./case.ts";

const ordinary = { layout: "bhsd", batch: 1, causal: false } as const;

/** As many keys as queries, as many key heads as query heads. */
function square(numHeads: number, length: number, headDim: number) {
  return { numHeads, numKvHeads: numHeads, qLen: length, kvLen: length, headDim, valueHeadDim: headDim };
}

const prefill = { ...ordinary, ...square(4, 1024, 64) };
const long = { ...ordinary, ...square(1, 4096, 64) };

export const CASES: readonly Case[] = [
  { ...prefill, name: "prefill-64", words: "4 heads x 1024 x 64" },
  { ...prefill, layout: "bshd", name: "prefill-64-bshd", words: "4 heads x 1024 x 64, heads innermost" },
  { ...ordinary, ...square(4, 1024, 128), name: "prefill-128", words: "4 heads x 1024 x 128" },
  {
    ...prefill,
    causal: true,
    name: "causal-64",
    words: "4 heads x 1024 x 64, causal",
    against: { name: "prefill-64", goal: 0.6 },
  },
  {
    ...ordinary,
    ...square(8, 1024, 64),
    numKvHeads: 2,
    name: "grouped-64",
    words: "8 heads over 2 key heads, 1024 x 64",
  },
  { ...long, name: "long-64", words: "1 head x 4096 x 64" },
  { ...ordinary, ...square(1, 64, 64), name: "small-64", words: "1 head x 64 x 64" },
  { ...ordinary, ...square(12, 120, 32), name: "small-32", words: "12 heads x 120 x 32 (a sentence)" },
  {
    ...ordinary,
    ...square(12, 120, 32),
    batch: 4,
    kvLengths: [13, 22, 37, 120],
    name: "padded-32",
    words: "4 sentences of 13 to 120 tokens, 12 heads x 32",
  },
  {
    ...ordinary,
    ...square(8, 256, 64),
    qLen: 1,
    name: "decode-256",
    words: "1 query, 8 heads x 256 keys x 64",
  },
  {
    ...ordinary,
    ...square(8, 4096, 64),
    qLen: 1,
    name: "decode-4096",
    words: "1 query, 8 heads x 4096 keys x 64",
  },
  {
    ...long,
    window: { left: 255, right: 0 },
    name: "mask-window",
    words: "long-64 within a window of 256 keys",
    against: { name: "long-64", goal: 0.12 },
  },
  {
    ...long,
    documents: 16,
    name: "mask-documents",
    words: "long-64 as 16 documents (BitMask)",
    against: { name: "long-64" },
  },
  {
    ...long,
    kvLengths: [10],
    name: "mask-lengths",
    words: "long-64 with 10 valid keys",
    against: { name: "long-64" },
  },
  {
    ...long,
    randomMask: 128,
    name: "mask-random",
    words: "long-64 with every second key masked, at random",
    against: { name: "long-64" },
  },
  { ...prefill, bias: true, name: "bias-full", words: "prefill-64 with a full bias", against: { name: "prefill-64" } },
  { ...prefill, alibi: true, name: "bias-alibi", words: "prefill-64 with ALiBi", against: { name: "prefill-64" } },
  { ...prefill, softcap: 30, name: "softcap", words: "prefill-64 with softcap", against: { name: "prefill-64" } },
  ...CACHE_CASES,
];

/** The cases whose names contain a text, and those they are set against. */
export function casesLike(text: string): Case[] {
  const named = CASES.filter(({ name }) => name.includes(text));
  const needed = new Set(named.flatMap(({ name, against }) => [name, ...(against ? [against.name] : [])]));
  return CASES.filter(({ name }) => needed.has(name));
}

/** Whether key j is shown to query row i by the random mask. */
export function isKept(c: Case, i: number, j: number): boolean {
  if (c.randomMask === undefined) return true;
  let x = Math.imul(i * c.kvLen + j + 1, 0x9e3779b1);
  x = Math.imul(x ^ (x >>> 15), 0x85ebca6b);
  return ((x ^ (x >>> 13)) & 255) < c.randomMask;
}

/** The document of a position. */
export const documentOf = (c: Case, i: number): number => Math.floor((i * (c.documents ?? 1)) / c.kvLen);

/** The keys from `from` up to `to` that positions and lengths leave to query row i of batch row b. */
function sightOf(c: Case, b: number, i: number): [from: number, to: number] {
  const position = i + c.kvLen - c.qLen;
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
export function flopsOf(c: Case): number {
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
export function bytesOf(c: Case): number {
  const keys = c.kvLengths?.reduce((sum, length) => sum + length, 0) ?? c.batch * c.kvLen;
  const width = { float32: 4, float16: 2, bfloat16: 2, int8: 1 }[c.cache ?? "float32"];
  const scales = c.cache === "int8" ? 8 : 0;
  const perKey = c.numKvHeads * ((c.headDim + c.valueHeadDim) * width + scales);
  const masks = c.qLen * c.kvLen * ((c.randomMask === undefined ? 0 : 1) + (c.bias ? 4 * c.numHeads : 0));
  return keys * perKey + 4 * c.batch * c.qLen * c.numHeads * c.headDim + masks;
}
