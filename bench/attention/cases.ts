/** Attention over operands that lie in memory: what is measured. */
import type { BenchCase, Work } from "../case.ts";
import { type AttentionSpec, bytesOf, flopsOf } from "./spec.ts";
import { prepareAttention } from "./subject.ts";

type Named = AttentionSpec &
  Pick<BenchCase, "name" | "words" | "against" | "threaded"> & {
    readonly work?: Work;
    /** Other libraries are not asked: what they would do is that of another case, or not what is measured here. */
    readonly alone?: true;
  };

/** A case out of its numbers. */
export function attentionCase({ name, words, against, threaded, work: given, alone, ...spec }: Named): BenchCase {
  const work = given ?? { flops: flopsOf(spec), bytes: bytesOf(spec) };
  const block = against?.name ?? name;
  const prepare = () => {
    const { task, ...prepared } = prepareAttention(spec);
    return task && !alone ? { ...prepared, task } : prepared;
  };
  return { name, words, block, work, ...(against && { against }), ...(threaded && { threaded }), prepare };
}

const ordinary = { layout: "bhsd", batch: 1, causal: false } as const;

/** As many keys as queries, as many key heads as query heads. */
function square(numHeads: number, length: number, headDim: number) {
  return { numHeads, numKvHeads: numHeads, qLen: length, kvLen: length, headDim, valueHeadDim: headDim };
}

const prefill = { ...ordinary, ...square(4, 1024, 64) };
const long = { ...ordinary, ...square(1, 4096, 64) };

const SPECS: readonly Named[] = [
  { ...prefill, name: "prefill-64", words: "4 heads x 1024 x 64" },
  { ...prefill, layout: "bshd", alone: true, name: "prefill-64-bshd", words: "4 heads x 1024 x 64, heads innermost" },
  {
    ...ordinary,
    ...square(8, 1024, 64),
    threaded: true,
    name: "prefill-8-64",
    words: "8 heads x 1024 x 64",
  },
  { ...ordinary, ...square(4, 1024, 128), name: "prefill-128", words: "4 heads x 1024 x 128" },
  { ...ordinary, ...square(16, 256, 64), name: "prefill-256-64", words: "16 heads x 256 x 64" },
  { ...ordinary, ...square(8, 256, 32), name: "prefill-256-32", words: "8 heads x 256 x 32" },
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
  { ...ordinary, ...square(1, 64, 64), threaded: true, name: "small-64", words: "1 head x 64 x 64" },
  { ...ordinary, ...square(12, 120, 32), name: "small-32", words: "12 heads x 120 x 32 (a sentence)" },
  {
    ...ordinary,
    ...square(12, 120, 32),
    batch: 4,
    kvLengths: [13, 22, 37, 120],
    alone: true,
    name: "padded-32",
    words: "4 sentences of 13 to 120 tokens, 12 heads x 32",
  },
  { ...ordinary, ...square(8, 256, 64), qLen: 1, name: "decode-256", words: "1 query, 8 heads x 256 keys x 64" },
  { ...ordinary, ...square(8, 4096, 64), qLen: 1, name: "decode-4096", words: "1 query, 8 heads x 4096 keys x 64" },
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
    alone: true,
    name: "mask-documents",
    words: "long-64 as 16 documents (BitMask)",
    against: { name: "long-64" },
  },
  {
    ...long,
    kvLengths: [10],
    alone: true,
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
  {
    ...prefill,
    alibi: true,
    alone: true,
    name: "bias-alibi",
    words: "prefill-64 with ALiBi",
    against: { name: "prefill-64" },
  },
  {
    ...prefill,
    softcap: 30,
    alone: true,
    name: "softcap",
    words: "prefill-64 with softcap",
    against: { name: "prefill-64" },
  },
  {
    ...ordinary,
    ...square(1, 1, 8),
    name: "fixed-cost",
    words: "1 head x 1 x 8: what a call costs by itself",
    // No limit of the machine binds what is almost no work.
    work: {},
  },
];

export const ATTENTION_CASES: readonly BenchCase[] = SPECS.map(attentionCase);
