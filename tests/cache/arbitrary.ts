/** Random caches, and random sequences of calls. */
import * as fc from "fast-check";
import type { CacheOptions } from "./model.ts";

export const dtypes = ["float32", "float16", "bfloat16", "int8"] as const;

/** A cache, and how many query heads share one of its own. */
export interface Sketch {
  options: CacheOptions;
  group: number;
}

export const sketches: fc.Arbitrary<Sketch> = fc
  .record({
    dtype: fc.constantFrom(...dtypes),
    batch: fc.integer({ min: 1, max: 3 }),
    numKvHeads: fc.integer({ min: 1, max: 3 }),
    group: fc.constantFrom(1, 1, 2, 3, 4),
    widths: fc.constantFrom([8, 8], [1, 1], [16, 3], [5, 40], [33, 9], [64, 64], [72, 7]),
    capacity: fc.constantFrom(64, 100, 128, 200, 320),
    window: fc.option(fc.record({ left: fc.integer({ min: 0, max: 63 }), first: fc.constantFrom(0, 1, 5, 64, 70) })),
    pageSize: fc.constantFrom(undefined, 64, 128, 192),
  })
  .map(({ widths, group, window, pageSize, dtype, batch, numKvHeads, capacity }) => {
    const [headDim, valueHeadDim] = widths as [number, number];
    const options = {
      ...{ dtype, batch, numKvHeads, headDim, valueHeadDim, capacity },
      ...(window && { window }),
      ...(pageSize !== undefined && { pageSize }),
    };
    return { group, options };
  });

/** A step: what it does depends on what is there, so numbers are taken modulo whatever they choose from. */
export interface Step {
  kind: "append" | "ragged" | "truncate" | "cut" | "fork" | "reorder" | "attend" | "read" | "bytes" | "dispose";
  /** Which of the caches that live. */
  at: number;
  numbers: number[];
}

export const steps = (most: number): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.record({
      kind: fc.constantFrom<Step["kind"]>(
        ...(["append", "append", "append", "ragged", "ragged", "truncate", "cut", "fork"] as const),
        ...(["reorder", "attend", "attend", "attend", "read", "bytes", "dispose"] as const),
      ),
      at: fc.nat(5),
      numbers: fc.array(fc.nat(10_000), { minLength: 4, maxLength: 4 }),
    }),
    { minLength: 1, maxLength: most },
  );
