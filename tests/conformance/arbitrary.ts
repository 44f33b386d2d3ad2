/** Random problems: any shape and option, sizes gathered around the edges of blocks, tiles and lanes. */
import * as fc from "fast-check";
import type { Rule } from "../reference/rules.mjs";
import { type Rule as PaintRule, paint, paintMask } from "../vectors/paint.ts";
import { paintInputs, type Shape } from "../vectors/schema.ts";
import { bitRules } from "./arbitrary-rule.ts";
import type { Arrangement, WeightsForm } from "./arrange.ts";
import { type Problem, type ProblemOptions, storages, stored } from "./problem.ts";

/** Products beyond this are cut by shortening the query: a run has to stay in milliseconds. */
const LARGEST_WORK = 250_000;

const length = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 20 }) },
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

/** Shapes in which some axis may be empty. */
export const anyShapes: fc.Arbitrary<Shape> = fc
  .record({
    shape: shapes,
    empty: fc.oneof(
      { weight: 9, arbitrary: fc.constant({}) },
      fc.constantFrom<Partial<Shape>>(
        { batch: 0 },
        { valueHeadDim: 0 },
        { numHeads: 0 },
        { numHeads: 0, numKvHeads: 0 },
        { qLen: 0 },
        { kvLen: 0 },
      ),
    ),
  })
  .map(({ shape, empty }) => ({ ...shape, ...empty }));

const seed = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const scale = fc.constantFrom(0, -0.5, 1, 0.125, 1 / 3, -1e-3, 2.5);
const slopes = fc.constantFrom(0, 0.5, 0.25, Math.fround(1 / 3), 0.0625, 1, -0.125);
const logits = fc.constantFrom(0, -2.5, 1, 4, 30, -40, Math.fround(0.1), Number.NEGATIVE_INFINITY);

/** What a mask or bias looks like in few words. */
export interface MaskSketch {
  shape: number[];
  seed: number;
  /** Of 256 keys so many are seen; "blocks": whole blocks of 64 are seen or not. */
  keep: number | "blocks";
}

export interface BiasSketch {
  shape: number[];
  seed: number;
  gain: number;
  /** Elements of another kind: -Infinity, the most negative number, or poison. */
  special: "none" | "holes" | "lowest" | "poison";
}

export interface Sketch {
  shape: Shape;
  seed: number;
  options: Omit<ProblemOptions, "mask" | "bias" | "rule">;
  mask?: MaskSketch;
  rule?: Rule;
  bias?: BiasSketch;
  storage?: Problem["storage"];
}

/** `[batch, heads, qLen, kvLen]` broadcast in any way, of any rank. */
const broadcastShape = ({ batch, numHeads, qLen, kvLen }: Shape) =>
  fc
    .record({
      rank: fc.integer({ min: 1, max: 4 }),
      full: fc.tuple(fc.boolean(), fc.boolean(), fc.boolean(), fc.boolean()),
    })
    .map(({ rank, full }) =>
      [batch, numHeads, qLen, kvLen].map((size, axis) => (full[axis] ? size : 1)).slice(4 - rank),
    );

/** Once in so many draws. */
const maybe = <T>(arbitrary: fc.Arbitrary<T>, oneIn = 3): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: oneIn - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });

/** Only the properties that have a value: a given `undefined` is another thing than none. */
function defined<T extends object>(record: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as never;
}

export interface SketchOptions {
  /** Shapes to draw from. */
  shape?: fc.Arbitrary<Shape>;
  /** Nothing in bias and sinks that a float64 reference cannot follow. */
  finite?: boolean;
}

/** A problem in few words: fast-check prints and shrinks this, `problemOf` paints it. */
export function sketches({ shape: from = shapes, finite = true }: SketchOptions = {}): fc.Arbitrary<Sketch> {
  return from.chain((shape) => {
    const { batch, numHeads, qLen, kvLen } = shape;
    const each = <T>(count: number, one: fc.Arbitrary<T>) => fc.array(one, { minLength: count, maxLength: count });
    const offset = fc.integer({ min: -8, max: kvLen + 4 });
    const reach = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constantFrom(63, 64, 65, 128));
    const lengths = (most: number) =>
      each(batch, fc.oneof({ weight: 2, arbitrary: fc.integer({ min: 0, max: most }) }, fc.constant(most)));
    const kinds = ["none", "none", "holes", ...(finite ? [] : (["lowest", "poison"] as const))] as const;
    const options = fc
      .record({
        scale: maybe(scale),
        softcap: maybe(fc.constantFrom(1, 5, 30, 0.75, 7.3, 0.1), 4),
        causal: maybe(fc.constant(true)),
        qOffset: fc.oneof(offset, each(batch, offset)),
        window: maybe(
          fc.record({
            left: maybe(reach, 2),
            right: maybe(reach, 2),
            first: maybe(fc.integer({ min: 0, max: 70 }), 2),
          }),
          4,
        ),
        kvLengths: maybe(lengths(kvLen), 4),
        qLengths: maybe(lengths(qLen), 5),
        alibiSlopes: maybe(each(numHeads, slopes), 4),
        sinks: maybe(
          each(numHeads, finite ? logits : fc.oneof(logits, fc.constantFrom(Number.NaN, 1e39, Infinity))),
          3,
        ),
      })
      .map(({ window, ...rest }) => defined({ ...rest, window: window && defined(window) }));
    const oneStorage = fc.constantFrom(...storages);
    return fc
      .record({
        shape: fc.constant(shape),
        seed,
        options,
        visible: fc.oneof(
          { weight: 3, arbitrary: fc.constant({}) },
          {
            weight: 2,
            arbitrary: fc.record({
              mask: fc.record({
                shape: broadcastShape(shape),
                seed,
                keep: fc.constantFrom(128, 230, 230, 26, 256, "blocks" as const),
              }),
            }),
          },
          { weight: 2, arbitrary: fc.record({ rule: bitRules(shape) }) },
        ),
        bias: maybe(
          fc.record({
            shape: broadcastShape(shape),
            seed,
            gain: fc.constantFrom(1, 4, 0.25),
            special: fc.constantFrom(...kinds),
          }),
        ),
        storage: maybe(fc.record({ query: oneStorage, key: oneStorage, value: oneStorage, bias: oneStorage }), 2),
      })
      .map(({ visible, ...rest }) => ({ ...defined(rest), ...visible }) as Sketch);
  });
}

