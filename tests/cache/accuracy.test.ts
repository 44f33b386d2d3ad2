// What storing costs: the error of each dtype against float32, as published in NUMERICS section 21.
import { readFileSync } from "node:fs";
import { init, KvCache } from "saccade";
import { describe, expect, it } from "vitest";
import { painted } from "./model.ts";

const sizes = { batch: 1, numKvHeads: 8, headDim: 64, capacity: 4096 };
const ROWS = 64;

/** About normal: the sum of six uniform numbers, of variance 1. */
function bell(length: number, seed: number): Float32Array<ArrayBuffer> {
  const [a, b] = [painted(length, seed), painted(length, seed + 1000)];
  return a.map((x, i) => (x + b[i]!) / Math.SQRT2);
}

/** Root of the mean square error by that of the result, and the largest error. */
function errorsOf(dtype: "float16" | "bfloat16" | "int8"): { relative: number; largest: number } {
  const { numKvHeads, headDim, capacity } = sizes;
  const rows = (n: number, seed: number) => ({
    data: bell(n * numKvHeads * headDim, seed),
    shape: [1, n, numKvHeads, headDim],
  });
  const [key, value, query] = [rows(capacity, 1), rows(capacity, 2), rows(ROWS, 3)];
  const outOf = (options: object) => {
    using cache = new KvCache({ ...sizes, ...options });
    cache.append(key, value);
    return cache.attend(query).out.data as Float32Array;
  };
  const [exact, stored] = [outOf({}), outOf({ dtype })];
  let [error, size, largest] = [0, 0, 0];
  exact.forEach((x, i) => {
    error += (stored[i]! - x) ** 2;
    size += x ** 2;
    largest = Math.max(largest, Math.abs(stored[i]! - x));
  });
  return { relative: Math.sqrt(error / size), largest };
}

describe("4,096 keys of 64 about normal numbers, scores of about normal size", () => {
  const text = readFileSync(new URL("../../NUMERICS.md", import.meta.url), "utf8");

  it.each(["float16", "bfloat16", "int8"] as const)("%s has the published error", async (dtype) => {
    await init();
    const { relative, largest } = errorsOf(dtype);
    const published = `| ${dtype} | ${relative.toExponential(1)} | ${largest.toExponential(1)} |`;
    expect(text).toContain(published);
  });
});
