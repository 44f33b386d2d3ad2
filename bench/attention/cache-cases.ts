/** Decoding from a cache: what is measured. The batch is 1: other libraries are given the same rows. */
import type { BenchCase } from "../case.ts";
import { attentionCase } from "./cases.ts";

const decode = { layout: "bshd", batch: 1, qLen: 1, headDim: 64, valueHeadDim: 64, causal: true } as const;
const small = { ...decode, numHeads: 8, numKvHeads: 8, kvLen: 4096 };
/** 128 MiB as float32: more than any cache of a processor. */
const large = { ...small, kvLen: 32768 };

const DTYPES = [
  ["bfloat16", "bf16", 1 / 1.4],
  ["float16", "f16", undefined],
  ["int8", "int8", 1 / 1.6],
] as const;

export const CACHE_CASES: readonly BenchCase[] = [
  attentionCase({
    ...small,
    kvLen: 1024,
    cache: "float32",
    name: "cache-f32-1024",
    words: "1 query, 8 heads x 1024 cached keys x 64",
  }),
  attentionCase({ ...small, cache: "float32", name: "cache-f32", words: "1 query, 8 heads x 4096 cached keys x 64" }),
  ...DTYPES.map(([cache, short]) =>
    attentionCase({
      ...small,
      cache,
      // Other libraries keep float32: against the two that matter most they are timed once more.
      ...(cache === "float16" && { alone: true }),
      name: `cache-${short}`,
      words: `1 query, 8 heads x 4096 keys x 64 cached as ${cache}`,
      against: { name: "cache-f32" },
    }),
  ),
  attentionCase({
    ...{ ...small, numHeads: 32, cache: "float32" },
    name: "cache-grouped",
    words: "1 query, 32 heads over 8 x 4096 cached keys x 64",
  }),
  attentionCase({
    ...small,
    qLen: 4,
    cache: "float32",
    name: "cache-speculative",
    words: "4 queries, 8 heads x 4096 cached keys x 64",
  }),
  attentionCase({
    ...{ ...large, cache: "float32" },
    threaded: true,
    name: "cache-f32-128",
    words: "1 query, 8 heads x 32768 cached keys x 64",
  }),
  ...DTYPES.map(([cache, short, goal]) =>
    attentionCase({
      ...large,
      cache,
      alone: true,
      name: `cache-${short}-128`,
      words: `1 query, 8 heads x 32768 keys x 64 cached as ${cache}`,
      against: { name: "cache-f32-128", ...(goal && { goal: Math.round(goal * 1000) / 1000 }) },
    }),
  ),
];
