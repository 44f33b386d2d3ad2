/** Random masks by rule: every leaf, and trees of them. */
import * as fc from "fast-check";
import type { Rule } from "../reference/rules.mjs";
import { paintMask } from "../vectors/paint.ts";
import type { Shape } from "../vectors/schema.ts";

/** Runs of equal numbers, as sequences laid end to end have them, or any numbers. */
const documents = (length: number) =>
  fc.oneof(
    fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 6 }).map((sizes) => {
      const ids = sizes.flatMap((size, n) => Array<number>(size).fill(n));
      return Array.from({ length }, (_, i) => ids[i] ?? sizes.length);
    }),
    fc.array(fc.integer({ min: -1, max: 2 }), { minLength: length, maxLength: length }),
  );

function leaves({ batch, numHeads, qLen, kvLen }: Shape): fc.Arbitrary<Rule> {
  const offset = fc.oneof(fc.constant(0), fc.integer({ min: -8, max: kvLen + 4 }));
  const reach = fc.option(fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constantFrom(63, 64, 65, 128)), {
    nil: undefined,
  });
  /** One list for all batch rows, or one for each. */
  const each = <T>(one: fc.Arbitrary<T>) =>
    fc.oneof(fc.tuple(one), fc.array(one, { minLength: Math.max(1, batch), maxLength: Math.max(1, batch) }));
  const some = (length: number) => fc.uniqueArray(fc.nat({ max: Math.max(0, length - 1) }), { maxLength: length && 4 });
  return fc.oneof(
    offset.map((from): Rule => ({ kind: "causal", offset: from })),
    fc.record({ left: reach, right: reach, offset }).map(
      ({ left, right, offset: from }): Rule => ({
        kind: "window",
        offset: from,
        ...(left === undefined ? {} : { left }),
        ...(right === undefined ? {} : { right }),
      }),
    ),
    fc
      .record({ lengths: each(fc.integer({ min: 0, max: kvLen })), offset })
      .map((rule): Rule => ({ kind: "prefixLm", ...rule })),
    fc
      .record({ query: each(documents(qLen)), key: each(documents(kvLen)) })
      .map((rule): Rule => ({ kind: "document", ...rule })),
    fc.record({ step: fc.constantFrom(1, 2, 3, 7, 64), offset }).map((rule): Rule => ({ kind: "dilated", ...rule })),
    fc.record({ query: some(qLen), key: some(kvLen) }).map((rule): Rule => ({ kind: "global", ...rule })),
    fc
      .record({
        rank: fc.integer({ min: 2, max: 4 }),
        full: fc.tuple(fc.boolean(), fc.boolean()),
        keep: fc.constantFrom(0, 26, 128, 230, 256),
        seed: fc.nat(),
      })
      .map(({ rank, full: [perBatch, perHead], keep, seed }): Rule => {
        const shape = [perBatch ? batch : 1, perHead ? numHeads : 1, qLen, kvLen].slice(4 - rank);
        const count = shape.reduce((a, b) => a * b, 1);
        return { kind: "stored", data: paintMask({ keep, seed }, count), shape };
      }),
  );
}

/** Leaves, and leaves joined; shrinks towards a leaf. */
export function bitRules(shape: Shape): fc.Arbitrary<Rule> {
  const leaf = leaves(shape);
  const joined = (inner: fc.Arbitrary<Rule>): fc.Arbitrary<Rule> =>
    fc.oneof(
      fc
        .record({ kind: fc.constantFrom("and" as const, "or" as const), of: fc.tuple(inner, inner) })
        .map((rule): Rule => rule),
      fc.tuple(inner).map((of): Rule => ({ kind: "not", of })),
    );
  const twice = fc.oneof(leaf, joined(leaf));
  return fc.oneof({ weight: 3, arbitrary: leaf }, { weight: 2, arbitrary: joined(leaf) }, joined(twice));
}
