/** What is measured. Every case says in words what it is; its name is what `--filter` looks at. */

export interface Case {
  readonly name: string;
  readonly words: string;
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
}

const ordinary = { layout: "bhsd", batch: 1, causal: false } as const;

/** As many keys as queries, as many key heads as query heads. */
function square(numHeads: number, length: number, headDim: number) {
  return { numHeads, numKvHeads: numHeads, qLen: length, kvLen: length, headDim, valueHeadDim: headDim };
}

export const CASES: readonly Case[] = [
  { ...ordinary, ...square(4, 1024, 64), name: "prefill-64", words: "4 heads x 1024 x 64" },
  {
    ...ordinary,
    ...square(4, 1024, 64),
    layout: "bshd",
    name: "prefill-64-bshd",
    words: "4 heads x 1024 x 64, heads innermost",
  },
  { ...ordinary, ...square(4, 1024, 128), name: "prefill-128", words: "4 heads x 1024 x 128" },
  { ...ordinary, ...square(4, 1024, 64), causal: true, name: "causal-64", words: "4 heads x 1024 x 64, causal" },
  {
    ...ordinary,
    ...square(8, 1024, 64),
    numKvHeads: 2,
    name: "grouped-64",
    words: "8 heads over 2 key heads, 1024 x 64",
  },
  { ...ordinary, ...square(1, 4096, 64), name: "long-64", words: "1 head x 4096 x 64" },
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
];

/** Multiplications and additions of both products: 2 (headDim + valueHeadDim) for every key that a query sees. */
export function flopsOf(c: Case): number {
  let pairs = 0;
  for (let b = 0; b < c.batch; b++) {
    const valid = c.kvLengths?.[b] ?? c.kvLen;
    for (let i = 0; i < c.qLen; i++) pairs += c.causal ? Math.min(valid, i + 1 + c.kvLen - c.qLen) : valid;
  }
  return 2 * (c.headDim + c.valueHeadDim) * c.numHeads * pairs;
}

/** Bytes that every call has to read once, whatever the kernel does: keys, values and queries that count. */
export function bytesOf(c: Case): number {
  const keys = c.kvLengths?.reduce((sum, length) => sum + length, 0) ?? c.batch * c.kvLen;
  const perKey = c.numKvHeads * (c.headDim + c.valueHeadDim);
  return 4 * (keys * perKey + c.batch * c.qLen * c.numHeads * c.headDim);
}
