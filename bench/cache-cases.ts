/** Decoding from a cache: what is measured. */
import type { Case } from "./case.ts";

const decode = { layout: "bshd", batch: 1, qLen: 1, headDim: 64, valueHeadDim: 64, causal: true } as const;
const small = { ...decode, numHeads: 8, numKvHeads: 8, kvLen: 4096 };
/** 128 MiB as float32: more than any cache of a processor. */
const large = { ...small, kvLen: 32768 };

export const CACHE_CASES: readonly Case[] = [
  { ...small, cache: "float32", name: "cache-f32", words: "1 query, 8 heads x 4096 cached keys x 64" },
  ...(["bfloat16", "float16", "int8"] as const).map((cache) => ({
    ...small,
    cache,
    name: `cache-${shortOf(cache)}`,
    words: `cache-f32 kept as ${cache}`,
    against: { name: "cache-f32" },
  })),
  { ...small, numHeads: 32, cache: "float32", name: "cache-grouped", words: "cache-f32 for 32 query heads" },
  { ...small, qLen: 4, cache: "float32", name: "cache-speculative", words: "cache-f32 for 4 queries" },
  { ...large, cache: "float32", name: "cache-f32-128", words: "1 query, 8 heads x 32768 cached keys x 64" },
  ...(
    [
      ["bfloat16", 1 / 1.4],
      ["float16", undefined],
      ["int8", 1 / 1.6],
    ] as const
  ).map(([cache, goal]) => ({
    ...large,
    cache,
    name: `cache-${shortOf(cache)}-128`,
    words: `cache-f32-128 kept as ${cache}`,
    against: { name: "cache-f32-128", ...(goal && { goal: Math.round(goal * 1000) / 1000 }) },
  })),
];

function shortOf(dtype: NonNullable<Case["cache"]>): string {
  return { float32: "f32", float16: "f16", bfloat16: "bf16", int8: "int8" }[dtype];
}
