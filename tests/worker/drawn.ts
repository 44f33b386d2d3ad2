/** Calls of attention of any shape, layout and options, drawn. */
import * as fc from "fast-check";
import * as saccade from "saccade";
import { arrangements, problemOf, sketches, weightsForms } from "../conformance/arbitrary.ts";
import { arrange, optionsOf } from "../conformance/arrange.ts";

/** Makes the arguments of a drawn call anew, options last. */
export type MakeCall = () => readonly [query: unknown, key: unknown, value: unknown, options: object];

export const drawnCalls: fc.Arbitrary<MakeCall> = sketches({ finite: false })
  .chain((sketch) =>
    fc.record({
      sketch: fc.constant(sketch),
      arrangement: arrangements(sketch.shape),
      weights: fc.option(weightsForms(sketch.shape), { nil: false }),
    }),
  )
  .map(({ sketch, arrangement, weights }): MakeCall => {
    const problem = problemOf(sketch);
    const { layout, masks } = arrangement;
    const tensor = (name: "query" | "key" | "value") => arrange(problem[name], arrangement, problem.storage?.[name]);
    return () => [
      tensor("query"),
      tensor("key"),
      tensor("value"),
      {
        ...optionsOf(problem, saccade, masks, (view) => view),
        ...{ layout, returnLse: true, returnWeights: weights },
      },
    ];
  });
