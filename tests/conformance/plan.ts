/** `planAttention` counts what can be counted one by one: blocks of 64 x 64 and visible pairs. */
import * as fc from "fast-check";
import { isVisible } from "../reference/attention.mjs";
import { anyShapes, problemOf, runs, sketches } from "./arbitrary.ts";
import { axesOf, optionsOf } from "./arrange.ts";
import { type Case, equal, sameList } from "./harness.ts";
import type { Problem } from "./problem.ts";

const BLOCK = 64;

function counted({ shape, options }: Problem) {
  const { batch, numHeads, qLen, kvLen } = shape;
  const { bias: _bias, ...sight } = options;
  const counts = { full: 0, partial: 0, skipped: 0 };
  let pairs = 0;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < numHeads; h++) {
      for (let i0 = 0; i0 < qLen; i0 += BLOCK) {
        for (let j0 = 0; j0 < kvLen; j0 += BLOCK) {
          const [i1, j1] = [Math.min(qLen, i0 + BLOCK), Math.min(kvLen, j0 + BLOCK)];
          let seen = 0;
          for (let i = i0; i < i1; i++)
            for (let j = j0; j < j1; j++) seen += isVisible(shape, sight, b, h, i, j) ? 1 : 0;
          counts[seen === 0 ? "skipped" : seen === (i1 - i0) * (j1 - j0) ? "full" : "partial"]++;
          pairs += seen;
        }
      }
    }
  }
  return { counts, pairs };
}

export const planCases: Case[] = [
  {
    name: "property strict: planAttention counts blocks and visible pairs",
    async run({ library, engine: engineOf, long }) {
      const engine = await engineOf("strict");
      fc.assert(
        fc.property(
          sketches({ shape: anyShapes }),
          fc.constantFrom("bshd" as const, "bhsd" as const),
          (sketch, layout) => {
            const problem = problemOf(sketch);
            const { batch, qLen, kvLen, numHeads, numKvHeads, headDim, valueHeadDim } = problem.shape;
            const dims = (s: number, h: number, last: number) => {
              const sizes = { b: batch, s, h };
              return [...axesOf(layout, 4).map((axis) => sizes[axis]), last];
            };
            const shapes = {
              query: dims(qLen, numHeads, headDim),
              key: dims(kvLen, numKvHeads, headDim),
              value: dims(kvLen, numKvHeads, valueHeadDim),
            };
            const options = { ...optionsOf(problem, library, "plain", (view) => view), layout, engine };
            const plan = library.planAttention(shapes, options as never);
            const { counts, pairs } = counted(problem);
            const { full, partial, skipped } = plan.blocks;
            sameList([full, partial, skipped], [counts.full, counts.partial, counts.skipped], "full, partial, skipped");
            equal(plan.flops, 2 * (headDim + valueHeadDim) * pairs, "flops");
          },
        ),
        runs(long, 120),
      );
    },
  },
];