const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);

function maskOf({ shape, seed, keep }: MaskSketch) {
  if (keep !== "blocks") return { data: paintMask({ keep, seed }, product(shape)), shape };
  const width = shape[shape.length - 1]!;
  const blocks = Math.ceil(width / 64);
  const seen = paintMask({ keep: 128, seed }, (product(shape) / Math.max(1, width)) * blocks);
  const data = new Uint8Array(product(shape)).map(
    (_, n) => seen[Math.floor(n / width) * blocks + Math.floor((n % width) / 64)]!,
  );
  return { data, shape };
}

function biasOf({ shape, seed, gain, special }: BiasSketch) {
  const data = paint({ rule: special === "poison" ? "poison" : "bell", seed }, product(shape)).map((x) => x * gain);
  if (special === "holes" || special === "lowest") {
    const value = special === "holes" ? Number.NEGATIVE_INFINITY : -3.4e38;
    const hit = paintMask({ keep: 64, seed: seed ^ 1 }, data.length);
    hit.forEach((isHit, n) => {
      if (isHit) data[n] = value;
    });
  }
  return { data, shape };
}

/** Sketches of bias in half floats cannot hold -3.4e38: it becomes -Infinity in float16, as any caller's would. */
export function problemOf(sketch: Sketch, rule: PaintRule = "bell"): Problem {
  const { shape, seed: start, options, mask, rule: bits, bias, storage } = sketch;
  const one = (n: number) => ({ rule, seed: (start + n) >>> 0 });
  return stored({
    shape,
    ...paintInputs(shape, { query: one(0), key: one(1), value: one(2) }),
    options: {
      ...options,
      ...(mask && { mask: maskOf(mask) }),
      ...(bits && { rule: bits }),
      ...(bias && { bias: biasOf(bias) }),
    },
    ...(storage && { storage }),
  });
}

const orders = (["bhs", "bsh", "hbs", "hsb", "sbh", "shb"] as const).map(
  (word) => [...word] as ("b" | "h" | "s")[] as readonly ("b" | "h" | "s")[],
);
const gap = fc.constantFrom(0, 0, 1, 3, 4, 17);

/** Any layout, order in memory, gaps, offset and rank that the shape allows. */
export const arrangements = ({ batch, numHeads, numKvHeads }: Shape): fc.Arbitrary<Arrangement> =>
  fc.record({
    layout: fc.constantFrom("bshd", "bhsd"),
    rank: fc.constantFrom<(2 | 3 | 4)[]>(
      4,
      ...(batch === 1 ? ([3] as const) : []),
      ...(batch === 1 && numHeads === 1 && numKvHeads === 1 ? ([2] as const) : []),
    ),
    memory: fc.option(
      fc.record({
        order: fc.constantFrom(...orders),
        gaps: fc.tuple(gap, gap, gap),
        offset: fc.integer({ min: 0, max: 9 }),
      }),
    ),
    resident: fc.boolean(),
    masks: fc.constantFrom("plain", "gaps", "expanded", "resident"),
  });

/** Every form in which weights can be asked for. */
export const weightsForms = ({ qLen }: Shape): fc.Arbitrary<WeightsForm> =>
  fc.oneof(
    fc.constant(true as const),
    fc.constant("head-mean" as const),
    fc.record({ topK: fc.integer({ min: 1, max: 9 }) }),
    fc.uniqueArray(fc.nat({ max: Math.max(0, qLen - 1) }), { maxLength: qLen }).map((rows) => ({ rows })),
  );

/** The same runs every time; SACCADE_LONG asks for many more of them. */
export const runs = (long: boolean, count: number) => ({ seed: 20260, numRuns: long ? count * 20 : count });
