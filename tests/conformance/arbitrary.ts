/** Random problems: any shape and option, sizes gathered around the edges of blocks, tiles and lanes. */
import * as fc from "fast-check";
import type { Paint, Rule } from "../vectors/paint.ts";
import { paintInputs, type Shape } from "../vectors/schema.ts";
import type { Arrangement, Problem } from "./arrange.ts";

/** Products beyond this are cut by shortening the query: a run has to stay in milliseconds. */
const LARGEST_WORK = 400_000;

const length = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 20 }) },
  { weight: 3, arbitrary: fc.constantFrom(60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 127, 128, 129, 192, 193) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 300 }) },
);

const dim = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 20 }) },
  { weight: 2, arbitrary: fc.constantFrom(31, 32, 33, 63, 64, 65, 68, 72, 80, 127, 128, 129, 130) },
);

function withinWork(shape: Shape): Shape {
  const { batch, numHeads, kvLen, headDim, valueHeadDim } = shape;
  const perRow = Math.max(1, batch * numHeads * kvLen * (headDim + valueHeadDim));
  return { ...shape, qLen: Math.min(shape.qLen, Math.max(1, Math.floor(LARGEST_WORK / perRow))) };
}

export const shapes: fc.Arbitrary<Shape> = fc
  .record({
    batch: fc.constantFrom(1, 1, 2, 3),
    qLen: length,
    kvLen: length,
    numKvHeads: fc.constantFrom(1, 1, 2, 3),
    group: fc.constantFrom(1, 1, 2, 3, 4),
    headDim: dim,
    valueHeadDim: dim,
  })
  .map(({ group, ...shape }) => withinWork({ ...shape, numHeads: shape.numKvHeads * group }));

const seed = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const scale = fc.constantFrom(0, -0.5, 1, 0.125, 1 / 3, -1e-3, 2.5);

function optionsFor({ batch, kvLen }: Shape): fc.Arbitrary<Problem["options"]> {
  const offset = fc.integer({ min: -8, max: kvLen + 4 });
  const perRow = <T>(one: fc.Arbitrary<T>) => fc.array(one, { minLength: batch, maxLength: batch });
  return fc
    .record({
      scale: fc.option(scale, { nil: undefined }),
      causal: fc.boolean(),
      qOffset: fc.oneof(offset, perRow(offset)),
      kvLengths: fc.option(perRow(fc.integer({ min: 0, max: kvLen })), { nil: undefined }),
    })
    .map(({ scale: given, causal, qOffset, kvLengths }) => ({
      ...(given === undefined ? {} : { scale: given }),
      ...(causal ? { causal, qOffset } : {}),
      ...(kvLengths ? { kvLengths } : {}),
    }));
}

export interface Sketch {
  shape: Shape;
  seed: number;
  options: Problem["options"];
}

/** A problem in few words: fast-check prints and shrinks this, `problemOf` paints it. */
export const sketches = (shape: fc.Arbitrary<Shape> = shapes): fc.Arbitrary<Sketch> =>
  shape.chain((given) => fc.record({ shape: fc.constant(given), seed, options: optionsFor(given) }));

export function problemOf({ shape, seed: start, options }: Sketch, rule: Rule = "bell"): Problem {
  const paint = (n: number): Paint => ({ rule, seed: (start + n) >>> 0 });
  return { shape, ...paintInputs(shape, { query: paint(0), key: paint(1), value: paint(2) }), options };
}

const orders = (["bhs", "bsh", "hbs", "hsb", "sbh", "shb"] as const).map(
  (word) => [...word] as ("b" | "h" | "s")[] as readonly ("b" | "h" | "s")[],
);
const gap = fc.constantFrom(0, 0, 1, 3, 4, 17);

/** Any layout, order in memory, gaps, offset and rank that the shape allows. */
export const arrangements = ({ batch, numHeads }: Shape): fc.Arbitrary<Arrangement> =>
  fc.record({
    layout: fc.constantFrom("bshd", "bhsd"),
    rank: fc.constantFrom<(2 | 3 | 4)[]>(
      4,
      ...(batch === 1 ? ([3] as const) : []),
      ...(batch * numHeads === 1 ? ([2] as const) : []),
    ),
    memory: fc.option(
      fc.record({
        order: fc.constantFrom(...orders),
        gaps: fc.tuple(gap, gap, gap),
        offset: fc.integer({ min: 0, max: 9 }),
      }),
    ),
    resident: fc.boolean(),
  });

/** The same runs every time; SACCADE_LONG asks for many more of them. */
export const runs = (long: boolean, count: number) => ({ seed: 20260, numRuns: long ? count * 20 : count });
